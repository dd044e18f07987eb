"""What is shown of a selection: its rollouts, the winner first, each with the places where it hesitated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.signals import ENTROPY, SURPRISAL
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.rollouts.selection import CandidateReceipt, Selection
from ec_agent.selectors.lowest_centroid import LowestCentroid


@dataclass(frozen=True, slots=True)
class Hesitation:
    """A High Entropy Phase, and where it lies.

    Attributes:
        start: its first token on the timeline.
        stop: the token after its last.
        mass: its duration: tokens that have an entropy.
        call: number of the call it starts in, from 0.
        peak: its highest entropy, in nats.
    """

    start: int
    stop: int
    mass: int
    call: int
    peak: float


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One rollout as it is shown.

    Attributes:
        receipt: its numbers.
        place: its place in the selector's order, from 1; ``None`` for one that was not ranked.
        won: whether it is the winner.
        action: its final action; ``None`` where it failed, or is not at hand.
        trajectory: its timeline; ``None`` where it is not at hand.
        signal: the timeline's signal, shape ``(L,)``; empty without a timeline.
        hesitations: its phases, in order.
        mark: the centroid of that signal, in [0, 1); ``None`` where it has none, or failed.
        verdict: how it was judged, from 0 to 1, where that is known.
    """

    receipt: CandidateReceipt
    place: int | None
    won: bool
    action: Any
    trajectory: Trajectory | None
    signal: FloatArray
    hesitations: tuple[Hesitation, ...]
    mark: float | None
    verdict: float | None = None

    @property
    def starts(self) -> list[int]:
        """Where each call starts on the timeline, and after the last one its end."""
        return list(accumulate((call.tokens or 0 for call in self.calls), initial=0))

    @property
    def calls(self) -> tuple[Call, ...]:
        """Its LLM calls."""
        return self.trajectory.calls if self.trajectory is not None else ()

    @property
    def longest(self) -> Hesitation | None:
        """The phase of the greatest mass, which draws the centroid most; of equals the first."""
        return max(self.hesitations, key=lambda phase: phase.mass, default=None)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A selection as it is shown.

    Attributes:
        selection: the receipt.
        rollouts: the winner first, then as ranked, then the unscored, then the failed.
        title: what was asked.
        signal: the signal drawn.
        ceiling: its highest value over all rollouts, in nats: the full height of a strip.
        missing: whether the rollouts themselves are not at hand.
        question: the question in full, where it is known and is not the title.
        expected: the right answer, where that is known.
    """

    selection: Selection
    rollouts: tuple[Rollout, ...]
    title: str | None
    signal: str
    ceiling: float
    missing: bool
    question: str | None = None
    expected: str | None = None

    @property
    def winner(self) -> Rollout:
        """The winner."""
        return self.rollouts[0]

    @property
    def judged(self) -> bool:
        """Whether outcomes are known."""
        return any(rollout.verdict is not None for rollout in self.rollouts)


def view_of(selection: Selection, title: str | None = None, verdicts: Sequence[float] | None = None) -> View:
    """A selection as it is shown.

    Args:
        selection: the receipt; with its rollouts, if it has just been returned by ``run()``.
        title: what was asked.
        verdicts: how each rollout was judged, in index order, where that is known.
    """
    seen = selection.seen
    timelines = seen.trajectories if seen is not None else ()
    signal = _signal_of(selection, timelines)
    places = {index: place for place, index in enumerate(selection.order, start=1)}
    rollouts = []
    for at, receipt in enumerate(selection.candidates):
        trajectory = timelines[at] if at < len(timelines) else None
        rollouts.append(
            Rollout(
                receipt=receipt,
                place=places.get(receipt.index),
                won=receipt.index == selection.winner and receipt.error is None,
                action=seen.final_actions[at] if seen is not None and receipt.error is None else None,
                trajectory=trajectory,
                signal=np.empty(0) if trajectory is None else trajectory.signal(signal),
                hesitations=() if trajectory is None else _hesitations(trajectory, signal, selection.config),
                mark=receipt.centroid if signal == ENTROPY else receipt.score,
                verdict=None if verdicts is None else float(verdicts[at]),
            )
        )
    rollouts.sort(key=_standing)
    known = [rollout.signal[~np.isnan(rollout.signal)] for rollout in rollouts]
    ceiling = max((float(values.max()) for values in known if len(values)), default=0.0)
    return View(selection, tuple(rollouts), title, signal, ceiling or 1.0, seen is None)


def _standing(rollout: Rollout) -> tuple[bool, bool, float, int]:
    place = float("inf") if rollout.place is None else rollout.place
    return (not rollout.won, rollout.receipt.error is not None, place, rollout.receipt.index)


def _signal_of(selection: Selection, timelines: Sequence[Trajectory]) -> str:
    """Entropy, unless the selector went by surprisal."""
    if selection.selector != LowestCentroid(SURPRISAL).name:
        return ENTROPY
    calls = [call for timeline in timelines for call in timeline.calls]
    return SURPRISAL if all(SURPRISAL in call.signals for call in calls) else ENTROPY


def _hesitations(trajectory: Trajectory, signal: str, config: HEPConfig) -> tuple[Hesitation, ...]:
    values = trajectory.signal(signal)
    known = np.flatnonzero(~np.isnan(values))
    ends = np.cumsum([call.tokens or 0 for call in trajectory.calls])
    found = []
    for start, mass in zip(*trajectory.phases(config, signal), strict=True):
        last = int(known[np.searchsorted(known, start) + mass - 1])
        peak = float(np.nanmax(values[start : last + 1]))
        call = int(np.searchsorted(ends, start, side="right"))
        found.append(Hesitation(int(start), last + 1, int(mass), call, peak))
    return tuple(found)
