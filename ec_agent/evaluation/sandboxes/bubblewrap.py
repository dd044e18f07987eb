"""Bubblewrap: a Python of this machine in namespaces of its own, without network; files are read-only or in memory."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from ec_agent.errors import ConfigError
from ec_agent.evaluation.sandboxes.base import SandboxLimits

# What programs need of a system, and no more: neither /home nor /root, nor the keys in /etc.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache")
_MORE = ("/etc/localtime", "/etc/mime.types", "/etc/passwd", "/etc/nsswitch.conf")
_ASKED = "import json, sys; print(json.dumps([sys.executable, sys.prefix, sys.base_prefix, *sys.path]))"


class Bubblewrap:
    """``bwrap`` of Debian's package bubblewrap.

    Args:
        python: the interpreter, with the packages that tested code imports.

    Raises:
        ConfigError: there is no ``bwrap``, or no such interpreter.
    """

    name = "bwrap"

    def __init__(self, python: str) -> None:
        found, interpreter = shutil.which("bwrap"), shutil.which(python)
        if found is None:
            raise ConfigError("there is no bwrap here; install bubblewrap (apt-get install bubblewrap)")
        if interpreter is None:
            raise ConfigError(f"there is no interpreter {python!r}; give the path of a Python")
        self._bwrap, self._python = found, interpreter

    @cached_property
    def _folders(self) -> list[str]:
        """What the interpreter needs besides the system's own folders."""
        done = subprocess.run([self._python, "-I", "-c", _ASKED], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(f"{self._python} does not run ({done.stderr.strip()[-300:]}); give the path of a Python")
        told = [Path(each) for each in json.loads(done.stdout) if each]
        places = {path for each in told for path in (each, each.resolve()) if path.exists()}
        within = [Path(each) for each in _SYSTEM]
        kept: list[Path] = []
        for path in sorted(places):  # folders before what lies in them
            if path != Path("/") and not any(path.is_relative_to(each) for each in (*within, *kept)):
                kept.append(path)
        return [str(path) for path in kept]

    def command(self, bounds: SandboxLimits, folders: Sequence[Path], name: str) -> list[str]:
        """The interpreter behind bwrap's options."""
        read = [*_SYSTEM, *_MORE, *self._folders, *(str(folder.resolve()) for folder in folders)]
        return [
            *(self._bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"),
            *("--proc", "/proc", "--dev", "/dev", "--size", str(bounds.files), "--tmpfs", "/tmp"),
            *(word for each in read for word in ("--ro-bind-try", each, each)),
            *("--chdir", "/tmp"),
            *(word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value)),
            self._python,
        ]

    def end(self, name: str) -> None:
        """Nothing: what runs in it dies with bwrap."""


ENVIRONMENT = {
    "HOME": "/tmp",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""The whole environment of a program in a sandbox."""
