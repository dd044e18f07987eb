"""Engines: where the rollouts of an evaluation run. Without one they run in this process.

    evaluate(tasks, "my_module:agent", "results.db", engine=RayEngine(workers=16, per_worker=8))

Names are imported when they are first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
