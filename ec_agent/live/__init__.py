"""Watch rollouts while they run: what is known of them (no rich needed), and a terminal view of it.

    from ec_agent import live

    with live.view() as on_event:
        result = node.run(question, on_event=on_event)

docs/live.md lists the events. Names are imported when they are first used.
"""

from __future__ import annotations

from typing import Any

from ec_agent.support.lazy import lazy_names, needed

_found, __dir__, __all__ = lazy_names(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "view":
        needed("rich", "the live view needs", "ec-agent[cli]")
    return _found(name)
