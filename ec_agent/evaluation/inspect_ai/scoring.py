"""Scores that carry their rollout's numbers, and epoch reducers that select by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction, isroutine
from typing import Any

from inspect_ai.log import transcript
from inspect_ai.scorer import (
    Score,
    Scorer,
    ScoreReducer,
    Target,
    mean,
    mean_score,
    score_reducer,
    scorer,
    stderr,
)
from inspect_ai.solver import TaskState
from inspect_ai.util import registry_info

from ec_agent.errors import ConfigError
from ec_agent.evaluation.inspect_ai.events import trajectory_of_events
from ec_agent.evaluation.inspect_ai.numbers import KEY, SCORED, numbers_of
from ec_agent.evaluation.inspect_ai.registering import typed
from ec_agent.evaluation.statistics.standing import standing
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, LowestCentroid, MajorityVote, Ranking, Selector


def with_centroid(scored: Scorer, calls: Callable[[Any], bool] | None = None) -> Scorer:
    """The scorer, with the rollout's numbers in each score's metadata, where epoch reducers find them.

    They are those that our solvers keep. After any other solver they are read from the model calls in the sample's
    transcript, so that agents on Inspect's own models are selected among too: run those with ``logprobs=True`` and
    ``top_logprobs=20``.

    Args:
        scored: the scorer; its name and metrics stay.
        calls: which model calls of the transcript count, as for ``trajectory_of_events``.

    Raises:
        ConfigError: ``scored`` is no scorer.
    """
    made = iscoroutinefunction(scored if isroutine(scored) else type(scored).__call__)
    try:
        info = registry_info(scored)
        metrics, name = info.metadata["metrics"], info.name.rsplit("/", 1)[-1]
    except (ValueError, KeyError, AttributeError):
        made = False
    if not made:
        raise ConfigError(f"with_centroid was given {scored!r}; give a scorer that an @scorer function made: match()")

    @typed(scorer(metrics=metrics, name=name))
    def carrying() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score | None:
            numbers = _numbers(state, calls)  # before the scorer: a judge's calls are not the agent's
            given = await scored(state, target)
            if given is None:
                return None
            carried = {**numbers, "epoch": state.epoch}
            return given.model_copy(update={"metadata": {**(given.metadata or {}), KEY: carried}})

        return score

    return carrying()


@typed(scorer(metrics=[mean(), stderr()]))
def centroid(calls: Callable[[Any], bool] | None = None) -> Scorer:
    """The rollout's entropy centroid as a score of its own, for the log viewer; not scored is never 0.

    Args:
        calls: as for ``with_centroid``.
    """

    async def score(state: TaskState, target: Target) -> Score:
        numbers = _numbers(state, calls)
        found = numbers["scores"].get(LowestCentroid.label)
        told = f"{numbers['tokens']} tokens of {numbers['calls']} calls, {numbers['phases']} phases"
        if found is None:
            reason = numbers["error"] or numbers["reason"]
            return Score.unscored(reason="scoring_failed", explanation=f"{reason}: {told}", metadata={KEY: numbers})
        return Score(value=found, explanation=told, metadata={KEY: numbers})

    return score


def _numbers(state: TaskState, calls: Callable[[Any], bool] | None) -> dict[str, Any]:
    kept = state.store.get(KEY)
    if kept is None:
        trajectory = trajectory_of_events(transcript().events, calls, state.messages)
        kept = numbers_of(trajectory, answer=state.output.completion)
        state.store.set(KEY, kept)  # for scorers to come, and for scoring the log again
    return dict(kept)


def selected_by(name: str) -> ScoreReducer:
    """An epoch reducer: of a sample's epochs, the score of the one that a selector of ours picks.

    Epochs that share the pick are averaged. One that the selector cannot score never beats one it can; where it can
    score none, all that ended share the pick. A pick that the scorer left unscored (NaN) stays unscored: verdicts have
    no say in the choice. ``"ec_agent:selection"`` in the score's metadata says which it was (``epochs``).

    Args:
        name: ``"lowest_centroid"``, ``"mean_entropy"``, ``"majority_vote"`` ...; ``REDUCERS`` has all.

    Raises:
        ConfigError: there is no such selector; or, when scores are reduced, they carry no numbers.
    """
    if name not in REDUCERS:
        raise ConfigError(f"no epoch reducer goes by {name!r}; there are {', '.join(REDUCERS)}")
    return REDUCERS[name]()


def lowest_centroid() -> ScoreReducer:
    """An epoch reducer: the score of the epoch with the lowest entropy centroid; see ``selected_by``."""
    return selected_by(LowestCentroid.label)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A selector that ranks by the numbers kept of each rollout, in the place of its timeline."""

    name: str
    numbers: Sequence[Mapping[str, Any]]
    signals: tuple[str, ...] = ()

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        scores = {c.index: self._score(c) for c in candidates}
        sign = 1 if SCORED[self.name].lower_is_better else -1
        scored = {index: score for index, score in scores.items() if score is not None}
        return Ranking(tuple(sorted(scored, key=lambda index: sign * scored[index])), scores, {})

    def _score(self, candidate: Candidate) -> float | None:
        found = self.numbers[candidate.index]["scores"].get(self.name)
        usable = candidate.error is None and found is not None and not math.isnan(found)
        return float(found) if usable else None


def _reducer(name: str) -> Callable[[], ScoreReducer]:
    def made() -> ScoreReducer:
        def reduce(scores: list[Score]) -> Score:
            return _reduced(name, scores)

        return reduce

    # With the package's name, as Inspect names what is not its own; "--epochs-reducer ec_agent/shortest" finds it.
    return typed(score_reducer(name=f"{KEY}/{name}"))(made)


REDUCERS: Mapping[str, Callable[[], ScoreReducer]] = {name: _reducer(name) for name in (*SCORED, MajorityVote.label)}
"""Name of a selector -> the epoch reducer that selects by it."""


def _reduced(name: str, scores: list[Score]) -> Score:
    numbers: list[Any] = [(score.metadata or {}).get(KEY) for score in scores]
    if None in numbers:
        raise ConfigError(
            f"{KEY}/{name}: scores without a rollout's numbers; put the scorer into with_centroid(...), and "
            "score the log again with inspect_ai.score"
        )
    if name in SCORED and any(name not in each["scores"] for each in numbers):
        raise ConfigError(
            f"{KEY}/{name}: that number was not kept; use rollout_solver, which keeps it, or an agent on "
            "Inspect's own models"
        )
    selector: Selector = MajorityVote() if name == MajorityVote.label else _Kept(name, numbers)
    candidates = [
        Candidate(place, Trajectory(), final_action=each["answer"], error=each["error"])
        for place, each in enumerate(numbers)
    ]
    stands = standing(candidates, selector)
    tied = [scores[place] for place in stands.picked]
    known = [score for score in tied if not _is_nan(score.value)]
    first = known[0] if known else tied[0]
    # A mean turns "C" into 1.0; where all agree, the value stays what it is.
    value = first.value if all(score.value == first.value for score in known) else mean_score()(known).value
    told = {
        "selector": name,
        "epochs": sorted(numbers[place].get("epoch", place + 1) for place in stands.picked),
        "scored": int(stands.ranked.sum()),
        "of": len(scores),
    }
    return first.model_copy(update={"value": value, "metadata": {**(first.metadata or {}), f"{KEY}:selection": told}})


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
