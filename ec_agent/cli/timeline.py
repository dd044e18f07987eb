"""A rollout's timeline as two lines of text: entropies above, phases and centroid below."""

from __future__ import annotations

import numpy as np
from rich.style import Style
from rich.text import Text

from ec_agent.live.bars import BARS, GAP, bar
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Trajectory

PHASE, CENTROID, CALL = "═", "▲", "╷"
LEGEND = f"{BARS[0]}..{BARS[-1]} entropy  {GAP} no logprobs  {CALL} a call starts  {PHASE} phase  {CENTROID} centroid"


def timeline(trajectory: Trajectory, config: HEPConfig, width: int, ceiling: float) -> tuple[Text, Text]:
    """Draw a timeline ``width`` columns wide.

    Args:
        trajectory: the rollout.
        config: settings of the phases.
        width: columns; each shows the highest entropy of the tokens that fall into it.
        ceiling: the entropy, in nats, of a full bar; the same for all rollouts that are compared.

    Returns:
        The bars, and the line below them with phases, call starts and the centroid.
    """
    length = len(trajectory)
    if length == 0:
        return Text("no tokens", style="dim"), Text("")
    width = min(width, length)
    edges = np.linspace(0, length, width + 1).astype(int)
    in_phase = np.zeros(length, bool)
    for start, duration in zip(*trajectory.phases(config), strict=True):
        in_phase[start : start + duration] = True
    calls = np.cumsum([0, *(call.tokens or 0 for call in trajectory.calls)])[:-1]
    starts = set(np.searchsorted(edges, calls, side="right") - 1)
    bars, marks = Text(), Text()
    centroid = trajectory.centroid(config)
    marked = None if centroid is None else min(int(centroid * width), width - 1)
    for column in range(width):
        here = slice(edges[column], edges[column + 1])
        phase = bool(in_phase[here].any())
        style = Style(color="yellow", bold=True) if phase else Style(color="blue")
        bars.append(_bar(trajectory.entropies[here], ceiling), style)
        if column == marked:
            marks.append(CENTROID, Style(color="green", bold=True))
        elif phase:
            marks.append(PHASE, style)
        else:
            marks.append(CALL if column in starts else " ", Style(dim=True))
    return bars, marks


def _bar(entropies: np.ndarray, ceiling: float) -> str:
    known = entropies[~np.isnan(entropies)]
    return bar(float(known.max()) if len(known) else None, ceiling)
