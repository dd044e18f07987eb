"""Tools in threads and on the loop use one overlay at once, and none waits for another's embedding."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from stores import EVERY, NOTES, content, embed, in_memory

from ec_agent.rollouts.store_overlay import StoreOverlay, put_ops


@pytest.fixture
def restless():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.members(1)
@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("embedder", [None, embed])
def test_tools_in_threads_and_tasks_work_together(embedder):
    below = in_memory(embedder)
    below.put(NOTES, "k", {"text": "abc"})
    overlay = StoreOverlay(below)

    def tool(n):
        for i in range(30):
            overlay.put((*NOTES, f"{n}-{i}"), "k", {"text": f"{n} {i}"})
            assert len(overlay.search(NOTES, query="abc", limit=EVERY)) > i
        return n

    async def atool(n):
        for i in range(30):
            await overlay.aput((*NOTES, f"{n}-{i}"), "k", {"text": f"{n} {i}"})
            assert len(await overlay.asearch(NOTES, query="abc", limit=EVERY)) > i

    async def all_at_once():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(6) as pool:
            jobs = [loop.run_in_executor(pool, tool, n) for n in range(6)]
            await asyncio.gather(*jobs, atool(6), atool(7))

    asyncio.run(all_at_once())
    assert len(overlay.writes) == len(overlay.search((), limit=EVERY)) - 1 == 8 * 30
    assert content(below) == {(NOTES, "k"): {"text": "abc"}}
    for op in put_ops(overlay.writes):
        below.batch([op])
    assert content(below) == content(overlay)


def test_a_slow_embedding_thread_delays_nobody():
    started, go = threading.Event(), threading.Event()

    def slow(texts):
        if "slow" in texts:
            started.set()
            assert go.wait(10)
        return embed(texts)

    overlay = StoreOverlay(in_memory(slow))
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(overlay.put, NOTES, "k", {"text": "slow"})
        assert started.wait(10)
        try:
            pool.submit(overlay.put, NOTES, "k", {"text": "quick"}).result(timeout=5)
            assert overlay.get(NOTES, "k").value == {"text": "quick"}
        finally:
            go.set()
        writing.result()
    assert overlay.get(NOTES, "k").value == {"text": "slow"} == overlay.writes[-1][2]


async def test_a_slow_embedding_delays_nobody():
    started, go = asyncio.Event(), asyncio.Event()

    async def slow(texts):
        if "slow" in texts:
            started.set()
            await go.wait()
        return embed(texts)

    overlay = StoreOverlay(in_memory(slow))
    writing = asyncio.create_task(overlay.aput(NOTES, "k", {"text": "slow"}))
    await started.wait()
    await overlay.aput(NOTES, "k", {"text": "quick"})
    assert (await overlay.aget(NOTES, "k")).value == {"text": "quick"}
    go.set()
    await writing
    assert (await overlay.aget(NOTES, "k")).value == {"text": "slow"} == overlay.writes[-1][2]
