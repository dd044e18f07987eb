"""A selection in a notebook: small, without scripts, and without a rule that could reach the notebook around it."""

from __future__ import annotations

from dataclasses import replace

from ec_agent.errors import ConfigError
from ec_agent.visual.page import rendered, rows_of
from ec_agent.visual.views import View

COLUMNS = 180
MOST = 16
"""So many rollouts are drawn; the page has all."""


def notebook_of(view: View) -> str | None:
    """The selection as a piece of HTML; ``None``, and the notebook shows its ``repr``, without jinja2 or matplotlib."""
    try:
        few = replace(view, rollouts=view.rollouts[:MOST])
        rows = rows_of(few, "ec", columns=COLUMNS, tokens=False)
        return rendered("notebook.html.j2", view=view, rows=rows, more=len(view.rollouts) - len(rows))
    except ConfigError:
        return None
