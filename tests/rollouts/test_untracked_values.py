"""What is declared ``UntrackedValue`` reaches no checkpoint, whatever a rollout does with it."""

from __future__ import annotations

import operator
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

import kit
import pytest
from kit import SAME, THREAD
from langchain_core.tools import tool
from langgraph.channels import UntrackedValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

from ec_agent import best_of_n

pytestmark = SAME

SECRET = "session-key-17"


class State(MessagesState):
    handle: Annotated[Any, UntrackedValue(object)]
    log: Annotated[list[Any], operator.add]


class Watched(InMemorySaver):
    """Notes everything that anybody puts into it, deleted or not."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def put(self, config, checkpoint, metadata, new_versions):
        self.seen.append(repr((checkpoint, metadata)))
        return super().put(config, checkpoint, metadata, new_versions)

    def put_writes(self, config, writes, task_id, task_path=""):
        self.seen.append(repr(writes))
        return super().put_writes(config, writes, task_id, task_path)

    def secrets(self):
        return [each for each in self.seen if SECRET in each]


@dataclass(eq=False)
class Lock:
    """A handle that can neither be serialised nor copied."""

    name: str = SECRET

    def __post_init__(self):
        self.lock = threading.Lock()


MODEL = kit.say(3)


def opening(handle):
    """A node that asks the model and opens the handle."""
    return lambda state: {"messages": [MODEL.invoke("?")], "handle": handle, "log": ["opened"]}


def using(state):
    return {"log": [f"used {type(state.get('handle')).__name__}"]}


def asking(state):
    return {"log": [interrupt("may I?")]}


def answered(run, graph, state=None):
    state = state or {"messages": [("user", "go")]}
    done = run.invoke(graph, state, THREAD)
    while "__interrupt__" in done:
        done = run.invoke(graph, Command(resume={each.id: "yes" for each in done["__interrupt__"]}), THREAD)
    return {**done, "messages": kit.gist(done["messages"])}


def chain(handle):
    return kit.graph(State, open=opening(handle), use=using)


def asks_after(handle):
    return kit.graph(State, open=opening(handle), ask=asking, use=using)


def asks_beside(handle):
    builder = StateGraph(State)
    builder.add_node("say", lambda s: {"messages": [MODEL.invoke("?")]})
    builder.add_edge(START, "say")
    for name, node in (("ask", asking), ("open", lambda s: {"handle": handle, "log": ["opened"]})):
        builder.add_node(name, node)
        builder.add_edge("say", name)
    builder.add_node("use", using)
    builder.add_edge(["ask", "open"], "use")
    return builder.compile()


def asks_within(handle):
    def carry(state):
        return {"handle": handle}

    inner = kit.graph(State, carry=carry, beside=asks_beside(handle))
    return kit.graph(State, open=opening(handle), inner=inner, use=using)


def sends(handle):
    builder = StateGraph(State)
    builder.add_node("open", opening(handle))
    builder.add_node("work", lambda s: {"log": [f"work {type(s.get('handle')).__name__} {interrupt('?')}"]})
    builder.add_edge(START, "open")
    packets = [Send("work", {"handle": handle}), Send("work", {"handle": handle})]
    builder.add_conditional_edges("open", lambda s: packets, ["work"])
    return builder.compile()


def answers_nothing_else(handle):
    """The only thing written is the handle, so that it is what the rollout did."""
    return kit.graph(State, open=lambda s: MODEL.invoke("?") and {"handle": handle})


def hands_over(handle):
    def hand(state):
        MODEL.invoke("?")
        go = Send("after", {"handle": handle, "log": []})
        return Command(graph=Command.PARENT, update={"handle": handle, "log": ["handed"]}, goto=go)

    return kit.graph(State, hand=hand)


def function(handle):
    return kit.spoken(lambda index: {"handle": handle, "log": ["f"]})


AGENTS = [chain, asks_after, asks_beside, asks_within, sends, answers_nothing_else]


def around(node, saver):
    builder = StateGraph(State)
    builder.add_node("solve", node)
    builder.add_node("after", using)
    builder.add_edge(START, "solve")
    builder.add_edge("solve", "after")
    return builder.compile(checkpointer=saver)


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.__name__)
@pytest.mark.parametrize("handle", [SECRET, Lock()], ids=["secret", "lock"])
def test_untracked_values_arrive_but_are_not_stored(run, agent, handle):
    alone = answered(run, around(agent(handle), InMemorySaver()))
    saver = Watched()
    assert answered(run, around(best_of_n(agent(handle), n=2), saver)) == alone
    assert saver.secrets() == []


@pytest.mark.parametrize("agent", [hands_over, function], ids=["command", "function"])
@pytest.mark.parametrize("handle", [SECRET, Lock()], ids=["secret", "lock"])
def test_commands_and_functions_pass_them_on(run, agent, handle):
    saver = Watched()
    builder = StateGraph(State)
    builder.add_node("solve", best_of_n(agent(handle), n=2), destinations=("after",))
    builder.add_node("after", using)
    builder.add_edge(START, "solve")
    if agent is function:
        builder.add_edge("solve", "after")
    done = answered(run, builder.compile(checkpointer=saver))
    assert done["handle"] is handle
    assert done["log"][-1] == f"used {type(handle).__name__}"
    assert saver.secrets() == []


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.__name__)
def test_unserialisable_values_do_no_harm(agent, tmp_path):
    handle = Lock()
    with closing(sqlite3.connect(tmp_path / "saver.sqlite", check_same_thread=False)) as connection:
        done = answered(kit.Sync(), around(best_of_n(agent(handle), n=2), SqliteSaver(connection)))
    assert done == answered(kit.Sync(), around(agent(handle), InMemorySaver()))


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.__name__)
def test_standing_alone_on_a_thread(run, agent):
    saver = Watched()
    done = answered(run, best_of_n(agent(SECRET).copy({"checkpointer": saver}), n=2).as_agent())
    assert done == answered(run, agent(SECRET).copy({"checkpointer": InMemorySaver()}))
    assert saver.secrets() == []


def test_a_final_action_that_is_the_whole_state(run):
    saver = Watched()
    node = best_of_n(chain(SECRET), n=2, final_action=lambda state, writes: dict(state))
    answered(run, around(node, saver))
    assert saver.secrets() == []


def test_they_do_not_make_rollouts_differ(run):
    result = run.run(best_of_n(kit.graph(State, one=lambda s: opening(object())(s)), n=3), {"messages": []})
    assert result.selection.distinct == 1


def test_given_by_the_outer_graph(run):
    """The agent finds it, and it is not what the agent wrote."""
    lock, saver = Lock(), Watched()
    builder = StateGraph(State)
    builder.add_node("open", lambda s: {"handle": lock})
    builder.add_node("solve", best_of_n(kit.graph(State, say=opening(lock), ask=asking), n=2))
    builder.add_edge(START, "open")
    builder.add_edge("open", "solve")
    with pytest.warns(match="cannot be copied"):
        answered(run, builder.compile(checkpointer=saver))
    assert saver.secrets() == []


@tool
def send(to: str) -> str:
    """Send it."""
    return f"sent {to}"


def acting(handle):
    def act(state):
        return {"log": [send.invoke({"to": "x"}), f"with {type(state.get('handle')).__name__}"]}

    return kit.graph(State, open=opening(handle), act=act, use=using)


@pytest.mark.parametrize("handle", [SECRET, Lock()], ids=["secret", "lock"])
@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.filterwarnings("ignore::ec_agent.IsolationWarning")
def test_an_action_gets_untracked_values(run, handle, goes_on):
    """Alone the agent would not pause there, so it does not lose it."""
    saver, state = Watched(), {"messages": [("user", "go")]}
    node = best_of_n(acting(handle), n=2, commit=[send], on_commit="execute", continue_after_commit=goes_on)
    done = run.invoke(kit.outer(node, State, checkpointer=saver), state, THREAD)
    name = type(handle).__name__
    assert done["log"] == ["opened", "sent x", f"with {name}", f"used {name}"]
    assert done["handle"] == handle
    assert saver.secrets() == []
