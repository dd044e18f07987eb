"""Spans of calls whose streams tell their usage and their end more than once."""

from __future__ import annotations

import pytest
from fake_openai import MODEL
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from told_streams import COUNT, answer, chunk, last, tokens, usage

from ec_agent import best_of_n

CACHED = {"prompt_tokens_details": {"cached_tokens": 4}}
STREAMS = {
    "closing chunk twice": [*tokens(), *[chunk(finish="stop", usage=usage(**CACHED))] * 2],
    "usage in two chunks": [*tokens(), chunk(finish="stop", usage=usage()), last(usage=usage(**CACHED))],
    "running totals": [
        *({**part, "usage": usage(place + 1)} for place, part in enumerate(tokens())),
        chunk(finish="stop", usage=usage(**CACHED)),
    ],
}
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "logprobs": True, "top_logprobs": 20}


def asking(url):
    """Agents by name."""

    def by_chat_model(state):
        settings = {"logprobs": True, "top_logprobs": 20, "streaming": True, "stream_usage": True}
        ChatOpenAI(model=MODEL, base_url=url, api_key="k", **settings).invoke("hi")
        return {"said": "it"}

    def by_client(state):
        with OpenAI(base_url=url, api_key="k") as client:
            list(client.chat.completions.create(**BODY, stream=True))
        return {"said": "it"}

    async def by_async_client(state):
        async with AsyncOpenAI(base_url=url, api_key="k") as client:
            [_ async for _ in await client.chat.completions.create(**BODY, stream=True)]
        return {"said": "it"}

    return {"chat model": by_chat_model, "client": by_client, "async client": by_async_client}


@pytest.mark.parametrize("way", list(asking("")))
@pytest.mark.parametrize("name", STREAMS)
async def test_a_span_tells_it_once(name, way, fake, spans):
    fake.otherwise = answer(STREAMS[name])
    node = best_of_n(asking(fake.url)[way], n=1)
    selection = (await node.arun({})).selection
    told = spans().one(f"chat {MODEL}").attributes
    assert told["gen_ai.response.model"] == MODEL
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    counts = [told[f"gen_ai.usage.{each}"] for each in ("input_tokens", "cache_read.input_tokens", "output_tokens")]
    assert counts == [9, 4, COUNT]
    assert selection.usage == {"prompt_tokens": 9, "cached_tokens": 4, "generated_tokens": COUNT}
