"""Streams in OpenAI's wire format, part by part, and the ways in which a rollout may ask for one."""

from __future__ import annotations

import json

from fake_openai import MODEL, Answer
from langchain_core.messages import HumanMessage
from openai import AsyncOpenAI, OpenAI

from ec_agent.capture.transport import async_http_client, http_client
from ec_agent.testing import logprobs_for

ENTROPIES = [1.5, 0.25, 0.75, 0.5, 1.25, 0.1]
COUNT = len(ENTROPIES)


def usage(generated=COUNT, prompt=9, **details):
    return {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated, **details}


def chunk(delta=None, finish=None, logprobs=None, **more):
    choice = {"index": 0, "delta": delta or {}, "logprobs": logprobs, "finish_reason": finish}
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return {**base, "choices": [choice], **more}


def tokens(entropies=ENTROPIES, logprobs=True, **more):
    """A chunk for each token."""
    entries = logprobs_for(entropies)
    return [
        chunk({"content": f"w{place} "}, logprobs={"content": [entry]} if logprobs else None, **more)
        for place, entry in enumerate(entries)
    ]


def last(**more):
    """The chunk of usage alone."""
    return {**chunk(**more), "choices": []}


def answer(chunks, mark=True, blank="\n\n"):
    """What the server sends."""
    events = [*map(json.dumps, chunks), *(["[DONE]"] if mark else [])]
    sent = "\n\n".join(f"data: {event}" for event in events) + blank
    return Answer(raw=("text/event-stream", sent.encode()))


def ways(fake, chat_model):
    """How to ask synchronously, by name."""

    def raw(**kwargs):
        with OpenAI(base_url=fake.url, api_key="none", timeout=10, **kwargs) as client:
            asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
            list(client.chat.completions.create(**asked, logprobs=True, top_logprobs=20, stream=True))

    def bytes_of():
        with OpenAI(base_url=fake.url, api_key="none", timeout=10) as client:
            asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": True}
            with client.chat.completions.with_streaming_response.create(**asked) as response:
                list(response.iter_bytes())

    return {
        "chat model, stream": lambda: list(chat_model(stream_usage=True).stream("hi")),
        "chat model, invoke": lambda: chat_model(stream_usage=True, streaming=True).invoke("hi"),
        "chat model, generate": lambda: chat_model(stream_usage=True, streaming=True).generate([[HumanMessage("hi")]]),
        "chat model, transport": lambda: chat_model(streaming=True, http_client=http_client()).invoke("hi"),
        "client": raw,
        "client, transport": lambda: raw(http_client=http_client()),
        "client, bytes": bytes_of,
    }


def async_ways(fake, chat_model):
    """The same for asynchronous code."""

    async def streamed():
        return [_ async for _ in chat_model(stream_usage=True).astream("hi")]

    async def raw(**kwargs):
        async with AsyncOpenAI(base_url=fake.url, api_key="none", timeout=10, **kwargs) as client:
            asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
            [_ async for _ in await client.chat.completions.create(**asked, logprobs=True, stream=True)]

    return {
        "chat model, stream": streamed,
        "chat model, invoke": lambda: chat_model(stream_usage=True, streaming=True).ainvoke("hi"),
        "client": raw,
        "client, transport": lambda: raw(http_client=async_http_client()),
    }


WAYS = list(ways(None, None))
ASYNC_WAYS = list(async_ways(None, None))
