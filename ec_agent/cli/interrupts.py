"""Ctrl-C: what is to be kept is kept, and nobody waits for calls that block."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from rich.console import Console

from ec_agent.live.board import Board

INTERRUPTED = 130  # what shells give for Ctrl-C


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
