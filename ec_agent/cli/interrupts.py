"""Ctrl-C and SIGTERM: what is to be kept is kept, and nobody waits for calls that block."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from rich.console import Console

from ec_agent.live.board import Board

INTERRUPTED = 130  # what shells give for Ctrl-C
TERMINATED = 143  # and for SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM: ``timeout``, a scheduler or a container's host wants the process to end."""


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM does what Ctrl-C does: worlds are left, servers in them ended, and it is said what is stored.

    Without, the process ends where it stands, and as the first process of a container it does not even end.
    """
    try:
        before = signal.getsignal(signal.SIGTERM)
        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGTERM, _terminated)
    except ValueError:  # not the main thread, which alone hears signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def leave_interrupted(board: Board, console: Console) -> NoReturn:
    """Say how far the rollouts came, and end the process."""
    tally = board.tally()
    of = "" if tally.total is None else f" of {tally.total}"
    failed = f", {tally.failed} of them failed" if tally.failed else ""
    console.print(
        f"stopped; {tally.ended}{of} rollouts had ended{failed}, after {tally.calls} calls and {tally.tokens} tokens; "
        "none was chosen"
    )
    leave(INTERRUPTED)


def leave(code: int) -> NoReturn:
    """End the process. A usual exit waits for every thread, those that block included."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
