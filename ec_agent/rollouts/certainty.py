"""Adds to a receipt how likely the winner is right, by the calibration given as ``probability=``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ec_agent.probability.evidence import evidence_of
from ec_agent.probability.situation import Situation, judged
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import Record
from ec_agent.rollouts.selection import Selection


def with_probability(selection: Selection, question: Question, records: Sequence[Record], round: int) -> Selection:
    """Return the receipt with a probability, or with the reason why there is none; as it is without a calibration.

    Args:
        selection: the receipt.
        question: the question.
        records: the records of all rollouts of the round.
        round: number of the round, from 0.
    """
    options = question.options
    if options.probability is None:
        return selection
    candidates = question.candidates(records)
    scores = {each.index: each.score for each in selection.candidates}
    evidence = evidence_of(candidates, selection.order, scores, selection.winner, options.selector)
    winner = next(record for record in records if record["index"] == selection.winner)
    situation = Situation(
        selector=selection.selector,
        failed=selection.failed_selector is not None,
        config=options.config,
        n=question.n,
        stop=options.stop,
        cancel=options.cancel,
        round=round,
        asks=winner["end"]["kind"] == "interrupt",
        temperatures=_temperatures(records),
    )
    probability, why = judged(options.probability, evidence, situation)
    return replace(selection, probability=probability, no_probability=why, rests_on=options.probability.basis.told())


def _temperatures(records: Sequence[Record]) -> tuple[float, ...] | None:
    """Return the temperatures of the requests of rollouts that ended; ``None`` where no call counted."""
    facts = [record["facts"] for record in records if record["error"] is None and record["calls"]]
    given = {each for fact in facts for each in fact.get("temperatures", ()) if isinstance(each, int | float)}
    return tuple(sorted(given)) if facts else None
