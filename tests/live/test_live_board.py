"""The board: what it makes of events, in whatever order and number they come."""

from __future__ import annotations

import math
import threading

import live_events as made
import pytest

from ec_agent.live.board import MOST_OVER, Board
from ec_agent.live.lines import line_of
from ec_agent.live.rows import MOST_POINTS, Row
from ec_agent.live.table import Screen


def board_of(*events):
    board = Board()
    for event in events:
        assert board.hear(event), event
    return board


def row_of(*events):
    (row,) = board_of(made.started(0, 1), *events).rows()
    return row


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "running"),
        ([made.asks(0)], "model"),
        ([made.asks(0), made.answered(0, 1, 1, [0.5])], "running"),
        ([made.asks(0), made.tool(0)], "tool"),  # a tool that asks a model
        ([made.tool(0), made.tool(0, "ended")], "running"),
        ([made.tool(0), made.tool(0, "failed")], "running"),
        ([made.asks(0), made.finished(0)], "ended"),  # a call that was cancelled is never told to have ended
        ([made.finished(0, "ValueError: no")], "failed"),
        ([made.finished(0), made.scored(0), made.selection(0, 1)], "chosen"),
        ([made.finished(0), made.started(0, acting=True)], "acting"),
    ],
    ids=range(10),
)
def test_each_event_leads_to_its_state(events, state):
    row = row_of(*events)
    assert row.state == state
    assert row.over == (state in ("ended", "failed", "chosen"))


def test_a_row_sums_its_calls_and_keeps_their_timeline():
    row = row_of(made.answered(0, 1, 4, [0.5, None], generated=4), made.answered(0, 2, 7, [1.0, 1.0, 2.0]))
    assert (row.calls, row.tokens) == (2, 7)
    assert [(p.call, p.tokens, p.entropy) for p in row.points] == [
        (0, 2, 0.5),
        (0, 2, None),
        (1, 1, 1.0),
        (1, 1, 1.0),
        (1, 1, 2.0),
    ]


def test_parts_of_a_streamed_answer_are_counted_until_it_is_there():
    streams = made.event("rollout.call", 0, state="streaming", call="open 0", parts=7)
    assert sum(row_of(made.asks(0), streams).parts.values()) == 7
    assert not row_of(made.asks(0), streams, made.answered(0, 1, 9, [0.1] * 9)).parts


def test_a_retry_starts_over_and_what_it_cost_stays_counted():
    board = board_of(
        *(made.started(0, 2), made.answered(0, 1, 3, [0.1] * 3), made.finished(0, "down")),
        *(made.started(0, 2), made.answered(0, 1, 2, [0.1] * 2)),
    )
    (row,) = board.rows()
    assert (row.attempt, row.calls, row.tokens, row.state) == (2, 1, 2, "running")
    tally = board.tally()
    assert (tally.calls, tally.tokens, tally.ended, tally.failed, tally.running) == (2, 5, 0, 0, 1)


def test_the_winner_goes_on_where_it_was():
    carried = [made.started(0, 1, acting=True), made.answered(0, 1, 2, [0.2] * 2), made.finished(0)]
    row = row_of(made.answered(0, 1, 3, [0.1] * 3), made.finished(0), made.selection(0, 1), *carried)
    assert (row.calls, row.tokens, row.attempt, row.state, len(row.points)) == (2, 5, 1, "chosen", 5)


def test_a_new_question_takes_the_place_of_those_that_are_over():
    board = board_of(*made.whole(3, "a"), made.started(0, 2, question="b"))
    assert [(row.question, row.index) for row in board.rows()] == [("b", 0)]
    tally = board.tally()
    assert (tally.total, tally.ended, tally.running, tally.tokens) == (5, 3, 1, 9)
    assert board.choice is None


def test_questions_side_by_side_are_told_apart():
    board = board_of(made.started(0, 1, question="a"), made.started(0, 1, question="b"), made.finished(0, question="a"))
    assert [board.name(row) for row in board.rows()] == ["1.0", "2.0"]
    assert [row.over for row in board.rows()] == [True, False]


def test_after_a_commit_all_rollouts_begin_anew():
    board = board_of(*made.whole(2), made.started(1, 2, round=1))
    assert [row.index for row in board.rows()] == [1]
    assert (board.tally().ended, board.tally().total) == (2, 4)


def test_what_was_found_in_a_checkpoint_is_over():
    board = board_of(made.started(1, 2), made.finished(1), made.scored(0), made.scored(1))
    assert [row.state for row in board.rows()] == ["ended", "ended"]


def test_an_evaluation_has_totals_of_its_own_and_old_rows_go():
    board = Board()
    for place in range(3 * MOST_OVER):
        about = {"label": f"t{place} #0"}
        for each in (made.started(0), made.answered(0, 1, 2, [0.1, 0.2]), made.finished(0, "x" if place % 3 else None)):
            board.hear({**each, **about})
    board.hear(made.event("evaluation", stored=3 * MOST_OVER + 7, total=1000))
    assert len(board.rows()) == MOST_OVER
    assert board.rows()[-1].label == f"t{3 * MOST_OVER - 1} #0"
    tally = board.tally()
    assert (tally.total, tally.ended, tally.failed) == (1000, 3 * MOST_OVER + 7, 2 * MOST_OVER)
    assert (tally.calls, tally.tokens) == (3 * MOST_OVER, 6 * MOST_OVER)


def test_a_verdict_reaches_its_row():
    board = board_of({**made.started(0), "label": "a"}, {**made.event("rollout.judged", 0, verdict=0.5), "label": "a"})
    assert board.rows()[0].verdict == 0.5


@pytest.mark.parametrize(
    "event",
    [
        None,
        "text",
        ("custom", {}),
        {},
        {"type": None},
        {"type": "mine"},
        {"type": "rollout.started", "index": 0},
        {"type": "ec_agent.rollout.started"},
        {"type": "ec_agent.rollout.started", "index": "one"},
        {"type": "ec_agent.rollout.call", "index": 7, "state": "ended"},
        {"type": "ec_agent.rollout.finished", "index": 0},
        {"type": "ec_agent.selection"},
        {"type": "ec_agent.selection", "selection": {"winner": [0]}},
        {"type": "ec_agent.selection", "selection": {"winner": 3, "candidates": [], "margin": None, "selector": "x"}},
        {"type": "ec_agent.commit", "tool": "send"},
        made.answered(0, 1, 1, ["high"]),
        made.answered(0, 1, 1, [float("nan")]),
        {"type": "ec_agent.rollout.started", "index": 0, "time": "noon"},
    ],
    ids=range(18),
)
def test_what_is_not_understood_changes_nothing(event):
    board = board_of(made.started(0, 1))
    before, version = board.rows(), board.version
    assert not board.hear(event)
    assert (board.rows(), board.version, board.choice) == (before, version, None)


def test_a_long_timeline_stays_short_in_memory_and_keeps_its_mean():
    row = Row("q", 0)
    for call in range(3 * MOST_POINTS):
        row.add(2.0, [1.0 if call % 2 else None, 2.0])
    assert len(row.points) <= MOST_POINTS
    assert sum(point.tokens for point in row.points) == 6 * MOST_POINTS
    known = [point for point in row.points if point.entropy is not None]
    assert math.isclose(sum(point.entropy for point in known) / len(known), 5 / 3, rel_tol=0.1)


def test_many_threads_at_once():
    board = Board()

    def tell(index):
        board.hear(made.started(index, 8))
        for call in range(1, 101):
            board.hear(made.asks(index))
            board.hear(made.answered(index, call, call, [0.1]))
            board.rows()
        board.hear(made.finished(index))

    threads = [threading.Thread(target=tell, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally = board.tally()
    assert (tally.ended, tally.running, tally.calls, tally.tokens) == (8, 0, 800, 800)
    assert board.version == 8 * 202


def test_what_a_selector_asks_is_known_until_it_has_chosen():
    board = board_of(made.started(0, 1), made.finished(0))
    assert board.asking is None
    seen = []
    for event in (
        made.selector_call("a", model=None),
        made.selector_call("b"),
        made.selector_call("a", 1, 2),
        made.selector_call("b", 2, 4, model=None),
    ):
        assert board.hear(event)
        seen.append((board.asking.model, board.asking.open, board.asking.calls, board.asking.tokens))
    assert seen == [(None, 1, 0, 0), ("judge", 2, 0, 0), ("judge", 1, 1, 2), ("judge", 0, 2, 4)]
    assert line_of(made.selector_call("b", 2, 4), board) == "the selector asks judge: 2 calls, 4 tokens"
    assert line_of(made.selector_call("c"), board) is None
    assert "the selector asks judge: 2 calls, 4 tokens" in drawn(board)
    assert board.hear(made.selection(0, 1))
    assert board.asking is None
    assert "asks" not in drawn(board)


def test_a_new_question_s_selector_has_asked_nothing():
    board = board_of(made.started(0, 1), made.finished(0), made.selector_call("a"))
    assert board.hear(made.started(0, 1, question="other"))
    assert board.asking is None


def drawn(board):
    return "\n".join(line.plain for line in Screen(board).lines(80, 20, 0.0))
