"""Messages that a node writes as strings, tuples or dicts get their ids from the state: equal ones stay apart."""

from __future__ import annotations

from typing import Annotated

import kit
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send
from typing_extensions import TypedDict

from ec_agent import best_of_n

FORMS = {
    "a string": lambda text: text,
    "a tuple": lambda text: ("human", text),
    "a dict": lambda text: {"role": "user", "content": text},
    "in a list": lambda text: [("human", text)],
    "twice in a list": lambda text: [text, {"role": "user", "content": text}],
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def agent(form, checkpointer=None, text="the same"):
    """Says the same in two nodes and after each question."""
    model = kit.say(*kit.PEAKS)
    said = {"messages": form(text)}
    nodes = {
        "first": lambda state: said,
        "ask": lambda state: {"messages": [model.invoke("?")]},
        "second": lambda state: said,
    }
    return kit.graph(MessagesState, checkpointer=checkpointer, **nodes)


def told(messages):
    ids = [message.id for message in messages]
    assert len(set(ids)) == len(ids), "two messages share an id"
    return [message.content for message in messages if message.type == "human"]


@forms
def test_repeated_messages_come_as_often_as_alone(run, form):
    config = kit.THREAD
    alone, ours = agent(form, InMemorySaver()), best_of_n(agent(form, InMemorySaver()), n=3)
    for question in ("go", "the same", "go"):
        expected = run.invoke(alone, {"messages": [HumanMessage(question)]}, config)
        done = run.invoke(ours, {"messages": [HumanMessage(question)]}, config)
        assert told(done["messages"]) == told(expected["messages"])


@forms
def test_as_a_node_over_several_turns(run, form):
    graph = kit.outer(best_of_n(agent(form), n=3), checkpointer=InMemorySaver())
    times = len(form("x")) if isinstance(form("x"), list) else 1
    for turn in range(1, 4):
        done = run.invoke(graph, {"messages": [HumanMessage("the same")]}, kit.THREAD)
        assert told(done["messages"]) == ["the same"] * (turn * (1 + 2 * times))


@pytest.mark.parametrize("which", ["the new one", "the old one", "both"])
def test_removed_messages_are_removed_as_alone(run, which):
    def take_away(state):
        same = [message.id for message in state["messages"] if message.content == "same"]
        gone = {"the new one": same[-1:], "the old one": same[:1], "both": same}[which]
        return {"messages": [RemoveMessage(each) for each in gone]}

    model = kit.say(*kit.PEAKS)
    nodes = {
        "ask": lambda state: {"messages": [model.invoke("?")]},
        "say": lambda state: {"messages": "same"},
        "drop": take_away,
        "more": lambda state: {"messages": [("human", f"{len(state['messages'])} left")]},
    }
    agent = kit.graph(MessagesState, **nodes)
    asked = {"messages": [HumanMessage("same")]}
    said = [message.content for message in run.invoke(agent, asked)["messages"]]
    for graph in (kit.outer(best_of_n(agent, n=3)), best_of_n(agent, n=3)):
        done = run.invoke(graph, asked)["messages"]
        assert [message.content for message in done] == [text.replace("answer 0", "answer 1") for text in said]
        assert len({message.id for message in done}) == len(done)


@forms
@pytest.mark.parametrize("again", ["before", "after", "both"])
def test_a_message_with_its_own_id_beside_it(run, form, again):
    model = kit.say(*kit.PEAKS)
    named = lambda name: lambda state: {"messages": [HumanMessage("same", id=name)]}  # noqa: E731
    nodes = {
        "ask": lambda state: {"messages": [model.invoke("?")]},
        **({"before": named("n1")} if again != "after" else {}),
        "say": lambda state: {"messages": form("same")},
        **({"after": named("n2")} if again != "before" else {}),
        "within": kit.graph(MessagesState, nothing=lambda state: {"messages": []}),  # writes all of them again
    }
    agent = kit.graph(MessagesState, **nodes)
    asked = {"messages": [HumanMessage("same", id="q")]}
    expected = run.invoke(agent, asked)["messages"]
    done = run.invoke(kit.outer(best_of_n(agent, n=3)), asked)["messages"]
    assert told(done) == told(expected)
    named_ones = [[message.id in ("n1", "n2", "q") for message in messages] for messages in (expected, done)]
    assert named_ones[0] == named_ones[1]


class TwoTalks(TypedDict):
    """Two conversations."""

    messages: Annotated[list[AnyMessage], add_messages]
    others: Annotated[list[AnyMessage], add_messages]


ONE_MESSAGE = {
    "twice in a list": lambda said: {"messages": [said, said]},
    "under two keys": lambda said: {"messages": [said], "others": [said]},
    "sent along": lambda said: Command(update={"messages": [said]}, goto=Send("other", {"others": [said]})),
}


@pytest.mark.parametrize("places", ONE_MESSAGE.values(), ids=ONE_MESSAGE)
def test_one_message_in_several_places_stays_one_message_as_alone(run, places):
    def agent(state):
        kit.say(*kit.PEAKS).invoke("?")
        return places(AIMessage(f"it {kit.rollout_index()}"))

    def around(node):
        builder = StateGraph(TwoTalks)
        builder.add_node("solve", node, destinations=("other",))
        builder.add_node("other", lambda state: {"others": state["others"]})
        builder.add_edge(START, "solve")
        return run.invoke(builder.compile(), {"messages": [], "others": []})

    alone, ours = around(agent), around(best_of_n(agent, n=3))
    for done in (alone, ours):
        assert len({message.id for talk in done.values() for message in talk}) == 1
    assert {key: len(talk) for key, talk in ours.items()} == {key: len(talk) for key, talk in alone.items()}


def test_a_message_is_copied_once_for_the_writes_and_the_final_state(run):
    seen = []

    def final_action(state, writes):
        seen.append((state["messages"][-1], writes[-1][1][-1]))
        return writes[-1][1][-1]

    run.run(best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, final_action=final_action), {"messages": "go"})
    assert len(seen) == 3
    assert all(message is written for message, written in seen)
    assert not any("logprobs" in message.response_metadata for message, _ in seen)
