"""What is drawn of a board: it fits, whatever the terminal, and says what matters."""

from __future__ import annotations

from itertools import pairwise

import live_events as made
import pytest

from ec_agent.live.bars import BARS, GAP, bar, columns, per_column
from ec_agent.live.board import Board
from ec_agent.live.lines import line_of
from ec_agent.live.rows import Point
from ec_agent.live.short_texts import clock, lasted, printable, short
from ec_agent.live.table import Screen


def busy(n=8, extra=()):
    """Rollouts in every state, some with names that would do harm."""
    board = Board()
    for index in range(n):
        board.hear(made.started(index, n))
        board.hear(made.asks(index, model="模型" if index % 5 == 4 else "gpt"))
        if index % 5 in (1, 2):
            board.hear(made.answered(index, 1, 40, [0.1 * (index % 9)] * 40))
        if index % 5 == 1:
            board.hear(made.tool(index, name=made.NASTY))
        if index % 5 == 2:
            board.hear(made.finished(index))
        if index % 5 == 3:
            board.hear(made.finished(index, f"ValueError: {made.NASTY} {'x' * 300}"))
    for event in extra:
        board.hear(event)
    return board


def drawn(board, width=80, height=24):
    return [line.plain for line in Screen(board).lines(width, height, 1003.0)]


@pytest.mark.parametrize("n", [0, 1, 8, 64, 200])
def test_the_screen_fits_a_terminal_of_any_size(n):
    board = busy(n, [made.selection(0, n)] if n else [])
    screen = Screen(board)
    for width in (1, 2, 5, 11, 20, 23, 24, 29, 30, 39, 40, 59, 60, 80, 120, 160, 300):
        for height in (1, 2, 3, 5, 7, 8, 12, 24, 100):
            lines = screen.lines(width, height, 1003.0)
            assert 1 <= len(lines) <= height
            assert all(line.cell_len <= width for line in lines), (width, height)
            assert all(line.plain.isprintable() for line in lines)


def test_columns_stand_under_their_names():
    lines = drawn(busy(), 100)
    at = lines[0].index("entropy")
    bars = [line for line in lines[1:9] if any(each in line for each in BARS)]
    assert len(bars) == 4
    assert {min(line.index(each) for each in BARS if each in line) for line in bars} == {at}
    now = lines[0].index("now")
    assert [line[now:].strip()[:5] for line in lines[1:5]] == ["gpt", "down ", "", "Value"]
    assert lines[0].split() == ["#", "state", "calls", "tokens", "sec", "entropy", "now"]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_tool_at_work_is_named_at_any_width(width):
    board = Board()
    for event in (made.started(0, 1), made.tool(0, name="look_up_price")):
        board.hear(event)
    assert any("tool" in line and "look_up" in line for line in drawn(board, width))


def test_of_many_rollouts_those_that_run_are_shown_and_the_others_counted():
    board = Board()
    for index in range(64):
        board.hear(made.started(index, 70))
        if index not in (3, 40, 63):
            board.hear(made.finished(index, "x" if index == 5 else None))
    lines = drawn(board)
    shown = [int(line.split()[0]) for line in lines[1:] if line.split()[0].isdigit()]
    assert {3, 40, 63} <= set(shown)
    assert shown == sorted(shown)
    assert len(lines) == 24
    failed = "" if 5 in shown else ", 1 failed"
    ended = 61 - sum(index not in (3, 40, 63) for index in shown) - bool(failed)
    assert f"and {ended} ended{failed}, 6 waiting" in lines
    assert "61/70 ended  3 running  1 failed" in lines[-2]


def test_the_scale_holds_while_timelines_grow():
    board, screen, seen = Board(), None, []
    board.hear(made.started(0, 1))
    screen = Screen(board)
    for call in range(1, 200):
        board.hear(made.answered(0, call, call, [0.4]))
        line = screen.lines(80, 24, 1003.0)[1].plain
        seen.append(sum(line.count(each) for each in BARS))
    drops = sum(after < before for before, after in pairwise(seen))
    assert drops <= 4
    assert seen[0] == 1


