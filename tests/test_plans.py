"""A plan is one text that is driven synchronously and asynchronously, with the same result."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar

import pytest

from ec_agent.support.plans import Step, adrive, call, drive, hook, pause

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


def sync(plan):
    return drive(plan)


def on_loop(plan):
    return asyncio.run(adrive(plan))


both = pytest.mark.parametrize("go", [sync, on_loop])


class Target:
    def __init__(self):
        self.used = []

    def add(self, a, *, b=0):
        self.used.append("add")
        return a + b

    async def aadd(self, a, *, b=0):
        self.used.append("aadd")
        return a + b


@both
def test_values_come_back_into_the_plan(go):
    target = Target()

    def plan():
        first = yield call(target, "add", 1, b=2)
        second = yield call(target, "add", first)
        return [first, second]

    assert go(plan()) == [3, 3]
    assert target.used == (["add"] * 2 if go is sync else ["aadd"] * 2)


@both
def test_a_plan_without_steps(go):
    def plan():
        return 7
        yield

    assert go(plan()) == 7


@both
def test_an_error_of_a_step_is_raised_where_it_was_yielded(go):
    def fails():
        raise LookupError("lost")

    def plan():
        try:
            yield hook(fails)
        except LookupError as error:
            said = str(error)
        return (yield hook(lambda: f"caught {said}"))

    assert go(plan()) == "caught lost"


@both
def test_an_error_nobody_catches_comes_out_after_the_cleanup(go):
    left = []

    def fails():
        raise LookupError("lost")

    def plan():
        try:
            yield hook(fails)
        finally:
            yield hook(left.append, "cleaned")

    with pytest.raises(LookupError, match="lost"):
        go(plan())
    assert left == ["cleaned"]


@both
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_passes_through_the_cleanup(go, error):
    left = []

    def fails():
        raise error

    def plan():
        try:
            yield hook(fails)
        finally:
            left.append("cleaned")

    with pytest.raises(error):
        drive(plan()) if go is sync else asyncio.run(adrive(plan()))
    assert left == ["cleaned"]


@both
def test_a_step_that_raises_stop_iteration_does_not_end_the_plan_with_a_value(go):
    def plan():
        yield hook(next, iter(()))
        return "went on"

    with pytest.raises(RuntimeError):
        go(plan())


@both
def test_context_variables_hold_across_steps(go):
    def plan():
        token = VARIABLE.set("inside")
        try:
            seen = yield hook(VARIABLE.get)
        finally:
            VARIABLE.reset(token)
        return seen, (yield hook(VARIABLE.get))

    assert go(plan()) == ("inside", "unset")


@both
def test_plans_within_plans(go):
    def inner(value):
        return (yield hook(lambda: value * 2))

    def plan():
        return (yield from inner((yield from inner(1))))

    assert go(plan()) == 4


@both
def test_a_pause_is_waited_for(go):
    def plan():
        yield pause(0.05)

    started = time.monotonic()
    go(plan())
    assert time.monotonic() - started >= 0.04


def test_a_pause_on_the_loop_does_not_hold_up_others():
    def plan(order, seconds):
        yield pause(seconds)
        order.append(seconds)

    async def main():
        order = []
        await asyncio.gather(adrive(plan(order, 0.1)), adrive(plan(order, 0.01)))
        return order

    assert asyncio.run(main()) == [0.01, 0.1]


def test_a_hook_may_be_a_coroutine_function_on_the_loop():
    async def later():
        await asyncio.sleep(0)
        return threading.get_ident()

    def plan():
        return (yield hook(later))

    assert on_loop(plan()) == threading.get_ident()


def test_a_coroutine_function_as_a_hook_of_a_synchronous_run_is_not_skipped_in_silence():
    done = []

    async def later():
        done.append("done")

    def plan():
        yield hook(later)

    refused = None
    try:
        drive(plan())
    except Exception as error:
        refused = str(error)
    assert done == ["done"] if refused is None else "async" in refused


def test_a_cancelled_plan_cleans_up_and_stays_cancelled():
    left = []

    def plan():
        try:
            yield pause(60)
        finally:
            yield hook(left.append, "cleaned")

    async def main():
        task = asyncio.create_task(adrive(plan()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(main())
    assert left == ["cleaned"]


def test_a_step_may_have_two_forms():
    async def wait():
        return "async"

    def plan():
        return (yield Step(lambda: "sync", wait))

    assert (sync(plan()), on_loop(plan())) == ("sync", "async")
