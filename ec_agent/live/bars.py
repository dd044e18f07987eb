"""A rollout's entropies as a short line of bars: how many tokens a column stands for, and how high it is."""

from __future__ import annotations

from collections.abc import Sequence

from ec_agent.live.rows import Point

BARS, GAP = "▁▂▃▄▅▆▇█", "░"
PLAIN_BARS, PLAIN_GAP = "_.-=+*#@", " "  # for terminals without Unicode
_STEPS = (1, 2, 5)


def per_column(longest: float, width: int) -> int:
    """How many tokens a column stands for, so that the longest timeline fits: a round number, which holds a while."""
    power = 1
    while True:
        for step in _STEPS:
            if longest <= step * power * width:
                return step * power
        power *= 10


def columns(points: Sequence[Point], tokens: int) -> list[tuple[int, float | None]]:
    """A timeline cut into columns.

    Args:
        points: the timeline.
        tokens: how many of them one column stands for.

    Returns:
        For each column the call that it begins in, and its mean entropy in nats; ``None`` where there is none.
    """
    found: list[tuple[int, float | None]] = []
    call, left, weight, total = 0, float(tokens), 0.0, 0.0
    for point in points:
        rest = point.tokens
        while rest > 1e-9:
            if left == tokens:
                call = point.call
            taken = min(rest, left)
            if point.entropy is not None:
                weight, total = weight + taken, total + taken * point.entropy
            rest, left = rest - taken, left - taken
            if left <= 1e-9:
                found.append((call, total / weight if weight else None))
                left, weight, total = float(tokens), 0.0, 0.0
    if left < tokens - 1e-9:
        found.append((call, total / weight if weight else None))
    return found


def bar(entropy: float | None, ceiling: float, plain: bool = False) -> str:
    """One column: its height is the entropy, of ``ceiling`` nats at most."""
    if entropy is None:
        return PLAIN_GAP if plain else GAP
    bars = PLAIN_BARS if plain else BARS
    return bars[min(int(entropy / max(ceiling, 1e-9) * len(bars)), len(bars) - 1)]
