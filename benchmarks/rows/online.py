"""A timeline of a million tokens that arrive one at a time."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.data import drawn_entropies
from benchmarks.harness import Case, at_most
from ec_agent.numbers.online import OnlineTrajectory
from ec_agent.numbers.phases import entropy_centroid

TOKENS = 1_000_000


def cases() -> Iterator[Case]:
    """Appending, and the centroid on demand, exact and with fixed thresholds."""
    entropies = drawn_entropies(TOKENS)
    arriving = entropies.tolist()

    def appended(thresholds: tuple[float, float] | None) -> OnlineTrajectory:
        online = OnlineTrajectory(thresholds=thresholds)
        for entropy in arriving:
            online.append(entropy)
        return online

    def listed() -> list[float]:
        kept: list[float] = []
        for entropy in arriving:
            kept.append(entropy)  # noqa: PERF402  # one at a time, as they arrive
        return kept

    exact, fixed = appended(None), appended((5.0, 0.5))

    def on_demand() -> None:
        exact.append(0.1)  # else it is remembered
        exact.centroid()

    yield Case(
        "online, 1M tokens one at a time",
        {
            "append, exact": lambda: appended(None),
            "append, fixed thresholds": lambda: appended((5.0, 0.5)),
            "a list": listed,
        },
        rounds=3,
        per=TOKENS,
    )
    yield Case(
        "online, the centroid at 1M tokens",
        {
            "exact": on_demand,
            "entropy_centroid": lambda: entropy_centroid(entropies),
            "fixed thresholds": fixed.centroid,
        },
        [at_most("exact", "entropy_centroid", 1.1)],
        rounds=9,
    )
