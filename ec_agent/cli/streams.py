"""What a command writes, on its way to the terminal: text, and no orders to it.

Names of files, answers of models, errors of servers, lines of logs: whatever is printed, by whatever code, with
``print``, click, ``warnings``, ``logging`` or as a traceback, goes through here. Rich alone writes behind it, for it
has orders of its own: ``ec_agent.live.console`` cleans what it writes.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TextIO

from ec_agent.support.escaping import shown


class PlainStream(io.TextIOBase):
    """A stream of text in which control characters are shown rather than obeyed.

    Attributes:
        behind: the stream that it writes to.
    """

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def write(self, text: str) -> int:
        """Write the text, as ``ec_agent.support.escaping.shown`` has it and the encoding can say it."""
        if not isinstance(text, str):
            raise TypeError(f"this stream takes text, not {type(text).__name__}")
        # Progress bars of other libraries begin with it: at the begin of the line there is nothing to hide.
        start = "\r" if text.startswith("\r") else ""
        encoding = self.encoding
        self.behind.write(start + shown(text[len(start) :]).encode(encoding, "replace").decode(encoding))
        return len(text)

    def isatty(self) -> bool:
        """No: who asks would send colours, which would not be obeyed."""
        return False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream behind it."""
        return getattr(self.behind, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """That of the stream behind it."""
        return getattr(self.behind, "errors", None)

    def flush(self) -> None:
        """Flush the stream behind it."""
        if not self.behind.closed:
            self.behind.flush()

    def fileno(self) -> int:
        """That of the stream behind it."""
        return self.behind.fileno()

    def writable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """Flush: the stream behind it is not ours to close."""
        self.flush()


@contextlib.contextmanager
def plain_streams() -> Iterator[None]:
    """Inside, standard output and standard error are plain."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = PlainStream(out), PlainStream(err)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):  # whoever read has left
            sys.stdout.flush()
        sys.stdout, sys.stderr = out, err
