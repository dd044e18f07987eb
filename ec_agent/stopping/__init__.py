"""When enough is known: plans that end a round before all its rollouts have run.

    best_of_n(agent, n=8, stop=Agreement())

A plan sees the rollouts that ended, and nothing of whether they are right. One of your own is any object with
``enough(candidates, running, n)``, which answers ``Stop(reason)`` or ``More(count)``. NumPy and the selectors are all
that is imported here; names are imported when they are first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
