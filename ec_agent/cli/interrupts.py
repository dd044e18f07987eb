"""Ctrl-C: what is to be kept is kept, and nobody waits for calls that block."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

from rich.console import Console

from ec_agent.evaluation.runner import MOST_THREADS, THREADS, Threads
from ec_agent.live.board import Board

INTERRUPTED = 130  # what shells give for Ctrl-C

T = TypeVar("T")


def run_until_interrupted(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it on an event loop that Ctrl-C ends at once: its calls are cancelled, threads that block are left.

    Raises:
        KeyboardInterrupt: Ctrl-C; leave the process with :func:`leave`.
    """

    async def in_threads_of_its_own() -> T:
        asyncio.get_running_loop().set_default_executor(Threads(MOST_THREADS, THREADS))
        return await coroutine

    return asyncio.run(in_threads_of_its_own())


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
