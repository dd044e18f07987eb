"""Where the agent alone would ask several questions at once, so does the graph around; answers go to the right ones."""

from __future__ import annotations

import operator
import sqlite3
from typing import Annotated, Any

import kit
import mailing
import pytest
from kit import PEAKS, SAME, THREAD
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from ec_agent import best_of_n
from ec_agent.testing import Reply, ScriptedChatModel

WINNER = 1


class Told(TypedDict):
    messages: Annotated[list[Any], operator.add]
    told: Annotated[list[str], operator.add]


def asking(name):
    """A node that asks, each rollout something of its own."""

    def ask(state):
        index = WINNER if kit.rollout_index() is None else kit.rollout_index()
        return {"told": [f"{name}: {interrupt(f'{name} of {index}')}"]}

    return ask


def start(builder):
    model = ScriptedChatModel(
        lambda messages, index: Reply(
            "said", entropies=kit.peak(PEAKS[WINNER if kit.rollout_index() is None else index])
        )
    )
    builder.add_node("say", lambda s: {"messages": [model.invoke("?").content]})
    builder.add_edge(START, "say")
    return builder


def branches(saver=None, names="abc"):
    builder = start(StateGraph(Told))
    for name in names:
        builder.add_node(name, asking(name))
        builder.add_edge("say", name)
    return builder.compile(checkpointer=saver)


def subgraphs(saver=None):
    """Graphs side by side, each with a question or two within."""
    builder = start(StateGraph(Told))
    for name, asked in (("left", "ab"), ("right", "c")):
        inner = StateGraph(Told)
        for each in asked:
            inner.add_node(each, asking(each))
            inner.add_edge(START, each)
        builder.add_node(name, inner.compile())
        builder.add_edge("say", name)
    return builder.compile(checkpointer=saver)


def sent(saver=None):
    """One node, sent several times."""
    builder = start(StateGraph(Told))
    builder.add_node("ask", lambda state: asking(state["name"])(state))
    builder.add_conditional_edges("say", lambda s: [Send("ask", {"name": name}) for name in "abc"], ["ask"])
    return builder.compile(checkpointer=saver)


FORMS = pytest.mark.parametrize("form", [branches, subgraphs, sent])
QUESTIONS = ["a of 1", "b of 1", "c of 1"]


def questions(done):
    return {each.value: each.id for each in done.get("__interrupt__", [])}


def ways(form):
    """The graph around the agent alone and around best_of_n; and both standing alone."""
    for make in (lambda saver=None: form(saver), lambda saver=None: best_of_n(form(saver), n=3)):
        yield kit.outer(make(), Told, checkpointer=InMemorySaver())
        agent = make(InMemorySaver())
        yield agent.as_agent() if hasattr(agent, "as_agent") else agent


def each_way(form, drive):
    shown = [drive(graph) for graph in ways(form)]
    assert shown == [shown[0]] * 4
    return shown[0]


@FORMS
def test_questions_are_shown_and_answered_together(run, form):
    def drive(graph):
        asked = questions(run.invoke(graph, {"messages": []}, THREAD))
        pending = sorted(each.value for each in graph.get_state(THREAD).interrupts)
        answers = {asked[value]: f"answer to {value}" for value in asked}
        done = run.invoke(graph, Command(resume=answers), THREAD)
        return sorted(asked), pending, questions(done), sorted(done["told"])

    told = [f"{value[0]}: answer to {value}" for value in QUESTIONS]
    assert each_way(form, drive) == (QUESTIONS, QUESTIONS, {}, told)


@FORMS
@pytest.mark.parametrize("order", ["abc", "cab"])
def test_questions_may_be_answered_in_any_order(run, form, order):
    def drive(graph):
        done, left = run.invoke(graph, {"messages": []}, THREAD), []
        for name in order:
            asked = questions(done)
            left.append(sorted(asked))
            done = run.invoke(graph, Command(resume={asked[f"{name} of 1"]: f"to {name}"}), THREAD)
        return left, questions(done), sorted(done["told"])

    left, none, told = each_way(form, drive)
    assert [len(each) for each in left] == [3, 2, 1]
    assert (none, told) == ({}, ["a: to a", "b: to b", "c: to c"])


@FORMS
def test_one_of_several_answers_must_name_its_question(run, form):
    def drive(graph):
        asked = questions(run.invoke(graph, {"messages": []}, THREAD))
        with pytest.raises(RuntimeError, match="you must specify the interrupt id"):
            run.invoke(graph, Command(resume="whose?"), THREAD)
        run.invoke(graph, Command(resume={asked[f"{name} of 1"]: name for name in "ab"}), THREAD)
        return sorted(run.invoke(graph, Command(resume="the last"), THREAD)["told"])

    assert each_way(form, drive) == ["a: a", "b: b", "c: the last"]


def test_only_the_winners_questions_go_on(run):
    asked = []

    def ask(name):
        def node(state):
            asked.append(kit.rollout_index())
            return {"told": [f"{name}: {interrupt(f'{name} of {kit.rollout_index()}')}"]}

        return node

    builder = start(StateGraph(Told))
    for name in "ab":
        builder.add_node(name, ask(name))
        builder.add_edge("say", name)
    saver = InMemorySaver()
    graph = kit.outer(best_of_n(builder.compile(), n=3), Told, checkpointer=saver)
    pending = questions(run.invoke(graph, {"messages": []}, THREAD))
    assert sorted(asked) == [0, 0, 1, 1, 2, 2]
    run.invoke(graph, Command(resume={pending["a of 1"]: "x"}), THREAD)
    assert sorted(asked) == [0, 0, 1, 1, 2, 2]  # the agent goes on once it has all its answers
    done = run.invoke(graph, Command(resume={pending["b of 1"]: "y"}), THREAD)
    assert sorted(asked) == [0, 0, 1, 1, 1, 1, 2, 2]
    assert sorted(done["told"]) == ["a: x", "b: y"]
    assert list(saver.storage) == ["t"]


