"""The outer state receives the winner's writes, each once, whatever its keys do with them."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import kit
import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langgraph.channels import DeltaChannel
from langgraph.graph import MessagesState
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command, Overwrite
from typing_extensions import TypedDict

from ec_agent import StateMismatchError, best_of_n

PEAKS = (15, 3, 9)  # rollout 1 wins
WINNER = "answer 1"


def talker(**extra):
    """An agent over ``Talk``: two nodes that both write messages and the counter."""
    model = kit.say(*PEAKS)

    def answer(state):
        reply = model.invoke(state["messages"])
        return {"messages": [reply], "count": 1, "answer": "draft"}

    def finish(state):
        return {"count": 10, "answer": f"{state['messages'][-1].content}, final", **extra}

    return kit.graph(kit.Talk, answer=answer, finish=finish)


def test_messages_and_counters_come_once(run):
    history = [HumanMessage("hi", id="h"), AIMessage("hello", id="a"), HumanMessage("go", id="g")]
    graph = kit.outer(best_of_n(talker(), n=3), kit.Talk)
    done = run.invoke(graph, {"messages": history, "count": 100, "answer": "old"})
    assert [m.id for m in done["messages"][:3]] == ["h", "a", "g"]
    assert kit.answers(done["messages"][3:]) == [WINNER]
    assert done["messages"][3].id
    assert done["count"] == 111
    assert done["answer"] == f"{WINNER}, final"


def test_the_state_is_the_agents_own(run):
    state = {"messages": [HumanMessage("go", id="g")], "count": 5, "answer": ""}
    alone = kit.graph(kit.Talk, answer=lambda s: {"messages": [AIMessage("x")], "count": 1})
    expected = alone.invoke(state)
    model = kit.say(3)

    def answer(state):
        model.invoke("?")
        return {"messages": [AIMessage("x")], "count": 1}

    done = run.invoke(kit.outer(best_of_n(kit.graph(kit.Talk, answer=answer), n=1), kit.Talk), state)
    assert kit.gist(done["messages"]) == kit.gist(expected["messages"])
    assert (done["count"], done["answer"]) == (expected["count"], expected["answer"])


def test_a_text_message_has_one_id_everywhere(run):
    seen = []

    def look(state):
        kit.say(3).invoke("?")
        seen.append(state["messages"][0].id)
        return {"messages": [AIMessage("x")]}

    graph = kit.outer(best_of_n(kit.graph(MessagesState, look=look), n=3))
    with pytest.warns(match="repeat an earlier one"):
        done = run.invoke(graph, {"messages": "go"})
    assert set(seen) == {done["messages"][0].id}


def longest(left, right):
    """A reducer that is no addition: writes folded twice or in bulk would show."""
    return max(left or "", right, key=len)


class Longest(TypedDict):
    best: Annotated[str, longest]
    log: Annotated[list[str], operator.add]


def test_custom_reducers_see_each_write_once(run):
    def think(index):
        return {"best": "abc" * index, "log": [f"thought {index}"]}

    agent = kit.graph(Longest, one=kit.spoken(think, lambda i: PEAKS[i]), two=lambda s: {"log": ["two"]})
    done = run.invoke(kit.outer(best_of_n(agent, n=3), Longest), {"best": "xy", "log": ["start"]})
    assert done == {"best": "abc", "log": ["start", "thought 1", "two"]}


class Plain(TypedDict):
    items: list[Any]
    plain: Any


class Accumulating(TypedDict):
    items: Annotated[list[Any], operator.add]
    plain: Annotated[list[Any], operator.add]


def stepper():
    first = kit.spoken(lambda i: {"items": [i], "plain": i}, lambda i: PEAKS[i])
    return kit.graph(kit.Items, one=first, two=lambda s: {"items": ["two"], "plain": [s["plain"]]})


def test_a_plain_outer_key_gets_the_final_value_once(run):
    done = run.invoke(kit.outer(best_of_n(stepper(), n=3), Plain), {"items": ["in"], "plain": 0})
    assert done == {"items": ["in", 1, "two"], "plain": [1]}


@pytest.mark.parametrize("outer_schema", [kit.Items, Plain])
def test_several_writes_to_a_plain_key_work(run, outer_schema):
    done = run.invoke(kit.outer(best_of_n(stepper(), n=2), outer_schema), {"items": [], "plain": 0})
    assert done["plain"] == [1]


def test_an_outer_reducer_over_a_plain_key_is_refused(run):
    ran = []
    agent = kit.graph(kit.Items, one=lambda s: ran.append(1) or {"plain": [1]})
    with pytest.raises(StateMismatchError, match=r"'plain'.*output=lambda"):
        run.invoke(kit.outer(best_of_n(agent, n=2), Accumulating), {"items": [], "plain": []})
    assert not ran


def test_output_maps_it(run):
    node = best_of_n(stepper(), n=3, output=lambda final: {"plain": final["plain"], "items": ["mapped"]})
    done = run.invoke(kit.outer(node, Accumulating), {"items": [], "plain": [0]})
    assert done == {"items": ["mapped"], "plain": [0, 1]}


class Elsewhere(TypedDict):
    question: str


def test_no_common_key_is_refused(run):
    graph = kit.outer(best_of_n(stepper(), n=2), Elsewhere)
    with pytest.raises(StateMismatchError, match=r"'items', 'plain'.*'question'.*no key in common"):
        run.invoke(graph, {"question": "?"})
    agent = kit.spoken(lambda i: {"answer": str(i)})
    node = best_of_n(agent, n=2, output=lambda update: {"question": update["answer"]})
    assert run.invoke(kit.outer(node, Elsewhere), {"question": "?"}) == {"question": "0"}


def test_output_to_an_unknown_key_is_a_mismatch(run):
    node = best_of_n(stepper(), n=1, output=lambda final: {"nowhere": 1})
    with pytest.raises(Exception, match=r"StateMismatchError: output= returned the keys \['nowhere'\]"):
        run.invoke(kit.outer(node, kit.Items), {"items": []})


def test_remove_message_is_replayed(run):
    def forget(state):
        kit.say(3).invoke("?")
        return {"messages": [RemoveMessage("h"), AIMessage("x", id="x")]}

    history = [HumanMessage("hi", id="h"), HumanMessage("go", id="g")]
    done = run.invoke(kit.outer(best_of_n(kit.graph(MessagesState, forget=forget), n=1)), {"messages": history})
    assert [m.id for m in done["messages"]] == ["g", "x"]


def test_removing_all_messages_is_replayed(run):
    def summarise(state):
        kit.say(3).invoke("?")
        return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), AIMessage("summary", id="s")]}

    agent = kit.graph(MessagesState, one=summarise, two=lambda s: {"messages": [AIMessage("more", id="m")]})
    done = run.invoke(kit.outer(best_of_n(agent, n=1)), {"messages": [HumanMessage("hi")]})
    assert [m.id for m in done["messages"]] == ["s", "m"]


def overwriting(*steps):
    def first(state):
        kit.say(3).invoke("?")
        return steps[0]

    rest = {f"step{i}": (lambda s, step=step: step) for i, step in enumerate(steps[1:])}
    return kit.graph(kit.Items, first=first, **rest)


@pytest.mark.parametrize(
    "steps",
    [
        [{"items": Overwrite([9])}],
        [{"items": [1]}, {"items": Overwrite([9])}],
        [{"items": [1]}, {"items": Overwrite([9])}, {"items": [2]}],
        [{"items": Overwrite([8])}, {"items": Overwrite([9])}, {"items": [2]}],
        [{"items": {"__overwrite__": [9]}}, {"items": [2]}],
    ],
    ids=["alone", "last", "in the middle", "twice", "spelled out"],
)
def test_overwrite_works_as_for_the_agent(run, steps):
    agent = overwriting(*steps)
    expected = agent.invoke({"items": ["in"], "plain": 0})
    done = run.invoke(kit.outer(best_of_n(agent, n=1), kit.Items), {"items": ["in"], "plain": 0})
    assert done == expected


class Delta(TypedDict):
    items: Annotated[list[Any], DeltaChannel(lambda state, writes: [*state, *(x for w in writes for x in w)])]


@pytest.mark.parametrize("outer_schema", [Delta, kit.Items])
@pytest.mark.parametrize("agent_schema", [Delta, kit.Items])
def test_delta_channels_accumulate_each_write_once(run, outer_schema, agent_schema):
    one = kit.spoken(lambda i: {"items": [i]}, lambda i: PEAKS[i])
    agent = kit.graph(agent_schema, one=one, two=lambda s: {"items": ["two"]})
    done = run.invoke(kit.outer(best_of_n(agent, n=3), outer_schema), {"items": ["in"]})
    assert done["items"] == ["in", 1, "two"]


def test_several_commands_of_one_node_count_once_each(run):
    def several(index):
        return [Command(update={"items": [index]}), Command(update={"items": ["b"], "plain": index})]

    agent = kit.graph(kit.Items, one=kit.spoken(several, lambda i: PEAKS[i]))
    done = run.invoke(kit.outer(best_of_n(agent, n=3), kit.Items), {"items": []})
    assert done == {"items": [1, "b"], "plain": 1}


def test_a_function_agent_may_return_several_commands(run):
    def several(index):
        return [Command(update={"items": [index]}), Command(update={"items": ["b"], "plain": index})]

    node = best_of_n(kit.spoken(several, lambda i: PEAKS[i]), n=3)
    assert run.invoke(kit.outer(node, kit.Items), {"items": []}) == {"items": [1, "b"], "plain": 1}


def test_a_message_without_an_id_gets_one_before_the_fan_out(run):
    """Called with a state of one's own: it is the same message in every rollout."""
    seen = []

    def look(state):
        seen.append([m.id for m in state["messages"]])
        return {"messages": [kit.say(*PEAKS).invoke("?")]}

    node = best_of_n(kit.graph(MessagesState, look=look), n=3)

    def call(state):
        return node.invoke({"messages": [HumanMessage("mine")]})

    async def acall(state):
        return await node.ainvoke({"messages": [HumanMessage("mine")]})

    done = run.invoke(kit.graph(MessagesState, solve=(call, acall)), {"messages": "go"})
    assert kit.answers(done["messages"]) == [WINNER]
    assert len({ids[0] for ids in seen}) == 1
    assert seen[0][0]
