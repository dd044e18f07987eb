"""The loop on which sync functions run async work: one for the process, alive between calls."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextvars import ContextVar

import pytest

from ec_agent.support.loop import THREADS, run_to_its_end

ours = ContextVar("ours", default="nobody's")


async def loop_here():
    return asyncio.get_running_loop()


def test_calls_share_a_loop_that_stays_open_whatever_thread_they_come_from():
    first = run_to_its_end(loop_here())
    found = []
    thread = threading.Thread(target=lambda: found.append(run_to_its_end(loop_here())))
    thread.start()
    thread.join()
    assert found == [first]
    assert not first.is_closed()


def test_what_it_raises_is_raised():
    async def fails():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_to_its_end(fails())


def test_it_runs_in_the_callers_context():
    async def seen():
        return ours.get()

    token = ours.set("the caller's")
    try:
        assert run_to_its_end(seen()) == "the caller's"
    finally:
        ours.reset(token)
    assert run_to_its_end(seen()) == "nobody's"


def test_tasks_that_are_left_are_cancelled():
    ended = []

    async def forgotten():
        try:
            await asyncio.sleep(600)
        finally:
            ended.append("cancelled")

    async def forgets():
        ended.append(asyncio.create_task(forgotten()))
        await asyncio.sleep(0)

    run_to_its_end(forgets())
    assert ended[0].cancelled()
    assert ended[1:] == ["cancelled"]


def test_tasks_of_another_call_are_not():
    going, may_end = threading.Event(), threading.Event()
    said = []

    async def long():
        going.set()
        await asyncio.to_thread(may_end.wait, 60)
        return await asyncio.to_thread(lambda: "ended")

    thread = threading.Thread(target=lambda: said.append(run_to_its_end(long())))
    thread.start()
    assert going.wait(60)
    run_to_its_end(loop_here())
    may_end.set()
    thread.join(60)
    assert said == ["ended"]


def test_a_call_that_blocks_is_not_waited_for():
    may_end = threading.Event()

    async def gives_up():
        asyncio.get_running_loop().run_in_executor(None, may_end.wait, 60)

    try:
        run_to_its_end(gives_up())
        assert any(thread.name.startswith(THREADS) for thread in threading.enumerate())
    finally:
        may_end.set()


def test_idle_threads_end_with_the_last_call():
    async def blocks():
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(5)))

    before = set(threading.enumerate())
    run_to_its_end(blocks())
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(THREADS):
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_task_that_would_end_the_process_is_the_callers_affair_and_not_the_loops_end(kind):
    async def leaves():
        raise kind(7)

    async def asks():
        await asyncio.create_task(leaves())

    with pytest.raises(kind):
        run_to_its_end(asks())
    assert not run_to_its_end(loop_here()).is_closed()


def to_the_process():
    os.kill(os.getpid(), signal.SIGINT)


def to_another_thread():
    """As when it comes just before the caller falls asleep: it does not wake it."""
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


@pytest.mark.parametrize("interrupt", [to_the_process, to_another_thread], ids=["the process", "another thread"])
def test_ctrl_c_cancels_and_waits_for_what_is_kept(interrupt):
    kept = []

    async def works():
        try:
            threading.Timer(0.05, interrupt).start()
            await asyncio.sleep(20)
            kept.append("slept on")
        finally:
            await asyncio.sleep(0.05)
            kept.append("kept")

    with pytest.raises(KeyboardInterrupt):
        run_to_its_end(works())
    assert kept == ["kept"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_a_loop_of_its_own():
    run_to_its_end(loop_here())
    child = os.fork()
    if child == 0:
        os._exit(0 if run_to_its_end(asyncio.sleep(0, "here")) == "here" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
