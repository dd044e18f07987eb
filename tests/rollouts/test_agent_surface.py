"""``best_of_n`` used as an agent: batch, stream, run, threads; every sync way in has its async twin."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor

import kit
import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from typing_extensions import TypedDict

from ec_agent import BestOfN, BestOfNResult, Selection, best_of_n
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)  # rollout 1 wins


def node(n=3, **options):
    return best_of_n(kit.chat(kit.say(*PEAKS)), n=n, **options)


@pytest.mark.parametrize("name", ["invoke", "stream", "batch", "run", "batch_as_completed"])
def test_every_sync_way_in_has_an_async_twin(name):
    twins = getattr(BestOfN, name), getattr(BestOfN, f"a{name}")
    assert not inspect.iscoroutinefunction(twins[0])
    assert inspect.iscoroutinefunction(twins[1]) or inspect.isasyncgenfunction(twins[1])
    assert list(inspect.signature(twins[0]).parameters) == list(inspect.signature(twins[1]).parameters)


def test_every_method_of_ours_has_a_twin():
    public = [name for name, value in vars(BestOfN).items() if inspect.isfunction(value) and name[0] != "_"]
    waits = [name for name in public if name not in ("as_agent",)]
    sync = {name for name in waits if not inspect.iscoroutinefunction(vars(BestOfN)[name])}
    sync -= {name for name in waits if inspect.isasyncgenfunction(vars(BestOfN)[name])}
    assert {f"a{name}" for name in sync} == set(waits) - sync


def test_batch(run):
    done = run.batch(node(), [{"messages": "a"}, {"messages": "b"}, {"messages": "c"}])
    assert [d["messages"][0].content for d in done] == ["a", "b", "c"]
    assert all(kit.answers(d["messages"]) == ["answer 1"] for d in done)


def test_batch_returns_exceptions(run):
    def picky(state):
        if state["plain"] == "bad":
            raise LookupError("bad")
        return {"plain": kit.say(3).invoke("?").content}

    agent = best_of_n(picky, n=1)
    good, bad = run.batch(agent, [{"plain": "a"}, {"plain": "bad"}], return_exceptions=True)
    assert good == {"plain": "answer 0"}
    assert "LookupError: bad" in str(bad)


def test_run_keeps_output_receipt_and_trajectories(run):
    result = run.run(node(), {"messages": "go"})
    assert isinstance(result, BestOfNResult)
    assert isinstance(result.selection, Selection)
    assert result.selection.winner == 1
    assert [t.centroid() for t in result.trajectories] == [kit.centroid(at) for at in PEAKS]
    assert [action.content for action in result.final_actions] == ["answer 0", "answer 1", "answer 2"]
    assert kit.answers(result.output["messages"]) == ["answer 1"]


def test_run_reports_events_to_a_function(run):
    events = []
    run.run(node(n=2), {"messages": "go"}, on_event=events.append)
    kinds = [event["type"] for event in events]
    begun = [f"ec_agent.rollout.{each}" for each in ("call", "call", "finished", "started") for _ in range(2)]
    assert sorted(kinds[:8]) == begun
    assert kinds[8:] == ["ec_agent.rollout.scored"] * 2 + ["ec_agent.selection"]


def test_concurrent_runs_keep_their_results_apart(run):
    agent = node()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda i: run.run(agent, {"messages": str(i)}), range(6)))
    assert [r.output["messages"][0].content for r in results] == [str(i) for i in range(6)]


def test_stream_values(run):
    states = run.stream(node(), {"messages": "go"}, stream_mode="values")
    assert [kit.answers(state["messages"]) for state in states] == [[], ["answer 1"]]


def test_stream_default_is_a_graphs_default(run):
    agent = kit.chat(kit.say(3))
    assert [type(p) for p in run.stream(agent, {"messages": "go"})] == [dict]
    parts = run.stream(best_of_n(agent, n=1), {"messages": "go"})
    assert all(isinstance(part, dict) for part in parts)


def test_stream_updates_show_the_winners_writes(run):
    updates = run.stream(node(), {"messages": "go"}, stream_mode="updates")
    assert len(updates) == 1
    (update,) = updates
    assert list(update) == ["best_of_n"]
    assert kit.answers(update["best_of_n"]["messages"]) == ["answer 1"]


def test_stream_custom_and_messages_together(run):
    parts = run.stream(node(), {"messages": "go"}, stream_mode=["custom", "messages"])
    assert {mode for mode, _ in parts} == {"custom", "messages"}
    assert [m.content for mode, (m, _) in [p for p in parts if p[0] == "messages"]] == ["answer 1"]


def remembering(saver):
    """An agent with a checkpointer; it says how many messages it sees."""
    model = ScriptedChatModel(
        lambda messages, index: Reply(f"rollout {index} sees {len(messages)}", entropies=kit.peak(PEAKS[index]))
    )
    return kit.chat(model, checkpointer=saver)


THREAD = {"configurable": {"thread_id": "t"}}


def test_on_a_thread_only_the_winner_is_appended(run):
    agent = remembering(InMemorySaver())
    whole = best_of_n(agent, n=3)
    run.invoke(whole, {"messages": "one"}, THREAD)
    done = run.invoke(whole, {"messages": "two"}, THREAD)
    said = ["one", "rollout 1 sees 1", "two", "rollout 1 sees 3"]
    assert [m.content for m in done["messages"]] == said
    assert [m.content for m in agent.get_state(THREAD).values["messages"]] == said
    assert agent.get_state(THREAD).next == ()


def test_the_agent_alone_can_continue_the_thread(run):
    agent = remembering(InMemorySaver())
    whole = best_of_n(agent, n=3)
    run.invoke(agent, {"messages": "one"}, THREAD)
    run.invoke(whole, {"messages": "two"}, THREAD)
    done = run.invoke(agent, {"messages": "three"}, THREAD)
    assert [m.content for m in done["messages"][1::2]] == [
        "rollout 0 sees 1",
        "rollout 1 sees 3",
        "rollout 0 sees 5",
    ]


def test_the_saver_holds_no_loser_and_no_rollout_thread(run):
    saver = InMemorySaver()
    run.invoke(best_of_n(remembering(saver), n=3), {"messages": "one"}, THREAD)
    assert set(saver.storage) == {"t"}
    history = list(best_of_n(remembering(saver), n=3).as_agent().get_state_history(THREAD))
    assert "rollout 0" not in str([s.values for s in history])


def test_a_checkpointer_without_a_thread_id_is_refused(run):
    agent = remembering(InMemorySaver())
    with pytest.raises(ValueError, match="thread_id"):
        run.invoke(agent, {"messages": "one"})
    with pytest.raises(ValueError, match="thread_id"):
        run.invoke(best_of_n(agent, n=1), {"messages": "one"})


def test_inside_a_graph_the_agents_checkpointer_is_unused(run):
    saver = InMemorySaver()
    graph = kit.outer(best_of_n(remembering(saver), n=3))
    run.invoke(graph, {"messages": [HumanMessage("one")]}, THREAD)
    run.invoke(kit.outer(best_of_n(remembering(saver), n=3)), {"messages": "one"})
    assert not saver.storage


def test_state_of_a_thread_can_be_read_and_updated():
    agent = best_of_n(remembering(InMemorySaver()), n=3).as_agent()
    agent.invoke({"messages": "one"}, THREAD)
    agent.update_state(THREAD, {"messages": [HumanMessage("edit")]})
    assert agent.get_state(THREAD).values["messages"][-1].content == "edit"


def test_the_context_sets_n_for_one_run(run):
    result = run.run(best_of_n(kit.chat(kit.say(*PEAKS)), n=1), {"messages": "go"}, context={"n": 2})
    assert len(result.trajectories) == 2


def test_a_graph_option_reaches_the_run(run):
    done = run.invoke(node(), {"messages": "go"}, output_keys=["messages"])
    assert set(done) == {"messages"}


def test_a_state_schema_with_more_keys_is_returned_whole(run):
    class More(MessagesState):
        extra: str

    model = kit.say(3)
    agent = kit.graph(More, one=lambda s: {"messages": [model.invoke("?")]})
    done = run.invoke(best_of_n(agent, n=1), {"messages": "go", "extra": "kept"})
    assert done["extra"] == "kept"


class Asked(TypedDict):
    plain: str


def test_a_second_turn_sees_hidden_state(run):
    """A memory of the agent's own, neither input nor output: the agent alone keeps it on its thread."""

    def one(state: kit.Items):
        kit.say(*PEAKS).invoke("?")
        return {"items": [f"turn {len(state.get('items') or [])}"], "plain": str(len(state.get("items") or []))}

    schemas = {"input_schema": Asked, "output_schema": Asked}
    agent = kit.graph(kit.Items, one=one, schemas=schemas, checkpointer=InMemorySaver())
    for use in (agent, best_of_n(agent, n=1)):
        thread = {"configurable": {"thread_id": type(use).__name__}}
        assert [run.invoke(use, {"plain": "?"}, thread)["plain"] for _ in range(3)] == ["0", "1", "2"]
