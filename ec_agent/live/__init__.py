"""Watch rollouts while they run: what is known of them (no rich needed), and a terminal view of it.

    from ec_agent import live

    with live.view() as on_event:
        result = node.run(question, on_event=on_event)

docs/live.md lists the events. Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ec_agent.support.lazy import lazy_names, needed

if TYPE_CHECKING:
    from ec_agent.live.board import Board as Board
    from ec_agent.live.feed import log as log
    from ec_agent.live.rows import Row as Row
    from ec_agent.live.terminal import view as view

_HOMES = {"Board": "board", "Row": "rows", "log": "feed", "view": "terminal"}

__all__ = sorted(_HOMES)

_found, __dir__ = lazy_names(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    if name == "view":
        needed("rich", "the live view needs", "ec-agent[cli]")
    return _found(name)
