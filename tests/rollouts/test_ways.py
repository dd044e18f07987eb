"""A question comes to the same by both ways, through the fan-out graph and straight, and takes the right one."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import nullcontext
from typing import Any

import kit
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda, ensure_config
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphDrained
from langgraph.graph import MessagesState, StateGraph
from langgraph.runtime import RunControl, Runtime
from langgraph.types import RetryPolicy, interrupt
from typing_extensions import TypedDict

from ec_agent import Limits, LowestCentroid, best_of_n, read_only
from ec_agent.insides import langgraph as insides
from ec_agent.rollouts import ways
from ec_agent.rollouts.observer import Observer
from ec_agent.rollouts.observing import observe_everywhere
from ec_agent.stopping import More, Stop
from ec_agent.testing import Reply, ScriptedChatModel

RANDOM = r"[0-9a-f]{8}-[0-9a-f-]{27}|(?:seconds|started|ended)=[\d.e-]+"
MOMENTS = [name for name, each in vars(Observer).items() if callable(each) and not name.startswith(("_", "around"))]


class Told(Observer):
    """Notes of each rollout in which order its moments came, and the events that the whole question had."""

    def __init__(self):
        self.moments: dict[Any, list[str]] = {}

    def note(self, moment, *given, **named):
        of = given[0] if given and hasattr(given[0], "attempt") else "question"
        self.moments.setdefault(of, []).append(moment)


def _noting(moment):
    def hear(self, *given, **named):
        self.note(moment, *given, **named)

    return hear


for name in MOMENTS:
    setattr(Told, name, _noting(name))


class Tens(TypedDict):
    """A run's context."""

    tens: int


def in_context():
    def call(state, runtime: Runtime[Tens]):
        said = f"{runtime.context['tens']} tens, rollout {kit.rollout_index()}"
        return {"messages": [AIMessage(said)]}

    builder = StateGraph(MessagesState, context_schema=Tens)
    builder.add_node("call", call)
    builder.set_entry_point("call")
    return builder.compile()


def failing(at):
    def function(state):
        if kit.rollout_index() in at:
            raise ValueError(f"rollout {kit.rollout_index()} fails")
        return {"messages": [AIMessage(f"answer {kit.rollout_index()}")]}

    return function


def once_failing():
    tried: list[int | None] = []
    lock = threading.Lock()

    def function(state):
        with lock:
            tried.append(kit.rollout_index())
            fails = tried.count(kit.rollout_index()) < 2
        if fails:
            raise ConnectionError("not now")
        return {"messages": [AIMessage(f"answer {kit.rollout_index()}")]}

    return function


def configured(state, config):
    """An agent that says what its config has."""
    named = sorted(key for key in config["configurable"] if not key.startswith("__pregel"))
    task = {key: value for key, value in config["metadata"].items() if not key.startswith("ec_")}
    ambient = ensure_config()["metadata"].get("langgraph_node")
    return {"messages": [AIMessage(f"{named} {sorted(task.items())} {sorted(config['tags'])} {ambient}")]}


def looping():
    @read_only
    @tool
    def look(what: str) -> str:
        """Look a thing up."""
        return f"{what}: 14.84"

    tools = [("look", {"what": "it"})]
    replies = [
        [Reply("", tool_calls=tools), Reply(f"answer {i}", entropies=kit.peak(at))] for i, at in enumerate((9, 3))
    ]
    return create_agent(ScriptedChatModel(replies), [look])


class TwoWaves:
    """Asks for one more rollout, then for no more."""

    name = "two waves"

    def enough(self, candidates, running, n):
        return Stop("two are enough") if len(candidates) > 1 else More(1)


class AfterTwo(TwoWaves):
    """Ends the others once two have ended."""

    def enough(self, candidates, running, n):
        return Stop("two are enough") if len(candidates) > 1 else More(max(n - len(candidates) - running, 1))


