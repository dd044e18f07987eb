"""The gate before every tool call: it is there where it is set, and nowhere else."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool, tool

from ec_agent import commit_tool, read_only
from ec_agent.commits.declared_tools import policy_of
from ec_agent.commits.gate import RolloutGate, RolloutStop, current_gate, gated, install_patch


@pytest.fixture
def post():
    sent = []

    @commit_tool
    @tool
    def send(to: str) -> str:
        """Send."""
        sent.append(to)
        return to

    @tool
    def search(q: str) -> str:
        """Search."""
        sent.append(q)
        return q

    return send, search, sent


def message(*calls):
    return AIMessage("", tool_calls=[{"name": n, "args": a, "id": f"c{i}"} for i, (n, a) in enumerate(calls)])


def asked(said, place=0):
    return {**said.tool_calls[place], "type": "tool_call"}


def gate_of(said=None, tools=(), commit=None, around=None):
    return RolloutGate(policy_of(commit, tools), [said] if said is not None else [], around)


def test_a_commit_stops_and_its_message_is_kept(post):
    send, _, sent = post
    said = message(("send", {"to": "ann"}))
    gate = gate_of(said)
    with gated(gate), pytest.raises(RolloutStop):
        send.invoke(asked(said))
    assert sent == []
    assert gate.proposal.message is said
    assert gate.proposal.commits == ("c0",)


async def test_an_async_commit_stops_too(post):
    send, _, sent = post
    said = message(("send", {"to": "ann"}))
    gate = gate_of(said)
    with gated(gate), pytest.raises(RolloutStop):
        await send.ainvoke(asked(said))
    assert sent == []
    assert gate.proposal.message is said


async def test_a_tool_with_a_coroutine_is_stopped_before_it_starts():
    sent = []

    async def send(to: str) -> str:
        """Send."""
        sent.append(to)
        return to

    made = commit_tool(StructuredTool.from_function(coroutine=send))
    with gated(gate_of()), pytest.raises(RolloutStop):
        await made.ainvoke({"to": "ann"})
    assert sent == []
    assert await made.ainvoke({"to": "ann"}) == "ann"


@pytest.mark.parametrize("first", [0, 1])
def test_a_harmless_call_beside_a_commit_waits_too(post, first):
    send, search, sent = post
    said = message(("search", {"q": "x"}), ("send", {"to": "ann"}))
    gate = gate_of(said, tools=[send, search])
    with gated(gate), pytest.raises(RolloutStop):
        (search, send)[first].invoke(asked(said, first))
    assert sent == []
    assert gate.proposal.commits == ("c1",)


def test_after_a_caught_stop_every_call_stops(post):
    send, search, sent = post
    with gated(gate_of()):
        with pytest.raises(RolloutStop):
            send.invoke({"to": "ann"})
        with pytest.raises(RolloutStop):
            search.invoke({"q": "x"})
    assert sent == []


def test_a_call_without_a_model_gets_a_message(post):
    send, _, _ = post
    gate = gate_of()
    with gated(gate), pytest.raises(RolloutStop):
        send.invoke({"to": "ann"})
    (call,) = gate.proposal.message.tool_calls
    assert (call["name"], call["args"]) == ("send", {"to": "ann"})
    assert gate.proposal.commits == (call["id"],)


def test_without_a_gate_everything_runs(post):
    send, search, sent = post
    install_patch()
    install_patch()  # a second time does nothing
    assert send.invoke({"to": "ann"}) == "ann"
    assert search.invoke({"q": "x"}) == "x"
    assert sent == ["ann", "x"]
    assert current_gate.get() is None


def test_a_gate_ends_with_its_block(post):
    send, _, sent = post
    with gated(gate_of()), pytest.raises(RolloutStop):
        send.invoke({"to": "ann"})
    send.invoke({"to": "bob"})
    assert sent == ["bob"]


def test_the_outer_gate_stops_what_the_inner_allows(post):
    _, search, sent = post
    outer = gate_of(tools=[search], commit=["search"])
    with gated(outer):
        inner = gate_of(around=current_gate.get())
        with gated(inner), pytest.raises(RolloutStop):
            search.invoke({"q": "x"})
    assert sent == []
    assert inner.proposal is not None


def test_gates_of_different_tasks_are_separate(post):
    send, _, sent = post

    async def one(stops):
        if not stops:
            await asyncio.sleep(0.01)
            return await send.ainvoke({"to": "free"})
        with gated(gate_of()):
            await asyncio.sleep(0)
            with pytest.raises(RolloutStop):
                await send.ainvoke({"to": "stopped"})
        return None

    async def both():
        return await asyncio.gather(*(one(i % 2 == 0) for i in range(6)))

    asyncio.run(both())
    assert sent == ["free"] * 3


def test_a_thread_with_a_copy_of_the_context_is_gated(post):
    send, _, sent = post
    with gated(gate_of()), ThreadPoolExecutor() as pool, pytest.raises(RolloutStop):
        pool.submit(contextvars.copy_context().run, send.invoke, {"to": "ann"}).result()
    assert sent == []


def test_the_latest_message_with_the_call_id_asked(post):
    send, search, _ = post
    early, late = message(("search", {"q": "x"})), message(("send", {"to": "ann"}))
    gate = RolloutGate(policy_of(None, [send, search]), [early, late])
    with gated(gate), pytest.raises(RolloutStop):
        send.invoke(asked(late))
    assert gate.proposal.message is late


def test_a_read_only_tool_runs_under_unknown_anywhere():
    sent = []

    @tool
    def look(q: str) -> str:
        """Look."""
        sent.append(q)
        return q

    said = message(("look", {"q": "x"}))
    read_only(look)
    with gated(gate_of(said, commit="unknown")):
        look.invoke(asked(said))
    assert sent == ["x"]
