from __future__ import annotations

import asyncio

import pytest
from fake_openai import MODEL, FakeOpenAI
from langchain_openai import ChatOpenAI

from ec_agent.capture import request_logprobs
from ec_agent.doctor import ChatModelTarget, EndpointTarget, adiagnose, diagnose
from ec_agent.doctor.preflights import forget


@pytest.fixture(scope="session")
def _doctors_server():
    fake = FakeOpenAI()
    yield fake
    fake.close()


@pytest.fixture
def fake(_doctors_server):
    """The server; ``fake.otherwise`` is the kind of endpoint it is."""
    _doctors_server.asked.clear()
    return _doctors_server


@pytest.fixture(autouse=True)
def _nothing_remembered():
    forget()
    request_logprobs.forget()


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """``diagnose``, or its async twin."""
    return diagnose if request.param == "sync" else lambda target: asyncio.run(adiagnose(target))


@pytest.fixture
def endpoint(fake, ask):
    """Asks an endpoint of the given kind through a bare client."""

    def report(kind, **kwargs):
        fake.otherwise = kind
        return ask(EndpointTarget(**{"base_url": fake.url, "model": MODEL, "timeout": 5} | kwargs))

    return report


@pytest.fixture
def chat_model(fake):
    """Makes a ChatOpenAI on an endpoint of the given kind."""

    def make(kind, **kwargs):
        fake.otherwise = kind
        return ChatOpenAI(
            **{"model": MODEL, "base_url": fake.url, "api_key": "none", "timeout": 5, "max_retries": 0} | kwargs
        )

    return make


@pytest.fixture
def model(chat_model, ask):
    """Asks a ChatOpenAI on an endpoint of the given kind."""
    return lambda kind, **kwargs: ask(ChatModelTarget(chat_model(kind, **kwargs)))


@pytest.fixture(scope="session")
def llama(local_server):
    """The real llama.cpp server with the embedded model."""
    return local_server