def slow_third():
    async def function(state):
        if kit.rollout_index() > 1:
            await asyncio.sleep(60)
        return {"messages": [AIMessage(f"answer {kit.rollout_index()}")]}

    return function


async def speaking(state):
    return {"messages": [AIMessage(f"answer {kit.rollout_index()}")]}


async def sleeping(state):
    await asyncio.sleep(0 if kit.rollout_index() else 60)
    return {"messages": [AIMessage("awake")]}


def asking(state):
    return {"messages": [AIMessage(interrupt("may I?"))]}


def calling_a_graph(state):
    return kit.chat(kit.say(9, 3)).invoke(state)


FIRST = {"on_unscored": "first"}
CASES = {  # an agent, and options
    "graph": (lambda: kit.chat(kit.say(9, 3, 15)), {"n": 3}),
    "create_agent": (lambda: looping(), {"n": 2}),
    "function": (lambda: kit.spoken(lambda i: {"messages": [AIMessage(f"answer {i}")]}), {"n": 3}),
    "Runnable": (lambda: RunnableLambda(kit.spoken(lambda i: {"messages": [("ai", f"answer {i}")]})), {"n": 2}),
    "function that calls a graph": (lambda: calling_a_graph, {"n": 2}),
    "context": (in_context, {"n": 2, **FIRST}),
    "config": (lambda: configured, {"n": 2, **FIRST}),
    "one rollout": (lambda: kit.chat(kit.say(9)), {"n": 1}),
    "at most two at a time": (lambda: kit.chat(kit.say(9, 3, 15)), {"n": 3, "limits": Limits(max_concurrency=2)}),
    "one fails": (lambda: failing([1]), {"n": 3, **FIRST}),
    "all fail": (lambda: failing([0, 1]), {"n": 2, **FIRST}),
    "attempts": (once_failing, {"n": 2, "retry": RetryPolicy(max_attempts=2, initial_interval=0.0), **FIRST}),
    "without logprobs": (
        lambda: kit.chat(ScriptedChatModel(lambda messages, index: Reply("x"))),
        {"n": 1, "on_missing": "raise"},
    ),
    "waves": (lambda: kit.chat(kit.say(9, 3, 15)), {"n": 3, "stop": TwoWaves()}),
    "a question for a person": (lambda: asking, {"n": 2, **FIRST}),
    "several agents": (lambda: [kit.chat(kit.say(9, 3)), kit.chat(kit.say(15, 2))], {"n": 2}),
    "a selector that fails": (lambda: kit.chat(kit.say(9, 3)), {"n": 2, "selector": None}),
}
ASYNC = {
    "async function": (lambda: speaking, {"n": 3, **FIRST}),
    "timeout": (lambda: sleeping, {"n": 2, "limits": Limits(timeout=0.2), **FIRST}),
    "cancelled": (slow_third, {"n": 3, "stop": AfterTwo(), "cancel": True, **FIRST}),
}


class Failing:
    """A selector that cannot choose."""

    name, signals = "failing", ()

    def select(self, candidates):
        raise ValueError("cannot choose")


def asked(run, case, way, monkeypatch):
    """Ask a question that goes one way; return all that can be seen of it, without times and random ids."""
    make, options = case
    taken, told, events = [], Told(), []

    def chosen(question, config, real=needs_graph):
        taken.append(found := real(question, config) or way)
        return found

    monkeypatch.setattr(ways, "needs_graph", chosen)
    observe_everywhere("recording", lambda _: told)
    if options.get("selector", Ellipsis) is None:
        options = {**options, "selector": Failing()}
    node = best_of_n(make(), **options)
    try:
        result = run.run(
            node, {"messages": [("user", "go")]}, {"tags": ["mine"]}, context={"tens": 4}, on_event=events.append
        )
        said = kit.gist(result.output["messages"])
        got = _plain(said), _plain(result.selection.to_dict()), [t.entropies.tolist() for t in result.trajectories]
    except Exception as error:
        got = type(error), _plain(str(error)), [_plain(str(getattr(error, "candidates", "")))]
    finally:
        observe_everywhere("recording", None)
    assert taken == [way], got
    kinds = sorted((str(each["type"]), each.get("index"), str(each.get("state"))) for each in events)
    return got, {str(key): moments for key, moments in told.moments.items()}, kinds


