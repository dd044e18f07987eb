"""What ``ec-agent demo`` shows while its rollouts run: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ec_agent.live.board import Board
from ec_agent.live.console import safe
from ec_agent.live.lines import line_of
from ec_agent.live.terminal import drawable
from ec_agent.support.number_formats import many

_TOLD = ("ec_agent.rollout.call", "ec_agent.rollout.finished")  # the events that are worth a line


class Hearing(Protocol):
    """Hears events, and shows what they tell.

    Attributes:
        board: what is known of the rollouts.
    """

    board: Board

    def hear(self, event: Any) -> None:
        """Take an event in."""


@contextmanager
def progress(console: Console, n: int) -> Iterator[Hearing]:
    """One bar for all rollouts; where lines cannot be drawn over, a line for each call and each end."""
    if not drawable(console):
        yield _Lines(console)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        yield _Bar(bar, n)


class _Lines:
    def __init__(self, console: Console) -> None:
        self.board = Board()
        self._console = console

    def hear(self, event: Any) -> None:
        if self.board.hear(event) and event["type"] in _TOLD and (line := line_of(event, self.board)) is not None:
            self._console.print(safe(line), soft_wrap=True)
            self._console.file.flush()  # a pipe would keep it until the end


class _Bar:
    """Moves a bar on as rollouts end, and says which of them run and how far they are."""

    def __init__(self, bar: Progress, n: int) -> None:
        self.board = Board()
        self._bar, self._task = bar, bar.add_task("rollouts", total=n)

    def hear(self, event: Any) -> None:
        if not self.board.hear(event):
            return
        if event["type"] == "ec_agent.rollout.finished" and event["error"]:
            self._bar.console.print(f"rollout {event['index']} failed: {safe(event['error'])}")
        names = " ".join(str(row.index) for row in self.board.rows() if not row.over)
        tally = self.board.tally()
        running = f"running {names}" if names else "rollouts"
        description = f"{running}: {many(tally.calls, 'call')}, {many(tally.tokens, 'token')}"
        self._bar.update(self._task, completed=tally.ended, description=description)
