"""LangChain calls side by side: in the order of their starts, each heard by its own recording alone."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import timelines
from fake_openai import Answer
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.runnables.config import run_in_executor
from langchain_core.tools import tool

from ec_agent import best_of_n, read_only, record_calls

ENTROPIES = [1.5, 0.25, 0.75]


@pytest.fixture
def model(fake, chat_model):
    """Of three prompts the first is answered last."""
    fake.answers.update(
        hi=Answer(ENTROPIES), one=Answer([0.25], delay=0.06), two=Answer([0.5], delay=0.02), three=Answer([0.75])
    )
    return chat_model()


class InTurn(BaseChatModel):
    """Says when it has been asked, and answers when it may."""

    model: BaseChatModel
    asked: threading.Event
    may: threading.Event

    @property
    def _llm_type(self):
        return "in turn"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.asked.set()
        assert self.may.wait(30)
        return self.model._generate(messages, stop, run_manager, **kwargs)


def test_parallel_threads_in_call_start_order(model):
    """``one`` ends last and comes first."""
    prompts, ended = ["one", "two", "three"], []
    asked = [threading.Event() for _ in prompts]
    over = [threading.Event() for _ in prompts]
    over.append(threading.Event())
    over[3].set()

    def at(place):
        def ask(_):
            assert place == 0 or asked[place - 1].wait(30)
            InTurn(model=model, asked=asked[place], may=over[place + 1]).invoke(prompts[place])
            ended.append(prompts[place])
            over[place].set()

        return RunnableLambda(ask)

    parallel = RunnableParallel(c=at(2), a=at(0), b=at(1))
    with record_calls() as recorder:
        parallel.invoke("x")
    assert ended == ["three", "two", "one"]
    assert timelines(recorder) == [[0.25], [0.5], [0.75]]


async def test_gather_in_call_start_order(model):
    ended = []

    async def ask(prompt):
        await model.ainvoke(prompt)
        ended.append(prompt)

    with record_calls() as recorder:
        await asyncio.gather(ask("one"), ask("two"), ask("three"))
    assert ended == ["three", "two", "one"]
    assert timelines(recorder) == [[0.25], [0.5], [0.75]]


async def test_parallel_runnables_async(model):
    with record_calls() as recorder:
        await RunnableParallel(a=RunnableLambda(lambda _: "one") | model, b=model).ainvoke("two")
    assert sorted(timelines(recorder)) == [[0.25], [0.5]]


async def test_in_an_executor(model):
    with record_calls() as recorder:
        await run_in_executor(None, model.invoke, "hi")
        await asyncio.to_thread(model.invoke, "one")
        context = contextvars.copy_context()
        await asyncio.get_running_loop().run_in_executor(None, context.run, model.invoke, "two")
    assert timelines(recorder) == [ENTROPIES, [0.25], [0.5]]


def test_raw_threads_are_missed(model):
    """Documented: neither a bare thread nor a bare executor takes the context along."""
    with record_calls() as recorder:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(model.invoke, "hi").result()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, model.invoke, "one").result()
    assert timelines(recorder) == [[0.25]]


def test_concurrent_recordings_hear_only_their_own(fake, chat_model):
    fake.answers.update({f"p{i}": Answer([i / 10, i / 20], delay=0.01 * (i % 3)) for i in range(8)})
    model = chat_model()

    def one(i):
        with record_calls() as recorder:
            model.invoke(f"p{i}")
            list(model.stream(f"p{i}"))
        return timelines(recorder)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [[[i / 10, i / 20]] * 2 for i in range(8)]


async def test_concurrent_recordings_hear_only_their_own_async(fake, chat_model):
    fake.answers.update({f"p{i}": Answer([i / 10, i / 20], delay=0.01 * (i % 3)) for i in range(8)})
    model = chat_model()

    async def one(i):
        with record_calls() as recorder:
            await model.ainvoke(f"p{i}")
            [_ async for _ in model.astream(f"p{i}")]
        return timelines(recorder)

    heard = await asyncio.gather(*(one(i) for i in range(8)))
    assert heard == [[[i / 10, i / 20]] * 2 for i in range(8)]


def rollout_agent(model):
    """Asks ``q<i>`` three times: in the agent, in its tool, and in the agent again."""

    @read_only
    @tool
    async def ask(i: int) -> str:
        """Ask."""
        return str((await model.ainvoke(f"inner{i}")).content)

    @read_only
    @tool
    def ask_sync(i: int) -> str:
        """Ask."""
        return str(model.invoke(f"inner{i}").content)

    return ask_sync, ask


def different_rollouts(fake):
    """Rollout i, known by its seed, hears i/20 nats at once, and calls a tool that hears (i + 1)/20 later."""

    def start(body):
        i = body["seed"]
        name = body["tools"][0]["function"]["name"]
        return Answer([i / 20] * 3, tool_calls=[(name, {"i": i})], delay=0.002 * (i % 5))

    fake.answers["go"] = start
    fake.answers["w0 "] = lambda body: Answer([i / 40 + 1 for i in [body["seed"]]], delay=0.002 * (body["seed"] % 3))
    for i in range(16):
        fake.answers[f"inner{i}"] = Answer([(i + 1) / 20])
    return [[[i / 20] * 3, [(i + 1) / 20], [i / 40 + 1]] for i in range(16)]


def test_sixteen_rollouts_each_hear_their_own(fake, chat_model):
    expected = different_rollouts(fake)
    model = chat_model()
    agent = create_agent(model, [rollout_agent(model)[0]])
    node = best_of_n(agent, n=16, sampling=lambda i: {"seed": i})
    result = node.run({"messages": [HumanMessage("go")]})
    heard = [[[round(float(h), 6) for h in c.entropies] for c in t.calls] for t in result.trajectories]
    assert heard == [[[round(h, 6) for h in call] for call in calls] for calls in expected]


async def test_sixteen_rollouts_each_hear_their_own_async(fake, chat_model):
    expected = different_rollouts(fake)
    model = chat_model()
    agent = create_agent(model, [rollout_agent(model)[1]])
    node = best_of_n(agent, n=16, sampling=lambda i: {"seed": i})
    result = await node.arun({"messages": [HumanMessage("go")]})
    heard = [[[round(float(h), 6) for h in c.entropies] for c in t.calls] for t in result.trajectories]
    assert heard == [[[round(h, 6) for h in call] for call in calls] for calls in expected]