def test_several_questions_follow_several(run):
    builder = start(StateGraph(Told))
    for name in ("a", "b", "a2", "b2"):
        builder.add_node(name, asking(name))
    for name in "ab":
        builder.add_edge("say", name)
        builder.add_edge(["a", "b"], f"{name}2")
    graph = kit.outer(best_of_n(builder.compile(), n=3), Told, checkpointer=InMemorySaver())
    done, seen = run.invoke(graph, {"messages": []}, THREAD), []
    while asked := questions(done):
        seen.append(sorted(asked))
        done = run.invoke(graph, Command(resume={each: value for value, each in asked.items()}), THREAD)
    assert seen == [["a of 1", "b of 1"], ["a2 of 1", "b2 of 1"]]
    assert sorted(done["told"]) == ["a2: a2 of 1", "a: a of 1", "b2: b2 of 1", "b: b of 1"]


@SAME
def test_in_a_nested_best_of_n(run):
    inner = kit.graph(Told, solve=best_of_n(branches(), n=3))
    graph = kit.outer(best_of_n(inner, n=2), Told, checkpointer=InMemorySaver())
    asked = questions(run.invoke(graph, {"messages": []}, THREAD))
    assert sorted(asked) == QUESTIONS
    done = run.invoke(graph, Command(resume={each: f"to {value}" for value, each in asked.items()}), THREAD)
    assert sorted(done["told"]) == [f"{value[0]}: to {value}" for value in QUESTIONS]


def test_tools_of_one_message_that_ask(run):
    @tool
    def look(what: str) -> str:
        """Look."""
        return f"{what}: {interrupt(what)}"

    calls = [("look", {"what": name}) for name in "ab"]
    graph = kit.outer(
        best_of_n(create_agent(mailing.script(["no"], [calls, "end"]), [look]), n=2), checkpointer=InMemorySaver()
    )
    asked = questions(run.invoke(graph, {"messages": "go"}, THREAD))
    assert sorted(asked) == ["a", "b"]
    done = run.invoke(graph, Command(resume={asked["a"]: 1, asked["b"]: 2}), THREAD)
    assert [m.content for m in done["messages"]] == ["go", "", "a: 1", "b: 2", "end"]


def confirmed(post):
    @tool
    def send(to: str) -> str:
        """Send, if somebody agrees."""
        return post.deliver(to) if interrupt(f"send to {to}?") == "yes" else "left undone"

    return send


@pytest.mark.parametrize("one_by_one", [False, True])
def test_tools_that_ask_while_carried_out(run, post, one_by_one):
    send = confirmed(post)
    calls = [("send", {"to": name}) for name in ("ann", "bob")]
    agent = create_agent(mailing.script(["no"], [calls, "end"]), [send])
    node = best_of_n(agent, n=2, commit=[send], on_commit="execute")
    graph = kit.outer(node, checkpointer=InMemorySaver())
    asked = questions(run.invoke(graph, {"messages": "go"}, THREAD))
    assert sorted(asked) == ["send to ann?", "send to bob?"]
    answers = {asked["send to ann?"]: "no", asked["send to bob?"]: "yes"}
    for part in [{each: answers[each]} for each in answers] if one_by_one else [answers]:
        assert post.sent == []
        done = run.invoke(graph, Command(resume=part), THREAD)
    assert questions(done) == {}
    assert [what for what, _ in post.sent] == ["bob"]
    assert [m.content for m in done["messages"][2:]] == ["left undone", "sent bob"]


def test_each_answer_in_another_process(tmp_path):
    asked: dict[str, str] = {}
    for said in (None, "b", "a", "c"):
        connection = sqlite3.connect(tmp_path / "saver.sqlite", check_same_thread=False)
        graph = kit.outer(best_of_n(branches(), n=3), Told, checkpointer=SqliteSaver(connection))
        told = {"messages": []} if said is None else Command(resume={asked[f"{said} of 1"]: f"to {said}"})
        done = graph.invoke(told, THREAD)
        asked = questions(done) or asked
        connection.close()
    assert sorted(done["told"]) == ["a: to a", "b: to b", "c: to c"]


def test_the_answers_schema_is_shown_as_alone(run):
    form = {"type": "object", "properties": {"yes": {"type": "boolean"}}}

    def ask(state):
        return {"told": [f"{interrupt('sure?', response_schema=form)}"]}

    def drive(graph):
        (asked,) = run.invoke(graph, {"messages": []}, THREAD)["__interrupt__"]
        return asked.value, asked.response_schema, run.invoke(graph, Command(resume="yes"), THREAD)["told"]

    def make(saver=None):
        builder = start(StateGraph(Told))
        builder.add_node("ask", ask)
        builder.add_edge("say", "ask")
        return builder.compile(checkpointer=saver)

    assert each_way(make, drive) == ("sure?", form, ["yes"])
