"""Showing a board while it fills: drawn over and over on a terminal, as plain lines anywhere else."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ec_agent.live.board import Board
from ec_agent.live.console import PlainConsole
from ec_agent.live.lines import line_of
from ec_agent.live.table import Screen
from ec_agent.support.checks import refusal
from ec_agent.support.escaping import shown

EVERY = 0.1  # seconds between looks at what is new, and at the terminal's size
TICK = 1.0  # seconds between drawings where nothing is new: clocks run

OnEvent = Callable[[Any], None]


class Shown(Protocol):
    """A board that is shown.

    Attributes:
        board: what is shown.
        gone: whether whoever looked has left, as a pipe's reader may.
    """

    board: Board
    gone: bool

    def hear(self, event: Any) -> None:
        """Take an event in and show it; others than ours are passed over."""

    def say(self, text: Text | str) -> None:
        """Show a line of text besides, which stays."""


@contextmanager
def view(*, file: TextIO | None = None) -> Iterator[OnEvent]:
    """Show rollouts while they run.

    On a terminal there is a row for each, drawn anew as things happen; elsewhere, in a pipe, in a file or where
    ``TERM=dumb``, there are plain lines. ``NO_COLOR`` is heeded. What is printed in the meantime appears above.

    Args:
        file: where to show it; standard error if left out.

    Yields:
        A function for ``run(on_event=...)``, or for the parts of a stream of custom events: it passes over whatever
        is not ours. It may be given to several runs, one after the other or at once, and called from any thread.

    Raises:
        ConfigError: ``file`` is no open file.

    Example:
        >>> with live.view() as on_event:
        ...     result = node.run(question, on_event=on_event)
        >>> with live.view() as on_event:
        ...     for part in graph.stream(question, stream_mode="custom"):
        ...         on_event(part)
    """
    written = not isinstance(file, type) and callable(getattr(file, "write", None)) and hasattr(file, "isatty")
    if file is not None and not written:
        raise refusal("file", file, "an open file, or leave it out for standard error")
    with showing(PlainConsole(file=file or sys.stderr, highlight=False)) as shown:
        yield shown.hear


@contextmanager
def showing(console: Console, *, keep: bool = True) -> Iterator[Shown]:
    """Show a board on this console.

    Args:
        console: where.
        keep: leave the last drawing where it is; else it goes, unless an exception ends it.
    """
    if not drawable(console):
        yield _Lines(console)
        return
    drawn = _DrawingThread(console)
    drawn.start()
    try:
        yield drawn
    except BaseException:
        keep = True
        raise
    finally:
        drawn.stop(keep)


def drawable(console: Console) -> bool:
    """Whether the console is a terminal on which lines can be drawn over."""
    with contextlib.suppress(ValueError):  # a closed file
        return console.file.isatty() and console.is_interactive and not console.is_dumb_terminal
    return False


class _Lines:
    """Plain lines, without colours, as events come."""

    def __init__(self, console: Console) -> None:
        self.board = Board()
        self._file = console.file
        self._lock = threading.Lock()
        self.gone = False

    def hear(self, event: Any) -> None:
        with self._lock:  # around both: what a line says is as of its own event
            if self.board.hear(event) and (line := line_of(event, self.board)) is not None:
                self._write(line)

    def say(self, text: Text | str) -> None:
        with self._lock:
            self._write(Text.from_markup(text).plain if isinstance(text, str) else text.plain)

    def _write(self, line: str) -> None:
        if self.gone:
            return
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        try:
            line = shown(line)
            self._file.write(line.encode(encoding, "replace").decode(encoding) + "\n")
            self._file.flush()
        except (OSError, ValueError):  # whoever read it has left; the rollouts go on
            self.gone = True


class _DrawingThread:
    """Drawn on a terminal by a thread of its own, so that rollouts never wait for it."""

    def __init__(self, console: Console) -> None:
        self.board, self.gone = Board(), False
        self._console = console
        self._screen = Screen(self.board, plain=not (console.encoding or "").lower().startswith("utf"))
        self._live = self._new()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ec_agent-live", daemon=True)
        self._width = 0  # of the last drawing
        self._seen: tuple[Any, ...] = ()

    def _new(self) -> Live:
        return Live(console=self._console, auto_refresh=False, vertical_overflow="crop")

    def hear(self, event: Any) -> None:
        self.board.hear(event)

    def say(self, text: Text | str) -> None:
        with self._lock:
            self._console.print(text)

    def start(self) -> None:
        """Begin to draw."""
        with contextlib.suppress(OSError, ValueError):  # as below: what is shown is not the run
            self._live.start()
        self._thread.start()

    def stop(self, keep: bool) -> None:
        """Draw what is there in the end, or nothing, and leave the terminal as it was."""
        self._over.set()
        self._thread.join()
        with self._lock:
            self._live.transient = not keep
            with contextlib.suppress(OSError, ValueError):  # the terminal is gone; the answer is not
                if keep:
                    self._draw()
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            with self._lock, contextlib.suppress(OSError, ValueError):  # the terminal is gone; the rollouts go on
                self._draw()

    def _draw(self) -> None:
        size = self._console.size
        seen = (self.board.version, size, int(time.monotonic() / TICK))
        if seen == self._seen:
            return
        self._seen = seen
        if size.width <= self._width:
            self._begin_anew()
        # The last column stays free: a character there makes some terminals begin a new line.
        lines = self._screen.lines(size.width - 1, size.height - 1, time.time())
        self._width = max((line.cell_len for line in lines), default=0)
        self._live.update(Group(*lines), refresh=True)

    def _begin_anew(self) -> None:
        """After the terminal has broken our lines in two: nobody knows on which lines they are now."""
        self._live.transient = True
        self._live.stop()
        self._console.clear()
        self._live = self._new()
        self._live.start()
