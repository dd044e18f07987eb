"""A program on a terminal of its own, and what that terminal shows: a pseudo-terminal, read by an emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[2]


class Terminal:
    """Starts a command on a terminal of ``columns`` x ``lines``.

    ``raw`` is all that it has written, ``display`` the lines that the terminal shows.
    """

    def __init__(self, command, columns=80, lines=24, cwd=ROOT, **environment):
        self.screen = pyte.HistoryScreen(columns, lines, history=1000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._master, slave = pty.openpty()
        self._set_size(columns, lines)
        kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR")}
        paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**kept, "TERM": "xterm-256color", "PYTHONPATH": paths, **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _set_size(self, columns, lines):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns, lines):
        """As a user does by pulling at the window's corner: what no longer fits a line goes on in the next one."""
        there = self.display[: self.screen.cursor.y + 1]
        parts = [line[at : at + columns] for line in there for at in range(0, max(len(line), 1), columns)]
        self.screen.reset()
        self.screen.resize(lines, columns)
        self._stream.feed("\r\n".join(parts).encode())
        self._set_size(columns, lines)

    def press(self, keys):
        os.write(self._master, keys)

    def interrupt(self):
        """Ctrl-C, as the terminal passes it on."""
        self.press(b"\x03")

    def read(self, seconds=0.0):
        """Take in what comes within so many seconds; whether there may be more."""
        until = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self._master], [], [], max(until - time.monotonic(), 0.0))
            if not ready:
                return True
            try:
                part = os.read(self._master, 65536)
            except OSError:  # its last user has gone
                return False
            if not part:
                return False
            self.raw += part
            self._stream.feed(part)

    def until(self, condition, seconds=60.0):
        """Read on until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"it does not come; the terminal shows\n{self.text}"
            if not self.read(0.05):
                assert condition(), f"it ended before that; the terminal shows\n{self.text}"
                return

    def finish(self, seconds=60.0):
        """Read to the end; the exit code."""
        end = time.monotonic() + seconds
        while self.read(0.2) and self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end; the terminal shows\n{self.text}"
        self.read(0.1)
        return self.process.wait(timeout=10)

    @property
    def display(self):
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self):
        return "\n".join(self.display)

    @property
    def everything(self):
        """What has been scrolled out of sight, too."""
        above = [
            "".join(line[column].data for column in range(self.screen.columns)).rstrip()
            for line in self.screen.history.top
        ]
        return "\n".join([*above, *self.display])


def interrupt(process):
    """What a terminal does to a program in its foreground."""
    process.send_signal(signal.SIGINT)
