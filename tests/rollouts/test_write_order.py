"""Parallel writes of one superstep arrive in the order in which the agent alone applies them."""

from __future__ import annotations

import asyncio
import operator
import random
import time
from typing import Annotated, Any

import kit
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.cache.memory import InMemoryCache
from langgraph.channels import BinaryOperatorAggregate
from langgraph.func import task
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy, Command, Send
from typing_extensions import TypedDict

from ec_agent import best_of_n
from ec_agent.rollouts.writes import with_talk

MODEL = kit.say(3)


class Log(TypedDict):
    log: Annotated[list[Any], operator.add]


def same_as_alone(run, agent, state=None, schema=Log, n=2):
    """Run the agent alone and behind best_of_n; both must leave the same state."""
    state = state or {"log": ["in"]}
    alone = run.invoke(agent, state)
    with pytest.warns(match="repeat an earlier one"):
        behind = run.invoke(kit.outer(best_of_n(agent, n=n), schema), state)
    assert behind == alone
    return behind


def napping(name, delay, *, ask=False):
    def node(state):
        if ask:
            MODEL.invoke("?")
        time.sleep(delay)
        return {"log": [name]}

    return node


def diamond(delays):
    """ask -> all of the named nodes at once -> END."""
    builder = StateGraph(Log)
    builder.add_node("ask", napping("ask", 0, ask=True))
    builder.add_edge(START, "ask")
    for name, delay in delays.items():
        builder.add_node(name, napping(name, delay))
        builder.add_edge("ask", name)
        builder.add_edge(name, END)
    return builder.compile()


@pytest.mark.parametrize("seed", range(4))
def test_parallel_nodes_in_any_finish_order(run, seed):
    names = ["zeta", "alpha", "mid", "Beta", "10", "9"]
    delays = [0.0, 0.01, 0.02, 0.03, 0.04, 0.05]
    random.Random(seed).shuffle(delays)
    done = same_as_alone(run, diamond(dict(zip(names, delays, strict=True))))
    assert done["log"] == ["in", "ask", *sorted(names)]


def map_reduce(count, edges="conditional"):
    """Send tasks of which the later ones finish first, beside an ordinary node."""

    def work(state):
        time.sleep((count - state["i"]) * 0.004)
        return {"log": [f"work {state['i']}"]}

    def sends(_):
        return [*(Send("work", {"i": i}) for i in range(count)), "zz"]

    builder = StateGraph(Log)
    if edges == "conditional":
        builder.add_node("ask", napping("ask", 0, ask=True))
        builder.add_conditional_edges("ask", sends, ["work", "zz"])
    else:

        def ask(state):
            MODEL.invoke("?")
            return Command(update={"log": ["ask"]}, goto=sends(state))

        builder.add_node("ask", ask, destinations=("work", "zz"))
    builder.add_node("work", work)
    builder.add_node("zz", napping("zz", 0.01))
    builder.add_edge(START, "ask")
    return builder.compile()


@pytest.mark.parametrize("edges", ["conditional", "command"])
def test_send_tasks_in_the_order_they_were_sent(run, edges):
    done = same_as_alone(run, map_reduce(12, edges))
    assert done["log"] == ["in", "ask", "zz", *(f"work {i}" for i in range(12))]


def test_a_task_called_inside_a_node_does_not_end_the_step(run):
    """A functional ``@task`` starts in the middle of a step, after a sibling node has already finished."""

    @task
    def late(value):
        return value

    def alpha(state):
        time.sleep(0.05)
        return {"log": [late("alpha").result()]}

    async def aalpha(state):
        await asyncio.sleep(0.05)
        return {"log": [await late("alpha")]}

    builder = StateGraph(Log)
    builder.add_node("ask", napping("ask", 0, ask=True))
    builder.add_node("alpha", RunnableLambda(alpha, afunc=aalpha))
    builder.add_node("zeta", napping("zeta", 0))
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "alpha")
    builder.add_edge("ask", "zeta")
    done = same_as_alone(run, builder.compile())
    assert done["log"] == ["in", "ask", "alpha", "zeta"]


def test_what_a_task_returns_is_no_write():
    @task
    def helper():
        MODEL.invoke("?")
        return "helper"

    agent = kit.graph(kit.Items, one=lambda s: {"plain": helper().result()})
    seen = []
    node = best_of_n(agent, n=1, final_action=lambda state, writes: seen.append(writes) or "x")
    node.invoke({"items": []})
    assert seen == [[("plain", "helper")]]


def test_nested_graphs_writes_keep_their_order(run):
    inner = kit.graph(Log, x=napping("x", 0, ask=True), y=napping("y", 0))
    agent = kit.graph(Log, first=napping("first", 0), inner=inner)
    same_as_alone(run, agent)


def test_deferred_and_joining_nodes(run):
    builder = StateGraph(Log)
    builder.add_node("ask", napping("ask", 0, ask=True))
    builder.add_node("a", napping("a", 0.02))
    builder.add_node("b1", napping("b1", 0))
    builder.add_node("b2", napping("b2", 0))
    builder.add_node("join", napping("join", 0))
    builder.add_node("last", napping("last", 0), defer=True)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "a")
    builder.add_edge("ask", "b1")
    builder.add_edge("ask", "last")
    builder.add_edge("b1", "b2")
    builder.add_edge(["a", "b2"], "join")
    same_as_alone(run, builder.compile())


def test_nodes_answered_from_a_node_cache_write_too(run):
    builder = StateGraph(Log)
    builder.add_node("ask", napping("ask", 0, ask=True))
    builder.add_node("costly", napping("costly", 0), cache_policy=CachePolicy())
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "costly")
    same_as_alone(run, builder.compile(cache=InMemoryCache()), n=3)


def test_a_write_of_none_stays_a_write(run):
    agent = kit.graph(kit.Items, one=lambda s: MODEL.invoke("?") and {"plain": None, "items": [None]})
    same_as_alone(run, agent, {"items": [0], "plain": "old"}, kit.Items)


def test_a_conversation_is_added_but_for_what_is_there():
    """Where a reducer keeps all that it is given, a message that came twice would stay twice."""
    outer = {"messages": BinaryOperatorAggregate(list, operator.add)}
    question, told, action = (HumanMessage("go", id="q"), AIMessage("I look", id="t"), AIMessage("I send", id="a"))
    pairs = [("messages", [told])]
    found = with_talk(pairs, ["messages", [question, told, action]], {"messages": [question]}, outer)
    assert found == [*pairs, ("messages", [action])]
    assert with_talk(pairs, ["messages", [question, told]], {"messages": [question]}, outer) == pairs
    assert with_talk(pairs, None, {}, outer) == pairs
