"""Times, counts, and texts of models and tools, written short enough for a column or a line of the live view."""

from __future__ import annotations


def printable(text: object) -> str:
    """The text in one line, without anything that a terminal would take for an order."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in str(text)).split())


def clock(seconds: float) -> str:
    """Minutes and seconds, hours where there are any: ``1:02``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def lasted(seconds: float) -> str:
    """A time in at most four columns: ``999``, ``17m``, ``28h``."""
    if seconds < 999.5:
        return f"{seconds:.0f}"
    return f"{seconds / 60:.0f}m" if seconds < 99 * 60 else f"{seconds / 3600:.0f}h"


def short(count: int) -> str:
    """A count in at most six columns: ``123456``, ``1.2M``."""
    for unit, size in (("G", 10**9), ("M", 10**6)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)
