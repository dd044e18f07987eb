"""A step that was split, by a question or an executed action, is replayed in the order of the agent alone."""

from __future__ import annotations

import operator
import sqlite3
from contextlib import closing
from typing import Annotated, Any

import kit
import pytest
from kit import THREAD
from langchain.agents import create_agent
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Overwrite, Send, interrupt

from ec_agent import CommitWarning, best_of_n, read_only
from ec_agent.testing import Reply, ScriptedChatModel

pytestmark = kit.SAME


class State(MessagesState):
    log: Annotated[list[Any], operator.add]
    latest: Annotated[Any, lambda old, new: new]
    plain: Any


def told(run, graph, state, config=THREAD):
    """Run a graph to its end; each question is answered by itself, in whatever order they come."""
    done = run.invoke(graph, state, config)
    while asked := done.get("__interrupt__"):
        answers = {each.id: f"told {each.value}" for each in asked}
        done = run.invoke(graph, Command(resume=answers), config)
    return done


def bare(state):
    """The state, its messages without what is new in every run."""
    return {**state, "messages": kit.gist(state["messages"])}


def same_as_alone(run, builder, saver=None, state=None, schema=State, **options):
    """Run the agent alone and behind best_of_n; both must leave the same state."""
    state = state or {"messages": [("user", "go")], "log": ["in"], "latest": "in", "plain": "in"}
    alone = bare(told(run, builder.compile(checkpointer=InMemorySaver()), state))
    node = best_of_n(builder.compile(), n=2, **options)
    behind = bare(told(run, kit.outer(node, schema, checkpointer=saver or InMemorySaver()), state))
    assert behind == alone
    return behind


def asking_builder(schema=State):
    """A graph whose first node asks the model."""
    model = kit.say(3)
    builder = StateGraph(schema)
    builder.add_node("ask", lambda s: {"messages": [model.invoke(s["messages"])]})
    builder.add_edge(START, "ask")
    builder.add_node("end", lambda s: {"log": ["end"]})
    return builder


def writing(name, *questions, plain=False):
    def node(state):
        answers = [interrupt(f"{name} {question}") for question in questions]
        return {"log": [[name, *answers]], "latest": name, **({"plain": name} if plain else {})}

    return node


NAMES = ["zeta", "alpha", "mid", "Beta", "10", "9"]


@pytest.mark.parametrize("asking", [["alpha"], ["mid"], ["zeta"], ["10", "zeta"], sorted(NAMES)])
def test_some_branches_ask(run, asking):
    builder = asking_builder()
    for name in NAMES:
        builder.add_node(name, writing(name, *(["?"] if name in asking else []), plain=name == "mid"))
        builder.add_edge("ask", name)
        builder.add_edge(name, "end")
    done = same_as_alone(run, builder)
    assert [each[0] for each in done["log"][1:-1]] == sorted(NAMES)
    assert (done["latest"], done["plain"]) == ("zeta", "mid")


def fanning(count, asking):
    """Send tasks of which some ask, beside an ordinary node."""
    builder = asking_builder()
    builder.add_node("work", lambda i: writing(f"work {i}", *(["?"] if i in asking else []))({}))
    builder.add_node("beside", writing("beside", plain=True))
    sends = [*(Send("work", i) for i in range(count)), "beside"]
    builder.add_conditional_edges("ask", lambda s: sends, ["work", "beside"])
    builder.add_edge("work", "end")
    return builder


@pytest.mark.parametrize("asking", [[0], [5], [11], [0, 10], [9, 10, 11]])
def test_some_sent_tasks_ask(run, asking):
    done = same_as_alone(run, fanning(12, asking))
    assert [each[0] for each in done["log"][1:-1]] == ["beside", *(f"work {i}" for i in range(12))]


def test_sent_tasks_with_answers_in_a_database(tmp_path):
    with closing(sqlite3.connect(tmp_path / "saver.sqlite", check_same_thread=False)) as connection:
        same_as_alone(kit.Sync(), fanning(11, [3, 10]), SqliteSaver(connection))


def test_questions_in_turn_in_several_tasks(run):
    """The step is taken up three times, each time by fewer tasks."""
    builder = asking_builder()
    for name, count in (("a", 2), ("b", 0), ("c", 3), ("d", 1)):
        builder.add_node(name, writing(name, *range(count)))
        builder.add_edge("ask", name)
        builder.add_edge(name, "end")
    assert [each[0] for each in same_as_alone(run, builder)["log"][1:-1]] == ["a", "b", "c", "d"]


def test_two_split_steps_with_steps_between(run):
    builder = asking_builder()
    for before, after in (("ask", "one"), ("between", "two")):
        for name in "abc":
            builder.add_node(f"{after} {name}", writing(f"{after} {name}", *(["?"] if name == "a" else [])))
            builder.add_edge(before, f"{after} {name}")
            builder.add_edge(f"{after} {name}", "between" if after == "one" else "end")
        if after == "one":
            builder.add_node("between", writing("between", plain=True))
    assert len(same_as_alone(run, builder)["log"]) == 9


