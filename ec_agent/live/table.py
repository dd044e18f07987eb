"""The board as lines of styled text that fit a terminal of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text

from ec_agent.live.bars import BARS, GAP, PLAIN_BARS, bar, columns, per_column
from ec_agent.live.board import Board, Tally
from ec_agent.live.lines import asking, chosen, outcome
from ec_agent.live.rows import Row
from ec_agent.live.short_texts import clock, lasted, printable, short

STYLES = {
    "waiting": "dim",
    "running": "cyan",
    "acting": "magenta",
    "model": "cyan",
    "tool": "yellow",
    "ended": "green",
    "failed": "bold red",
    "cancelled": "dim",
    "chosen": "bold green",
}
CALL_STYLES = ("blue", "cyan")  # one call after the other
CEILING = 1.0  # nats of a full bar, at least; one that is shown and higher raises it
ECHO = "^C"  # what a terminal puts behind the last line; were there no room, it would begin another
_ROOMY, _WIDEST_LABEL, _WIDEST_NOW = 60, 24, 36


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    width: int
    right: bool = False


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: tuple[_Column, ...]
    gap: str

    def line(self, cells: dict[str, Text], width: int) -> Text:
        """One line of cells; each is cut or filled up to its width."""
        line = Text(no_wrap=True, overflow="crop")
        for place, column in enumerate(self.columns):
            if place:
                line.append(self.gap)
            line.append_text(_fitted(cells.get(column.name, Text()), column.width, column.right))
        line.rstrip()
        return _cut(line, width)

    def width(self, name: str) -> int:
        """Of the named column; 0 where there is no room for it."""
        return next((column.width for column in self.columns if column.name == name), 0)


class Screen:
    """Draws a board.

    Args:
        board: what is drawn.
        plain: for terminals without Unicode.
    """

    def __init__(self, board: Board, plain: bool = False) -> None:
        self._board, self._plain = board, plain
        self._ceiling = CEILING
        self._tokens = 1  # a column stands for; it only grows, so that bars do not dance
        self._drawn = 0  # columns for entropies

    def lines(self, width: int, height: int, now: float) -> list[Text]:
        """All of it: at most ``height`` lines of at most ``width`` columns.

        Args:
            width: columns of the terminal.
            height: lines of it.
            now: seconds since the epoch.
        """
        width = max(width, 1)
        rows, tally = self._board.rows(), self._board.tally(now)
        narrow = max(width - len(ECHO), 1)
        foot = [self._summary(tally, narrow)]
        if (choice := self._board.choice) is not None:
            foot.append(_fitting([chosen(choice), chosen(choice, brief=True)], narrow, STYLES["chosen"]))
        elif (asked := self._board.asking) is not None:
            foot.append(_fitting([asking(asked), "the selector asks"], narrow, STYLES["model"]))
        if height >= 8:
            foot.append(self._legend(narrow))
        room = max(height - len(foot) - 1, 0)  # the header
        shown, hidden = _shown(rows, room)
        waiting = max((tally.total or 0) - tally.ended - tally.running, 0)
        lines = self._table(shown, width, now) if room else []
        free = room - len(shown)
        if (hidden or waiting) and free > 0:
            lines.append(_cut(Text(_others(hidden, waiting), "dim"), width))
        return [*lines, *foot][-max(height, 1) :]

    def _table(self, rows: Sequence[Row], width: int, now: float) -> list[Text]:
        names = [printable(self._board.name(row)) for row in rows]
        layout = _layout(width, max([1, *(cell_len(name) for name in names)]))
        drawn = layout.width("entropy")
        if drawn != self._drawn:
            self._drawn, self._tokens = drawn, 1
        longest = max([1.0, *(sum(point.tokens for point in row.points) for row in rows)])
        self._tokens = max(self._tokens, per_column(longest, max(drawn, 1)))
        if longest <= self._tokens * drawn / 10:  # a new question, of short rollouts
            self._tokens = per_column(longest, max(drawn, 1))
        cut = [columns(row.points, self._tokens) for row in rows]
        self._ceiling = max([self._ceiling, *(entropy or 0.0 for each in cut for _, entropy in each)])
        head = {column.name: Text(column.name, "bold") for column in layout.columns}
        lines = [layout.line(head, width)]
        for row, name, stretch in zip(rows, names, cut, strict=True):
            seconds = row.seconds if row.seconds is not None else max(now - row.started, 0.0)
            style = STYLES[row.state]
            cells = {
                "#": Text(name, style if row.chosen else ""),
                "state": Text(row.state, style),
                "calls": Text(short(row.calls)),
                "tokens": Text(_tokens(row)),
                "sec": Text(lasted(seconds)),
                "entropy": self._bars(stretch[-drawn:] if drawn else []),
                "now": Text(_now(row), "red" if row.error else "" if not row.over else "dim"),
            }
            lines.append(layout.line(cells, width))
        return lines

    def _bars(self, stretch: Sequence[tuple[int, float | None]]) -> Text:
        text = Text()
        for call, entropy in stretch:
            text.append(bar(entropy, self._ceiling, self._plain), Style.parse(CALL_STYLES[call % 2]))
        return text

    def _summary(self, tally: Tally, width: int) -> Text:
        of = "" if tally.total is None else f"/{tally.total}"
        parts = [(f"{tally.ended}{of} ended", "bold")]
        parts += [(f"{tally.running} running", STYLES["running"])] if tally.running else []
        parts += [(f"{tally.failed} failed", STYLES["failed"])] if tally.failed else []
        counts = clock(tally.seconds), f"{short(tally.tokens)} tokens", f"{short(tally.calls)} calls"
        parts += [(count, "") for count in counts]
        text = Text()
        for place, (part, style) in enumerate(parts):
            if place and text.cell_len + 2 + cell_len(part) > width:
                break
            text.append("  " if place else "").append(part, style)
        return _cut(text, width)

    def _legend(self, width: int) -> Text:
        bars = PLAIN_BARS if self._plain else BARS
        gap = "blank" if self._plain else GAP
        each = f"{self._tokens} token{'s' if self._tokens > 1 else ''}"
        scale = f"{bars[0]}..{bars[-1]} entropy, 0 to {self._ceiling:.1f} nats"
        texts = f"{scale}, a column is {each}  {gap} no logprobs", f"{scale}  {gap} none", scale
        return _fitting(texts, width, "dim")


def _fitting(texts: Sequence[str], width: int, style: str) -> Text:
    """The first of these that fits; else the last, cut."""
    return _cut(Text(next((text for text in texts if cell_len(text) <= width), texts[-1]), style), width)


def _shown(rows: Sequence[Row], room: int) -> tuple[list[Row], list[Row]]:
    """Those there is room for, and the others; those that run come before those that are over, the latest first."""
    if len(rows) <= room:
        return list(rows), []
    room = max(room - 1, 0)  # a line about the others
    latest: Callable[[Row], float] = lambda row: row.started + (row.seconds or 0.0)  # noqa: E731
    by_need = sorted(rows, key=lambda row: (not row.chosen, row.over, -latest(row)))
    kept = {id(row) for row in by_need[:room]}
    return [row for row in rows if id(row) in kept], [row for row in rows if id(row) not in kept]


def _others(hidden: Sequence[Row], waiting: int) -> str:
    running = sum(not row.over for row in hidden)
    failed = sum(row.state == "failed" for row in hidden)
    counts = ((running, "running"), (len(hidden) - running - failed, "ended"), (failed, "failed"), (waiting, "waiting"))
    return f"and {', '.join(f'{count} {name}' for count, name in counts if count)}"


def _layout(width: int, label: int) -> _Layout:
    """Which columns there is room for; the entropies and what goes on now share what the numbers leave."""
    gap = "  " if width >= _ROOMY else " "
    label = max(min(label, _WIDEST_LABEL, width // 4), 1)
    fixed = [_Column("#", label, right=True), _Column("state", 7)]
    fixed += [_Column("calls", 5, right=True)] if width >= 30 else []
    fixed += [_Column("tokens", 6, right=True)] if width >= 24 else []
    fixed += [_Column("sec", 4, right=True)] if width >= _ROOMY else []
    left = width - sum(column.width + len(gap) for column in fixed)
    now = min(max(left * 2 // 5, 8), _WIDEST_NOW)
    bars = left - len(gap) - now
    last = [_Column("entropy", bars), _Column("now", now)] if bars >= 4 else [_Column("now", max(left, 0))]
    return _Layout((*fixed, *last), gap)


def _tokens(row: Row) -> str:
    """The tokens so far; a plus where more are on their way."""
    coming = sum(row.parts.values())
    return f"{short(row.tokens + coming)}+" if coming else short(row.tokens)


def _now(row: Row) -> str:
    """What goes on in a rollout now, or what came of it."""
    if row.over:
        return outcome(row)
    busy = list(dict.fromkeys((row.tools or row.models).values()))
    again = f" (attempt {row.attempt})" if row.attempt > 1 else ""
    return printable(", ".join(busy)) + again


def _fitted(text: Text, width: int, right: bool) -> Text:
    if (length := cell_len(text.plain)) > width:
        return _cut(text, width)
    padding = Text(" " * (width - length))
    return padding.append_text(text) if right else text.append_text(padding)


def _cut(text: Text, width: int) -> Text:
    """The text in at most so many columns; an ellipsis is shown where something is missing."""
    if cell_len(text.plain) <= width:
        return text
    kept = set_cell_size(text.plain, max(width - 1, 0)) + ("…" if width else "")
    cut = Text(kept, text.style, no_wrap=True, overflow="crop")
    cut.spans = [span.right_crop(len(kept)) if span.end > len(kept) else span for span in text.spans]
    return cut
