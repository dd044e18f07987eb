"""What stops a run: a verdict, a world or an agent that fails, and code that ends the process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import time

import pytest
from eval_fakes import Calls, Right, agent_of, rollouts, tasks
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

from ec_agent.cli.eval import remove
from ec_agent.errors import ConfigError, EvaluationError, TraceError
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import aevaluate, evaluate
from ec_agent.evaluation.tasks import BaseTask

SMALL = RunSettings(n=3, seed=1)


class Broken(BaseTask):
    """A task whose verdict fails, or says nonsense."""

    def __init__(self, says):
        super().__init__("broken", "?")
        self.says = says

    def verdict(self, outcome):
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (KeyError("gold"), r"the task's verdict failed \(KeyError: 'gold'\)"),
        ("yes", "the verdict is 'yes'; return True, False"),
        ("1", "the verdict is '1'; return True, False"),
        (float("nan"), "the verdict is nan"),
        (2, "the verdict is 2"),
        (None, "the verdict is None"),
    ],
)
def test_a_verdict_that_fails_stops_the_run_and_is_no_failure_of_the_agent(path, says, words):
    with pytest.raises(EvaluationError, match=f"task 'broken', rollout 0: {words}"):
        evaluate([*tasks(1), Broken(says)], agent_of(Calls()), path, dataclasses.replace(SMALL, concurrency=1))
    stored = rollouts(path)
    assert {rollout.key.task for rollout in stored} == {"task 0"}
    mended = Broken(1)
    evaluate([*tasks(1), mended], agent_of(Calls()), path, SMALL)
    assert all(rollout.verdict == 1 for rollout in rollouts(path)[3:] if rollout.error is None)


@pytest.mark.filterwarnings("error")
def test_a_verdict_that_has_to_be_awaited_is_told_to_be_plain(path):
    class Awaited(BaseTask):
        async def verdict(self, outcome):
            return True

    with pytest.raises(EvaluationError, match="the verdict is a coroutine; write verdict without async"):
        evaluate([Awaited("a", "?")], lambda state: {"messages": [AIMessage("x")]}, path, SMALL)


def test_an_awaited_verdict_of_a_rollout_that_was_stopped_meanwhile_is_closed_too(path):
    verdicts = []

    class Awaited(BaseTask):
        async def _later(self):
            return True

        def verdict(self, outcome):
            time.sleep(0.2 * len(verdicts))  # the first ends the run, the others come when nobody asks any more
            verdicts.append(self._later())
            return verdicts[-1]

    with pytest.raises(EvaluationError, match="the verdict is a coroutine"):
        evaluate([Awaited("a", "?")], lambda state: {"messages": [AIMessage("x")]}, path, SMALL)
    assert {inspect.getcoroutinestate(verdict) for verdict in verdicts} == {inspect.CORO_CLOSED}


def test_a_world_that_cannot_be_entered_stops_the_run(path):
    class Nowhere(Right):
        @contextlib.contextmanager
        def environment(self):
            raise OSError("no disk")
            yield

    with pytest.raises(EvaluationError, match=r"environment could not be entered \(OSError: no disk\)"):
        evaluate([Nowhere("a")], agent_of(Calls()), path, SMALL)
    assert rollouts(path) == []


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_run_that_is_stopped_while_a_world_is_entered_leaves_it(path, asynchronous):
    entering, left = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    class Slow(Right):
        def environment(self):
            return self.aworld() if asynchronous else self.world()

        @contextlib.contextmanager
        def world(self):
            loop.call_soon_threadsafe(entering.set)
            time.sleep(0.2)
            yield
            left.append(True)

        @contextlib.asynccontextmanager
        async def aworld(self):
            entering.set()
            try:
                await asyncio.sleep(0.2)
                yield
            finally:
                left.append(True)

    running = asyncio.create_task(aevaluate([Slow("a")], agent_of(Calls()), path, RunSettings(n=1, greedy=False)))
    await entering.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert left == [True]
    assert rollouts(path) == []


def test_an_agent_that_cannot_be_run_stops_the_run(path):
    with pytest.raises(EvaluationError, match="the rollout cannot be run"):
        evaluate(tasks(1), RunnableLambda(lambda state: state) | agent_of(Calls()), path, SMALL)


def test_what_is_no_agent_is_refused_before_there_is_a_file(path):
    with pytest.raises(ConfigError, match="agent is"):
        evaluate(tasks(1), object(), path, SMALL)
    assert not path.exists()


@pytest.mark.parametrize("asynchronous", [True, False])
def test_code_that_ends_the_process_does_not_end_it_silently(path, asynchronous):
    calls = Calls()
    inner = agent_of(calls)

    async def aleave(state):
        if len(calls.seeds) > 3:
            raise SystemExit(3)
        return await inner.ainvoke(state)

    def leave(state):
        raise SystemExit(3)

    agent = aleave if asynchronous else leave
    settings = dataclasses.replace(SMALL, concurrency=1)
    with pytest.raises(EvaluationError, match=r"ended the process \(sys.exit\(3\)\); raise an error there"):
        evaluate(tasks(2), agent, path, settings, agent_name="asker")
    assert len(rollouts(path)) == (2 if asynchronous else 0)
    assert evaluate(tasks(2), inner, path, settings, agent_name="asker").finished


def test_a_file_that_is_deleted_under_a_run_stops_it(path):
    def told(progress):
        if progress.stored == 3:
            path.unlink()

    with pytest.raises(TraceError, match="was deleted, moved"):
        evaluate(tasks(2), agent_of(Calls()), path, SMALL, on_progress=told)


def test_a_run_beside_it_cannot_start_a_file_afresh(path):
    refused = []

    def told(progress):
        if progress.stored == 3:
            with pytest.raises(TraceError, match="end other processes that use it") as caught:
                remove(path)
            refused.append(caught.value)

    assert evaluate(tasks(2), agent_of(Calls()), path, SMALL, on_progress=told).finished
    assert len(refused) == 1
    assert len(rollouts(path)) + len(rollouts(path, "greedy")) == 8
