"""Events from one process to another: through a file that grows, and out of a trace file."""

from __future__ import annotations

import itertools
import json

import live_events as made
import numpy as np
import pytest

from ec_agent import best_of_n, live
from ec_agent.errors import ConfigError, TraceError
from ec_agent.live import feed, trace_file_events
from ec_agent.live.board import Board
from ec_agent.live.feed import END, event_in, grown_lines
from ec_agent.live.trace_file_events import events_of, label_of, stored_events
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.traces.sql.store import TraceStore
from ec_agent.traces.stored import Key, StoredRollout


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(feed, "EVERY", 0.0)
    monkeypatch.setattr(trace_file_events, "EVERY", 0.0)


def test_a_log_holds_what_is_ours_and_its_end(tmp_path):
    path = tmp_path / "events.jsonl"
    events = made.whole(2)
    for _ in range(2):  # a second run is added
        with live.log(path) as on_event:
            for part in (*events, None, "text", {"type": "mine"}, {"no": "type"}):
                on_event(part)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [*events, dict(END)] * 2


def test_a_log_ends_with_the_run_that_fails(tmp_path):
    def run():
        with live.log(tmp_path / "a") as on_event:
            on_event(made.started(0))
            raise LookupError

    with pytest.raises(LookupError):
        run()
    assert event_in((tmp_path / "a").read_text().splitlines()[-1]) == END


def test_a_log_that_cannot_be_written(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot write .*none.* name a file"), live.log(tmp_path / "none" / "a"):
        pass
    with pytest.raises(ConfigError, match="cannot write None"), live.log(None):
        pass


def test_a_view_shows_to_an_open_file():
    with pytest.raises(ConfigError, match=r"'a\.txt'; give an open file"), live.view(file="a.txt"):
        pass


def test_a_growing_file_is_read_line_by_line(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text("one\ntw")
    lines = grown_lines(path, follow=True)
    assert [next(lines) for _ in range(3)] == ["one\n", None, None]
    with path.open("a") as file:
        file.write("o\nthree\n")
    assert [next(lines) for _ in range(3)] == ["two\n", "three\n", None]
    path.write_text("new\n")  # begun anew by its writer
    assert [line for line in itertools.islice(lines, 3) if line] == ["new\n"]
    assert list(grown_lines(path, follow=False)) == ["new\n"]
    path.write_text("a\nb")
    assert list(grown_lines(path, follow=False)) == ["a\n", "b"]


@pytest.mark.parametrize("line", ["", "text", "[1]", "{", '{"type": "mine"}', '{"type": 3}', "null"])
def test_a_line_that_is_no_event_is_none(line):
    assert event_in(line) is None


def rollout(number, kind="sample", error=None, verdict=1.0):
    calls = [Call(np.array([0.5, np.nan, 1.0]), model="m", started=10.0, ended=11.0), Call(np.array([]), tokens=4)]
    return StoredRollout(
        key=Key("t", kind, number),
        seed=1,
        sampling={},
        trajectory=Trajectory(calls),
        final_action=None,
        verdict=0.0 if error else verdict,
        error=error,
        started=10.0,
        seconds=2.5,
        usage={"generated_tokens": 7},
    )


def test_a_stored_rollout_is_told_as_if_it_ran():
    board = Board()
    for event in events_of(rollout(3)):
        assert board.hear(event)
        assert json.dumps(event)
    (row,) = board.rows()
    assert (row.label, row.state, row.calls, row.tokens, row.seconds, row.verdict) == ("t #3", "ended", 2, 7, 2.5, 1.0)
    assert [point.entropy for point in row.points] == [0.5, None, 1.0, *[None] * 4]
    for event in events_of(rollout(0, "greedy", "ValueError: no")):
        assert board.hear(event)
    assert [(row.label, row.state) for row in board.rows()] == [("t #3", "ended"), ("t greedy", "failed")]
    assert label_of(Key("t", "greedy", 0)) == "t greedy"


def test_a_trace_file_is_followed_until_every_rollout_is_there(tmp_path):
    path = tmp_path / "run.db"
    board = Board()
    with TraceStore(path, create=True) as store:
        events = stored_events(path, follow=True)

        def hear_on():
            for event in events:
                if event is None:
                    return
                assert board.hear(event)

        hear_on()
        assert board.tally().total == 0
        store.begin({"n": 2, "greedy": True}, {"t": "mark"})
        store.add(rollout(0))
        hear_on()
        tally = board.tally()
        assert (tally.ended, tally.total, [row.label for row in board.rows()]) == (1, 3, ["t #0"])
        store.add(rollout(1, error="down"))
        store.add(rollout(0, "greedy"))
        hear_on()
        assert next(events, "over") == "over"
    tally = board.tally()
    assert (tally.ended, tally.failed, tally.tokens) == (3, 1, 21)
    assert sum(event["type"].endswith("finished") for event in stored_events(path, follow=False)) == 3


def test_recorded_selections_are_not_waited_for(tmp_path):
    model = ScriptedChatModel([[Reply("x", entropies=[0.1, 2.0])]])
    result = best_of_n(lambda state: {"answer": model.invoke("?").text}, n=1).run({"question": "?"})
    with TraceStore(tmp_path / "a.db", create=True) as store:
        store.record(result)
    with pytest.raises(TraceError, match=r"holds recorded selections, .*traces ls"):
        next(stored_events(tmp_path / "a.db", follow=True))


def test_a_trace_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(TraceError, match="there is no file"):
        next(stored_events(tmp_path / "none.db", follow=False))
