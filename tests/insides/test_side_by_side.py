"""Plans run at once as LangGraph runs the tasks of one superstep: a graph of ``Send`` tasks is asked the same."""

from __future__ import annotations

import asyncio
import operator
import threading
import time
from contextvars import ContextVar
from typing import Annotated

import pytest
from langgraph.errors import GraphBubbleUp
from langgraph.graph import START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from ec_agent.insides.executors import executors_here
from ec_agent.insides.side_by_side import side_by_side
from ec_agent.support.plans import Step

here: ContextVar[int] = ContextVar("test_side_by_side", default=-1)


class Found(TypedDict):
    """What the tasks return."""

    found: Annotated[list[int], operator.add]


def by_graph(works, most):
    """The same works as tasks of a graph."""

    def step(number):
        return {"found": [works[number].sync()]}

    async def astep(number):
        return {"found": [await works[number].wait()]}

    def build(node):
        builder = StateGraph(Found)
        builder.add_node("work", node)
        builder.add_conditional_edges(START, lambda _: [Send("work", i) for i in range(len(works))], ["work"])
        return builder.compile()

    async def wait():
        return (await build(astep).ainvoke({"found": []}, {"max_concurrency": most}))["found"]

    return Step(lambda: build(step).invoke({"found": []}, {"max_concurrency": most})["found"], wait)


def by_us(works, most):
    def plan(work):
        return (yield work)

    return side_by_side([plan(work) for work in works], most)


class Broken(GraphBubbleUp):
    """Control flow of LangGraph's kind."""


@pytest.fixture(params=[by_us, by_graph])
def steps(request):
    """What runs the works."""
    return request.param


@pytest.fixture(params=["sync", "async"])
def taken(request):
    """Takes a step."""
    return (lambda step: step.sync()) if request.param == "sync" else (lambda step: asyncio.run(step.wait()))


def work(sync):
    """A work whose async form is ``sync`` too, with a wait in it."""

    async def wait():
        await asyncio.sleep(0)
        return sync()

    return Step(sync, wait)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_results_are_in_order_and_each_has_a_context_of_its_own(steps, taken, n):
    def of(number):
        def sync():
            before = here.get()
            here.set(number)
            time.sleep(0.01 * (n - number) / n)
            return before * 100 + here.get()

        return work(sync)

    here.set(7)
    assert taken(steps([of(i) for i in range(n)], n)) == [700 + i for i in range(n)]
    assert here.get() == 7


@pytest.mark.parametrize("most", [1, 3])
def test_at_most_so_many_run_at_a_time(steps, taken, most):
    running, peak, lock = [0], [0], threading.Lock()

    def sync():
        with lock:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1
        return 1

    async def wait():
        running[0] += 1
        peak[0] = max(peak[0], running[0])
        await asyncio.sleep(0.01)
        running[0] -= 1
        return 1

    assert sum(taken(steps([Step(sync, wait)] * 7, most))) == 7
    assert peak[0] == most


def test_an_error_ends_the_others_on_the_event_loop(steps):
    ended = []

    async def waits():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def fails():
        await asyncio.sleep(0.01)
        raise ValueError("one fails")

    works = [Step(lambda: 0, wait) for wait in (waits, fails, waits)]
    with pytest.raises(ValueError, match="one fails"):
        asyncio.run(steps(works, 3).wait())
    assert ended == ["cancelled"] * 2


def test_an_error_leaves_the_executor_of_the_others_threads(steps):
    left = []

    def runs_on():
        mine = executors_here()
        for _ in range(500):
            if mine.left:
                left.append("left")
                return 0
            time.sleep(0.01)
        return 0

    def fails():
        time.sleep(0.05)
        raise ValueError("one fails")

    with pytest.raises(ValueError, match="one fails"):
        steps([work(runs_on), work(fails), work(runs_on)], 3).sync()
    assert left == ["left"] * 2


def test_control_flow_lets_the_others_end(steps, taken):
    ended = []

    def breaks():
        raise Broken

    def ends():
        time.sleep(0.02)
        ended.append("ended")

    async def waits():
        await asyncio.sleep(0.02)
        ended.append("ended")

    with pytest.raises(Broken):
        taken(steps([work(breaks), Step(ends, waits), Step(ends, waits)], 3))
    assert ended == ["ended"] * 2


@pytest.mark.parametrize("n", [1, 3])
def test_cancelling_the_run_cancels_all_and_waits_for_them(steps, n):
    ended = []

    async def waits():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def main():
        run = asyncio.create_task(steps([Step(lambda: 0, waits)] * n, n).wait())
        await asyncio.sleep(0.05)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())
    assert ended == ["cancelled"] * n
