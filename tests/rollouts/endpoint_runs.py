"""Agents that ask an endpoint with a raw client or a ``ChatOpenAI``, and runs of them that look at what is left."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager

import kit
from langchain_openai import ChatOpenAI
from langgraph.graph import MessagesState
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from ec_agent import best_of_n

MODEL = {"model": "fake-model"}
ASKING = {**MODEL, "logprobs": True, "top_logprobs": 20}
SAID = [{"role": "user", "content": "go"}]
INPUT = {"messages": [("user", "go")]}
LATE = 4.0  # seconds that a busy machine may take besides


def within(seconds, condition):
    """Whether it comes true in that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


async def awithin(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.01)
    return True


class Client:
    """A function that asks with the raw client."""

    name = "client"

    @contextmanager
    def agent(self, server, steps, *, stream=False, **settings):
        with OpenAI(base_url=server.url, api_key="none", **settings) as client:

            def ask():
                answer = client.chat.completions.create(**ASKING, messages=SAID, stream=stream)
                return "".join(map(delta, answer)) if stream else answer.choices[0].message.content

            yield lambda state: {"messages": [("ai", steps(ask))]}

    @asynccontextmanager
    async def aagent(self, server, steps, *, stream=False, **settings):
        async with AsyncOpenAI(base_url=server.url, api_key="none", **settings) as client:

            async def ask():
                answer = await client.chat.completions.create(**ASKING, messages=SAID, stream=stream)
                if stream:
                    return "".join([delta(chunk) async for chunk in answer])
                return answer.choices[0].message.content

            async def agent(state):
                return {"messages": [("ai", await steps(ask))]}

            yield agent


def delta(chunk):
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


class Model:
    """A graph whose node asks a ``ChatOpenAI``."""

    name = "ChatOpenAI"

    def model(self, server, *, stream=False, **settings):
        return ChatOpenAI(base_url=server.url, api_key="none", streaming=stream, **ASKING, **settings)

    @contextmanager
    def agent(self, server, steps, **settings):
        with DefaultHttpxClient() as http:  # else all models of a process share one for good
            model = self.model(server, http_client=http, **settings)

            def ask():
                return model.invoke("go").content

            yield kit.graph(MessagesState, ask=lambda state: {"messages": [("ai", steps(ask))]})

    @asynccontextmanager
    async def aagent(self, server, steps, **settings):
        async with DefaultAsyncHttpxClient() as http:
            model = self.model(server, http_async_client=http, **settings)

            async def ask():
                return (await model.ainvoke("go")).content

            async def node(state):
                return {"messages": [("ai", await steps(ask))]}

            yield kit.graph(MessagesState, ask=node)


def once(ask):
    """What an agent does as a rule: ask once; ``ask`` may be of either kind."""
    return ask()


class Run:
    """Runs an agent of one kind in one way, and looks at what is left while its client is still open."""

    def __init__(self, server, way, drive):
        self.server, self.way, self.sync = server, way, drive.name == "sync"

    def __call__(self, steps=once, *, n=3, timeout=10.0, max_retries=0, stream=False, **options):
        settings = {"timeout": timeout, "max_retries": max_retries, "stream": stream}
        options = {"sampling": lambda i: {"seed": i}, "n": n, **options}
        if not self.sync:
            return asyncio.run(self.arun(steps, settings, options))
        with self.way.agent(self.server, steps, **settings) as agent:
            try:
                return best_of_n(agent, **options).run(INPUT)
            finally:
                assert within(LATE, lambda: self.server.busy == 0), "an answer is still awaited"

    async def arun(self, steps, settings, options):
        async with self.way.aagent(self.server, steps, **settings) as agent:
            try:
                return await best_of_n(agent, **options).arun(INPUT)
            finally:
                assert asyncio.all_tasks() == {asyncio.current_task()}
                assert await awithin(LATE, lambda: self.server.busy == 0), "an answer is still awaited"
