"""Events from one process to another: written to a file a line each, and read from it while it grows."""

from __future__ import annotations

import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from ec_agent.errors import ConfigError, ProgressWarning
from ec_agent.support.checks import file_path, repr_of
from ec_agent.support.private_files import owner_only
from ec_agent.support.strict_json import strict_json

EVERY = 0.1  # seconds between looks at a file that may have grown
END: Mapping[str, Any] = {"type": "ec_agent.end"}


@contextmanager
def log(path: str | Path) -> Iterator[Callable[[Any], None]]:
    """Write progress events to a file, for ``ec-agent watch FILE`` in another terminal.

    Args:
        path: a JSONL file; what it holds already is kept. A new one is readable by its owner alone.

    Yields:
        A function for ``run(on_event=...)``; it passes over whatever is not an event of ours. Where it cannot write any
        more, as on a full disk, the run goes on, with a ``ProgressWarning``.

    Raises:
        ConfigError: the file cannot be written.
    """
    lock = threading.Lock()
    try:
        place = file_path("path", path)
    except ConfigError as error:
        raise ConfigError(f"cannot write {repr_of(path)}: {error}") from error
    try:
        file = open(place, "a", encoding="utf-8", opener=owner_only)  # noqa: SIM115  # closed below
    except (OSError, TypeError) as error:
        raise ConfigError(f"cannot write {path} ({error}); name a file in a folder that exists") from error

    gone = False

    def write(event: Any) -> None:
        nonlocal gone
        if not (isinstance(event, Mapping) and str(event.get("type")).startswith("ec_agent.")):
            return
        with lock:
            if gone:
                return
            try:
                file.write(strict_json(dict(event), default=str) + "\n")
                file.flush()
            except Exception as error:  # whoever tells of the run must not end it
                gone = True
                warnings.warn(
                    f"{path} cannot be written ({error}), and is written no more; the run goes on: see to its disk",
                    ProgressWarning,
                    stacklevel=2,
                )

    try:
        yield write
    finally:
        write(END)
        with suppress(OSError):  # what could not be written then cannot be written now, and was told
            file.close()


def lines_of(file: TextIO) -> Iterator[str]:
    """The lines of a pipe, as they come."""
    return iter(file.readline, "")


def grown_lines(path: Path, *, follow: bool) -> Iterator[str | None]:
    """The whole lines of a file.

    Args:
        path: the file; one that is cut short is read from its start again.
        follow: go on with what is added; ends never.

    Yields:
        A line, or ``None`` where there is no more for now.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        file = open(path, encoding="utf-8", errors="replace", newline="\n")  # noqa: SIM115  # closed below
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error}); name a file that `ec_agent.live.log` writes") from error
    with file:
        rest = ""
        while True:
            part = file.readline()
            if part.endswith("\n"):
                yield rest + part
                rest = ""
                continue
            rest += part
            if not follow:
                if rest:
                    yield rest
                return
            yield None
            time.sleep(EVERY)
            if os.stat(path).st_size < file.tell():
                file.seek(0)
                rest = ""


def event_in(line: str) -> Mapping[str, Any] | None:
    """The event that a line holds; ``None`` where it is something else."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    ours = isinstance(event, dict) and str(event.get("type")).startswith("ec_agent.")
    return event if ours else None
