"""Each world is left once, whatever happens: as soon as nobody needs it, by the task that entered it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio
import kit
import pytest
from kit import PEAKS
from langgraph.graph import MessagesState
from worlds import Worlds, talk

from ec_agent import AllRolloutsFailedError, EnvironmentWarning, Limits, QuorumError, best_of_n, get_environment
from ec_agent.environments.worlds import World
from ec_agent.support.plans import adrive, drive

# One that must be left by the task that entered it.


def test_a_task_group_is_left_by_its_task():
    log = []

    @asynccontextmanager
    async def grouped(index, known):
        task = asyncio.current_task()
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 60)
            yield index
            group.cancel_scope.cancel()
        log.append(asyncio.current_task() is task)

    done = asyncio.run(best_of_n(talk(), n=3, environment=grouped).ainvoke({"messages": "go"}))
    assert kit.answers(done["messages"]) == ["answer 1"]
    assert log == [True] * 3


VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


def test_a_context_variable_can_be_reset_when_leaving():
    @asynccontextmanager
    async def setting(index, known):
        token = VARIABLE.set("inside")
        yield index
        VARIABLE.reset(token)

    asyncio.run(best_of_n(talk(), n=3, environment=setting).ainvoke({"messages": "go"}))  # warnings are errors
    assert VARIABLE.get() == "unset"


def test_a_failing_background_task_does_not_end_the_run():
    @asynccontextmanager
    async def failing(index, known):
        async def fail():
            await anyio.sleep(0.05)
            raise LookupError("in the background")

        async with anyio.create_task_group() as group:
            if index == 0:
                group.start_soon(fail)
            yield index

    async def wait(state):
        await asyncio.sleep(0.2)

    agent = kit.graph(MessagesState, wait=wait, model=lambda s: {"messages": [kit.say(*PEAKS).invoke("?")]})
    with pytest.warns(EnvironmentWarning, match="could not be closed"):
        done = asyncio.run(best_of_n(agent, n=3, environment=failing).ainvoke({"messages": "go"}))
    assert kit.answers(done["messages"]) == ["answer 1"]


# When it is left.


def test_a_failed_rollouts_environment_is_left_at_once(kind):
    run, worlds = kind
    world, seen = worlds(), []

    def one(state):
        if kit.rollout_index() == 0:
            raise LookupError("lost")
        seen.append(sorted(world.left_open))

    agent = talk(one=one)
    run.invoke(best_of_n(agent, n=2, environment=world, limits=Limits(max_concurrency=1)), {"messages": "go"})
    assert seen == [[1]]


def test_the_winners_environment_is_open_for_routing(kind):
    run, worlds = kind
    world, log = worlds(), []

    def promote(environment):
        log.append(("promote", environment.index, environment.open))

    def route(winner):
        environment = get_environment()
        log.append(("route", winner.index, environment.open if environment is not None else None))
        return "__end__"

    node = best_of_n(talk(), n=3, environment=world, route=route)
    run.invoke(kit.outer(node), {"messages": "go"})
    assert log == [("route", 1, True)]
    assert world.left_open == []
    run.invoke(best_of_n(talk(), n=3, environment=world, promote=promote), {"messages": "go"})
    assert log[1:] == [("promote", 1, True)]
    assert world.left_open == []


def test_the_winners_environment_is_open_for_both(run):
    world, log = Worlds(), []

    def route(winner):
        log.append(("route", get_environment() is not None and get_environment().open))
        return "__end__"

    options = {"route": route, "promote": lambda e: log.append(("promote", e.open))}
    run.invoke(kit.outer(best_of_n(talk(), n=3, environment=world, **options)), {"messages": "go"})
    assert log == [("promote", True), ("route", True)]


@pytest.mark.parametrize("where", ["selector", "route", "promote", "output", "quorum", "all"])
def test_after_any_failure_all_are_left(kind, where):
    run, worlds = kind
    world = worlds()

    def fail(*args):
        raise LookupError(where)

    class Bad:
        name, signals, select = "bad", ("entropy",), fail

    options = {
        "selector": {"selector": Bad()},
        "route": {"route": fail},
        "promote": {"promote": fail},
        "output": {"output": fail},
        "quorum": {"limits": Limits(quorum=3)},
        "all": {},
    }[where]
    agent = talk(one=lambda s: fail() if where == "all" or (where == "quorum" and kit.rollout_index() == 0) else None)
    with pytest.raises((LookupError, QuorumError, AllRolloutsFailedError)):
        run.invoke(kit.outer(best_of_n(agent, n=3, environment=world, **options)), {"messages": "go"})
    assert len(world.made) == 3
    assert world.left_open == []


@pytest.mark.members(1)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_after_a_timeout_it_is_left(asynchronous):
    world = Worlds(asynchronous)

    async def slow(state):
        await asyncio.sleep(30 if kit.rollout_index() == 1 else 0)

    node = best_of_n(talk(slow=slow), n=3, environment=world, limits=Limits(timeout=1.5))
    assert asyncio.run(node.arun({"messages": "go"})).selection.winner == 2
    assert (len(world.made), world.left_open) == (3, [])


@pytest.mark.members(1)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_after_cancelling_all_are_left(asynchronous):
    world = Worlds(asynchronous)

    async def slow(state):
        await asyncio.sleep(30)

    async def main():
        node = best_of_n(talk(slow=slow), n=3, environment=world)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(kit.outer(node).ainvoke({"messages": "go"}), 1)
        assert world.left_open == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert len(world.made) == 3


def test_cancelling_twice_leaves_no_task_behind():
    left = []

    @asynccontextmanager
    async def slow_to_enter(index, known):
        await asyncio.sleep(0.3)
        try:
            yield index
        finally:
            left.append(index)

    async def main():
        task = asyncio.create_task(best_of_n(talk(), n=2, environment=slow_to_enter).ainvoke({"messages": "go"}))
        await asyncio.sleep(0.1)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.05)
        await asyncio.wait([task], timeout=2)
        await asyncio.sleep(0.4)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(main()) == 0


# The world itself.


@pytest.mark.parametrize("go", ["sync", "async"])
def test_an_environment_is_left_once(go):
    factory = Worlds(asynchronous=go == "async")
    world = World(factory(0, None))

    def plan():
        yield world.enter()
        assert factory.left_open == [0]
        yield world.close()
        yield world.close()

    drive(plan()) if go == "sync" else asyncio.run(adrive(plan()))
    assert factory.left_open == []


@pytest.mark.parametrize("go", ["sync", "async"])
def test_an_environment_not_entered_is_not_left(go):
    left = []

    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            left.append(1)

    def plan():
        yield World(Manager()).close()

    drive(plan()) if go == "sync" else asyncio.run(adrive(plan()))
    assert left == []
