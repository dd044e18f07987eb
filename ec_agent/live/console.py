"""Rich's console, for words of models, tools, files and users: the only orders a terminal gets are rich's own."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from ec_agent.support.escaping import shown


class PlainConsole(Console):
    """A console in which control characters within text are shown rather than obeyed."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is drawn; everything that rich prints comes by here, drawings that are drawn anew too."""
        return _cleaned(super().render(renderable, options))


def plain_console(*, stderr: bool = False, **more: Any) -> Console:
    """A console on standard output or standard error.

    Args:
        stderr: on standard error.
        more: for ``rich.console.Console``.
    """
    stream = sys.stderr if stderr else sys.stdout
    return PlainConsole(file=getattr(stream, "behind", stream), **more)  # behind the gate of ec_agent.cli.streams


def safe(text: object) -> str:
    """The text for rich to print: neither rich's markup in it nor what orders a terminal about takes effect."""
    return escape(shown(text))


def _cleaned(segments: Iterable[Segment]) -> Iterator[Segment]:
    for segment in segments:
        style = segment.style
        if segment.control:
            yield segment
        elif style is not None and style.link:  # an order with an address in it; nothing of ours makes one
            yield Segment(shown(segment.text), style.update_link(None))
        elif segment.text.isprintable():
            yield segment
        else:
            yield Segment(shown(segment.text), style)
