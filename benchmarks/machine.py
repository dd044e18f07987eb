"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

_PACKAGES = ("numpy", "msgspec", "openai", "langgraph", "langchain-core")
_SWITCHES = ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "PYTHONMALLOC")


def machine_facts() -> dict[str, str]:
    """Processor, cores, load, versions: everything that moves the ratios."""
    import numpy as np

    simd = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[index, call-overload]
    facts = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load at the start": f"{os.getloadavg()[0]:.1f}",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "simd": " ".join([*simd.get("baseline", ()), *simd.get("found", ())]),
    }
    facts |= {name: _version(name) for name in _PACKAGES}
    return facts | {name: os.environ[name] for name in _SWITCHES if name in os.environ}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
