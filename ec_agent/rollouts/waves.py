"""Ask the plan given as ``stop=`` which rollouts of a round to start next, and whether enough is known.

These functions go by the records alone and keep no state, so that a run resumed after a kill goes on in the same wave.
"""

from __future__ import annotations

from collections.abc import Sequence

from ec_agent.rollouts.cancelling import decided
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import Record
from ec_agent.stopping import More, Stop
from ec_agent.stopping.asking import ask


def first_wave(question: Question) -> range:
    """Return the indices of the rollouts with which a round begins. Without ``stop=``, and with ``cancel=``, all.

    With ``cancel=`` the plan is asked all the same, so that one that cannot answer is found before it costs anything.

    Raises:
        ConfigError: the plan failed, or answered something else than ``More``.
    """
    plan = question.options.stop
    if plan is None:
        return range(question.n)
    more = ask(plan, (), 0, question.n)
    assert isinstance(more, More)  # ask() refuses a Stop while no rollout has run
    return range(question.n if question.options.cancel else more.count)


def next_wave(question: Question, records: Sequence[Record], round: int) -> tuple[range, Stop | None]:
    """Return the indices of the rollouts to start next; if there are none, also the plan's reason to stop.

    Args:
        question: the question that the rollouts answer.
        records: the records of all rollouts that were started in this round.
        round: the round's number.

    Raises:
        ConfigError: the plan failed, or answered something else than ``Stop`` or ``More``.
    """
    plan, begun = question.options.stop, len(records)
    if (watch := question.watch({"round": round})) is not None:
        return range(0), watch.stop(records)
    if plan is None or begun >= question.n:
        return range(0), None
    answer = decided(plan, question.candidates(records), 0, question.n - begun, question.options.limits.quorum)
    if isinstance(answer, Stop):
        return range(0), answer
    return range(begun, begun + answer.count), None


def waves_in(records: Sequence[Record]) -> dict[int, int]:
    """Return the wave, numbered from 0, in which each rollout was started, by the rollout's index."""
    return {record["index"]: record.get("wave", 0) for record in records}
