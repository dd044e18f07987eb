"""Words of models, tools, files and users, for a terminal."""

from __future__ import annotations

from rich.markup import escape

from ec_agent.visual.escaping import shown


def safe(text: object) -> str:
    """The text for rich to print: neither rich's markup in it nor what orders a terminal about takes effect."""
    return escape(shown(text))
