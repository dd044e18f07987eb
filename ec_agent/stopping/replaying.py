"""What a plan would have done with rollouts that are there already: no token is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ec_agent.errors import ConfigError
from ec_agent.selectors.base import Candidate, Selector, candidates_of
from ec_agent.selectors.registry import check_selector
from ec_agent.stopping.asking import ask, check_plan, rank, taken
from ec_agent.stopping.base import More, Stop, StoppingPlan
from ec_agent.support.checks import flag


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one order of the rollouts.

    Attributes:
        winner: place of the winner in that order; ``None`` where every rollout failed.
        waves: how many rollouts started together, wave by wave.
        ended: places of those that ended: the candidates. Failed and cancelled ones are none.
        cancelled: places of those that were cancelled.
        stop: what the plan saw; ``None`` where all ran to their end.
        tokens: generated tokens, of all that started.
        length: generated tokens of the longest way through: each wave takes as long as its longest rollout. It stands
            for time where a server generates at the same speed for each rollout, however many there are.
    """

    winner: int | None
    waves: tuple[int, ...]
    ended: tuple[int, ...]
    cancelled: tuple[int, ...]
    stop: Stop | None
    tokens: int
    length: int

    @property
    def started(self) -> int:
        """How many rollouts started."""
        return sum(self.waves)


def replay(
    candidates: Sequence[Candidate], plan: StoppingPlan | None, selector: Selector, *, cancel: bool = False
) -> Replayed:
    """Play a round again, as ``best_of_n(..., selector=selector, stop=plan, cancel=cancel)`` would go.

    The plan is asked by the same function as there, and the selector ranks by the same one. A ``quorum`` is not looked
    at. With ``cancel`` the order in which rollouts end is that of their lengths, and a rollout is cancelled in the
    middle of a call: live, a synchronous one goes on to the end of it.

    Args:
        candidates: the rollouts of one task in the order in which they would start, failed ones too. Their places in
            it, from 0, take the place of their indices, for that is what the first seen is.
        plan: the plan; ``None`` for all at once.
        selector: what chooses.
        cancel: whether all start at once, and the rest is cancelled at a stop.

    Raises:
        ConfigError: an argument is of another kind, there are no candidates, or the plan or selector fails.
    """
    order = in_order(candidates_of(candidates))
    if not order:
        raise ConfigError("candidates is empty; give the rollouts of a task, one or more")
    if plan is not None:
        check_plan(plan, "plan")
    check_selector(selector)
    run = _at_once(order, plan) if flag("cancel", cancel) and plan is not None else in_waves(order, plan)
    may = [candidate for candidate in run.over if candidate.error is None]
    among = None if run.stop is None else run.stop.among
    over = {candidate.index for candidate in run.over}
    return Replayed(
        winner=taken(rank(selector, run.over, among), run.over, among) if may else None,
        waves=tuple(run.waves),
        ended=tuple(candidate.index for candidate in may),
        cancelled=tuple(place for place in range(sum(run.waves)) if place not in over),
        stop=run.stop,
        tokens=run.tokens,
        length=run.length,
    )


def in_order(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The same, each with its place for its index."""
    return tuple(replace(each, index=place) for place, each in enumerate(candidates))


@dataclass(slots=True)
class Run:
    """How far it came; ``over`` are those that came to an end, failed ones too, by place."""

    waves: list[int] = field(default_factory=list)
    over: list[Candidate] = field(default_factory=list)
    stop: Stop | None = None
    tokens: int = 0
    length: int = 0


def in_waves(order: Sequence[Candidate], plan: StoppingPlan | None) -> Run:
    """What a plan starts of rollouts that have their places for indices; ``None`` for all at once."""
    run = Run()
    while left := len(order) - len(run.over):
        said = More(left) if plan is None else ask(plan, run.over, 0, left)
        if isinstance(said, Stop):
            run.stop = said
            break
        wave = order[len(run.over) : len(run.over) + said.count]
        lengths = [len(candidate.trajectory) for candidate in wave]
        run.waves.append(len(wave))
        run.over += wave
        run.tokens += sum(lengths)
        run.length += max(lengths)
    return run


def _at_once(order: Sequence[Candidate], plan: StoppingPlan) -> Run:
    """All start together and generate at the same speed; those of one length end together."""
    run, lengths = Run([len(order)]), [len(candidate.trajectory) for candidate in order]
    for now in sorted(set(lengths)):
        run.over = [candidate for candidate, length in zip(order, lengths, strict=True) if length <= now]
        run.tokens, run.length = sum(min(length, now) for length in lengths), now
        running = len(order) - len(run.over)
        if running and any(candidate.error is None for candidate in run.over):
            said = ask(plan, run.over, running, 0)
            if isinstance(said, Stop):
                run.stop = said
                break
    return run