def test_a_question_in_a_graph_within(run):
    inner = StateGraph(State)
    for name in ("x", "y"):
        inner.add_node(name, writing(name, *(["?"] if name == "x" else [])))
        inner.add_edge(START, name)
    builder = asking_builder()
    for name, node in (("a", writing("a")), ("b", inner.compile()), ("c", writing("c"))):
        builder.add_node(name, node)
        builder.add_edge("ask", name)
        builder.add_edge(name, "end")
    assert same_as_alone(run, builder)["latest"] == "c"


def test_keys_overwritten_in_the_split_step(run):
    builder = asking_builder()
    builder.add_node("a", lambda s: {"log": [interrupt("a")], "plain": "a"})
    builder.add_node("b", lambda s: {"log": Overwrite(["anew"])})
    builder.add_node("before", lambda s: {"log": Overwrite(["before"]), "plain": "before"})
    builder.add_edge("ask", "before")
    for name in "ab":
        builder.add_edge("before", name)
        builder.add_edge(name, "end")
    assert same_as_alone(run, builder)["log"] == ["anew", "end"]


def test_a_key_overwritten_before_additions(run):
    builder = asking_builder()
    builder.add_node("before", lambda s: {"log": Overwrite(["before"])})
    builder.add_node("a", writing("a", "?"))
    builder.add_node("b", writing("b"))
    builder.add_edge("ask", "before")
    for name in "ab":
        builder.add_edge("before", name)
        builder.add_edge(name, "end")
    same_as_alone(run, builder)


def test_deferred_nodes_beside_one_that_asks(run):
    builder = asking_builder()
    for name in ("a", "b", "c"):
        builder.add_node(name, writing(name, *(["?"] if name != "b" else [])), defer=name != "b")
        builder.add_edge("ask", name)
        builder.add_edge(name, "end")
    same_as_alone(run, builder)


def failing(indices, asking=()):
    """Send tasks of which some fail and are rescued, some ask."""

    def work(i):
        if i in indices:
            raise ValueError(f"work {i}")
        return writing(f"work {i}", *(["?"] if i in asking else []))({})

    def rescue(i):
        return {"log": [f"rescued {i}"], "latest": f"rescued {i}"}

    builder = asking_builder()
    builder.add_node("work", work, error_handler=rescue)
    builder.add_node("zz", writing("zz"))
    builder.add_conditional_edges("ask", lambda s: [*(Send("work", i) for i in range(12)), "zz"], ["work", "zz"])
    builder.add_edge("work", "end")
    return builder


@pytest.mark.parametrize("indices", [{0}, {1, 10}, set(range(12))])
@pytest.mark.parametrize("asking", [set(), {0, 11}])
def test_a_task_with_an_error_handler(run, indices, asking):
    done = same_as_alone(run, failing(indices, asking))
    kinds = [each if isinstance(each, str) else each[0] for each in done["log"][2:]]
    # A task that was rescued leads to where its handler leads.
    assert kinds[:12] == [f"rescued {i}" if i in indices else f"work {i}" for i in range(12)]


def test_a_node_with_an_error_handler_among_others(run):
    def fail(state):
        raise ValueError("no")

    builder = asking_builder()
    for name in ("a", "b", "c"):
        more = {"error_handler": lambda s: {"log": ["rescued"], "latest": "rescued"}} if name == "b" else {}
        builder.add_node(name, fail if more else writing(name), **more)
        builder.add_edge("ask", name)
        builder.add_edge(name, "end")
    assert same_as_alone(run, builder)["latest"] == "c"


@read_only
@tool
def look(what: str) -> str:
    """Look something up."""
    return f"saw {what}"


@read_only
@tool
def confirm(what: str) -> str:
    """Ask a person."""
    return f"confirmed: {interrupt(what)}"


CALLS = {
    "first": [("confirm", {"what": "a"}), ("look", {"what": "b"}), ("look", {"what": "c"})],
    "middle": [("look", {"what": "a"}), ("confirm", {"what": "b"}), ("look", {"what": "c"})],
    "two": [("look", {"what": "a"}), ("confirm", {"what": "b"}), ("look", {"what": "c"}), ("confirm", {"what": "d"})],
}


def calling(calls):
    def script(messages, index):
        done = any(m.type == "tool" for m in messages)
        return Reply("done" if done else "", tool_calls=[] if done else calls, entropies=kit.peak(3))

    return ScriptedChatModel(script)


@pytest.mark.parametrize("order", ["first", "middle", "two"])
def test_messages_of_tools_of_which_one_asks(run, order):
    class Compiled:
        def compile(self, **more):
            return create_agent(calling(CALLS[order]), [look, confirm], **more)

    state = {"messages": [("user", "go")]}
    done = same_as_alone(run, Compiled(), state=state, schema=MessagesState)
    said = [text for kind, text, _ in done["messages"] if kind == "tool"]
    assert [text.split()[0] for text in said] == [{"look": "saw"}.get(name, "confirmed:") for name, _ in CALLS[order]]


