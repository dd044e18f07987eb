"""What a sandbox does: run a program of ours, which runs a model's code, where neither can reach anything."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ec_agent.errors import EvaluationError

MOST_LETTERS = 1_000_000
"""Of what a program prints; the rest is not read."""
_READY = "ready"

# Standard output is taken away from what runs afterwards, so that only the driver's own result is read there.
PRELUDE = """
import json, os, sys
said, _ = os.dup(1), os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
os.write(said, b"ready\\n")
given = json.load(sys.stdin)
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (given["memory"], given["memory"]))
except (ImportError, OSError, ValueError):
    pass
def tell(result):
    os.write(said, (given["mark"] + json.dumps(result) + "\\n").encode())
"""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one program may use.

    Attributes:
        seconds: of time; then everything that it has started is killed.
        memory: bytes of one process.
        files: bytes of all its files, which are in memory too.
    """

    seconds: float = 60.0
    memory: int = 4 << 30
    files: int = 1 << 30


class Sandbox(Protocol):
    """A way to run Python where it reaches no network, no file of the user's, and no process outside."""

    @property
    def name(self) -> str:
        """How it is named: ``bwrap``, ``docker:IMAGE``."""
        ...

    def command(self, bounds: SandboxLimits, folders: Sequence[Path], name: str) -> list[str]:
        """The words that run a Python in it.

        Args:
            bounds: what the program may use.
            folders: folders that it may read.
            name: of this one run, unlike any other.
        """
        ...

    def end(self, name: str) -> None:
        """End a run whose time is over, where killing the command does not."""
        ...


def run_python(
    sandbox: Sandbox,
    driver: str,
    given: Mapping[str, Any],
    *,
    bounds: SandboxLimits,
    folders: Sequence[Path] = (),
    mark: Callable[[], str],
) -> Any:
    """Run a driver in a sandbox, and read the one thing that it tells.

    Args:
        sandbox: where.
        driver: Python, which finds what it is given in ``given`` and says its result, plain JSON, with ``tell(...)``.
            What else is printed, by it or by the code that it runs, is not read.
        given: plain JSON.
        bounds: what it may use.
        folders: folders that it may read.
        mark: makes a text that nobody can guess; without it before a result, the result is not the driver's.

    Returns:
        The result; ``None`` where it tells none: the time or the memory was not enough, or the code ended it.

    Raises:
        EvaluationError: the sandbox did not start. It is no fault of the code's.
    """
    name = mark()
    words = [*sandbox.command(bounds, folders, name), "-I", "-c", PRELUDE + driver]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    told = json.dumps({**given, "mark": name, "memory": bounds.memory})
    try:
        out, err = process.communicate(told.encode(), timeout=bounds.seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(OSError):
            sandbox.end(name)
        out, err = process.communicate()
    lines = out[:MOST_LETTERS].decode(errors="replace").splitlines()
    if not lines or lines[0] != _READY:
        raise EvaluationError(
            f"the sandbox {sandbox.name} does not start Python ({err[-500:].decode(errors='replace').strip()}); try it "
            "by hand, or name another sandbox"
        )
    results = [line.removeprefix(name) for line in lines[1:] if line.startswith(name)]
    return json.loads(results[-1]) if results else None
