"""What the workers of an evaluation do, in this process or on other machines: they run rollouts and judge them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ec_agent.commits.undeclared import reported_to
from ec_agent.engines.base import Engine, Job, Tell
from ec_agent.errors import WorkerLostError
from ec_agent.evaluation.agent_identity import about_agent
from ec_agent.evaluation.agent_place import AgentPlace, loaded, places_of
from ec_agent.evaluation.model import DEFAULT_KEY
from ec_agent.evaluation.one_rollout import OnEvent, agent_for, run_rollout
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.tasks import Task
from ec_agent.numbers.call_fields import pack_calls, unpack_calls
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.agent_places import not_sent
from ec_agent.support.agent_code import versions
from ec_agent.traces.actions import action_from_json, action_to_json
from ec_agent.traces.stored import Key, StoredRollout

_SINGLE = np.dtype("<f4")
_TRAVELS_APART = ("trajectory", "final_action")


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """A rollout that came to its end.

    It is small when it is pickled: signals travel in the single precision in which stores keep them, and the final
    action as the JSON that stores keep.

    Attributes:
        rollout: the rollout, judged.
        undeclared: in how many rollouts each undeclared tool ran: 1, or more with a ``best_of_n`` inside.
    """

    rollout: StoredRollout
    undeclared: Mapping[str, int] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the parts."""
        kept = {
            each.name: getattr(self.rollout, each.name)
            for each in fields(self.rollout)
            if each.name not in _TRAVELS_APART
        }
        kept |= {"sampling": dict(self.rollout.sampling), "usage": dict(self.rollout.usage)}
        calls = pack_calls(self.rollout.trajectory, _SINGLE)
        return _arrived, (kept, calls, action_to_json(self.rollout.final_action), dict(self.undeclared))


def _arrived(kept: dict[str, Any], calls: list[dict[str, Any]], action: str, undeclared: dict[str, int]) -> Ended:
    trajectory = unpack_calls(calls, _SINGLE)
    return Ended(StoredRollout(trajectory=trajectory, final_action=action_from_json(action), **kept), undeclared)


class RolloutWork:
    """Runs rollouts with one agent.

    Args:
        agent: the agent or several, or their places.
        settings: how.
    """

    def __init__(self, agent: Any, settings: RunSettings) -> None:
        self._agent, self._settings = loaded(agent), settings

    def prepared(self, subject: Task) -> tuple[Task, Any]:
        """Return the task with the agent for it."""
        return subject, agent_for(subject, self._agent)

    async def run(self, prepared: tuple[Task, Any], piece: Key, tell: Tell | None) -> Ended:
        """Run one rollout and judge it.

        Raises:
            EvaluationError: the task or the harness failed.
        """
        task, agent = prepared
        ran = _Ran()
        with reported_to(ran):
            hear = None if tell is None else lambda _, event: tell(event)
            rollout = await run_rollout(task, agent, piece, self._settings, hear)
        return Ended(rollout, ran.counts)


class _Ran:
    """Adds up the undeclared tools of a rollout."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def hear(self, ran: Mapping[str, int]) -> None:
        self.counts.update(ran)


def same_everywhere(agent: Any, settings: RunSettings) -> dict[str, Any]:
    """What must be the same on every worker: packages, the agent's files, its model; and whether there is a key.

    Args:
        agent: the place of the agent, or several.
        settings: not looked at.
    """
    about: dict[str, Any] = {**versions()}
    for place in places_of(agent) or ():
        about |= about_agent(place.name, place.model)
        if place.model is not None:
            key = place.model.api_key_env or DEFAULT_KEY
            about[f"environment variable {key}"] = "set" if os.environ.get(key) else None
    return about


def job_of(agent: Any, settings: RunSettings, engine: Engine, on_event: OnEvent | None) -> Job:
    """The job of running an evaluation's rollouts.

    Raises:
        ConfigError: the engine runs elsewhere, and the agent is an object, which cannot travel.
    """
    if engine.elsewhere and places_of(agent) is None:
        raise not_sent(agent, AgentPlace, 'evaluate(tasks, "my_module:agent", ...)')
    return Job(make=RolloutWork, look=same_everywhere, arguments=(agent, settings), on_event=on_event)


def never_ended(key: Key, settings: RunSettings, error: WorkerLostError, at: float) -> Ended:
    """A failed rollout in place of one whose workers died.

    Args:
        key: which rollout.
        settings: how it was to be run.
        error: what is stored as the rollout's error.
        at: when it was begun, in seconds since the epoch.
    """
    return Ended(
        StoredRollout(
            key=key,
            seed=settings.seed_of(key),
            sampling=settings.sampling_of(key),
            trajectory=Trajectory(),
            final_action=None,
            verdict=0.0,
            error=f"{type(error).__name__}: {error}",
            started=at,
            seconds=0.0,
            usage={},
        )
    )
