"""Stopping plans: they end a round of rollouts as soon as enough is known.

    best_of_n(agent, n=8, stop=Agreement())

A plan sees the rollouts that ended, but not whether they are right. You can write your own: any object with a method
``enough(candidates, running, n)`` that returns ``Stop(reason)`` or ``More(count)``. Names are imported when they are
first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
