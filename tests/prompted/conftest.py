from __future__ import annotations

import pytest
from fake_openai import MODEL, Answer, FakeOpenAI
from langchain_openai import ChatOpenAI
from pricing import ANSWERING, CALLING, STEP

from ec_agent.local import LocalChatModel


@pytest.fixture
def fake():
    fake = FakeOpenAI()
    yield fake
    fake.close()


@pytest.fixture
def chat_openai(fake):
    """Makes a ChatOpenAI on the server that asks for logprobs."""

    def make(**kwargs):
        asking = {"logprobs": True, "top_logprobs": 20}
        if kwargs.get("use_responses_api"):
            asking = {"include": ["message.output_text.logprobs"]}
        common = {"model": MODEL, "base_url": fake.url, "api_key": "none", "timeout": 10, "max_retries": 0}
        return ChatOpenAI(**common | asking | kwargs)

    return make


@pytest.fixture
def told(fake):
    """The fake, which calls the tool and then answers."""
    fake.answers["price?"] = Answer(entropies=CALLING, text=STEP)
    fake.answers["4.50"] = Answer(entropies=ANSWERING, text='{"answer": "4.50 euros"}')
    return fake


@pytest.fixture
def local(fake):
    return LocalChatModel(base_url=fake.url, model=MODEL, timeout=10)
