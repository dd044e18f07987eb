"""Docker: a Python of an image, without network, capabilities, or files of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ec_agent.errors import ConfigError
from ec_agent.evaluation.sandboxes.base import SandboxLimits
from ec_agent.evaluation.sandboxes.bubblewrap import ENVIRONMENT

MOST_PROCESSES = 512


class Docker:
    """``docker run`` of an image that is there.

    Args:
        image: its name.
        python: the interpreter in it.

    Raises:
        ConfigError: there is no ``docker``.
    """

    def __init__(self, image: str, python: str) -> None:
        found = shutil.which("docker")
        if found is None:
            raise ConfigError("there is no docker here; install it, or name another sandbox")
        self._docker, self._image, self._python = found, image, python
        self.name = f"docker:{image}"

    def command(self, bounds: SandboxLimits, folders: Sequence[Path], name: str) -> list[str]:
        """``docker run`` with the interpreter as entry point."""
        places = [folder.resolve() for folder in folders]
        return [
            *(self._docker, "run", "--rm", "--interactive", "--pull", "never", "--name", name),
            *("--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"),
            *("--pids-limit", str(MOST_PROCESSES), "--memory", str(bounds.memory)),
            *("--tmpfs", f"/tmp:rw,exec,size={bounds.files}", "--workdir", "/tmp"),
            *(word for each in places for word in ("--volume", f"{each}:{each}:ro")),
            *(word for name_, value in ENVIRONMENT.items() for word in ("--env", f"{name_}={value}")),
            *("--entrypoint", self._python, self._image),
        ]

    def end(self, name: str) -> None:
        """Kill the container: it outlives its client."""
        subprocess.run([self._docker, "kill", name], capture_output=True, timeout=60, check=False)
