"""Questions on a Ray cluster of this machine. What needs no cluster is in ``tests/rollouts/test_on_workers.py``."""

from __future__ import annotations

from pathlib import Path

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import Limits, best_of_n
from ec_agent.engines import RayEngine
from ec_agent.numbers.call_fields import pack_calls

ROLLOUTS = Path(__file__).parents[1] / "rollouts"


def timelines(result):
    calls = [pack_calls(trajectory) for trajectory in result.trajectories]
    return [[{**call, "started": None, "ended": None} for call in each] for each in calls]


def test_two_rollouts_overlap_on_one_worker_and_give_what_they_give_here(ray_cluster, monkeypatch):
    monkeypatch.syspath_prepend(ROLLOUTS)
    events = []
    engine = RayEngine(address=ray_cluster, workers=1, per_worker=2)
    node = best_of_n("worker_agents:meeting", n=2, engine=engine, limits=Limits(timeout=60))
    try:
        there = node.run({"messages": "go"}, on_event=events.append)
    finally:
        node.close()
    here = best_of_n("worker_agents:plain", n=2).run({"messages": "go"})
    assert [candidate.error for candidate in there.selection.candidates] == [None, None]
    assert there.selection.winner == here.selection.winner == 1
    assert timelines(there) == timelines(here)
    kinds = [event["type"].removeprefix("ec_agent.") for event in events]
    assert kinds.count("rollout.started") == kinds.count("rollout.finished") == 2
    assert kinds[-1] == "selection"


def test_what_the_winner_does_is_done_here_and_once(ray_cluster, monkeypatch):
    """The agent's post office counts what was sent in its own process: workers have other ones."""
    monkeypatch.syspath_prepend(ROLLOUTS)
    import worker_agents

    post = worker_agents.post
    post.sent.clear()
    engine = RayEngine(address=ray_cluster, workers=1, per_worker=4)
    commits = {"commit": ["send", "pay"], "on_commit": "execute", "continue_after_commit": True}
    node = best_of_n("worker_agents:posting", n=3, engine=engine, **commits)
    try:
        graph = StateGraph(MessagesState).add_node("solve", node).add_edge(START, "solve").compile(InMemorySaver())
        done = graph.invoke({"messages": "go"}, {"configurable": {"thread_id": "t"}})
    finally:
        node.close()
    assert [message.content for message in done["messages"]] == ["go", "", "sent by 0", "", "sent 1", "answer 2"]
    assert post.sent == [("by 0", 0), (1, 1)]
