from __future__ import annotations

import sys
from pathlib import Path

import pytest
from openai import AsyncOpenAI, OpenAI

# The corpus of payloads and the ways to ask are those that the object path is tested with.
sys.path += [str(Path(__file__).parents[1] / room) for room in ("providers", "capture")]

from alike import ENTROPIES
from fake_openai import Answer, FakeOpenAI

from ec_agent.capture import request_logprobs
from ec_agent.capture.transport import async_http_client, http_client


@pytest.fixture(scope="session")
def _fake_below():
    fake = FakeOpenAI()
    yield fake
    fake.close()


@pytest.fixture
def told(_fake_below):
    """A server that has answers for the ways to ask."""
    fake = _fake_below
    fake.asked.clear()
    fake._taken.clear()
    fake.refuse = lambda path, body: None
    fake.answers = {
        "hi": Answer(ENTROPIES),
        "json": Answer(ENTROPIES, text='{"word": "yes"}'),
        "more": Answer([0.25], more=[[0.5], [0.75]]),
        "flaky": [Answer(status=500), Answer(ENTROPIES)],
        "wrong": Answer(status=400),
        "broken": Answer([0.5] * 5, drop_after=3),
        "gap": Answer([0.25], usage=3),
        "odd": Answer(logprobs={"content": [{"token": "x", "logprob": "none"}]}),
        "cut": Answer(ENTROPIES, text='{"wor', finish="length"),
    }
    request_logprobs.forget()
    return fake


@pytest.fixture
def client(told):
    with OpenAI(base_url=told.url, api_key="none", timeout=10) as client:
        yield client


@pytest.fixture
def below(told):
    """A client with the transport."""
    with OpenAI(base_url=told.url, api_key="none", timeout=10, http_client=http_client()) as client:
        yield client


@pytest.fixture
async def aclient(told):
    async with AsyncOpenAI(base_url=told.url, api_key="none", timeout=10) as client:
        yield client


@pytest.fixture
async def abelow(told):
    async with AsyncOpenAI(base_url=told.url, api_key="none", timeout=10, http_client=async_http_client()) as client:
        yield client
