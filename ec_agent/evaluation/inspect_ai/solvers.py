"""Solvers that run a LangGraph agent on Inspect's samples: the best of n, or one rollout an epoch."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Unpack

from inspect_ai.log import transcript
from inspect_ai.solver import Generate, Solver, TaskState, solver
from typing_extensions import TypedDict

from ec_agent.commits.undeclared import Notices, reported_to
from ec_agent.errors import ConfigError, RolloutError
from ec_agent.evaluation.agent_place import load_agent
from ec_agent.evaluation.inspect_ai.models import inspect_models
from ec_agent.evaluation.inspect_ai.numbers import KEY, numbers_of
from ec_agent.evaluation.inspect_ai.registering import typed
from ec_agent.evaluation.inspect_ai.samples import ToInput, task_of, write_answer
from ec_agent.evaluation.jsonl import final_text
from ec_agent.evaluation.one_rollout import agent_for, is_factory, run_rollout, standing_alone
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.tasks import Outcome
from ec_agent.numbers.coverage import MIN_COVERAGE
from ec_agent.numbers.phases import HEPConfig
from ec_agent.rollouts.best_of_n import best_of_n
from ec_agent.rollouts.options import BestOfNOptions
from ec_agent.rollouts.selection import Selection
from ec_agent.traces.stored import Key, StoredRollout

RECEIPT = f"{KEY}:receipt"
"""Under this name the receipt is in ``state.store``."""


class RolloutSettings(TypedDict, total=False):
    """How a rollout of ``rollout_solver`` runs; ``RunSettings`` says what each means."""

    seed: int
    temperature: float
    request_logprobs: bool
    max_tokens: int | None
    timeout: float | None
    recursion_limit: int


@typed(solver)
def best_of_n_solver(agent: Any, n: int = 8, input: ToInput | None = None, **options: Unpack[BestOfNOptions]) -> Solver:
    """Answer each sample by ``best_of_n(agent, n, **options)``.

    The winner's messages and answer become the sample's; the receipt goes into its store (``"ec_agent:receipt"``) and
    its transcript. A sample in which every rollout fails, or none can be scored, ends with our error.

    Args:
        agent: whatever ``best_of_n`` takes; or a function of one parameter named ``task``, which makes one for each
            sample (``SampleTask`` has the sample's tools and metadata); or the place of either, ``module:name``.
            Where its ``openai`` client asks for the model ``"inspect"``, it gets the model that Inspect evaluates.
        n: rollouts a sample. They share the sample's sandbox: for tools that change it, take ``rollout_solver``.
        input: makes the agent's input out of the state; without it, ``{"messages": [...]}``, the conversation so far.
        **options: those of ``best_of_n``.

    Raises:
        ConfigError: an argument has a value it cannot have.
    """
    if not options.get("continue_after_commit"):
        # Given even where there is none: a question to a person then fails the rollout, for nobody is there.
        options.setdefault("environment", _nothing)
    found = _checked(agent, n, options)
    notices = Notices()

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        task = await task_of(state, input)
        started = time.perf_counter()
        async with inspect_models():
            node = best_of_n(standing_alone(agent_for(task, found)), n, **options)
            with reported_to(notices):
                result = await node.arun(task.input)
        selection, seconds = result.selection, time.perf_counter() - started
        outcome = Outcome(result.final_actions[selection.winner], result.output)
        await write_answer(state, task, outcome, seconds=seconds, usage=dict(selection.usage))
        receipt = selection.to_dict()
        state.store.set(RECEIPT, receipt)
        state.store.set(KEY, _numbers_of_winner(selection, final_text(outcome.final_action)))
        transcript().info(receipt, source=KEY)
        return state

    return solve


@typed(solver)
def rollout_solver(
    agent: Any,
    input: ToInput | None = None,
    config: HEPConfig | None = None,
    min_coverage: float = MIN_COVERAGE,
    **settings: Unpack[RolloutSettings],
) -> Solver:
    """Answer each epoch of a sample by one rollout of the agent, and keep what selectors need to know of it.

    With ``epochs=Epochs(8, lowest_centroid())`` and a scorer in ``with_centroid`` the eight are a best of 8, and
    the log holds every one of them. An epoch has a sandbox, a seed and limits of its own. A rollout that fails ends its
    sample with an error.

    Args:
        agent: as for ``best_of_n_solver``.
        input: as for ``best_of_n_solver``.
        config: settings of the High Entropy Phases.
        min_coverage: smallest share of generated tokens with the signal that a selector reads, for it to score them.
        **settings: ``seed``, ``temperature``, ``request_logprobs``, ``max_tokens``, ``timeout``, ``recursion_limit``,
            as in ``RunSettings``; each epoch's own seed derives from the seed, the sample's id and the epoch.

    Raises:
        ConfigError: an argument has a value it cannot have.
    """
    if unknown := [name for name in settings if name not in RolloutSettings.__annotations__]:
        known = ", ".join(RolloutSettings.__annotations__)
        raise ConfigError(f"rollout_solver has no setting {unknown[0]!r}; the settings are {known}")
    config = config or HEPConfig()
    found = _checked(agent, 1, {"config": config, "min_coverage": min_coverage})
    how = RunSettings(n=1, greedy=False, **settings)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        task = await task_of(state, input)
        async with inspect_models():
            ran = await run_rollout(task, agent_for(task, found), Key(task.id, "sample", task.epoch - 1), how)
            answer = None if ran.error else final_text(ran.final_action)
            numbers = numbers_of(ran.trajectory, answer=answer, config=config, min_coverage=min_coverage)
            state.store.set(KEY, {**numbers, "error": ran.error, **_circumstances(ran)})
            transcript().info(state.store.get(KEY), source=KEY)
            if ran.error is not None or task.outcome is None:
                raise RolloutError(
                    f"the rollout failed: {ran.error}; mend what it names, or count such as failures with "
                    "--score-on-error and a scorer in with_centroid"
                )
        await write_answer(state, task, task.outcome, seconds=ran.seconds, usage=dict(ran.usage))
        return state

    return solve


def _circumstances(ran: StoredRollout) -> dict[str, Any]:
    return {
        "sampling": dict(ran.sampling),
        "unsampled_calls": ran.unsampled_calls,
        "seconds": ran.seconds,
        "tool_calls": ran.tool_calls,
        "usage": dict(ran.usage),
    }


def _numbers_of_winner(selection: Selection, answer: str) -> dict[str, Any]:
    """The winner as one rollout, for epochs of a best of n."""
    won = selection.won
    return {
        "scores": {"lowest_centroid": won.centroid, selection.selector: won.score},
        "reason": won.reason,
        "answer": answer,
        "error": None,
        "tokens": won.tokens,
        "calls": won.calls,
        "coverage": won.coverage,
        "phases": won.phases,
    }


def _nothing(index: int, asked: Any) -> AbstractContextManager[None]:
    return nullcontext()


def _checked(agent: Any, n: int, options: BestOfNOptions) -> Any:
    """The agent, or the factory; refused here, before the first sample, where ``best_of_n`` would refuse it."""
    found = load_agent(agent) if isinstance(agent, str) else agent
    best_of_n(_unmade if is_factory(found) else found, n, **options)
    return found


def _unmade(state: Any) -> Any:
    """Stands for the agent that a factory is to make, where the options alone are checked."""
    return {}
