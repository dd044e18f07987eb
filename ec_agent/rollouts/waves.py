"""Which rollouts of a round run next, and whether they are enough: asked of ``stop=``, answered from the records alone.

Nothing here remembers anything, so that a run that was killed goes on in the wave in which it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from ec_agent.rollouts.record import Record
from ec_agent.rollouts.session import Session
from ec_agent.selectors import Candidate
from ec_agent.stopping import More, Stop, StoppingPlan
from ec_agent.stopping.asking import ask


def first_wave(session: Session) -> range:
    """The rollouts that a round begins with: all of them without ``stop=``, or where the rest is to be cancelled.

    Raises:
        ConfigError: the plan failed, or answered something else than ``More``.
    """
    plan = session.options.stop
    if plan is None:
        return range(session.n)
    more = ask(plan, (), 0, session.n)
    assert isinstance(more, More)  # it is refused to say enough of nothing
    return range(more.count)


def next_wave(session: Session, records: Sequence[Record]) -> tuple[range, Stop | None]:
    """The rollouts that follow those that are over, and why there are none, where the plan says so.

    Args:
        session: the question.
        records: of all rollouts of the round that were started.

    Raises:
        ConfigError: the plan failed, or answered something else than ``Stop`` or ``More``.
    """
    plan, begun = session.options.stop, len(records)
    if plan is None or begun >= session.n:
        return range(0), None
    answer = decided(plan, session.candidates(records), 0, session.n - begun, session.options.limits.quorum)
    if isinstance(answer, Stop):
        return range(0), answer
    return range(begun, begun + answer.count), None


def decided(
    plan: StoppingPlan, candidates: Sequence[Candidate], running: int, left: int, quorum: int | None
) -> Stop | More:
    """What the plan says; nothing is enough before the quorum is there, as long as somebody may still come.

    Args:
        plan: whom to ask.
        candidates: the rollouts that are over, failed ones too.
        running: how many are under way.
        left: how many are not started yet.
        quorum: fewest rollouts to select from, as in ``Limits``.

    Raises:
        ConfigError: as ``ask`` says.
    """
    answer = ask(plan, candidates, running, left)
    missing = (quorum or 0) - sum(candidate.eligible for candidate in candidates)
    if isinstance(answer, Stop) and missing > 0:
        return More(max(1, min(missing, left)))
    return answer


def waves_in(records: Sequence[Record]) -> dict[int, int]:
    """The waves, counted from 0, in which rollouts were started."""
    return {record["index"]: record.get("wave", 0) for record in records}
