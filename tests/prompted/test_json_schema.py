"""How the schema reaches each integration, and what the protocol makes of an offer."""

from __future__ import annotations

import pytest
from inner import Inner, inner
from langchain_core.messages import AIMessage, ToolMessage
from langchain_openai import AzureChatOpenAI, ChatOpenAI

from ec_agent.errors import ConfigError
from ec_agent.local import LocalChatModel
from ec_agent.prompted import JsonSchemaProtocol, Offer
from ec_agent.prompted.protocol import offered

TOOLS = [{"type": "function", "function": {"name": "price_of", "parameters": {"properties": {"name": {}}}}}]
OFFER = offered(TOOLS, None)


def schema_of(given):
    body = given.get("extra_body", given)
    if "response_format" in body:
        return body["response_format"]["json_schema"]["schema"]
    return given.get("format") or given.get("response_json_schema")


@pytest.mark.parametrize(
    ("hand_over", "names"),
    [
        ("auto", {"response_format"}),
        ("response_format", {"response_format"}),
        ("extra_body", {"extra_body"}),
        ("ollama", {"format"}),
        ("gemini", {"response_mime_type", "response_json_schema"}),
    ],
)
def test_ways_to_hand_the_schema_over(hand_over, names):
    given = JsonSchemaProtocol(hand_over).options(OFFER, inner(""))
    assert set(given) == names
    assert [list(branch["properties"]) for branch in schema_of(given)["anyOf"]] == [["price_of"], ["answer"]]


def test_the_schema_can_be_left_to_the_user():
    assert JsonSchemaProtocol("none").options(OFFER, inner("")) == {}
    guided = JsonSchemaProtocol(lambda schema: {"extra_body": {"guided_json": schema}}, wrapper="step")
    assert guided.options(OFFER, inner(""))["extra_body"]["guided_json"]["type"] == "object"


class ChatOllama(Inner):
    pass


class ChatGoogleGenerativeAI(Inner):
    pass


class Derived(ChatOllama):
    pass


def openai(cls=ChatOpenAI, **kwargs):
    return cls(api_key="none", **kwargs)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (inner(""), {"response_format"}),
        (LocalChatModel(), {"response_format"}),
        (ChatOllama(), {"format"}),
        (Derived(), {"format"}),
        (ChatGoogleGenerativeAI(), {"response_mime_type", "response_json_schema"}),
        (openai(model="some"), {"extra_body"}),
        (openai(AzureChatOpenAI, model="some", azure_endpoint="http://x", api_version="1"), {"extra_body"}),
        (openai(model="some", use_responses_api=True), {"response_format"}),
        (openai(model="some", include=["message.output_text.logprobs"]), {"response_format"}),
    ],
)
def test_the_way_goes_by_the_models_class(model, names):
    assert set(JsonSchemaProtocol().options(OFFER, model)) == names


def test_an_unknown_way_is_told():
    with pytest.raises(ConfigError, match="'auto'"):
        JsonSchemaProtocol("by pigeon")


@pytest.mark.parametrize(("choice", "keys"), [("any", ["price_of"]), ("none", ["answer"]), ("price_of", ["price_of"])])
def test_a_choice_narrows_the_schema_and_the_forms(choice, keys):
    offer = offered(TOOLS, choice)
    branches = schema_of(JsonSchemaProtocol().options(offer, inner("")))["anyOf"]
    assert [list(branch["properties"]) for branch in branches] == [[key] for key in keys]
    assert len(JsonSchemaProtocol().instructions(offer, "").splitlines()) == 1


def test_under_none_nothing_is_a_call():
    reply = '{"price_of": {"name": "mug"}}'
    assert JsonSchemaProtocol().parse(reply, offered(TOOLS, "none")).content == reply
    assert JsonSchemaProtocol().parse(reply, OFFER).tool_calls


def test_the_wrapper_goes_all_the_way():
    wrapped = JsonSchemaProtocol(wrapper="step")
    assert '{"step": {"answer": "..."}}' in wrapped.instructions(OFFER, None)
    assert wrapped.said(AIMessage("4.50"), OFFER) == '{"step": {"answer": "4.50"}}'
    assert wrapped.parse('{"step": {"answer": "4.50"}}', OFFER).content == "4.50"
    assert schema_of(wrapped.options(OFFER, inner("")))["required"] == ["step"]


def test_without_tools_messages_stand_as_they_are():
    assert JsonSchemaProtocol().said(AIMessage("4.50"), Offer()) == "4.50"
    assert JsonSchemaProtocol().result(ToolMessage("4.50", tool_call_id="1")) == "4.50"