def test_chosen_and_outcomes_are_said():
    text = "\n".join(drawn(busy(3, [*(made.finished(i) for i in (0, 1)), made.scored(1, None, "coverage")]), 120))
    assert "not scored: coverage" in text
    lines = drawn(busy(3, [made.finished(0), made.scored(0, 0.25), made.selection(0, 3)]), 100)
    assert any(line.split()[:2] == ["0", "chosen"] and "centroid 0.250" in line for line in lines)
    assert "chosen by lowest_centroid: rollout 0 of 3, centroid 0.500, margin to the runner-up 0.100" in lines


def test_a_terminal_without_unicode_gets_ascii_alone():
    board = busy(1, [made.answered(0, 1, 3, [0.1, None, 1.0])])
    assert all(line.plain.isascii() for line in Screen(board, plain=True).lines(80, 24, 1003.0))


def test_a_timeline_in_columns_keeps_its_length_and_its_mean():
    points = [Point(0, 3, 1.0), Point(0, 3, None), Point(1, 5, 2.0), Point(2, 0.5, 4.0)]
    for tokens in (1, 2, 3, 5, 7, 20):
        cut = columns(points, tokens)
        assert len(cut) == -(-11.5 // tokens)
    assert columns(points, 3) == [(0, 1.0), (0, None), (1, 2.0), (1, pytest.approx((2 * 2.0 + 0.5 * 4.0) / 2.5))]
    assert columns([], 3) == []
    assert columns([Point(0, 4, None)], 4) == [(0, None)]


@pytest.mark.parametrize(
    ("longest", "width", "tokens"), [(0, 9, 1), (9, 9, 1), (10, 9, 2), (30, 9, 5), (32000, 30, 2000)]
)
def test_tokens_a_column_stands_for(longest, width, tokens):
    assert per_column(longest, width) == tokens


def test_a_bar_is_as_high_as_its_entropy():
    assert [bar(entropy, 1.0) for entropy in (0.0, 0.5, 0.999, 1.0, 9.0, None)] == ["▁", "▅", "█", "█", "█", GAP]
    assert bar(0.0, 0.0) == "▁"


def test_times_counts_and_texts_fit_their_columns():
    assert printable(made.NASTY) == "down [bold]?[31m and ?out"
    assert printable("a\tb\r\n c \ud800") == "a b c ?"
    assert [clock(seconds) for seconds in (0, 61.9, 3600)] == ["0:00", "1:01", "1:00:00"]
    assert [short(count) for count in (0, 999999, 1_250_000, 3 * 10**9)] == ["0", "999999", "1.2M", "3.0G"]
    assert [lasted(seconds) for seconds in (0.4, 999, 1000, 5940, 1e5)] == ["0", "999", "17m", "2h", "28h"]


def said(*events):
    board, lines = Board(), []
    for event in events:
        board.hear(event)
        lines.append(line_of(event, board))
    return lines


def test_lines_for_what_is_worth_one():
    assert said(
        made.started(0, 1),
        made.asks(0),
        made.answered(0, 1, 2, [0.5, 1.5]),
        made.tool(0, name=made.NASTY),
        made.tool(0, "failed"),
        made.answered(0, 2, 2, [], None, answered=False),
        made.answered(0, 2, 4, [None, None]),
        made.finished(0, made.NASTY),
        made.started(0, 1),
        made.finished(0),
        made.scored(0),
        made.selection(0, 1, None),
    ) == [
        "rollout 0  started",
        None,
        "rollout 0  call 1: 2 tokens, mean entropy 1.00, 0.5 s",
        "rollout 0  tool down [bold]?[31m and ?out",
        "rollout 0  tool look_up failed",
        None,
        "rollout 0  call 2: 2 tokens, no entropies, 0.5 s",
        "rollout 0  failed: down [bold]?[31m and ?out (2 calls, 4 tokens, 2.0 s)",
        "rollout 0  started, attempt 2",
        "rollout 0  ended: 0 calls, 0 tokens, 2.0 s",
        "rollout 0  centroid 0.500",
        "chosen by lowest_centroid: rollout 0 of 1, centroid 0.500",
    ]
