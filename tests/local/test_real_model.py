"""The chat model on the real embedded model: plumbing, capture and finite numbers, never texts."""

from __future__ import annotations

import math

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from ec_agent.local import LocalChatModel

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def model(local_server):
    return LocalChatModel(base_url=local_server.base_url, max_tokens=32, seed=1)


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


def test_the_seed_determines_the_text(model):
    texts = [model.model_copy(update={"seed": seed}).invoke("Tell me a story.").text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_schema_can_be_given_with_the_call(model):
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["mug"]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    shape = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    message = model.invoke("What is a mug?", response_format=shape)
    assert '"mug"' in message.text
    check_capture(message)


def test_any_conversation_is_taken(model):
    call = {"name": "price_of", "args": {"product": "mug"}, "id": "1"}
    talk = [SystemMessage("A shop."), HumanMessage("?"), HumanMessage("A mug?"), AIMessage("", tool_calls=[call])]
    check_capture(model.invoke([*talk, ToolMessage("4.50", tool_call_id="1"), SystemMessage("Be brief.")]))