needs_graph = ways.needs_graph


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in ("seconds", "started", "ended")}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return re.sub(RANDOM, "#", value) if isinstance(value, str) else value


@kit.SAME
@pytest.mark.parametrize("case", CASES)
def test_both_ways_come_to_the_same(run, case, monkeypatch):
    straight, through = (asked(run, CASES[case], way, monkeypatch) for way in (None, "asked for"))
    assert straight == through


@kit.SAME
@pytest.mark.parametrize("case", ASYNC)
def test_both_ways_come_to_the_same_on_the_event_loop(case, monkeypatch):
    straight, through = (asked(kit.Async(), ASYNC[case], way, monkeypatch) for way in (None, "asked for"))
    assert straight == through


class Listener(BaseCallbackHandler):
    """Hears everything, and does nothing."""


def through(run, node, monkeypatch, ask):
    """Why the questions that ``ask`` asks go through the graph."""
    found = []
    monkeypatch.setattr(ways, "needs_graph", lambda *given: found.append(needs_graph(*given)) or found[-1])
    ask(kit.outer(node, checkpointer=InMemorySaver()), kit.outer(node))
    return found


def test_a_checkpointer_a_handler_or_a_stream_of_subgraphs_takes_the_graph(run, monkeypatch):
    given, node = {"messages": "go"}, best_of_n(kit.chat(kit.say(9, 3)), n=2)

    def ask(saved, bare):
        run.invoke(saved, given, kit.THREAD)
        run.invoke(bare, given, {"callbacks": [Listener()]})
        parts = run.stream(bare, given, stream_mode="updates", subgraphs=True)
        assert sum("rollout" in part for place, part in parts if place) == 2
        run.stream(bare, given, stream_mode=["updates", "custom", "messages", "tasks", "values"])
        run.invoke(bare, given)
        run.invoke(node, given)

    reasons = through(run, node, monkeypatch, ask)
    heard = "a callback handler hears the tasks"
    assert reasons[:3] == ["a checkpointer saves finished rollouts", heard, "somebody streams the tasks"]
    assert reasons[3:] == [None, None, None]


class Choosing:
    """A selector that chooses as the lowest centroid does, and does ``first`` before."""

    name, signals = "choosing", LowestCentroid().signals

    def __init__(self, first):
        self.first = first

    def select(self, candidates):
        self.first()
        return LowestCentroid().select(candidates)


@pytest.mark.parametrize("drains", [True, False])
@pytest.mark.parametrize("way", [None, "asked for"])
def test_a_run_that_is_to_be_drained_stops_before_it_chooses(run, monkeypatch, way, drains):
    monkeypatch.setattr(ways, "needs_graph", lambda *given: way)
    control, chose = RunControl(), []

    def function(state):
        if drains:
            control.request_drain("enough for today")
        return {"messages": [kit.say(9, 3).invoke("?")]}

    node = best_of_n(function, n=2, selector=Choosing(lambda: chose.append(way)))
    stops = pytest.raises(GraphDrained, match="enough for today") if drains else nullcontext()
    with stops:
        run.invoke(node.as_agent(), {"messages": "go"}, control=control)
    assert chose == ([] if drains else [way])


def test_functions_of_the_user_run_as_in_the_task_that_asks(run):
    """Without the graph of ours they find themselves in the node of theirs."""
    seen = []

    def look():
        config = ensure_config()
        seen.append((insides.inside_graph(config), config["metadata"]["langgraph_node"], config["tags"]))

    node = best_of_n(kit.chat(kit.say(9, 3)), n=2, selector=Choosing(look))
    run.invoke(kit.outer(node), {"messages": "go"}, {"tags": ["mine"]})
    assert seen == [(True, "solve", ["mine"])]
