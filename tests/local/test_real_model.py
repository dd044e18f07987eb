"""The chat model on the real embedded model: plumbing, capture and finite numbers, never texts."""

from __future__ import annotations

import asyncio
import math
from typing import Annotated

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import Field

from ec_agent.local import ToolStepChatModel

pytestmark = pytest.mark.model


@tool
def price_of(product: Annotated[str, Field(pattern="^(mug|lamp)$")]) -> str:
    """The price of a mug or a lamp."""
    return "4.50" if product == "mug" else "28.00"


@pytest.fixture(scope="module")
def model(local_server):
    return ToolStepChatModel(base_url=local_server.base_url, max_tokens=32, seed=1)


def check_capture(message):
    tokens = message.response_metadata["logprobs"]["content"]
    used = message.usage_metadata["output_tokens"]
    assert used - 1 <= len(tokens) <= used  # the end token may go unreported
    for token in tokens:
        assert math.isfinite(token["logprob"])
        assert len(token["top_logprobs"]) == 20
        assert all(math.isfinite(top["logprob"]) for top in token["top_logprobs"])
    assert message.response_metadata["model_name"]
    assert message.response_metadata["finish_reason"] in {"stop", "length"}


def test_plain_chat_carries_logprobs(model):
    message = model.invoke("What is a mug?")
    assert message.text
    check_capture(message)


def test_the_same_seed_gives_the_same_text_and_another_one_another(model):
    texts = [model.model_copy(update={"seed": seed}).invoke("Tell me a story.").text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_forced_tool_is_called_with_arguments_of_its_pattern(model):
    for seed in range(4):
        message = model.bind_tools([price_of], tool_choice="price_of").invoke("What does a mug cost?", seed=seed)
        (call,) = message.tool_calls
        assert call["name"] == "price_of"
        assert call["args"]["product"] in {"mug", "lamp"}
        check_capture(message)


def test_a_reply_cut_at_the_token_limit_is_no_crash(model):
    message = model.bind_tools([price_of], tool_choice="any").invoke("What does a mug cost?", max_tokens=6)
    assert message.response_metadata["finish_reason"] == "length"
    assert message.tool_calls == []
    assert message.text or message.invalid_tool_calls
    check_capture(message)


class LookUpThenAnswer(AgentMiddleware):
    """Leaves the order of the steps to no chance: first any tool, then the answer."""

    def choose(self, request):
        looked_up = any(isinstance(message, ToolMessage) for message in request.messages)
        return request.override(tool_choice="none" if looked_up else "any")

    def wrap_model_call(self, request, handler):
        return handler(self.choose(request))

    async def awrap_model_call(self, request, handler):
        return await handler(self.choose(request))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_agents_take_their_steps_at_the_same_time(model, mode):
    agent = create_agent(
        model.model_copy(update={"max_tokens": 64, "seed": None}), [price_of], middleware=[LookUpThenAnswer()]
    )
    states = [{"messages": [("user", "Price of a mug?")]}] * 4
    results = agent.batch(states) if mode == "sync" else asyncio.run(agent.abatch(states))
    for result in results:
        kinds = [type(message) for message in result["messages"]]
        assert kinds == [HumanMessage, AIMessage, ToolMessage, AIMessage]
        assert result["messages"][2].text in {"4.50", "28.00"}
        check_capture(result["messages"][1])
        check_capture(result["messages"][3])
