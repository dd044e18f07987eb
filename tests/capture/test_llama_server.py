"""The real llama.cpp server: every combination it supports, and what it refuses stepped around."""

from __future__ import annotations

import json
import urllib.request

import numpy as np
import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, BadRequestError, OpenAI

from ec_agent import record_calls
from ec_agent.capture import request_logprobs
from ec_agent.evaluator import trajectory_of

pytestmark = pytest.mark.model

ASKED = {"logprobs": True, "top_logprobs": 20}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {}}}}


@pytest.fixture(autouse=True)
def _fresh():
    request_logprobs.forget()


@pytest.fixture
def client(local_server):
    with OpenAI(base_url=local_server.base_url, api_key="none") as client:
        yield client


def question(server, **kwargs):
    messages = [{"role": "user", "content": "Name three colours."}]
    return {"model": server.model, "messages": messages, "max_tokens": 12, "temperature": 0.8, "seed": 1, **kwargs}


def whole(call):
    """Twelve tokens, all of them with an entropy that the model could have."""
    return (
        call.tokens == 12
        and call.capability == "full"
        and not np.isnan(call.entropies).any()
        and bool((call.entropies >= 0).all() and (call.entropies <= np.log(20)).all())
    )


def said(answer):
    if hasattr(answer, "choices"):
        return answer.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)


COMBINATIONS = {
    "plain": {},
    "streamed": {"stream": True},
    "tools": {"tools": TOOLS},
    "tools and streamed": {"tools": TOOLS, "stream": True},
}


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_every_combination_is_whole(local_server, client, combination):
    with record_calls(request_logprobs=True) as recorder:
        text = said(client.chat.completions.create(**question(local_server, **COMBINATIONS[combination])))
    (call,) = recorder.trajectory().calls
    assert whole(call)
    assert text


async def test_async(local_server):
    async with AsyncOpenAI(base_url=local_server.base_url, api_key="none") as client:
        with record_calls(request_logprobs=True) as recorder:
            for kwargs in COMBINATIONS.values():
                answer = await client.chat.completions.create(**question(local_server, **kwargs))
                if kwargs.get("stream"):
                    assert [chunk async for chunk in answer]
    assert all(map(whole, recorder.trajectory().calls))


def test_the_same_seed_gives_the_same_entropies_streamed_or_not(local_server, client):
    with record_calls() as recorder:
        said(client.chat.completions.create(**question(local_server, **ASKED)))
        said(client.chat.completions.create(**question(local_server, **ASKED, stream=True)))
    first, second = recorder.trajectory().calls
    assert np.allclose(first.entropies, second.entropies, atol=0.02)  # the prompt cache changes the last digits


def test_what_it_refuses(local_server, client):
    """If this fails, the server has learned it: docs/providers.md and the stepping around can go."""
    with record_calls(), pytest.raises(BadRequestError, match=r"logprobs.*tools \+ stream"):
        client.chat.completions.create(**question(local_server, **ASKED, tools=TOOLS, stream=True))


def test_through_langchain(local_server):
    @tool
    def look() -> str:
        """Look."""
        return "seen"

    model = ChatOpenAI(base_url=local_server.base_url, api_key="none", model="any", max_tokens=12, seed=1)
    with record_calls(request_logprobs=True) as recorder:
        model.invoke("Name three colours.")
        model.bind_tools([look]).invoke("Name three colours.")
        list(model.bind_tools([look]).stream("Name three colours."))
    assert all(map(whole, recorder.trajectory().calls))


def test_left_half_way(local_server, client):
    create = client.chat.completions.create
    with record_calls(request_logprobs=True) as recorder, create(**question(local_server, stream=True)) as stream:
        for place, _ in enumerate(stream):
            if place == 4:
                break
    (call,) = recorder.trajectory().calls
    assert call.partial
    assert 1 <= len(call.entropies) < 12


def test_completions_with_an_echo(local_server, client):
    with record_calls(request_logprobs=True) as recorder:
        client.completions.create(model="any", prompt="Name three colours:", max_tokens=12, echo=True, temperature=0)
    assert whole(recorder.trajectory().calls[0])


def test_a_streaming_response(local_server, client):
    create = client.chat.completions.with_streaming_response.create
    with record_calls(request_logprobs=True) as recorder, create(**question(local_server, stream=True)) as response:
        assert "data:" in "".join(response.iter_text())
    assert whole(recorder.trajectory().calls[0])


def test_a_schema_is_recorded_and_forced_tokens_keep_entropies(local_server, client):
    with record_calls(request_logprobs=True) as recorder:
        client.chat.completions.create(**question(local_server, response_format=SCHEMA))
        client.chat.completions.create(**question(local_server))
    held, free = recorder.trajectory().calls
    assert (held.constrained, free.constrained) == (True, False)
    # "{" is forced, and yet the model's own uncertainty is what came: before the grammar.
    assert held.entropies[0] > 0.1


def test_its_own_completions_can_be_scored(local_server):
    body = json.dumps({"prompt": "Name three colours:", "n_predict": 12, "n_probs": 20, "seed": 1}).encode()
    url = f"{local_server.base_url.removesuffix('/v1')}/completion"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        trajectory = trajectory_of(json.load(answer))
    assert whole(trajectory.calls[0])


def test_at_most_so_many_candidates_as_asked_for(local_server, client):
    with record_calls(signals=["logprob"]) as recorder:
        said(client.chat.completions.create(**question(local_server, logprobs=True, top_logprobs=2)))
        said(client.chat.completions.create(**question(local_server, logprobs=True, top_logprobs=1)))
    two, one = recorder.trajectory().calls
    assert (two.entropies <= np.log(2) + 1e-9).all()
    assert one.capability == "sampled"
    assert not np.isnan(one.signal("logprob")).any()
