"""The picture of a timeline: what stands in which column."""

from __future__ import annotations

import math

from ec_agent import HEPConfig, Trajectory
from ec_agent.cli.timeline import BARS, CALL, CENTROID, GAP, PHASE, timeline


def draw(*calls, width=80, ceiling=2.0, config=None):
    bars, marks = timeline(Trajectory.from_entropies(*calls), config or HEPConfig(), width, ceiling)
    return bars.plain, marks.plain


def test_a_column_a_token_while_they_fit():
    bars, marks = draw([0.0, 1.0, 2.0, 0.0, 0.0])
    assert bars == BARS[0] + BARS[4] + BARS[7] + BARS[0] + BARS[0]
    assert len(marks) == 5


def test_gaps_are_shown_as_gaps():
    assert draw([2.0, None, None, 0.1])[0][1:3] == GAP * 2


def test_phase_centroid_and_call_start():
    # The phase is the one token at 5; the centroid (5.5 of 10) falls into the same column.
    _, marks = draw([0.1] * 3, [0.1, 0.1, 2.0, 0.1, 0.1, 0.1, 0.1])
    assert marks[5] == CENTROID
    assert marks[3] == CALL
    assert marks[0] == CALL
    _, marks = draw([2.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 2.0])
    assert (marks[0], marks[9]) == (PHASE, PHASE)
    assert marks[5] == CENTROID


def test_many_tokens_share_columns_by_their_highest():
    entropies = [0.0] * 1000
    entropies[500] = 2.0
    bars, marks = draw(entropies, width=10)
    assert len(bars) == len(marks) == 10
    assert bars[5] == BARS[7]
    assert set(bars[:5] + bars[6:]) == {BARS[0]}


def test_a_timeline_without_entropies_is_drawn_as_gaps():
    assert draw()[0] == "no tokens"
    assert set(draw([math.nan, math.nan])[0]) == {GAP}
