"""Spans of rollouts on workers: what is told of them in this process, with the times at which it happened there."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import pytest
from clerks import ASKED, clerk, peak, searching
from fake_cluster import FakeEngine

from ec_agent import best_of_n
from ec_agent.engines import ray_pool, ray_worker
from ec_agent.engines.ray_worker import Worker
from ec_agent.testing import Reply

WAIT = 0.3  # seconds that a call of rollout 0 takes


@pytest.fixture
def place(monkeypatch):
    """Where workers find the agent. Rollout 0 looks something up, and all is told when it has ended."""
    monkeypatch.setattr(ray_worker, "_IDLE", 0.05)
    monkeypatch.setattr(ray_pool, "_LIVE", 60.0)
    monkeypatch.setattr(Worker, "_settle_in", lambda self: None)
    module = types.ModuleType("my_clerks")
    slow = [replace(reply, delay=WAIT) for reply in searching(5)]
    module.agent = clerk(slow, [Reply("early", entropies=peak(1))])
    monkeypatch.setitem(sys.modules, "my_clerks", module)
    return "my_clerks:agent"


def seen(tree, index):
    """The spans of a rollout, without ids."""
    spans = [tree.rollout(index), *tree.under(tree.rollout(index))]
    return [(span.name, {key: value for key, value in span.attributes.items() if "id" not in key}) for span in spans]


def test_they_are_those_of_rollouts_here(spans, run, place):
    node = best_of_n(place, n=2, engine=FakeEngine(workers=1))
    try:
        there = run(node)
    finally:
        node.close()
    tree = spans()
    question = tree.one("best_of_n clerk")
    assert tree.names_under(question) == ["invoke_agent clerk", "invoke_agent clerk", "ec_agent.select"]
    assert tree.names_under(tree.rollout(0)) == ["chat scripted", "execute_tool look", "chat scripted"]
    assert len({span.context.trace_id for span in tree.spans if span.name != "database"}) == 1
    called = [call.started for call in there.trajectories[0].calls]
    traced = [span.start_time / 1e9 for span in tree.under(tree.rollout(0)) if span.name == "chat scripted"]
    assert [abs(one - other) < WAIT for one, other in zip(called, traced, strict=True)] == [True, True]
    assert all(question.start_time <= s.start_time <= s.end_time <= question.end_time for s in tree.spans)


def test_their_attributes_are_those_of_rollouts_here(provider, spans, run, place):
    node = best_of_n(place, n=2, engine=FakeEngine(workers=1))
    run(node, ASKED)
    node.close()
    there = [seen(spans(), index) for index in (0, 1)]
    provider[1].clear()
    run(best_of_n(place, n=2), ASKED)
    here = [seen(spans(), index) for index in (0, 1)]
    assert there == here
