"""Finding out whether a selector helps on your tasks: tasks, runs, statistics, reports.

``tasks`` -> ``runner`` -> the trace store -> ``results`` -> ``statistics`` -> ``report``.

Names are imported when they are first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
