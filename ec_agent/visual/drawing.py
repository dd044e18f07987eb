"""SVG that can stand in a page: no fonts, no dates, colours that follow the page, ids that clash with nobody's."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ec_agent.support.lazy import needed

INK, LINE, ACCENT, SECOND = "#101112", "#202122", "#303132", "#404142"
PHASE, GAP, GOOD, BAD = "#505152", "#606162", "#707172", "#808182"
"""Stand for the page's colours in a drawing; no figure uses them as they are."""

_VARIABLES = {INK: "--ink", LINE: "--line", ACCENT: "--accent", SECOND: "--second"}
_VARIABLES |= {PHASE: "--phase", GAP: "--gap", GOOD: "--good", BAD: "--bad"}

_STYLE = {
    "svg.fonttype": "path",  # letters as shapes: the page needs no font
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
}


def matplotlib() -> Any:
    """Matplotlib.

    Raises:
        ConfigError: it is not installed.
    """
    return needed("matplotlib", "the figures need", "ec-agent[html]")


def jinja() -> Any:
    """Jinja2.

    Raises:
        ConfigError: it is not installed.
    """
    return needed("jinja2", "the HTML page needs", "ec-agent[html]")


def check_installed() -> None:
    """See that pages can be made.

    Raises:
        ConfigError: jinja2 or matplotlib is not installed.
    """
    matplotlib()
    jinja()


def drawn(name: str, size: tuple[float, float], draw: Callable[[Any], None], layout: str | None = "constrained") -> str:
    """Draw a figure.

    Args:
        name: prefix of its ids, unique on the page; what is no letter, digit or dash in it becomes a dash, for the
            drawing is markup.
        size: width and height in inches.
        layout: ``None`` where ``draw`` says itself where everything is.
        draw: given the empty ``matplotlib.figure.Figure``.

    Returns:
        An ``<svg>`` element, the same for the same drawing. It is hidden from screen readers: say beside it what it
        shows.
    """
    library = matplotlib()
    name = re.sub(r"[^A-Za-z0-9-]", "-", name)
    figures = import_module("matplotlib.figure")
    with library.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = figures.Figure(figsize=size, layout=layout)
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(file.getvalue(), name)


def _inline(document: str, name: str) -> str:
    svg = document[document.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</defs>\s*", "", svg, flags=re.DOTALL)  # it would style the page around
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    own = 'aria-hidden="true" focusable="false" stroke-linejoin="round"'
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', rf"\1 {own}", svg, count=1)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg
