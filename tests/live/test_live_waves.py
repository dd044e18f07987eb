"""Waves, and why no more were started, in the live view."""

from __future__ import annotations

import pytest

from ec_agent.live.board import Board
from ec_agent.live.lines import line_of

NAME = {"question": "q", "time": 1.0}
STARTED = {"type": "ec_agent.rollout.started", "n": 8, "round": 0, "acting": False, **NAME}
ENDED = {"type": "ec_agent.rollout.finished", "error": None, "seconds": 1.0, **NAME}
WAVE = {"type": "ec_agent.wave", "wave": 1, "round": 0, "indices": [2, 3], "n": 8, **NAME}
STOPPED = {"type": "ec_agent.stopped", "reason": "4 of 4\nagree", "started": 4, "n": 8, **NAME}


def test_a_line_each():
    board = Board()
    assert all(board.hear(event) for event in ({**STARTED, "index": 0}, WAVE, STOPPED))
    assert line_of(WAVE, board) == "wave 2: rollouts 2 to 3 of 8"
    assert line_of({**WAVE, "indices": [7]}, board) == "wave 2: rollout 7 of 8"
    assert line_of(STOPPED, board) == "enough is known after 4 of 8 rollouts: 4 of 4 agree"
    board.hear({**STARTED, "index": 0, "question": "other"})
    assert line_of(WAVE, board) == "question 1: wave 2: rollouts 2 to 3 of 8"


def test_those_that_are_not_started_are_not_waited_for():
    board = Board()
    board.hear({**WAVE, "wave": 0, "indices": [0, 1]})
    for index in range(4):
        board.hear({**STARTED, "index": index})
        board.hear({**ENDED, "index": index})
    assert (board.tally().total, board.tally().ended) == (8, 4)
    board.hear(STOPPED)
    assert (board.tally().total, board.tally().ended) == (4, 4)


@pytest.mark.parametrize("event", [{**STOPPED, "question": "unknown"}, {**STOPPED, "started": None}])
def test_what_the_board_does_not_understand_changes_nothing(event):
    board = Board()
    board.hear({**STARTED, "index": 0})
    assert not board.hear(event)
    assert board.tally().total == 8


@pytest.mark.parametrize("told_late", [False, True])
def test_those_that_were_cancelled_are_over_and_not_waited_for(told_late):
    board = Board()
    for index in range(3):
        board.hear({**STARTED, "index": index, "n": 3})
    board.hear({**ENDED, "index": 1})
    cancelled = [{"type": "ec_agent.rollout.cancelled", "index": at, "seconds": 2.0, **NAME} for at in (0, 2)]
    stopped = {**STOPPED, "started": 3, "n": 3}
    for event in [*cancelled, stopped] if told_late else [stopped, *cancelled]:
        assert board.hear(event)
    assert [row.state for row in board.rows()] == ["cancelled", "ended", "cancelled"]
    assert (board.tally().total, board.tally().ended, board.tally().running) == (1, 1, 0)
    assert line_of(cancelled[0], board) == "rollout 0  cancelled: 0 calls, 0 tokens, 2.0 s"
