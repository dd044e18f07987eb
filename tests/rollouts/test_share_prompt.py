"""``share_prompt``: one rollout asks first; the others begin when its answer does, and never wait in vain."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from kit import SAME, THREAD, chat, graph, rollout_index
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.types import RetryPolicy

from ec_agent import Limits, best_of_n
from ec_agent.errors import ConfigError
from ec_agent.selectors import MajorityVote
from ec_agent.support.plans import adrive, drive
from ec_agent.support.prompt_leader import Lead

N = 6
pytestmark = SAME
BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


class Served(BaseChatModel):
    """A model that notes when calls begin, when their first token comes, and when they end."""

    log: Any = None
    streams: bool = False
    first: float = 0.05
    rest: float = 0.05
    fails: Any = ()

    @property
    def _llm_type(self):
        return "served"

    def _note(self, what):
        self.log.append((what, rollout_index()))

    def _begin(self):
        self._note("asked")
        if rollout_index() in self.fails:
            raise ValueError("no answer")

    def _answer(self):
        self._note("ended")
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"answer {rollout_index()}"))])

    def _generate(self, messages, stop=None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs):
        self._begin()
        time.sleep(self.first)
        if self.streams:
            self._note("token")
            run_manager.on_llm_new_token("a", chunk=ChatGenerationChunk(message=AIMessageChunk("a")))
        time.sleep(self.rest)
        return self._answer()

    async def _agenerate(self, messages, stop=None, run_manager: AsyncCallbackManagerForLLMRun | None = None, **kw):
        self._begin()
        await asyncio.sleep(self.first)
        if self.streams:
            self._note("token")
            await run_manager.on_llm_new_token("a", chunk=ChatGenerationChunk(message=AIMessageChunk("a")))
        await asyncio.sleep(self.rest)
        return self._answer()


def ran(agent, asynchronous, config=None, **options):
    node = best_of_n(agent, n=N, **{"selector": MajorityVote(), "share_prompt": True, **options})
    asked = {"messages": [("user", "?")]}
    return asyncio.run(node.arun(asked, config)) if asynchronous else node.run(asked, config)


def followers(log, what):
    """Whether all calls but the leader's began after what the leader did."""
    leader = log[0][1]
    told = log.index((what, leader))
    later = [place for place, (said, index) in enumerate(log) if said == "asked" and index != leader]
    return len(later) == N - 1 and min(later) > told


@BOTH
def test_without_streams_others_wait_for_the_answer(asynchronous):
    log = []
    ran(chat(Served(log=log)), asynchronous)
    assert followers(log, "ended")


@pytest.mark.members(1)
@BOTH
def test_others_begin_with_the_first_token_of_a_stream(asynchronous):
    log = []
    ran(chat(Served(log=log, streams=True, rest=1.0)), asynchronous)
    assert followers(log, "token")
    assert not followers(log, "ended")


@pytest.mark.members(1)
@BOTH
@pytest.mark.parametrize("share", [False, 0.02], ids=["off", "at most 0.02 s"])
def test_nobody_waits_longer_than_the_limit(asynchronous, share):
    log = []
    ran(chat(Served(log=log, first=1.0)), asynchronous, share_prompt=share)
    assert not followers(log, "ended")


@BOTH
def test_a_failing_leader_lets_others_go_on(asynchronous):
    log = []
    model = Served(log=log)
    model.fails = _First(log)
    result = ran(chat(model), asynchronous)
    assert [each.error is None for each in result.selection.candidates].count(True) == N - 1


class _First:
    """The rollout that asked first."""

    def __init__(self, log):
        self._log = log

    def __contains__(self, index):
        return self._log[0][1] == index


@BOTH
def test_a_retried_leader_keeps_nobody_waiting(asynchronous):
    log, released = [], threading.Event()

    def call(state):
        log.append(("asked", rollout_index()))
        if rollout_index() == log[0][1]:
            if len([each for each in log if each[1] == rollout_index()]) == 1:
                raise ValueError("once")
            assert released.wait(20)
        else:
            released.set()
        return {"messages": [AIMessage("yes")]}

    retry = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=2, retry_on=ValueError)
    result = ran(graph(MessagesState, call=call), asynchronous, retry=retry)
    assert all(each.error is None for each in result.selection.candidates)


@BOTH
def test_rollouts_that_ask_no_model(asynchronous):
    result = ran(graph(MessagesState, say=lambda state: {"messages": [AIMessage("yes")]}), asynchronous)
    assert len(result.selection.candidates) == N


@BOTH
@pytest.mark.parametrize("most", [1, 2])
def test_with_few_at_once(asynchronous, most):
    log = []
    ran(chat(Served(log=log)), asynchronous, limits=Limits(max_concurrency=most))
    assert followers(log, "ended")


@BOTH
def test_a_question_within_a_rollout(asynchronous):
    log = []
    inner = best_of_n(chat(Served(log=log)), n=2, selector=MajorityVote(), share_prompt=True)
    agent = graph(MessagesState, inner=inner)
    ran(agent, asynchronous)
    assert len([said for said, _ in log if said == "ended"]) == 2 * N


@BOTH
def test_a_resumed_run_waits_for_no_finished_rollout(asynchronous):
    log, broken = [], [True]

    class Killed(BaseException):
        pass

    def call(state):
        if rollout_index() == N - 1 and broken.pop() if broken else False:
            raise Killed
        return {"messages": [Served(log=log, first=0, rest=0).invoke(state["messages"])]}

    node = best_of_n(graph(MessagesState, call=call), n=N, selector=MajorityVote(), share_prompt=True)
    outer = graph(MessagesState, solve=node, checkpointer=InMemorySaver())
    asked = {"messages": [("user", "?")]}

    def go(given):
        return asyncio.run(outer.ainvoke(given, THREAD)) if asynchronous else outer.invoke(given, THREAD)

    with pytest.raises(BaseException):  # noqa: B017, PT011  # as the run around makes of it
        go(asked)
    assert go(None)["messages"][-1].content.startswith("answer")


@pytest.mark.parametrize("value", [0, -1, float("nan"), "yes", None, [1]])
def test_odd_values(value):
    with pytest.raises(ConfigError, match="share_prompt"):
        best_of_n(chat(Served(log=[])), share_prompt=value)


def test_latecomers_do_not_wait():
    lead = Lead()
    assert [lead.take(), lead.take()] == [True, False]
    lead.follow()
    lead.follow()

    def plan():
        yield lead.wait(None, lambda: False)
        return "done"

    assert drive(plan()) == "done"
    assert asyncio.run(adrive(plan())) == "done"


def test_a_sync_wait_ends_with_the_run():
    assert Lead().wait(None, lambda: True).sync() is None


def test_waits_on_several_loops_end_together():
    lead, done = Lead(), []
    threads = [
        threading.Thread(target=lambda: done.append(asyncio.run(lead.wait(20, lambda: False).wait()))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    lead.follow()
    for thread in threads:
        thread.join(10)
    assert len(done) == 3


def test_a_wait_that_is_cancelled_is_forgotten():
    async def main():
        lead = Lead()
        task = asyncio.ensure_future(lead.wait(None, lambda: False).wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        lead.follow()
        return lead._waiting

    assert asyncio.run(main()) == []
