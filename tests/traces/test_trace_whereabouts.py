"""A trace file that is deleted, moved or replaced under whoever writes it."""

from __future__ import annotations

import pytest
from stored_rollouts import SETTINGS, TASKS, rollout

from ec_agent.errors import TraceError
from ec_agent.traces.sql.store import TraceStore
from ec_agent.traces.stored import Key

GONE = "was deleted, moved or replaced while it was being written"


def begun(path):
    store = TraceStore(path, create=True)
    store.begin(SETTINGS, TASKS)
    return store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


def replace(path):
    path.unlink()
    begun(path).close()


@pytest.mark.parametrize("what", [lambda path: path.unlink(), replace], ids=["deleted", "replaced"])
def test_writing_to_a_lost_file_raises(path, what):
    with begun(path) as store:
        assert store.add(rollout())
        what(path)
        with pytest.raises(TraceError, match=GONE):
            store.add(rollout(number=1))
        with pytest.raises(TraceError, match=GONE):
            store.see_in_place()


def test_a_file_that_was_put_back_goes_on(path):
    with begun(path) as store:
        path.rename(path.with_name("elsewhere.db"))
        with pytest.raises(TraceError, match="move it back"):
            store.add(rollout())
        path.with_name("elsewhere.db").rename(path)
        assert store.add(rollout(number=1))
    with TraceStore(path) as store:
        assert store.keys() == {Key("a", "sample", 1)}


def test_a_file_that_another_has_open_is_not_deleted(path):
    with begun(path) as writing:
        with pytest.raises(TraceError, match=r"cannot be deleted .*; end other processes that use it"):
            TraceStore(path).delete()
        assert writing.add(rollout())
    TraceStore(path).delete()
    assert list(path.parent.iterdir()) == []
