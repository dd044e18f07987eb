"""One rollout of one task: the world entered, ``best_of_n`` run with n = 1, its end judged while the world is open."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from langgraph.pregel import Pregel

from ec_agent.environments.worlds import World
from ec_agent.errors import AllRolloutsFailedError, EvaluationError
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.tasks import Outcome, Task
from ec_agent.numbers.signals import SIGNALS
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.best_of_n import BestOfN, best_of_n
from ec_agent.rollouts.record import usage_of
from ec_agent.rollouts.store_overlay import StoreOverlay
from ec_agent.selectors import Candidate, LowestCentroid, Ranking
from ec_agent.traces.stored import Key, StoredRollout

OnEvent = Callable[[Key, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class KeepEverything:
    """A selector for one candidate, which has capture keep every signal."""

    name: str = "keep_everything"
    signals: Sequence[str] = field(default_factory=lambda: tuple(SIGNALS))

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank by centroid; there is one candidate."""
        return LowestCentroid().select(candidates)


def is_factory(agent: Any) -> bool:
    """Whether this makes an agent for each task: a function of ``task``, and perhaps of a ``model`` with a default."""
    if not inspect.isroutine(agent):
        return False
    parameters = inspect.signature(agent).parameters
    others = [parameter for name, parameter in parameters.items() if name != "task"]
    has_its_own = all(each.name == "model" and each.default is not each.empty for each in others)
    return "task" in parameters and has_its_own


def agent_for(task: Task, agent: Any) -> Any:
    """The agent under test for this task; a list of them, where there are several.

    Raises:
        EvaluationError: the factory failed.
    """
    if isinstance(agent, list | tuple):
        return [agent_for(task, each) for each in agent]
    if not is_factory(agent):
        return agent
    try:
        return agent(task=task)
    except Exception as error:
        raise EvaluationError(
            f"task {task.id!r}: the agent factory {agent.__name__} failed ({type(error).__name__}: {error}); "
            "see that it makes an agent for this task"
        ) from error


async def run_rollout(
    task: Task, agent: Any, key: Key, settings: RunSettings, on_event: OnEvent | None = None
) -> StoredRollout:
    """Run and judge one rollout.

    Args:
        task: what is asked.
        agent: anything that ``best_of_n`` takes. Of a list, the rollout's number says which agent it runs.
        key: which rollout of the task.
        settings: how.
        on_event: is told of its progress, if given.

    Raises:
        EvaluationError: the task's environment or verdict failed, or the agent cannot be run at all.
    """
    unentered = "the task's environment could not be entered"
    try:
        world = World(task.environment())
    except Exception as error:
        raise _stopped(key, unentered, error) from error
    try:  # from here on, for who is stopped while it is being entered has to leave it too
        try:
            await world.enter().wait()
        except Exception as error:
            raise _stopped(key, unentered, error) from error
        ran = await _run(task, agent, key, settings, world.environment, on_event)
        verdict = 0.0 if ran.error is not None else await _judge(task, key, ran, world.environment)
    finally:
        await world.close().wait()
    return StoredRollout(
        key=key,
        seed=settings.seed_of(key),
        sampling=settings.sampling_of(key),
        trajectory=ran.trajectory,
        final_action=ran.final_action,
        verdict=verdict,
        error=ran.error,
        started=ran.started,
        seconds=ran.seconds,
        usage=ran.usage,
        tool_calls=ran.tool_calls,
        unsampled_calls=ran.unsampled_calls,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Ran:
    """What came of a rollout, before anybody has judged it."""

    trajectory: Trajectory
    started: float
    seconds: float
    usage: Mapping[str, int]
    error: str | None = None
    final_action: Any = None
    output: Any = None
    tool_calls: int = 0
    unsampled_calls: int = 0


async def _run(
    task: Task, agent: Any, key: Key, settings: RunSettings, environment: Any, on_event: OnEvent | None
) -> _Ran:
    def its_world(index: int, input: Any) -> AbstractContextManager[Any]:
        # Given even where there is none: a question to a person then fails the rollout, for nobody is there.
        return nullcontext(environment)

    started, clock = time.time(), time.perf_counter()
    try:
        node = best_of_n(
            standing_alone(agent[key.number % len(agent)] if isinstance(agent, list | tuple) else agent),
            n=1,
            selector=KeepEverything(),
            keep_text=True,
            on_unscored="first",
            sampling=lambda index: settings.sampling_of(key),
            request_logprobs=settings.request_logprobs,
            limits=settings.limits,
            environment=its_world,
            calls=getattr(task, "calls", None),
        )
        result = await node.arun(task.input, on_event=None if on_event is None else partial(on_event, key))
    except AllRolloutsFailedError as failed:
        (candidate,) = failed.candidates
        trajectory, seconds = candidate.trajectory, time.perf_counter() - clock
        return _Ran(trajectory, started, seconds, usage_of(trajectory.calls), error=candidate.error)
    except Exception as error:
        raise _stopped(key, "the rollout cannot be run", error) from error
    (receipt,) = result.selection.candidates
    return _Ran(
        result.trajectories[0],
        started,
        receipt.seconds,
        result.selection.usage,
        final_action=result.final_actions[0],
        output=result.output,
        tool_calls=receipt.tool_calls,
        unsampled_calls=receipt.unsampled_calls,
    )


def standing_alone(agent: Any) -> Any:
    """The agent without its own memory: each rollout starts from what was there before the evaluation."""
    agent = agent.as_agent() if isinstance(agent, BestOfN) else agent
    if not isinstance(agent, Pregel):
        return agent
    store = None if agent.store is None else StoreOverlay(agent.store)
    return agent.copy({"checkpointer": None, "store": store})


async def _judge(task: Task, key: Key, ran: _Ran, environment: Any) -> float:
    outcome = Outcome(ran.final_action, ran.output, environment)
    try:
        verdict: Any = await asyncio.to_thread(_verdict, task, outcome)  # whatever its author returns
    except Exception as error:
        raise _stopped(key, "the task's verdict failed", error) from error
    if inspect.iscoroutine(verdict):
        raise EvaluationError(f"{_named(key)}: the verdict is a coroutine; write verdict without async")
    try:
        share = float("nan") if isinstance(verdict, str | bytes) else float(verdict)  # "0" would read as a number
    except (TypeError, ValueError):
        share = float("nan")
    if not 0.0 <= share <= 1.0:
        raise EvaluationError(f"{_named(key)}: the verdict is {verdict!r}; return True, False, or a share from 0 to 1")
    return share


def _verdict(task: Task, outcome: Outcome) -> object:
    verdict: object = task.verdict(outcome)
    if inspect.iscoroutine(verdict):
        verdict.close()  # here, in its thread: whoever asked may have been cancelled, and would never see it
    return verdict


def _stopped(key: Key, what: str, error: Exception) -> EvaluationError:
    return EvaluationError(
        f"{_named(key)}: {what} ({type(error).__name__}: {error}); this is not counted as the agent's failure: "
        "mend it, and the same command goes on from here"
    )


def _named(key: Key) -> str:
    return f"task {key.task!r}, {key}"
