from __future__ import annotations

import pytest
from fake_openai import MODEL, Answer, FakeOpenAI
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from unasked import ENTROPIES

from ec_agent.capture import request_logprobs


@pytest.fixture(scope="session")
def _fake_server():
    fake = FakeOpenAI()
    yield fake
    fake.close()


@pytest.fixture
def fake(_fake_server):
    """The server, with nothing told and nothing asked."""
    _fake_server.answers.clear()
    _fake_server.asked.clear()
    _fake_server._taken.clear()
    _fake_server.refuse = lambda path, body: None
    request_logprobs.forget()
    return _fake_server


@pytest.fixture
def client(fake):
    with OpenAI(base_url=fake.url, api_key="none", timeout=10) as client:
        yield client


@pytest.fixture
async def aclient(fake):
    async with AsyncOpenAI(base_url=fake.url, api_key="none", timeout=10) as client:
        yield client


@pytest.fixture
def chat_model(fake):
    """Makes a ChatOpenAI on the server that asks for logprobs; arguments override."""

    def make(**kwargs):
        asking = {} if kwargs.get("use_responses_api") else {"logprobs": True, "top_logprobs": 20}
        if kwargs.get("use_responses_api"):
            asking = {"include": ["message.output_text.logprobs"]}
        return ChatOpenAI(
            **{"model": MODEL, "base_url": fake.url, "api_key": "none", "timeout": 10, "max_retries": 0}
            | asking
            | kwargs
        )

    return make


@pytest.fixture
def told(fake):
    fake.answers["hi"] = Answer(ENTROPIES)
    return fake


@pytest.fixture
def llama(told):
    def refuse(path, body):
        conflict = body.get("tools") and body.get("stream") and body.get("logprobs")
        return "logprobs is not supported with tools + stream" if conflict else None

    told.refuse = refuse
    told.answers["call"] = Answer(ENTROPIES, tool_calls=[("look", {"at": "x"}), ("look", {"at": "y"})])
    return told
