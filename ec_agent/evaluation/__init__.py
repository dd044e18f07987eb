"""Finding out whether a selector helps on your tasks: tasks, runs, statistics, reports.

``tasks`` -> ``runner`` -> the trace store -> ``results`` -> ``statistics`` -> ``report``.

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ec_agent.support.lazy import lazy_names

if TYPE_CHECKING:
    from ec_agent.evaluation.results import TaskResult as TaskResult
    from ec_agent.evaluation.runner import Progress as Progress
    from ec_agent.evaluation.runner import RunReport as RunReport
    from ec_agent.evaluation.runner import aevaluate as aevaluate
    from ec_agent.evaluation.runner import evaluate as evaluate
    from ec_agent.evaluation.settings import RunSettings as RunSettings
    from ec_agent.evaluation.stored import iter_results as iter_results
    from ec_agent.evaluation.stored import load_results as load_results
    from ec_agent.evaluation.tasks import BaseTask as BaseTask
    from ec_agent.evaluation.tasks import Outcome as Outcome
    from ec_agent.evaluation.tasks import Task as Task

_HOMES = {
    "BaseTask": "tasks",
    "Outcome": "tasks",
    "Progress": "runner",
    "RunReport": "runner",
    "RunSettings": "settings",
    "Task": "tasks",
    "TaskResult": "results",
    "aevaluate": "runner",
    "evaluate": "runner",
    "iter_results": "stored",
    "load_results": "stored",
}

__all__ = sorted(_HOMES)

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
