"""No rollout sees another, and only the winner is seen at all."""

from __future__ import annotations

import operator
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any

import kit
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict

from ec_agent import IsolationWarning, best_of_n

PEAKS = (15, 3, 9)  # rollout 1 wins
SAME = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")


def ask():
    kit.say(*PEAKS).invoke("?")
    return kit.rollout_index()


class Deep(TypedDict):
    items: list[Any]
    nested: dict[str, Any]
    messages: list[Any]


def test_a_rollouts_changes_to_its_input_stay_there(run):
    seen = []

    def vandal(state):
        index = ask()
        seen.append((len(state["items"]), len(state["nested"]["a"]), state["messages"][0].content))
        state["items"].append(index)
        state["nested"]["a"].append(index)
        state["nested"][index] = index
        state["messages"][0].content = f"vandalised by {index}"
        state["messages"].append(AIMessage("more"))
        return {"items": [index]}

    given = {"items": [0], "nested": {"a": [1]}, "messages": [HumanMessage("go", id="g")]}
    for agent in (vandal, kit.graph(Deep, one=vandal)):
        seen.clear()
        done = run.invoke(kit.outer(best_of_n(agent, n=3), Deep), given)
        assert seen == [(1, 1, "go")] * 3
        assert done["items"] == [1]
        assert done["nested"] == {"a": [1]}
        assert [m.content for m in done["messages"]] == ["go"]
    assert given == {"items": [0], "nested": {"a": [1]}, "messages": [HumanMessage("go", id="g")]}


VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


def test_context_variables_set_in_a_rollout_stay_there(run):
    seen = []

    def setter(state):
        seen.append(VARIABLE.get())
        VARIABLE.set(f"rollout {ask()}")
        return {"plain": kit.rollout_index()}

    done = run.invoke(kit.outer(best_of_n(kit.graph(kit.Items, one=setter), n=3), kit.Items), {"items": []})
    assert seen == ["unset"] * 3
    assert VARIABLE.get() == "unset"
    assert done["plain"] == 1


def test_the_ambient_context_variables_reach_the_rollouts(run):
    seen = []
    token = VARIABLE.set("outer")
    try:
        agent = kit.graph(kit.Items, one=lambda s: {"plain": [seen.append(VARIABLE.get()), ask()]})
        run.invoke(kit.outer(best_of_n(agent, n=2), kit.Items), {"items": []})
    finally:
        VARIABLE.reset(token)
    assert seen == ["outer", "outer"]


def test_only_the_winner_writes_to_the_store(run):
    store = InMemoryStore()

    def writer(state, *, store):
        store.put(("seen",), str(ask()), {"v": 1})
        return {"plain": kit.rollout_index()}

    graph = kit.outer(best_of_n(kit.graph(kit.Items, one=writer), n=3), kit.Items, store=store)
    run.invoke(graph, {"items": []})
    assert {item.key for item in store.search(("seen",))} == {"1"}


@SAME
def test_the_agents_own_store_is_the_fallback(run):
    store = InMemoryStore()
    store.put(("a",), "k", {"v": "own"})

    def reader(state, *, store):
        ask()
        return {"plain": store.get(("a",), "k").value["v"]}

    agent = kit.graph(kit.Items, one=reader, store=store)
    assert run.invoke(kit.outer(best_of_n(agent, n=2), kit.Items), {"items": []})["plain"] == "own"


