"""A run that is left early: its rollouts stop at their next call, and nothing comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time

import kit
import pytest
from langchain.agents import create_agent
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy
from walking import LEAVE_AT, STEPS, N, Walk
from worlds import Worlds

from ec_agent import Limits, best_of_n
from ec_agent.testing import Reply, ScriptedChatModel

ASK = {"messages": "go"}


def beside(node):
    """The node in a graph in which others run at the same time."""
    builder = StateGraph(MessagesState)
    builder.add_node("solve", node)
    for name in ("other", "another"):
        builder.add_node(name, lambda s: {})
        builder.add_edge(START, name)
    builder.add_edge(START, "solve")
    return builder.compile()


FORMS = {
    "alone": lambda node: node,
    "as an agent": lambda node: node.as_agent(),
    "as a node": kit.outer,
    "beside others": beside,
    "two graphs up": lambda node: kit.outer(beside(node)),
    "from a function": lambda node: kit.graph(MessagesState, solve=(node.invoke, node.ainvoke)),
}
MODES = {
    "custom": {"stream_mode": "custom", "subgraphs": True},
    "several": {"stream_mode": ["custom", "updates", "messages"], "subgraphs": True},
    "tasks": {"stream_mode": "tasks", "subgraphs": True},
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def parts_until(stream, walk):
    """Its parts, up to the ``LEAVE_AT``th call."""
    for part in stream:
        if len(walk.calls) >= LEAVE_AT:
            walk.leave()
            return part
    raise AssertionError("it came to its end")


def by_closing(stream, walk):
    parts_until(stream, walk)
    stream.close()


def by_forgetting(stream, walk):
    parts_until(stream, walk)
    del stream
    gc.collect()


def by_an_error(stream, walk, error=ZeroDivisionError):
    def read():
        parts_until(stream, walk)
        raise error

    with pytest.raises(error), contextlib.closing(stream):
        read()


def by_ctrl_c_in_the_loop(stream, walk):
    by_an_error(stream, walk, KeyboardInterrupt)


@forms
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_closing_a_stream_stops_the_rollouts(form, mode):
    walk = Walk()
    by_closing(form(best_of_n(walk.graph(), n=N)).stream(ASK, **mode), walk)
    walk.stopped()


@pytest.mark.parametrize("leave", [by_closing, by_forgetting, by_an_error, by_ctrl_c_in_the_loop])
@pytest.mark.parametrize("agent", [Walk.graph, Walk.function], ids=["graph", "function"])
def test_every_way_of_leaving_stops_the_rollouts(leave, agent):
    walk = Walk()
    streams = [kit.outer(best_of_n(agent(walk), n=N)).stream(ASK, stream_mode="custom")]
    leave(streams.pop(), walk)
    walk.stopped()


def test_aborting_an_event_stream_stops_the_rollouts():
    walk = Walk()
    with kit.outer(best_of_n(walk.graph(), n=N)).stream_events(ASK, version="v3") as events:
        for _ in events:
            if len(walk.calls) >= LEAVE_AT:
                walk.leave()
                break
    walk.stopped()


def test_nested_rollouts_stop_too():
    walk = Walk()
    within = best_of_n(walk.graph(), n=2)
    stream = best_of_n(kit.outer(within), n=2).stream(ASK, stream_mode="custom")
    by_closing(stream, walk)
    walk.stopped(each=4)


def failing(walk):
    """A graph in which a node fails while another asks best_of_n."""

    def fail(state):
        while len(walk.calls) < LEAVE_AT:
            time.sleep(0.005)
        walk.leave()
        raise LookupError("beside")

    async def afail(state):
        while len(walk.calls) < LEAVE_AT:
            await asyncio.sleep(0.005)
        walk.leave()
        raise LookupError("beside")

    builder = StateGraph(MessagesState)
    builder.add_node("solve", best_of_n(walk.graph(), n=N))
    builder.add_node("fail", kit.RunnableLambda(fail, afunc=afail))
    builder.add_edge(START, "solve")
    builder.add_edge(START, "fail")
    return builder.compile()


def test_a_failing_parallel_node_stops_the_rollouts(run):
    walk = Walk()
    with pytest.raises(LookupError, match="beside"):
        run.invoke(failing(walk), ASK)
    walk.stopped()


def test_a_failing_task_in_langchains_executor_stops_them():
    walk = Walk()

    def side_by_side():
        with ContextThreadPoolExecutor() as pool:
            pool.submit(best_of_n(walk.graph(), n=N).invoke, ASK)
            while len(walk.calls) < LEAVE_AT:
                time.sleep(0.005)
            walk.leave()
            raise LookupError("beside")

    with pytest.raises(LookupError, match="beside"):
        side_by_side()
    walk.stopped()


# What becomes of those that were stopped.


def test_stopped_rollouts_are_neither_retried_nor_chosen():
    walk, worlds, heard = Walk(), Worlds(False), []
    node = best_of_n(
        walk.graph(), n=N, environment=worlds, retry=RetryPolicy(retry_on=lambda error: True, initial_interval=0.01)
    )
    stream = kit.outer(node).stream(ASK, stream_mode="custom")
    with contextlib.closing(stream):
        for event in stream:
            heard.append(event["type"])
            if len(walk.calls) >= LEAVE_AT:
                walk.leave()
                break
    walk.stopped()
    assert not {"ec_agent.rollout.finished", "ec_agent.selection"} & set(heard)
    assert (len(worlds.made), worlds.left_open) == (N, [])


def test_a_resumed_run_runs_only_unfinished_rollouts():
    walk = Walk(0.01)
    saver = InMemorySaver()
    graph = kit.outer(best_of_n(walk.graph(), n=N, limits=Limits(max_concurrency=1)), checkpointer=saver)
    stream = graph.stream(ASK, kit.THREAD, stream_mode="custom")
    with contextlib.closing(stream):
        for event in stream:
            if event["type"].endswith("finished"):
                walk.leave()
                break
    walk.stopped(each=1)
    made = len(walk.calls)
    done = graph.invoke(None, kit.THREAD)
    assert len(walk.calls) == made + STEPS * (N - 1)
    assert len(done["messages"]) == STEPS + 1
    assert set(saver.storage) == {"t"}


def test_waiting_rollouts_never_start():
    walk, worlds = Walk(), Worlds(False)
    node = best_of_n(walk.graph(), n=N, limits=Limits(max_concurrency=2), environment=worlds)
    by_closing(kit.outer(node).stream(ASK, stream_mode="custom"), walk)
    walk.stopped(each=2)
    assert set(walk.calls) == {0, 1}
    assert len(worlds.made) == 2


def test_a_wait_for_a_retry_ends():
    asked = []

    def down(messages, index):
        asked.append(index)
        raise ConnectionError("down")

    node = best_of_n(
        kit.chat(ScriptedChatModel(down)), n=2, retry=RetryPolicy(initial_interval=60, jitter=False, max_attempts=3)
    )
    stream = kit.outer(node).stream(ASK, stream_mode="custom")
    started = time.monotonic()
    with contextlib.closing(stream):
        ended = (event for event in stream if event["type"].endswith("finished"))
        assert "down" in next(ended)["error"]
    assert time.monotonic() - started < 30
    assert asked.count(0) <= 1
    assert asked.count(1) <= 1


@pytest.mark.parametrize("caught", [Exception, BaseException])
def test_an_agent_that_catches_everything_stops_too(caught):
    walk = Walk()
    refused = []

    def stubborn(state):
        for number in range(STEPS):
            try:
                walk.model.invoke(f"{number}")
            except caught:
                refused.append(number)
        return {"messages": ["done"]}

    heard = []
    stream = kit.outer(best_of_n(stubborn, n=N)).stream(ASK, stream_mode="custom")
    with contextlib.closing(stream):
        for event in stream:
            heard.append(event["type"])
            if len(walk.calls) >= LEAVE_AT:
                walk.leave()
                break
    walk.stopped()
    assert bool(refused) == (caught is BaseException)


def test_a_running_tool_is_the_last_call():
    looked, entered = [], threading.Event()

    @tool
    def look(what: str) -> str:
        """Look."""
        looked.append(what)
        entered.set()
        time.sleep(0.2)
        looked.append(what)
        return "nothing"

    model = ScriptedChatModel(
        lambda messages, index: Reply("", tool_calls=[("look", {"what": str(index)})], entropies=kit.peak(3))
    )
    stream = best_of_n(create_agent(model, [look]), n=2).stream(ASK, stream_mode="custom")
    with contextlib.closing(stream):
        for _ in stream:
            if entered.is_set():
                break
    assert looked.count("0") in (0, 2)
    assert looked.count("1") in (0, 2)
    assert looked


# What is no leaving.


def test_background_work_goes_on():
    """A node starts something in a thread of its own, which asks best_of_n after the stream was left."""
    walk = Walk(delay=0)
    left, ended = threading.Event(), []
    with ContextThreadPoolExecutor() as pool:

        def later():
            left.wait(10)
            ended.append(best_of_n(walk.graph(), n=N).as_agent().invoke(ASK))

        graph = kit.graph(MessagesState, one=lambda s: pool.submit(later) and {}, two=lambda s: {})
        for _ in graph.stream(ASK, stream_mode=["updates", "custom"]):
            break
        left.set()
    assert len(ended[0]["messages"]) == STEPS + 1


def test_the_users_own_threads_and_tasks_go_on():
    walk = Walk(delay=0)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(best_of_n(walk.graph(), n=N).invoke(ASK)))
    thread.start()
    stream = best_of_n(Walk().graph(), n=N).stream(ASK, stream_mode="custom")
    next(stream)
    stream.close()
    thread.join()
    assert len(ended[0]["messages"]) == STEPS + 1


# Async: cancelled, as ever.


async def leave_by_breaking(node, walk):
    stream = node.astream(ASK, stream_mode="custom")
    async for _ in stream:
        if len(walk.calls) >= LEAVE_AT:
            walk.leave()
            break
    await stream.aclose()


async def leave_by_cancelling(node, walk):
    task = asyncio.create_task(node.ainvoke(ASK))
    while len(walk.calls) < LEAVE_AT:
        await asyncio.sleep(0.005)
    walk.leave()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@forms
@pytest.mark.parametrize("leave", [leave_by_breaking, leave_by_cancelling])
def test_async_runs_stop_too(form, leave):
    if form is FORMS["two graphs up"] and leave is leave_by_breaking:
        pytest.skip("its custom events stay below without subgraphs=True")
    walk = Walk()

    async def main():
        await leave(form(best_of_n(walk.graph(), n=N)), walk)
        await asyncio.sleep(0)
        walk.stopped()

    asyncio.run(main())


@pytest.mark.parametrize("leave", [leave_by_breaking, leave_by_cancelling])
def test_threads_of_async_rollouts_stop_too(leave):
    """A synchronous function that asks many times runs in a thread, which no cancellation reaches."""
    walk = Walk()
    asyncio.run(leave(kit.outer(best_of_n(walk.function(), n=N)), walk))
    walk.stopped()
