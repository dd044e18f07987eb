"""A world that cannot be made, entered or left costs its own rollout at most; wrong arguments are refused."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import kit
import pytest
from langgraph.types import interrupt
from worlds import Worlds, talk

from ec_agent import AllRolloutsFailedError, ConfigError, EnvironmentWarning, Limits, best_of_n


def test_an_environment_that_fails_costs_one_rollout(kind):
    run, worlds = kind
    world = worlds(entering={1: LookupError("no room")})
    selection = run.run(best_of_n(talk(), n=3, environment=world), {"messages": "go"}).selection
    assert [c.error for c in selection.candidates] == [None, "LookupError: no room", None]
    assert (selection.winner, world.left_open, len(world.made)) == (2, [], 2)


def test_a_factory_that_raises_costs_one_rollout(kind):
    run, worlds = kind
    world = worlds()

    def factory(index, known):
        if index == 1:
            raise LookupError("no room")
        return world(index, known)

    selection = run.run(best_of_n(talk(), n=3, environment=factory), {"messages": "go"}).selection
    assert [c.error for c in selection.candidates] == [None, "LookupError: no room", None]
    assert world.left_open == []


def test_an_environment_that_cannot_close_warns(kind):
    run, worlds = kind
    world = worlds(leaving={0: LookupError("stuck"), 1: LookupError("stuck")})
    with pytest.warns(EnvironmentWarning, match=r"could not be closed: LookupError\('stuck'\)") as caught:
        done = run.invoke(best_of_n(talk(), n=3, environment=world), {"messages": "go"})
    assert len([w for w in caught if w.category is EnvironmentWarning]) == 2
    assert kit.answers(done["messages"]) == ["answer 1"]
    assert world.left_open == []


async def coroutine_function(index, known):
    return None


def generator_function(index, known):
    yield


@pytest.mark.parametrize("factory", [lambda i, s: i, coroutine_function, generator_function, lambda i, s: None])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_factory_without_context_manager_is_refused(run, factory):
    with pytest.raises(AllRolloutsFailedError, match=r"ConfigError: environment= gave .*no context manager; decorate"):
        run.invoke(best_of_n(talk(), n=2, environment=factory), {"messages": "go"})


@pytest.mark.parametrize("name", ["environment", "promote"])
def test_anything_but_a_function_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name} is 3"):
        best_of_n(talk(), n=2, **{"environment": Worlds(), name: 3})


def test_promote_needs_an_environment():
    with pytest.raises(ConfigError, match="no environment= to promote"):
        best_of_n(talk(), promote=print)


def test_an_async_environment_needs_an_async_run():
    with pytest.raises(AllRolloutsFailedError, match="async context manager; use ainvoke"):
        best_of_n(talk(), n=2, environment=Worlds(asynchronous=True)).invoke({"messages": "go"})


def test_a_manager_of_both_kinds_fits_the_run(run):
    used = []

    class Both:
        def __enter__(self):
            used.append("sync")

        def __exit__(self, *error):
            used.append("sync")

        async def __aenter__(self):
            used.append("async")

        async def __aexit__(self, *error):
            used.append("async")

    run.invoke(best_of_n(talk(), n=1, environment=lambda i, s: Both()), {"messages": "go"})
    assert used == [run.name] * 2


def test_cancelling_while_entering_does_not_hang():
    class Cancelled:
        async def __aenter__(self):
            raise asyncio.CancelledError("by itself")

        async def __aexit__(self, *error):
            pass

    world = Worlds(asynchronous=True)
    factory = lambda i, s: Cancelled() if i == 0 else world(i, s)  # noqa: E731

    async def main():
        task = asyncio.create_task(best_of_n(talk(), n=3, environment=factory).arun({"messages": "go"}))
        await asyncio.wait([task], timeout=2)
        hung = not task.done()
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.1)
        assert not hung
        return task.result()

    assert asyncio.run(main()).selection.winner == 1
    assert world.left_open == []


def test_the_time_limit_includes_entering():
    @asynccontextmanager
    async def slow(index, known):
        await asyncio.sleep(6 if index == 1 else 0)
        yield index

    async def main():
        clock = asyncio.get_running_loop().time
        started = clock()
        result = await best_of_n(talk(), n=3, environment=slow, limits=Limits(timeout=1)).arun({"messages": "go"})
        return result.selection, clock() - started

    selection, seconds = asyncio.run(main())
    assert "RolloutTimeoutError" in selection.candidates[1].error
    assert seconds < 4


def test_an_interrupt_fails_its_rollout_with_a_reason(kind):
    run, worlds = kind
    world = worlds()
    agent = talk(ask=lambda s: interrupt("?") if kit.rollout_index() == 1 else None)
    selection = run.run(best_of_n(agent, n=3, environment=world), {"messages": "go"}).selection
    assert "RolloutInterruptedError: the rollout stopped at an interrupt()" in selection.candidates[1].error
    assert "ask people in a node of the outer graph" in selection.candidates[1].error
    assert (selection.winner, world.left_open) == (2, [])
