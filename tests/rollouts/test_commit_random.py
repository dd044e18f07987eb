"""Graphs drawn at random: what is on the receipt is what was done, each once, and the state tells of it."""

from __future__ import annotations

import operator
import random
import time
from typing import Annotated, Any

import kit
import mailing
import pytest
from kit import THREAD
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy, Send
from mailing import executing
from typing_extensions import TypedDict

from ec_agent import Limits

# What a branch does: calls by itself, once or twice; an agent within, in three ways.
KINDS = ("call", "calls", "agent", "graph", "remembering graph")


class State(TypedDict):
    log: Annotated[list, operator.add]
    item: str
    receipt: dict[str, Any]


class Drawn:
    """A graph of branches side by side, each of which sends; everything about it is drawn."""

    def __init__(self, seed, post):
        draw = self.draw = random.Random(seed)
        self.fans_out = draw.random() < 0.4
        self.count = draw.randint(1, 3)
        kinds = KINDS[:4] if self.fans_out else KINDS  # LangGraph: one memory, one graph at a time
        self.kinds = [draw.choice(kinds)] * self.count if self.fans_out else [draw.choice(kinds) for _ in "xyz"]
        self.naps = [draw.choice([0, 0, 0.02, 0.05]) for _ in "xyz"]
        self.same_ids = draw.random() < 0.4
        self.slow = draw.choice([0, 0, 0.02])
        self.send = self._tool(post)
        self._ask = kit.say(3, 9)

    def _tool(self, post):
        @tool
        def send(to: str) -> str:
            """Send."""
            time.sleep(self.slow)
            return post.deliver(to)

        return send

    def _model(self, place):
        return mailing.script(*[[[("send", {"to": str(place)})], f"end {place} {i}"] for i in range(2)])

    def _within(self, place, checkpointer):
        model = self._model(place)

        def ask(state):
            message = model.invoke(state["messages"])
            calls = [{**call, "id": "call_0" if self.same_ids else f"call {place}"} for call in message.tool_calls]
            return {"messages": [message.model_copy(update={"tool_calls": calls, "id": f"of {place}{len(calls)}"})]}

        return kit.graph(MessagesState, ask=ask, tools=ToolNode([self.send]), checkpointer=checkpointer)

    def _branch(self, kind):
        made = {
            "agent": lambda place: create_agent(self._model(place), [self.send]),
            "graph": lambda place: self._within(place, None),
            "remembering graph": lambda place: self._within(place, True),
        }
        within = [made[kind](place) for place in range(self.count)] if kind in made else []

        def act(place):
            time.sleep(self.naps[place])
            if not within:
                names = [str(place), f"{place} too"][: 1 + (kind == "calls")]
                return {"log": [self.send.invoke({"to": name}) for name in names]}
            said = within[place].invoke({"messages": "hi"})["messages"]
            return {"log": [message.content for message in said if message.type == "tool"]}

        return act

    def agent(self):
        builder = StateGraph(State)
        builder.add_node("first", lambda _: self._ask.invoke("?") and {"log": []})
        builder.add_node("last", lambda _: self._ask.invoke("?") and {"log": ["last"]}, defer=self.draw.random() < 0.3)
        builder.add_edge(START, "first")
        again = RetryPolicy(initial_interval=0.001) if self.draw.random() < 0.3 else None
        acts = [self._branch(kind) for kind in self.kinds[: self.count]]
        if self.fans_out:
            builder.add_node("act", lambda state: acts[0](int(state["item"])), retry_policy=again)
            sends = [Send("act", {"item": str(place)}) for place in range(self.count)]
            builder.add_conditional_edges("first", lambda _: sends, ["act"])
            builder.add_edge("act", "last")
        for place, act in enumerate([] if self.fans_out else acts):
            builder.add_node(f"act {place}", lambda _, act=act, place=place: act(place), retry_policy=again)
            builder.add_edge("first", f"act {place}")
            builder.add_edge(f"act {place}", "last")
        return builder.compile()

    def graph(self, goes_on):
        limits = Limits(max_concurrency=self.draw.choice([None, None, 1]))
        node = executing(self.agent(), self.send, continue_after_commit=goes_on, selection_key="receipt", limits=limits)
        return kit.outer(node, State, checkpointer=self.draw.choice([None, InMemorySaver()]))

    @property
    def all(self):
        """Everything it would send, were nothing in its way."""
        twice = [place for place in range(self.count) if self.kinds[place] == "calls"]
        return sorted([*map(str, range(self.count)), *(f"{place} too" for place in twice)])


@kit.SAME
@pytest.mark.parametrize("goes_on", [False, True], ids=["ends", "goes on"])
@pytest.mark.parametrize("seed", range(8))
def test_exactly_the_recorded_actions_are_done_once(run, post, seed, goes_on):
    drawn = Drawn(seed, post)
    done = run.invoke(drawn.graph(goes_on), {"log": []}, THREAD)
    assert sorted(each["args"]["to"] for each in done["receipt"]["commits"]) == post.done
    assert len(set(post.done)) == len(post.done)
    told = [line.removeprefix("sent ") for line in done["log"] if line != "last"]
    if goes_on:
        assert post.done == drawn.all == sorted(told)
        assert done["log"][-1] == "last"
    else:
        assert len(post.done) == 1
        assert set(told) <= set(post.done)
