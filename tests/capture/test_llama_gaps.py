"""The real llama.cpp server: what it leaves out of its logprobs is a gap where the whole answer has those tokens."""

from __future__ import annotations

import numpy as np
import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import OpenAI

from ec_agent import read_only, record_calls
from ec_agent.prompted import PromptedToolModel

pytestmark = pytest.mark.model

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
HELD = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}
FENCED = {
    "fruit": "Name a fruit in a JSON code block in markdown.",
    "person": "Give me a person with a name in a ```json code block. Begin with ```json",
    "example": 'Write a JSON code block in markdown. Example:\n```json\n{"name": "Bob"}\n```',
}


def both(server, text, counted=False, **asked):
    """The same answer whole and streamed."""
    base = {"model": server.model, "temperature": 0, "max_tokens": 60, "logprobs": True, "top_logprobs": 20, "seed": 1}
    base |= {"messages": [{"role": "user", "content": text}], **asked}
    more = {**base.pop("extra_body", {}), **({"timings_per_token": True} if counted else {})}
    with OpenAI(base_url=server.base_url, api_key="none") as client, record_calls() as recorder:
        create = client.chat.completions.create
        create(**base, extra_body={name: value for name, value in more.items() if name != "timings_per_token"})
        list(create(**base, extra_body=more, stream=True, stream_options={"include_usage": True}))
    return recorder.trajectory().calls


@pytest.mark.members(1)
@pytest.mark.parametrize("counted", [False, True], ids=["uncounted", "counted"])
@pytest.mark.parametrize("name", FENCED)
def test_a_fence_around_what_a_schema_holds(local_server, name, counted):
    """If it streams them one day, there is no gap but the end token, and docs/providers.md can say so."""
    whole, streamed = both(local_server, FENCED[name], counted, **HELD)
    assert (whole.unplaced, whole.tokens) == (0, streamed.tokens)
    seen = ~np.isnan(streamed.entropies)
    assert not np.isnan(whole.entropies).any()
    assert 3 <= (~seen).sum() < whole.tokens / 2
    assert not seen[-1]
    assert not seen[:3].all()  # on both sides
    # The prompt cache changes the last digits.
    assert np.allclose(whole.entropies[seen], streamed.entropies[seen], atol=0.05)
    assert (streamed.unplaced == 0) is counted


def test_characters_of_several_tokens(local_server):
    grammar = {"extra_body": {"grammar": 'root ::= "a\U0001f600b\U0001f916\u00e9 ok"'}}
    whole, streamed = both(local_server, "x", counted=True, **grammar)
    exact = ~np.isnan(streamed.entropies)
    assert streamed.unplaced == 0
    assert exact[:5].tolist() == [True, False, False, True, True]
    near = ~np.isnan(whole.entropies)
    assert whole.unplaced > 0
    # Shared out over the characters that may be several tokens, none is far from its place.
    assert np.abs(np.flatnonzero(near)[: exact.sum()] - np.flatnonzero(exact)).max() <= 1


@pytest.mark.members(1)
@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_prompted_tools_are_not_streamed_by_whoever_follows(local_server, mode):
    @read_only
    @tool
    def price_of(product: str) -> str:
        """The price of a product."""
        return "4.50"

    below = ChatOpenAI(
        base_url=local_server.base_url,
        api_key="none",
        model=local_server.model,
        max_tokens=40,
        temperature=0,
        logprobs=True,
        top_logprobs=20,
        streaming=True,
    )
    agent = create_agent(PromptedToolModel(model=below).bind_tools([price_of]), [])
    state = {"messages": [("user", "Give the price of a mug in a JSON code block in markdown.")]}
    with record_calls() as recorder:
        if mode == "sync":
            parts = list(agent.stream(state, stream_mode="messages"))
        else:
            parts = [part async for part in agent.astream(state, stream_mode="messages")]
    assert parts
    call = recorder.trajectory().calls[0]
    assert call.unplaced == 0
    assert not np.isnan(call.entropies).any()