def test_messages_of_a_tool_node_beside_another_node(run):
    model = calling(CALLS["first"])
    builder = StateGraph(State)
    builder.add_node("model", lambda s: {"messages": [model.invoke(s["messages"])]})
    builder.add_node("tools", ToolNode([look, confirm]))
    builder.add_node("beside", lambda s: {"messages": [("ai", "beside")], "log": ["beside"]})
    builder.add_node("z", lambda s: {"messages": [("ai", "z")], "log": ["z"]})
    builder.add_edge(START, "model")
    for name in ("tools", "beside", "z"):
        builder.add_edge("model", name)
        builder.add_edge(name, END)
    same_as_alone(run, builder)


def acting(names, tools):
    """Branches that call a tool each; those that commit stop the rollout in a step that others end."""
    builder = asking_builder()

    def branch(name):
        def update(said):
            return {"log": [[name, said]], "latest": name}

        def node(state):
            return update(tools[name].invoke({"to": name}))

        async def anode(state):
            return update(await tools[name].ainvoke({"to": name}))

        return RunnableLambda(node, afunc=anode, name=name)

    for name in names:
        builder.add_node(name, branch(name) if name in tools else writing(name, plain=name == "m"))
        builder.add_edge("ask", name)
        builder.add_edge(name, "end")
    return builder


@tool
def send(to: str) -> str:
    """Send it."""
    return f"sent {to}"


GOING_ON = {"commit": [send], "on_commit": "execute", "continue_after_commit": True}


@pytest.mark.parametrize("sending", ["a", "m", "z"])
def test_an_action_carried_out_in_one_of_several_branches(run, sending):
    builder = acting(["a", "m", "z"], {sending: send})
    done = same_as_alone(run, builder, **GOING_ON)
    assert [each[0] for each in done["log"][1:-1]] == ["a", "m", "z"]


def test_writes_beside_the_last_action(run):
    """One of two actions is carried out, and the step they are in is never applied."""
    node = best_of_n(acting(["a", "m", "z"], {"a": send, "z": send}).compile(), n=2, max_rounds=1, **GOING_ON)
    with pytest.warns(CommitWarning, match="max_rounds=1"):
        done = run.invoke(kit.outer(node, State), {"messages": [("user", "go")], "log": [], "plain": "in"})
    assert [each[0] for each in done["log"]] in (["a", "m"], ["m", "z"])
    assert (done["latest"], done["plain"]) == (done["log"][-1][0], "m")


def test_two_actions_and_a_question_in_one_step(run):
    builder = acting(["a", "m", "z"], {"a": send, "z": send})
    builder.add_node("more", writing("more", "?"))
    builder.add_edge("ask", "more")
    builder.add_edge("more", "end")
    done = same_as_alone(run, builder, **GOING_ON)
    assert [each[0] for each in done["log"][1:-1]] == ["a", "m", "more", "z"]


def test_writes_beside_a_routed_call(run):
    builder = acting(["a", "m", "z"], {"a": send})
    done = run.invoke(
        kit.outer(best_of_n(builder.compile(), n=2, commit=[send]), State),
        {"messages": [("user", "go")], "log": ["in"], "plain": "in"},
    )
    assert (done["log"], done["latest"], done["plain"]) == (["in", ["m"], ["z"]], "z", "m")


def test_a_mapped_output_counts_once(run):
    """``output=`` maps the state that the agent ended in, so what it had come to at the question is not added."""
    builder = asking_builder()
    builder.add_node("more", writing("more", "?"))
    builder.add_edge("ask", "more")
    node = best_of_n(builder.compile(), n=2, output=lambda state: {"log": state["log"]})
    done = told(run, kit.outer(node, State, checkpointer=InMemorySaver()), {"messages": [("user", "go")], "log": []})
    assert done["log"] == [["more", "told more ?"]]


def test_a_parent_command_replaces_all_writes(run):
    builder = asking_builder()
    builder.add_node("more", writing("more", "?"))
    builder.add_node("hand", lambda s: Command(graph=Command.PARENT, update={"log": ["handed over"]}))
    builder.add_edge("ask", "more")
    builder.add_edge("more", "hand")
    state = {"messages": [("user", "go")], "log": ["in"]}
    alone, behind = (
        bare(told(run, kit.outer(node, State, checkpointer=InMemorySaver()), state))
        for node in (builder.compile(), best_of_n(builder.compile(), n=2))
    )
    assert behind == alone
    assert behind["log"] == ["in", "handed over"]


def test_kept_logprobs_survive_a_question(run):
    """A message of the split step is taken from where the rollout was parked."""
    model = kit.say(3)
    builder = StateGraph(State)
    builder.add_node("a", lambda s: {"messages": [model.invoke(s["messages"])]})
    builder.add_node("b", writing("b", "?"))
    builder.add_edge(START, "a")
    builder.add_edge(START, "b")
    state = {"messages": [("user", "go")]}
    for keep in (True, False):
        node = best_of_n(builder.compile(), n=2, keep_logprobs=keep)
        done = told(run, kit.outer(node, State, checkpointer=InMemorySaver()), state)
        assert ("logprobs" in done["messages"][-1].response_metadata) is keep
