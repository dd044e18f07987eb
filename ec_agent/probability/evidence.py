"""What a choice shows of itself, before anybody knows whether it is right. Live runs and replays read it here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ec_agent.numbers.signals import leading
from ec_agent.selectors.actions import final_answer
from ec_agent.selectors.base import AnySelector, Candidate, Selector
from ec_agent.selectors.normalize import answer_of
from ec_agent.selectors.scoring import token_count
from ec_agent.selectors.voting import VoteSelector
from ec_agent.stopping.asking import rank, taken
from ec_agent.stopping.base import StoppingPlan
from ec_agent.stopping.replaying import in_order, in_waves

FEATURES = ("score", "margin", "agreement", "coverage", "length")
"""The numbers that a probability may be made of, in the order in which files and tables list them."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one choice shows. A number is ``None`` where it is not known.

    Attributes:
        score: the winner's score, as the selector gives it.
        margin: absolute difference to the score of the best-ranked rollout with another answer; ``inf`` where no ranked
            rollout has another answer. Unlike the receipt's margin it is not 0 because the first two agree.
        agreement: share of the rollouts with the winner's answer, 0 to 1. Failed rollouts count as others. A vote's
            ``normalize`` says which answers are the same, else they are the same to the letter.
        coverage: share of the winner's tokens with the signal that the selector reads; ``None`` too for a selector that
            reads none.
        length: natural logarithm of the winner's number of generated tokens.
        scored: how many rollouts have a score.
        models: names of the models that answered in the winner, sorted.
    """

    score: float | None
    margin: float | None
    agreement: float | None
    coverage: float | None
    length: float | None
    scored: int
    models: tuple[str, ...] = ()


def evidence_of(
    candidates: Sequence[Candidate],
    order: Sequence[int],
    scores: Mapping[int, float | None],
    winner: int,
    selector: AnySelector,
) -> Evidence:
    """Read what a choice shows.

    Args:
        candidates: the rollouts, failed ones too, without cancelled ones.
        order: indices of the ranked ones, the best first.
        scores: the score of each, by index.
        winner: index of the winner.
        selector: what ranked them.

    Raises:
        ConfigError: the ``normalize`` of a vote failed.
    """
    normalize = selector.normalize if isinstance(selector, VoteSelector) else final_answer
    answers = {c.index: answer_of(c, normalize) for c in candidates if c.error is None}
    won = next(candidate for candidate in candidates if candidate.index == winner)
    known = {index: score for index, score in scores.items() if score is not None and math.isfinite(score)}
    score, answer, signal = known.get(winner), answers.get(winner), leading(selector.signals)
    margin = None
    if score is not None and answer is not None:
        rival = next((index for index in order if answers.get(index) != answer), None)
        against = math.inf if rival is None else known.get(rival)
        margin = None if against is None else abs(score - against)
    tokens = token_count(won)
    return Evidence(
        score=score,
        margin=margin,
        agreement=None if answer is None else sum(each == answer for each in answers.values()) / len(candidates),
        coverage=None if signal is None else won.trajectory.share(signal),
        length=math.log(tokens) if tokens else None,
        scored=len(known),
        models=tuple(sorted({call.model for call in won.trajectory.calls if call.model})),
    )


def replayed_evidence(
    candidates: Sequence[Candidate], selector: Selector, plan: StoppingPlan | None = None
) -> tuple[Evidence, int] | None:
    """Choose among stored rollouts as ``best_of_n(selector=selector, stop=plan)`` does, and read what that shows.

    Args:
        candidates: the rollouts of one task in the order in which they would start, as the selector meets them.
        selector: what chooses.
        plan: a stopping plan, asked in waves; ``None`` starts all.

    Returns:
        The evidence, and the winner's place among the candidates; ``None`` if every rollout that started failed.

    Raises:
        ConfigError: the selector or the plan failed.
    """
    run = in_waves(in_order(candidates), plan)
    ended = [candidate for candidate in run.over if candidate.error is None]
    if not ended:
        return None
    among = None if run.stop is None else run.stop.among
    ranking = rank(selector, run.over, among)
    winner = taken(ranking, ended, among)
    return evidence_of(run.over, ranking.order, ranking.scores, winner, selector), winner
