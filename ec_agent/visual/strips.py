"""A rollout's timeline as a strip, from its start to its end: entropy, phases, gaps, calls, the centroid."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ec_agent.numbers.entropy import FloatArray
from ec_agent.support.escaping import clipped
from ec_agent.visual.drawing import ACCENT, GAP, GOOD, LINE, PHASE, SECOND, drawn
from ec_agent.visual.views import Rollout

COLUMNS = 360
_SIZE = (10.0, 0.55)  # inches; the page stretches it
_FLOOR = 0.03  # of the height: a line where the entropy is 0, so that a token is told from none


@dataclass(frozen=True, slots=True)
class Tick:
    """Tools that ran at one place, to be named beneath a strip.

    Attributes:
        at: the place, in percent of the width.
        room: how wide the name may be, in percent.
        names: the tools.
        left: whether the name stands to the left of the place.
    """

    at: float
    room: float
    names: str
    left: bool


def strip(rollout: Rollout, ceiling: float, name: str, columns: int = COLUMNS) -> str:
    """Draw a rollout's timeline.

    Args:
        rollout: what to draw; it has tokens.
        ceiling: the value of the full height, in nats.
        name: prefix of its ids, unique on the page.
        columns: how many there are at most; each shows the highest value of its tokens.

    Returns:
        An ``<svg>`` element to be stretched to any width.
    """
    length = len(rollout.signal)
    edges, tops, gaps = _columns(rollout.signal, columns)

    def draw(figure: Any) -> None:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.set_xlim(0, length)
        axes.set_ylim(0, ceiling * 1.15)  # above the highest bar a phase's shade is still seen
        least = length / columns  # a phase of one token is seen too
        spans = [(phase.start, max(phase.stop - phase.start, least)) for phase in rollout.hesitations]
        axes.broken_barh(spans, (0, ceiling * 2), facecolor=PHASE, linewidth=0)
        axes.broken_barh([(a, b - a) for a, b in gaps], (0, ceiling * 2), facecolor=GAP, linewidth=0)
        axes.stairs(tops, edges, fill=True, facecolor=ACCENT, linewidth=0)
        axes.stairs(np.where(inside, tops, np.nan), edges, fill=True, facecolor=SECOND, linewidth=0)
        axes.vlines(rollout.starts[1:-1], 0, ceiling * 2, colors=LINE, linewidth=1, linestyles=(0, (3, 2)))
        if rollout.mark is not None:
            axes.vlines([rollout.mark * length], 0, ceiling * 2, colors=GOOD, linewidth=2.5)

    inside = np.zeros(len(tops), bool)
    for phase in rollout.hesitations:
        inside |= (edges[:-1] < phase.stop) & (edges[1:] > phase.start)
    tops = np.where(np.isnan(tops), 0.0, np.maximum(tops, ceiling * _FLOOR))
    return _stretched(drawn(name, _SIZE, draw, layout=None))


def ticks(rollout: Rollout) -> list[Tick]:
    """Where tools ran, each with the room that its name has before the next."""
    length, starts = max(len(rollout.signal), 1), rollout.starts
    used = [
        (100 * starts[place + 1] / length, clipped(", ".join(use.name for use in call.tools), 80))
        for place, call in enumerate(rollout.calls)
        if call.tools
    ]
    found = []
    for place, (at, names) in enumerate(used):
        before = used[place - 1][0] if place else 0.0
        after = used[place + 1][0] if place + 1 < len(used) else 100.0
        left = after - at < at - before and place + 1 == len(used)  # the last one has the end of the strip beside it
        found.append(Tick(at, at - before if left else after - at, names, left))
    if len(found) > 1 and found[-1].left:  # two names share this stretch
        half = found[-1].room / 2
        found[-2] = Tick(found[-2].at, half, found[-2].names, False)
        found[-1] = Tick(found[-1].at, half, found[-1].names, True)
    return found


def _columns(values: FloatArray, columns: int) -> tuple[FloatArray, FloatArray, list[tuple[int, int]]]:
    """Edges, the highest value between them, and the stretches of columns without any."""
    edges = np.unique(np.linspace(0, len(values), min(columns, len(values)) + 1).astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column of NaN is what is looked for
        tops = np.fmax.reduceat(values, edges[:-1])
    empty = np.isnan(tops)
    turns = np.flatnonzero(np.diff(np.concatenate(([False], empty, [False])).astype(int)))
    gaps = [(int(edges[a]), int(edges[b])) for a, b in zip(turns[::2], turns[1::2], strict=True)]
    return edges.astype(float), tops, gaps


def _stretched(svg: str) -> str:
    """The drawing for any width, and a tenth as long: it has no use for six decimals, or for clipping."""
    svg = re.sub(r"\s*<defs>\s*<clipPath.*?</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' clip-path="[^"]*"', "", svg)
    svg = re.sub(r' id="[^"]*"', "", svg)
    svg = re.sub(r"(\d+\.\d)\d+", r"\1", svg)
    svg = re.sub(r"\s+", " ", svg).replace("> <", "><")
    svg = svg.replace(" L ", " ")  # a line is what follows a move anyway
    svg = svg.replace("<path ", '<path vector-effect="non-scaling-stroke" ')
    return svg.replace("<svg ", '<svg width="100%" height="100%" preserveAspectRatio="none" ', 1)
