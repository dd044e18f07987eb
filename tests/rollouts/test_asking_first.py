"""An agent that asks a person before a model: with the answer all rollouts go on, and the best of them is chosen."""

from __future__ import annotations

import operator
from typing import Annotated

import kit
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import before_agent
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from ec_agent import best_of_n
from ec_agent.testing import Reply, ScriptedChatModel

pytestmark = kit.SAME
ASK = {"messages": [HumanMessage("go", id="go")]}


class State(MessagesState):
    receipt: dict
    log: Annotated[list, operator.add]


def model(asked):
    """Rollout 1 is the best of three; it is noted who asked."""

    def reply(messages, index):
        asked.append(index)
        return Reply(f"answer {index}", entropies=kit.peak((5, 0, 9)[index]))

    return ScriptedChatModel(reply)


def question(text):
    return lambda state: {"messages": [HumanMessage(interrupt(text))], "log": [text]}


def a_node(asked):
    said = model(asked)
    return kit.graph(State, who=question("name?"), answer=lambda s: {"messages": [said.invoke(s["messages"])]})


def a_graph_within(asked):
    said = model(asked)
    within = kit.graph(State, pre=lambda s: {"log": ["pre"]}, who=question("name?"))
    return kit.graph(State, within=within, answer=lambda s: {"messages": [said.invoke(s["messages"])]})


def middleware(asked):
    @before_agent
    def ask(state, runtime):
        return {"messages": [HumanMessage(interrupt("name?"))]}

    return create_agent(model(asked), [], middleware=[ask])


def a_function(asked):
    said = model(asked)

    def ask(state):
        told = HumanMessage(interrupt("name?"))
        return {"messages": [told, said.invoke([*state["messages"], told])]}

    return ask


def an_entrypoint(asked):
    return entrypoint()(a_function(asked))


def one_after_the_other(asked):
    said = model(asked)
    nodes = {"who": question("name?"), "place": question("place?")}
    return kit.graph(State, **nodes, answer=lambda s: {"messages": [said.invoke(s["messages"])]})


def at_once(asked):
    said, builder = model(asked), StateGraph(State)
    for name in ("name?", "place?"):
        builder.add_node(name, question(name))
        builder.add_edge(START, name)
    builder.add_node("answer", lambda s: {"messages": [said.invoke(s["messages"])]})
    builder.add_edge(["name?", "place?"], "answer")
    return builder.compile()


AGENTS = [a_node, a_graph_within, middleware, a_function, an_entrypoint, one_after_the_other, at_once]


def answered(run, graph, one_by_one=False):
    """The run with all its questions answered."""
    done = run.invoke(graph, ASK, kit.THREAD)
    assert "__interrupt__" in done
    for _ in range(4):
        pending = sorted(done.get("__interrupt__", ()), key=lambda each: each.value)
        if not pending:
            return done
        told = {each.id: f"to {each.value}" for each in (pending[:1] if one_by_one else pending)}
        done = run.invoke(graph, Command(resume=told), kit.THREAD)
    raise AssertionError("it asks for ever")


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("made", AGENTS)
def test_all_rollouts_go_on_with_the_answer(run, made, one_by_one):
    alone = answered(run, kit.outer(made([]), State, checkpointer=InMemorySaver()))
    asked = []
    node = best_of_n(made(asked), n=3, selection_key="receipt")
    done = answered(run, kit.outer(node, State, checkpointer=InMemorySaver()), one_by_one)
    assert sorted(asked) == [0, 1, 2]
    said = [message.content.replace("answer 1", "answer 0") for message in done["messages"]]
    assert (said, done["log"]) == ([message.content for message in alone["messages"]], _once(alone["log"]))
    assert done["receipt"]["winner"] == 1
    assert done["receipt"]["order"] == [1, 0, 2]


def _once(log):
    return list(dict.fromkeys(log))  # a graph as a node writes its whole state again


def test_as_an_agent(run):
    asked = []
    agent = a_node(asked).copy({"checkpointer": InMemorySaver()})
    done = answered(run, best_of_n(agent, n=3).as_agent())
    assert done["messages"][-1].content == "answer 1"
    assert sorted(asked) == [0, 1, 2]


def test_after_a_model_call_the_winner_goes_on_alone(run):
    asked = []
    said = model(asked)
    agent = kit.graph(
        State,
        who=question("name?"),
        answer=lambda s: {"messages": [said.invoke(s["messages"])]},
        sure=question("sure?"),
        more=lambda s: {"messages": [said.invoke(s["messages"])]},
    )
    done = answered(run, kit.outer(best_of_n(agent, n=3), State, checkpointer=InMemorySaver()))
    assert sorted(asked) == [0, 1, 1, 2]
    assert done["log"] == ["name?", "sure?"]
    assert kit.answers(done["messages"]) == ["answer 1", "answer 1"]


def test_a_failure_after_the_answer_is_no_candidate(run):
    def answer(state):
        if kit.rollout_index() == 1:
            raise ValueError("no")
        return {"messages": [said.invoke(state["messages"])]}

    said = model([])
    agent = kit.graph(State, who=question("name?"), answer=answer)
    done = answered(run, kit.outer(best_of_n(agent, n=3), State, checkpointer=InMemorySaver()))
    assert kit.answers(done["messages"]) == ["answer 0"]


def test_no_thread_of_a_rollout_is_left(run):
    saver = InMemorySaver()
    answered(run, kit.outer(best_of_n(one_after_the_other([]), n=3), State, checkpointer=saver))
    assert set(saver.storage) == {"t"}
