"""A world of its own for each rollout, left whatever happens; the winner's may become the real one."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

import anyio
import kit
import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt

from ec_agent import (
    AllRolloutsFailedError,
    ConfigError,
    EnvironmentWarning,
    Limits,
    PromotionError,
    QuorumError,
    best_of_n,
    commit_tool,
    get_environment,
)
from ec_agent.environments.worlds import World
from ec_agent.plans import adrive, drive
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)  # rollout 1 wins
ON_THREAD = {"configurable": {"thread_id": "t"}}
SAME = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")


class Thing:
    """An environment that no serialiser takes."""

    def __init__(self, index):
        self.index, self.open, self.lock, self.marks = index, True, threading.Lock(), []

    def __reduce__(self):
        raise AssertionError("the environment is being serialised")

    def __deepcopy__(self, memo):
        raise AssertionError("the environment is being copied")


class Worlds:
    """A factory that remembers what it made."""

    def __init__(self, asynchronous=False, entering=None, leaving=None):
        self.made, self.inputs = [], []
        self._entering, self._leaving = entering or {}, leaving or {}
        self._make = asynccontextmanager(self._alater) if asynchronous else contextmanager(self._at_once)

    def __call__(self, index, known):
        self.inputs.append(known)
        return self._make(index)

    def _at_once(self, index):
        if index in self._entering:
            raise self._entering[index]
        self.made.append(thing := Thing(index))
        try:
            yield thing
        finally:
            thing.open = False
            if index in self._leaving:
                raise self._leaving[index]

    async def _alater(self, index):
        await asyncio.sleep(0)
        with contextmanager(self._at_once)(index) as thing:
            try:
                yield thing
            finally:
                await asyncio.sleep(0)

    @property
    def left_open(self):
        return [thing.index for thing in self.made if thing.open]


def talk(**nodes):
    return kit.graph(MessagesState, **nodes, model=lambda s: {"messages": [kit.say(*PEAKS).invoke("?")]})


@pytest.fixture(params=["sync run", "sync manager", "async manager"])
def kind(request):
    """What drives, and a factory for it."""
    run = kit.Sync() if request.param == "sync run" else kit.Async()
    return run, lambda **options: Worlds(request.param == "async manager", **options)


# Each rollout has its own.


def test_each_rollout_has_one_while_it_runs(kind):
    run, worlds = kind
    world, seen = worlds(), []

    def look(state, config):
        environment = get_environment()
        assert environment is config["configurable"]["ec_environment"]
        assert environment.open
        seen.append((kit.rollout_index(), environment.index))

    run.invoke(kit.outer(best_of_n(talk(look=look), n=3, environment=world)), {"messages": "go"})
    assert sorted(seen) == [(0, 0), (1, 1), (2, 2)]
    assert len(world.made) == 3
    assert world.left_open == []
    assert get_environment() is None


@SAME
def test_tools_see_it_in_their_threads(kind):
    run, worlds = kind
    seen = []

    @tool
    def look() -> str:
        """Look."""
        seen.append((kit.rollout_index(), get_environment().index, threading.get_ident()))
        return "seen"

    model = ScriptedChatModel(
        [
            [Reply(tool_calls=[("look", {}), ("look", {})], entropies=kit.peak(at)), Reply("x", entropies=kit.peak(1))]
            for at in PEAKS
        ]
    )
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda s: {"messages": [model.invoke(s["messages"])]})
    builder.add_node("tools", ToolNode([look]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END])
    builder.add_edge("tools", "model")
    run.invoke(best_of_n(builder.compile(), n=3, environment=worlds()), {"messages": "go"})
    assert sorted(pair[:2] for pair in seen) == [(i, i) for i in range(3) for _ in range(2)]


def test_without_one_there_is_none(run):
    seen = []

    def look(state, config):
        seen.append((get_environment(), "ec_environment" in config["configurable"]))

    run.invoke(best_of_n(talk(look=look), n=2), {"messages": "go"})
    assert seen == [(None, False)] * 2


def test_the_factory_is_given_the_rollouts_number_and_a_copy_of_the_input(kind):
    run, worlds = kind
    world, seen = worlds(), []
    spoil = lambda i, known: (known["messages"].append(i), world(i, known))[1]  # noqa: E731
    agent = talk(look=lambda s: seen.append(len(s["messages"])))
    done = run.invoke(kit.outer(best_of_n(agent, n=3, environment=spoil)), {"messages": [("user", "go")]})
    assert seen == [1, 1, 1]
    assert sorted(known["messages"][1] for known in world.inputs) == [0, 1, 2]
    assert [m.content for m in done["messages"]] == ["go", "answer 1"]


# What goes wrong.


def test_one_that_cannot_be_entered_is_one_failed_rollout(kind):
    run, worlds = kind
    world = worlds(entering={1: LookupError("no room")})
    selection = run.run(best_of_n(talk(), n=3, environment=world), {"messages": "go"}).selection
    assert [c.error for c in selection.candidates] == [None, "LookupError: no room", None]
    assert (selection.winner, world.left_open, len(world.made)) == (2, [], 2)


def test_a_factory_that_raises_is_one_failed_rollout(kind):
    run, worlds = kind
    world = worlds()

    def factory(index, known):
        if index == 1:
            raise LookupError("no room")
        return world(index, known)

    selection = run.run(best_of_n(talk(), n=3, environment=factory), {"messages": "go"}).selection
    assert [c.error for c in selection.candidates] == [None, "LookupError: no room", None]
    assert world.left_open == []


def test_one_that_cannot_be_left_is_a_warning(kind):
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
def test_what_gives_no_context_manager_says_so(run, factory):
    with pytest.raises(AllRolloutsFailedError, match=r"ConfigError: environment= gave .*no context manager; decorate"):
        run.invoke(best_of_n(talk(), n=2, environment=factory), {"messages": "go"})


@pytest.mark.parametrize("name", ["environment", "promote"])
def test_what_is_no_function_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name} is 3"):
        best_of_n(talk(), n=2, **{"environment": Worlds(), name: 3})


def test_promote_needs_an_environment():
    with pytest.raises(ConfigError, match="no environment= to promote"):
        best_of_n(talk(), promote=print)


def test_an_async_one_needs_an_async_run():
    with pytest.raises(AllRolloutsFailedError, match="async context manager; use ainvoke"):
        best_of_n(talk(), n=2, environment=Worlds(asynchronous=True)).invoke({"messages": "go"})


def test_one_with_both_sides_is_used_on_the_side_of_the_run(run):
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


def test_an_entering_that_is_cancelled_does_not_hang():
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


def test_the_time_limit_holds_for_entering_too():
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


# One that must be left by the task that entered it.


def test_a_task_group_is_left_by_the_task_that_entered_it():
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


def test_a_context_variable_can_be_reset_in_an_async_one():
    @asynccontextmanager
    async def setting(index, known):
        token = VARIABLE.set("inside")
        yield index
        VARIABLE.reset(token)

    asyncio.run(best_of_n(talk(), n=3, environment=setting).ainvoke({"messages": "go"}))  # warnings are errors
    assert VARIABLE.get() == "unset"


def test_a_background_task_of_it_that_fails_does_not_end_the_run():
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


def test_a_failed_rollouts_is_left_at_once(kind):
    run, worlds = kind
    world, seen = worlds(), []

    def one(state):
        if kit.rollout_index() == 0:
            raise LookupError("lost")
        seen.append(sorted(world.left_open))

    agent = talk(one=one)
    run.invoke(best_of_n(agent, n=2, environment=world, limits=Limits(max_concurrency=1)), {"messages": "go"})
    assert seen == [[1]]


def test_the_winners_is_open_until_route_and_promote_ran(kind):
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


def test_with_both_promote_and_route_the_winners_is_open_for_both(run):
    world, log = Worlds(), []

    def route(winner):
        log.append(("route", get_environment() is not None and get_environment().open))
        return "__end__"

    options = {"route": route, "promote": lambda e: log.append(("promote", e.open))}
    run.invoke(kit.outer(best_of_n(talk(), n=3, environment=world, **options)), {"messages": "go"})
    assert log == [("promote", True), ("route", True)]


@pytest.mark.parametrize("where", ["selector", "route", "promote", "output", "quorum", "all"])
def test_whatever_fails_all_are_left(kind, where):
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


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_timeout_leaves_it(asynchronous):
    world = Worlds(asynchronous)

    async def slow(state):
        await asyncio.sleep(30 if kit.rollout_index() == 1 else 0)

    node = best_of_n(talk(slow=slow), n=3, environment=world, limits=Limits(timeout=1.5))
    assert asyncio.run(node.arun({"messages": "go"})).selection.winner == 2
    assert (len(world.made), world.left_open) == (3, [])


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_cancelled_run_leaves_all(asynchronous):
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


def test_a_run_cancelled_again_while_it_leaves_its_environments_leaves_no_task():
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


# Promotion.


def test_promotion_happens_once_and_for_the_winner(kind):
    run, worlds = kind
    world, promoted = worlds(), []
    graph = kit.outer(best_of_n(talk(), n=3, environment=world, promote=promoted.append), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, ON_THREAD)
    assert [environment.index for environment in promoted] == [1]
    run.invoke(graph, None, ON_THREAD)
    assert len(promoted) == 1
    run.invoke(graph, {"messages": "again"}, ON_THREAD)
    assert [environment.index for environment in promoted] == [1, 1]


def test_a_coroutine_function_promotes_in_an_async_run():
    promoted = []

    async def promote(environment):
        await asyncio.sleep(0)
        promoted.append((environment.index, environment.open))

    asyncio.run(best_of_n(talk(), n=3, environment=Worlds(), promote=promote).ainvoke({"messages": "go"}))
    assert promoted == [(1, True)]


def test_a_coroutine_function_does_not_pass_for_a_promotion_in_a_sync_run():
    promoted = []

    async def promote(environment):
        promoted.append(environment.index)

    refused = None
    try:
        best_of_n(talk(), n=3, environment=Worlds(), promote=promote).invoke({"messages": "go"})
    except Exception as error:
        refused = str(error)
    assert promoted == [1] if refused is None else "async" in refused


def test_what_promote_raises_is_raised(run):
    def promote(environment):
        raise PromotionError("the world has changed")

    with pytest.raises(PromotionError, match="the world has changed"):
        run.invoke(best_of_n(talk(), n=3, environment=Worlds(), promote=promote), {"messages": "go"})


def test_a_promotion_that_changed_nothing_can_be_tried_again(run):
    tried = []

    def promote(environment):
        tried.append(environment.index)
        if len(tried) == 1:
            raise PromotionError("locked; nothing was changed")

    node = best_of_n(talk(), n=3, environment=Worlds(), promote=promote)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    with pytest.raises(PromotionError):
        run.invoke(graph, {"messages": "go"}, ON_THREAD)
    done = run.invoke(graph, None, ON_THREAD)
    assert tried == [1, 1]
    assert kit.answers(done["messages"]) == ["answer 1"]


# Commits.


@SAME
def test_the_commit_happens_in_the_winners_world_before_its_promotion(kind):
    run, worlds = kind
    world, log = worlds(), []

    @commit_tool
    @tool
    def ship() -> str:
        """Ship."""
        log.append(("ship", get_environment().index, get_environment().open))
        get_environment().marks.append("shipped")
        return "shipped"

    model = ScriptedChatModel([[Reply(tool_calls=[("ship", {})], entropies=kit.peak(at))] for at in PEAKS])
    agent = kit.graph(
        MessagesState, model=lambda s: {"messages": [model.invoke(s["messages"])]}, tools=ToolNode([ship])
    )
    promote = lambda e: log.append(("promote", e.index, e.marks))  # noqa: E731
    node = best_of_n(agent, n=3, environment=world, promote=promote, on_commit="execute")
    done = run.invoke(kit.outer(node), {"messages": "go"})
    assert log == [("ship", 1, True), ("promote", 1, ["shipped"])]
    assert done["messages"][-1].content == "shipped"
    assert world.left_open == []
    assert [thing.marks for thing in sorted(world.made, key=lambda t: t.index)] == [[], ["shipped"], []]


# Rollouts within rollouts.


@SAME
def test_nested_rollouts_have_worlds_of_their_own(run):
    seen = []
    inner_world, outer_world = Worlds(), Worlds()
    pair = lambda: (get_environment(), kit.rollout_index())  # noqa: E731
    inner = best_of_n(talk(look=lambda s: seen.append(("inner", *pair()))), n=2, environment=inner_world)
    agent = kit.graph(
        MessagesState,
        before=lambda s: seen.append(("outer", *pair())),
        inner=inner,
        after=lambda s: seen.append(("outer", *pair())),
    )
    run.invoke(best_of_n(agent, n=3, environment=outer_world), {"messages": "go"})
    assert len(seen) == 3 * 2 + 3 * 2
    assert all(environment.index == index for _, environment, index in seen)
    assert {id(e) for where, e, _ in seen if where == "inner"} == {id(e) for e in inner_world.made}
    assert {id(e) for where, e, _ in seen if where == "outer"} == {id(e) for e in outer_world.made}
    assert inner_world.left_open == outer_world.left_open == []


@SAME
def test_nested_rollouts_without_worlds_are_in_the_one_around(run):
    seen = []

    def look(state, config):
        seen.append((get_environment(), config["configurable"].get("ec_environment")))

    world = Worlds()
    agent = kit.graph(MessagesState, inner=best_of_n(talk(look=look), n=2))
    run.invoke(best_of_n(agent, n=1, environment=world), {"messages": "go"})
    assert seen == [(world.made[0], world.made[0])] * 2


@SAME
def test_nothing_is_promoted_in_a_rollout_that_may_lose(run):
    promoted = []
    inner = best_of_n(talk(), n=2, environment=Worlds(), promote=promoted.append)
    run.invoke(best_of_n(kit.graph(MessagesState, inner=inner), n=3), {"messages": "go"})
    assert len(promoted) <= 1


# What is kept.


def test_an_interrupt_fails_its_rollout_with_a_word_why(kind):
    run, worlds = kind
    world = worlds()
    agent = talk(ask=lambda s: interrupt("?") if kit.rollout_index() == 1 else None)
    selection = run.run(best_of_n(agent, n=3, environment=world), {"messages": "go"}).selection
    assert "RolloutInterruptedError: the rollout stopped at an interrupt()" in selection.candidates[1].error
    assert "ask people in a node of the outer graph" in selection.candidates[1].error
    assert (selection.winner, world.left_open) == (2, [])


@pytest.mark.parametrize("saver", ["memory", "sqlite"])
def test_no_checkpoint_holds_the_environment(saver, tmp_path):
    with sqlite3.connect(tmp_path / "saver.sqlite", check_same_thread=False) as connection:
        kept = InMemorySaver() if saver == "memory" else SqliteSaver(connection)
        node = best_of_n(talk(), n=3, environment=Worlds(), promote=lambda e: e)  # its result is nobody's
        graph = kit.outer(node, checkpointer=kept)
        for durability in ("sync", "async"):
            done = graph.invoke({"messages": "go"}, ON_THREAD, durability=durability)
        assert kit.answers(done["messages"]) == ["answer 1"] * 2
        assert "Thing" not in repr(list(kept.list(None)))
    connection.close()


# The world itself.


@pytest.mark.parametrize("go", ["sync", "async"])
def test_a_world_is_left_once(go):
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
def test_a_world_that_was_not_entered_is_not_left(go):
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