@SAME
def test_two_outer_graphs_with_their_stores_share_one_node(run):
    def reader(state, *, store):
        ask()
        return {"plain": store.get(("a",), "k").value["v"]}

    node = best_of_n(kit.graph(kit.Items, one=reader), n=2)
    stores = [InMemoryStore() for _ in range(3)]
    for place, store in enumerate(stores):
        store.put(("a",), "k", {"v": place})
    graphs = [kit.outer(node, kit.Items, store=store) for store in stores]
    seen: list[Any] = [None] * 12

    def use(place):
        seen[place] = run.invoke(graphs[place % 3], {"items": []})["plain"]

    threads = [threading.Thread(target=use, args=(place,)) for place in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [0, 1, 2] * 4


@SAME
@pytest.mark.parametrize("outer_saver", [None, InMemorySaver], ids=["no saver", "saver"])
def test_a_remembering_subgraph_stays_in_its_rollout(run, outer_saver):
    """``checkpointer=True`` keeps a subgraph's state across its calls: its own rollout's, no other's. With a
    checkpointer around, as alone, the next turn goes on from there."""

    class Memory(TypedDict):
        visits: Annotated[int, operator.add]
        items: list[Any]

    def visit(state):
        return {"visits": 1, "items": [state["visits"]]}

    builder = StateGraph(kit.Items)
    builder.add_node("ask", lambda s: ask() and None)
    builder.add_node("inner", kit.graph(Memory, visit=visit, checkpointer=True))
    builder.add_edge(START, "inner")
    builder.add_edge("inner", "ask")
    builder.add_conditional_edges("ask", lambda s: END if len(s["items"]) % 3 == 0 else "inner", ["inner", END])
    node = best_of_n(builder.compile(), n=3)
    graph = kit.outer(node, kit.Items, checkpointer=outer_saver and outer_saver())
    for turn in range(2):
        done = run.invoke(graph, {"items": []}, {"configurable": {"thread_id": "t"}})
        assert done["items"] == list(range(3 * (turn + 1) if outer_saver else 3))


@SAME
@pytest.mark.parametrize("checkpointer", [True, False, "own"])
@pytest.mark.parametrize("outer_saver", [None, InMemorySaver], ids=["no saver", "saver"])
def test_with_any_checkpointer_rollouts_start_as_alone(run, checkpointer, outer_saver):
    own = InMemorySaver()
    seen = []

    def one(state):
        ask()
        seen.append(list(state["items"]))
        return {"items": ["x"]}

    agent = kit.graph(kit.Items, one=one, checkpointer=own if checkpointer == "own" else checkpointer)
    graph = kit.outer(best_of_n(agent, n=3), kit.Items, checkpointer=outer_saver and outer_saver())
    for _ in range(2):
        run.invoke(graph, {"items": ["in"]}, {"configurable": {"thread_id": "t"}})
    second = ["in", "x", "in"] if outer_saver else ["in"]
    if outer_saver and checkpointer is True:  # it remembers the turn, and the graph around tells it of the turn again
        second = ["in", "x", *second]
    assert seen == [["in"]] * 3 + [second] * 3
    assert not own.storage


def test_thread_ids_are_the_rollouts_own(run):
    seen = []

    def one(state):
        ask()
        seen.append(get_config()["configurable"])
        return {"plain": kit.rollout_index()}

    config = {"configurable": {"thread_id": "t", "tenant": "x"}}
    graph = kit.outer(best_of_n(kit.graph(kit.Items, one=one), n=3), kit.Items, checkpointer=InMemorySaver())
    for _ in range(2):
        run.invoke(graph, {"items": []}, config)
    threads = [c["thread_id"] for c in seen]
    assert len(set(threads)) == 6
    assert all(thread.startswith("t/") for thread in threads)
    assert all(c["tenant"] == "x" for c in seen)


def test_no_bookkeeping_of_the_outer_run_reaches_the_agent(run):
    """A rollout is a root run: its keys are its own, the outer run's are out of reach."""
    outside, inside = [], []

    def one(state):
        ask()
        inside.append(get_config()["configurable"])
        return {"plain": kit.rollout_index()}

    builder = StateGraph(kit.Items)
    node = best_of_n(kit.graph(kit.Items, one=one), n=2)

    def solve(state):
        outside.append(get_config()["configurable"])
        return node.invoke(state)

    builder.add_node("solve", solve)
    builder.add_edge(START, "solve")
    saver = InMemorySaver()
    builder.compile(checkpointer=saver).invoke({"items": []}, {"configurable": {"thread_id": "t"}})
    for conf in inside:
        assert conf["checkpoint_ns"].startswith("one:")
        assert conf["__pregel_task_id"] != outside[0]["__pregel_task_id"]
        assert conf.get("__pregel_checkpointer") is not saver
        assert "solve" not in str(conf["checkpoint_map"])


@dataclass
class Context:
    user: str


@SAME
@pytest.mark.parametrize("given", [Context("ann"), {"user": "ann"}])
def test_the_context_reaches_the_agent(run, given):
    def one(state, runtime: Runtime[Context]):
        ask()
        return {"plain": runtime.context.user}

    builder = StateGraph(kit.Items, context_schema=Context)
    builder.add_node("one", one)
    builder.add_edge(START, "one")
    node = best_of_n(builder.compile(), n=2)
    outer = StateGraph(kit.Items, context_schema=Context)
    outer.add_node("solve", node)
    outer.add_edge(START, "solve")
    assert run.invoke(outer.compile(), {"items": []}, context=given)["plain"] == "ann"
    assert run.invoke(node, {"items": []}, context=given)["plain"] == "ann"


@SAME
def test_tags_and_metadata_reach_the_agent(run):
    seen = []

    def one(state):
        ask()
        seen.append(get_config())
        return {"plain": 1}

    config = {"tags": ["mine"], "metadata": {"job": 7}}
    run.invoke(kit.outer(best_of_n(kit.graph(kit.Items, one=one), n=2), kit.Items), {"items": []}, config)
    assert all("mine" in c["tags"] and c["metadata"]["job"] == 7 for c in seen)
    assert sorted(c["metadata"]["ec_rollout"] for c in seen) == [0, 1]
    assert {c["metadata"]["langgraph_node"] for c in seen} == {"one"}


class Locked(TypedDict):
    items: list[Any]
    lock: Any


class OtherLocked(Locked):
    unknown: Any


def test_an_uncopyable_value_is_shared_with_a_warning(run):
    def one(state):
        with state["lock"]:
            state["items"].append(ask())
        return {"items": state["items"]}

    lock = threading.Lock()
    for agent in (one, kit.graph(Locked, one=one)):
        with pytest.warns(IsolationWarning, match=r"\['lock'\] cannot be copied"):
            done = run.invoke(kit.outer(best_of_n(agent, n=3), Locked), {"items": ["in"], "lock": lock})
        assert done["items"] == ["in", 1]
        assert done["lock"] is lock


def test_keys_unknown_to_the_agent_are_not_copied(run):
    agent = kit.graph(kit.Items, one=lambda s: {"items": [ask()]})
    given = {"items": [], "lock": threading.Lock(), "unknown": 1}
    assert run.invoke(kit.outer(best_of_n(agent, n=2), OtherLocked), given)["items"] == [1]


@dataclass
class LockedData:
    items: list[Any]
    lock: Any = None


def test_in_an_object_only_uncopyable_fields_are_shared(run):
    seen = []

    def one(state):
        seen.append(list(state.items))
        state.items.append(ask())
        return {"items": ["x", kit.rollout_index()]}

    given = {"items": ["in"], "lock": threading.Lock()}
    with pytest.warns(IsolationWarning, match="'lock'"):
        run.invoke(kit.outer(best_of_n(kit.graph(LockedData, one=one), n=3), LockedData), given)
    assert seen == [["in"]] * 3


@SAME
def test_a_models_own_state_is_untouched_outside(run):
    messages = [HumanMessage("go", id="g", additional_kwargs={"a": [1]})]
    model = kit.say(3)

    def one(state):
        state["messages"][0].additional_kwargs["a"].append(2)
        return {"messages": [model.invoke("?")]}

    done = run.invoke(kit.outer(best_of_n(kit.graph(MessagesState, one=one), n=2)), {"messages": messages})
    assert messages[0].additional_kwargs == {"a": [1]}
    assert done["messages"][0].additional_kwargs == {"a": [1]}
