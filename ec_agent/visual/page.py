"""A selection as one HTML file: no network; what models and tools said is escaped; it reads without scripts too."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from ec_agent.support import number_formats
from ec_agent.visual import wording
from ec_agent.visual.drawing import jinja
from ec_agent.visual.packing import packed
from ec_agent.visual.strips import COLUMNS, Tick, strip, ticks
from ec_agent.visual.views import Hesitation, Rollout, View

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
"""What a page may do, beside its own script: nothing is loaded or sent, no form, and no link is led elsewhere."""

LISTED = 20
"""So many selections of a page are listed at once; the others open together."""

MOST_PHASES = 50
"""So many phases of a rollout are listed; all are drawn."""


@dataclass(frozen=True, slots=True)
class Script:
    """What makes the page move.

    Attributes:
        text: the script.
        source: what the page's security policy allows: this script, and no other.
    """

    text: str
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class PageRow:
    """One rollout on the page.

    Attributes:
        rollout: what is shown.
        name: its id on the page.
        svg: its strip; ``None`` where it has no tokens.
        ticks: its tools beneath the strip.
        phases: those that are listed, in order.
        data: its tokens, packed; empty where they stay out of the file.
    """

    rollout: Rollout
    name: str
    svg: str | None
    ticks: list[Tick]
    phases: list[Hesitation]
    data: str

    @property
    def spans(self) -> str:
        """Where all its phases start and stop, for the script."""
        return json.dumps([[phase.start, phase.stop] for phase in self.rollout.hesitations], separators=(",", ":"))


def page_of(view: View) -> str:
    """The page.

    Raises:
        ConfigError: jinja2 or matplotlib is not installed.
    """
    rows = rows_of(view, "rollout")
    return rendered("picture.html.j2", view=view, rows=rows, names=[row.name for row in rows])


def rows_of(view: View, prefix: str, *, columns: int = COLUMNS, tokens: bool = True) -> list[PageRow]:
    """The rollouts of a selection, drawn.

    Args:
        view: the selection.
        prefix: of the rows' ids, unique on the page.
        columns: of a strip, at most.
        tokens: take the tokens along, for the page to show them one by one.
    """
    return [
        _row(rollout, view.ceiling, f"{prefix}-{rollout.receipt.index}", columns, tokens) for rollout in view.rollouts
    ]


def _row(rollout: Rollout, ceiling: float, name: str, columns: int, tokens: bool) -> PageRow:
    longest = sorted(rollout.hesitations, key=lambda phase: -phase.mass)[:MOST_PHASES]
    drawable = len(rollout.signal) > 0
    return PageRow(
        rollout=rollout,
        name=name,
        svg=strip(rollout, ceiling, name, columns) if drawable else None,
        ticks=ticks(rollout),
        phases=sorted(longest, key=lambda phase: phase.start),
        data=packed(rollout) if tokens and drawable else "",
    )


def rendered(template: str, *rooms: str, **values: Any) -> str:
    """A page from a template.

    Args:
        template: its name.
        rooms: packages that have templates besides these.
        values: what it shows.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    library = jinja()
    surroundings = library.Environment(
        loader=library.ChoiceLoader([library.PackageLoader(room) for room in (*rooms, "ec_agent.visual")]),
        autoescape=True,
        undefined=library.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    usual = {"told": wording, "written": number_formats, "script": script(), "version": version("ec-agent")}
    usual |= {"most_phases": MOST_PHASES, "policy": POLICY, "listed_at_once": LISTED}
    page: str = surroundings.get_template(template).render({**usual, **values})
    return page


@cache
def script() -> Script:
    """The script, and its mark."""
    from importlib.resources import files

    text = files("ec_agent.visual").joinpath("templates", "picture.js").read_text(encoding="utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return Script(text, f"sha256-{digest}")
