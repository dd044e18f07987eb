"""With Inspect AI: their tasks, scorers and log viewer for our node. ``pip install 'ec-agent[inspect]'``.

    Task(dataset, solver=best_of_n_solver(agent, n=8), scorer=match())
    Task(dataset, solver=rollout_solver(agent), scorer=with_centroid(match()), epochs=Epochs(8, lowest_centroid()))

``samples`` (their sample, our task) -> ``solvers``; ``events`` (their transcript, our trajectory) and ``numbers`` (what
is kept of a rollout) -> ``scoring``.
"""

from ec_agent.errors import ConfigError
from ec_agent.support.extras import installing

try:
    import inspect_ai as _inspect_ai  # noqa: F401  # asked for here, where we can say what to do
except ImportError as error:
    raise ConfigError(
        f"Inspect AI is not installed; run: {installing('ec-agent[inspect]')}, in an environment of its own where "
        "other packages hold pydantic below 2.13"
    ) from error

from ec_agent.evaluation.inspect_ai.events import trajectory_of_events
from ec_agent.evaluation.inspect_ai.samples import SampleTask
from ec_agent.evaluation.inspect_ai.scoring import REDUCERS, centroid, lowest_centroid, selected_by, with_centroid
from ec_agent.evaluation.inspect_ai.solvers import best_of_n_solver, rollout_solver

__all__ = [
    "REDUCERS",
    "SampleTask",
    "best_of_n_solver",
    "centroid",
    "lowest_centroid",
    "rollout_solver",
    "selected_by",
    "trajectory_of_events",
    "with_centroid",
]
