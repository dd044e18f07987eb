"""Whatever becomes of a run, it leaves no task, thread, open file or temporary file behind."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import tempfile
import threading
import time
import weakref
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import kit
import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from ec_agent import Limits, SQLiteCopies, SQLiteJournal, best_of_n, commit_tool, get_environment, read_only
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)
ON_THREAD = {"configurable": {"thread_id": "t"}}
SAME = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")


def open_files():
    if not Path("/proc/self/fd").exists():
        pytest.skip("counts open files in /proc")
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith(("/", "socket:")) and not target.startswith(("/dev", "/proc")):
            found.append(target)
    return sorted(found)


@contextmanager
def nothing_left(home):
    """Threads, open files and files in the folder are afterwards what they were."""
    gc.collect()
    before = set(threading.enumerate()), open_files(), sorted(home.rglob("*"))
    yield
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before[0] and time.monotonic() < deadline:
        time.sleep(0.02)
    gc.collect()
    assert (set(threading.enumerate()) - before[0], open_files(), sorted(home.rglob("*"))) == (set(), *before[1:])


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop, shop:
        shop.execute("CREATE TABLE sold (what TEXT)")
    return tmp_path


def slow_agent(place, reached, *, asynchronous):
    """An agent with a commit at its end that stays long in one place."""
    wait = threading.Event()

    async def apause(here):
        if here == place:
            reached.set()
            await asyncio.sleep(30)

    def pause(here):
        if here == place:
            reached.set()
            wait.wait(0.2)
            raise KeyboardInterrupt

    @read_only
    @tool
    async def alook() -> str:
        """Look."""
        with closing(get_environment().connect()) as shop:
            shop.execute("SELECT * FROM sold").fetchall()
            await apause("tool")
        return "seen"

    @read_only
    @tool
    def look() -> str:
        """Look."""
        with closing(get_environment().connect()) as shop:
            shop.execute("SELECT * FROM sold").fetchall()
            pause("tool")
        return "seen"

    @commit_tool
    @tool
    async def asell() -> str:
        """Sell."""
        await apause("commit")
        return "sold"

    @commit_tool
    @tool
    def sell() -> str:
        """Sell."""
        pause("commit")
        return "sold"

    names = ("alook", "asell") if asynchronous else ("look", "sell")
    model = ScriptedChatModel(
        [
            [
                Reply(f"look {i}", tool_calls=[(names[0], {})], entropies=kit.peak(at)),
                Reply(f"sell {i}", tool_calls=[(names[1], {})], entropies=kit.peak(at)),
            ]
            for i, at in enumerate(PEAKS)
        ]
    )

    async def acall(state):
        reply = await model.ainvoke(state["messages"])
        await apause("model")
        return {"messages": [reply]}

    def call(state):
        reply = model.invoke(state["messages"])
        pause("model")
        return {"messages": [reply]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", acall if asynchronous else call)
    builder.add_node("tools", ToolNode([alook, asell] if asynchronous else [look, sell]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END])
    builder.add_edge("tools", "model")
    return builder.compile()


def slow_world(home, place, reached):
    copies = SQLiteCopies(home / "shop.db")

    @asynccontextmanager
    async def world(index, known):
        with copies(index, known) as copy:
            if place == "enter":
                reached.set()
                await asyncio.sleep(10)
            yield copy
            if place == "leave":
                reached.set()
                await asyncio.sleep(0.3)

    async def promote(environment):
        if place == "promote":
            reached.set()
            await asyncio.sleep(30)

    return {"environment": world, "promote": promote}


@pytest.mark.members(1)
@pytest.mark.parametrize("place", ["enter", "model", "tool", "commit", "promote", "leave"])
@pytest.mark.parametrize("saver", [None, InMemorySaver], ids=["no saver", "saver"])
def test_a_run_cancelled_in_the_middle_leaves_nothing(home, place, saver):
    async def main():
        reached = asyncio.Event()
        agent = slow_agent(place, reached, asynchronous=True)
        node = best_of_n(
            agent,
            n=3,
            on_commit="execute",
            journal=SQLiteJournal(home / "commits.db"),
            **slow_world(home, place, reached),
        )
        graph = kit.outer(node, checkpointer=saver and saver())
        task = asyncio.create_task(graph.ainvoke({"messages": "go"}, ON_THREAD))
        await asyncio.wait_for(reached.wait(), 10)
        task.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 5, "the cancelling waited for what it was to cancel"
        return asyncio.all_tasks() - {asyncio.current_task()}

    SQLiteJournal(home / "commits.db").read("none")  # makes the file
    with nothing_left(home):
        assert asyncio.run(main()) == set()


@pytest.mark.members(1)
@pytest.mark.parametrize("place", ["model", "tool", "commit"])
def test_a_broken_off_sync_run_leaves_nothing(home, place):
    reached = threading.Event()
    SQLiteJournal(home / "commits.db").read("none")
    with nothing_left(home):
        node = best_of_n(
            slow_agent(place, reached, asynchronous=False),
            n=3,
            on_commit="execute",
            journal=SQLiteJournal(home / "commits.db"),
            environment=SQLiteCopies(home / "shop.db"),
        )
        with pytest.raises(KeyboardInterrupt):
            kit.outer(node).invoke({"messages": "go"})
        assert reached.is_set()


@pytest.mark.members(1)
def test_an_error_beside_the_node_leaves_nothing(home, run):
    """Another node of the same step fails while the rollouts run."""

    def fail(state):
        time.sleep(0.05)
        raise LookupError("beside")

    async def afail(state):
        await asyncio.sleep(0.05)
        raise LookupError("beside")

    model = ScriptedChatModel(lambda messages, i: Reply(f"answer {i}", entropies=kit.peak(PEAKS[i]), delay=0.3))
    with nothing_left(home):
        builder = StateGraph(MessagesState)
        builder.add_node("solve", best_of_n(kit.chat(model), n=3, environment=SQLiteCopies(home / "shop.db")))
        builder.add_node("beside", afail if run.name == "async" else fail)
        builder.add_edge(START, "solve")
        builder.add_edge(START, "beside")
        with pytest.raises(LookupError, match="beside"):
            run.invoke(builder.compile(), {"messages": "go"})


@pytest.mark.members(1)
def test_runs_that_end_well_leave_nothing(home, run):
    copies = SQLiteCopies(home / "shop.db")
    with nothing_left(home):
        node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, environment=copies, promote=copies.promote)
        for _ in range(3):
            run.invoke(node, {"messages": "go"})


def test_a_rollout_out_of_time_leaves_nothing(home):
    model = ScriptedChatModel(
        lambda messages, i: Reply(f"answer {i}", entropies=kit.peak(PEAKS[i]), delay=30 if i == 1 else 0)
    )

    async def main():
        node = best_of_n(kit.chat(model), n=3, environment=SQLiteCopies(home / "shop.db"), limits=Limits(timeout=0.5))
        assert (await node.arun({"messages": "go"})).selection.winner == 2
        return asyncio.all_tasks() - {asyncio.current_task()}

    with nothing_left(home):
        assert asyncio.run(main()) == set()


def test_an_unread_stream_leaves_nothing(home):
    async def main():
        node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, environment=SQLiteCopies(home / "shop.db"))
        parts = kit.outer(node).astream({"messages": "go"}, stream_mode="custom")
        async for _ in parts:
            break
        await parts.aclose()
        return asyncio.all_tasks() - {asyncio.current_task()}

    with nothing_left(home):
        assert asyncio.run(main()) == set()


@SAME
def test_a_parallel_branch_ends_with_the_run(home):
    @commit_tool
    @tool
    async def sell() -> str:
        """Sell."""
        return "sold"

    model = ScriptedChatModel([[Reply(tool_calls=[("sell", {})], entropies=kit.peak(at))] for at in PEAKS])

    async def call(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def beside(state):
        await asyncio.sleep(0.3)

    async def after(state):
        await asyncio.sleep(30)

    builder = StateGraph(MessagesState)
    for name, node in {"model": call, "tools": ToolNode([sell]), "beside": beside, "after": after}.items():
        builder.add_node(name, node)
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_edge("model", "beside")
    builder.add_edge("beside", "after")

    async def main():
        await asyncio.wait_for(best_of_n(builder.compile(), n=3).ainvoke({"messages": "go"}), 10)
        return asyncio.all_tasks() - {asyncio.current_task()}

    with nothing_left(home):
        assert asyncio.run(main()) == set()


def test_the_node_and_its_agent_are_collected(run):
    def make():
        node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, environment=lambda i, s: closing(Thing()))
        run.invoke(kit.outer(node), {"messages": "go"})
        run.invoke(node, {"messages": "go"})
        return weakref.ref(node), [weakref.ref(thing) for thing in made]

    class Thing:
        def __init__(self):
            made.append(self)

        def close(self):
            pass

    made = []
    node, things = make()
    made.clear()
    gc.collect()
    assert node() is None
    assert [thing() for thing in things] == [None] * 6
