"""Small made files in the form in which data sets are published, and packages that only some machines have."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from ec_agent.evaluation.tasks import Outcome

COMPILED = "which is compiled, and there was no compiler"


def needs(*modules: str, why: str = "") -> None:
    """Leave the tests of a file out where a package is not installed; `make test` installs all but what is compiled.

    They are not imported here: most are large, and each worker of the suite collects every file.
    """
    for module in modules:
        if find_spec(module) is None:
            pytest.skip(", ".join(filter(None, (f"needs {module}", why))), allow_module_level=True)


@cache
def _closed() -> bool:
    """Whether bubblewrap runs here; it may be missing, or refused namespaces."""
    words = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    return shutil.which("bwrap") is not None and subprocess.run(words, capture_output=True, check=False).returncode == 0


def needs_sandbox() -> None:
    """Leave the tests of a file out where bubblewrap does not run."""
    if not _closed():
        pytest.skip("needs bubblewrap", allow_module_level=True)


def jsonl(path: Any, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def said(text: str) -> Outcome:
    return Outcome(AIMessage(text))
