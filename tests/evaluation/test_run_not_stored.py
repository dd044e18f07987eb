"""An evaluation whose file takes no more: nothing that was paid for is lost in silence, and the run can go on."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter

import pytest
from eval_fakes import Calls, agent_of, rollouts, tasks
from langchain_core.messages import AIMessage

from ec_agent import EvaluationError, NotStoredError, TraceError, TraceStore
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import aevaluate, evaluate
from ec_agent.testing import Reply, ScriptedChatModel

SETTINGS = RunSettings(n=4, seed=1, concurrency=3)
TOTAL = 2 * (4 + 1)


@pytest.fixture(params=["evaluate", "aevaluate"])
def run(request):
    def run(*args, **options):
        if request.param == "evaluate":
            return evaluate(*args, **options)
        return asyncio.run(aevaluate(*args, **options))

    return run


class Disk:
    """Fails every write of a rollout from the given one on, for so many times."""

    def __init__(self, patch, *, after, times, error):
        self.left, self.after, self.error = times, after, error
        self.asked = 0
        real = sqlite3.connect
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, statement, *args):
                if statement.startswith("INSERT INTO rollouts"):
                    disk.asked += 1
                    if disk.asked > disk.after and disk.left > 0:
                        disk.left -= 1
                        raise disk.error
                return super().execute(statement, *args)

        patch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, **{**k, "factory": Connection}))


ERRORS = {
    "full": sqlite3.OperationalError("database or disk is full"),
    "locked": sqlite3.OperationalError("database is locked"),
    "malformed": sqlite3.DatabaseError("database disk image is malformed"),
    "too big": sqlite3.DataError("string or blob too big"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_finished_rollouts_that_cannot_be_stored_are_in_the_error(run, path, monkeypatch, what):
    calls = Calls()
    with monkeypatch.context() as patch:
        Disk(patch, after=3, times=1000, error=ERRORS[what])
        with pytest.raises(NotStoredError, match=str(ERRORS[what])) as caught:
            run(tasks(2), agent_of(calls), path, SETTINGS)
    assert isinstance(caught.value, EvaluationError)
    assert isinstance(caught.value, TraceError)
    unstored = caught.value.rollouts
    begun = Counter(calls.seeds)
    with TraceStore(path) as store:
        assert store._database.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = store.keys()
        assert len(stored) == 3
        # Whatever was begun came to its end, and is in the file or in the error.
        assert len(stored) + len(unstored) == len(begun)
        assert stored.isdisjoint(each.key for each in unstored)
        assert 1 <= len(unstored) <= SETTINGS.concurrency
        for each in unstored:
            assert repr(each.key.task) in str(caught.value)
            assert str(each.key) in str(caught.value)
            assert store.add(each)
    done = run(tasks(2), agent_of(calls), path, SETTINGS)
    assert (done.stored, done.finished) == (TOTAL, True)
    once = {each.seed for each in [*rollouts(path), *rollouts(path, "greedy")]}
    assert {seed: Counter(calls.seeds)[seed] for seed in begun} == dict(begun)  # none was run again
    assert once >= set(begun)


def test_not_added_they_are_run_again(run, path, monkeypatch):
    with monkeypatch.context() as patch:
        Disk(patch, after=3, times=1000, error=ERRORS["full"])
        with pytest.raises(NotStoredError, match="the same call goes on from there"):
            run(tasks(2), agent_of(Calls()), path, SETTINGS)
    assert run(tasks(2), agent_of(Calls()), path, SETTINGS).finished
    assert len(rollouts(path)) == 8


def test_what_can_be_stored_in_the_end_is(run, path, monkeypatch):
    with monkeypatch.context() as patch:
        Disk(patch, after=3, times=1, error=ERRORS["locked"])
        with pytest.raises(NotStoredError, match="database is locked") as caught:
            run(tasks(2), agent_of(Calls(0.01)), path, SETTINGS)
    assert caught.value.rollouts == ()
    with TraceStore(path) as store:
        assert 4 <= len(store.keys()) < TOTAL
    assert run(tasks(2), agent_of(Calls()), path, SETTINGS).finished


def test_a_disk_that_is_full_before_anything_is_paid_for(run, path, monkeypatch):
    calls = Calls()

    class Connection(sqlite3.Connection):
        def execute(self, statement, *args):
            if statement.startswith("CREATE"):
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(statement, *args)

    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: Connection(*a, **k))
    with pytest.raises(TraceError, match="full"):
        run(tasks(1), agent_of(calls), path, SETTINGS)
    assert calls.seeds == []


def test_a_file_that_another_process_holds_for_a_while_is_waited_for(run, path):
    def told(progress):
        if progress.stored == 2:
            other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            other.execute("BEGIN IMMEDIATE")
            threading.Timer(0.3, lambda: (other.execute("ROLLBACK"), other.close())).start()

    assert run(tasks(2), agent_of(Calls()), path, SETTINGS, on_progress=told).finished


HALF = "x\ud83dy"


@pytest.mark.parametrize("where", ["model", "answer", "error", "state", "artifact"])
def test_half_a_character_from_a_server_costs_no_rollout(run, path, where):
    name, said = (HALF if where == each else "m" for each in ("model", "answer"))
    model = ScriptedChatModel(lambda messages, index: Reply(said, entropies=[1.0, 0.1]), model_name=name)

    def agent(state):
        answer = model.invoke(state["messages"])
        if where == "error":
            raise ValueError(HALF)
        more = {"state": {"odd": {HALF: 2**80}}, "artifact": {"odd": object()}}.get(where, {})
        return {"messages": [AIMessage(answer.content, additional_kwargs=more)]}

    done = run(tasks(1), agent, path, SETTINGS)
    assert done.finished
    kept = rollouts(path)
    assert len(kept) == 4
    if where == "model":
        assert {call.model for each in kept for call in each.trajectory.calls} == {"x\\ud83dy"}
    if where == "error":
        assert all("x\\ud83dy" in each.error for each in kept)
