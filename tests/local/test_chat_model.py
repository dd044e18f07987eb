"""The chat model against a fake endpoint: what it asks, what it makes of answers and errors."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading

import openai
import pytest
from endpoint import TOKEN
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from ec_agent.errors import ConfigError, LocalModelError
from ec_agent.local import ToolStepChatModel


@tool
def price_of(name: str) -> str:
    """The price."""
    return f"{len(name)}.00"


class Price(BaseModel):
    """A price."""

    euros: float


def test_the_request(endpoint, model):
    model.model_copy(update={"seed": 7, "extra_body": {"id_slot": 1}}).invoke("hi", stop=["."], max_tokens=9)
    assert endpoint.asked == [
        {
            "model": "asked-model",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.8,
            "seed": 7,
            "max_tokens": 9,
            "stop": ["."],
            "logprobs": True,
            "top_logprobs": 20,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "id_slot": 1,
        }
    ]


def test_extensions_can_be_left_out(endpoint, model):
    model.model_copy(update={"top_k": None, "min_p": None, "max_tokens": None}).invoke("hi")
    assert not {"top_k", "min_p", "max_tokens", "seed", "response_format"} & set(endpoint.asked[0])


def test_the_reply_carries_what_chat_openai_puts_there(endpoint, model):
    message = model.invoke("hi")
    assert message.content == "hello"
    assert message.response_metadata["logprobs"]["content"] == [TOKEN]
    assert message.response_metadata["model_name"] == "served-model"
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.usage_metadata == {
        "input_tokens": 11,
        "output_tokens": 1,
        "total_tokens": 12,
        "input_token_details": {"cache_read": 3},
    }


def test_no_logprobs_stay_none(endpoint, model):
    endpoint.says("hello", logprobs=False)
    assert model.invoke("hi").response_metadata["logprobs"] is None


def test_bound_tools_become_one_schema_held_step(endpoint, model):
    endpoint.says('{"price_of": {"name": "mug"}}')
    message = model.bind_tools([price_of]).invoke("price?")
    assert message.tool_calls[0]["args"] == {"name": "mug"}
    request = endpoint.asked[0]
    assert "tools" not in request
    assert "tool_choice" not in request
    assert request["response_format"]["type"] == "json_schema"
    assert len(request["response_format"]["json_schema"]["schema"]["anyOf"]) == 2
    assert request["messages"][0]["role"] == "system"
    assert '"price_of"' in request["messages"][0]["content"]


def test_tool_choice_narrows_the_step(endpoint, model):
    endpoint.says('{"price_of": {"name": "mug"}}')
    model.bind_tools([price_of], tool_choice="any", strict=True, parallel_tool_calls=False).invoke("price?")
    (branch,) = endpoint.asked[0]["response_format"]["json_schema"]["schema"]["anyOf"]
    assert list(branch["properties"]) == ["price_of"]
    assert "parallel_tool_calls" not in endpoint.asked[0]
    with pytest.raises(ConfigError, match="price_of"):
        model.bind_tools([price_of], tool_choice="fly")


def test_examples_stand_before_the_conversation(endpoint, model):
    examples = (HumanMessage("EXAMPLE"), AIMessage("DONE"))
    model.model_copy(update={"examples": examples}).bind_tools([price_of]).invoke("price?")
    assert [turn["content"] for turn in endpoint.asked[0]["messages"][1:]] == [
        "EXAMPLE",
        '{"answer": "DONE"}',
        "price?",
    ]


def test_a_cut_reply_is_an_invalid_tool_call(endpoint, model):
    endpoint.says('{"price_of": {"name": "mu', finish="length")
    message = model.bind_tools([price_of]).invoke("price?")
    assert message.invalid_tool_calls[0]["name"] == "price_of"
    assert message.response_metadata["finish_reason"] == "length"


def test_response_format_and_tools_exclude_each_other(model):
    with pytest.raises(ConfigError, match="ToolStrategy"):
        model.bind_tools([price_of], response_format={"type": "json_object"}).invoke("price?")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_create_agent_works_unchanged(endpoint, model, mode):
    endpoint.says('{"price_of": {"name": "mug"}}', '{"answer": "3 euros"}')
    agent = create_agent(model, [price_of], system_prompt="A shop.")
    state = {"messages": [("user", "price of a mug?")]}
    messages = (agent.invoke(state) if mode == "sync" else asyncio.run(agent.ainvoke(state)))["messages"]
    assert [type(message) for message in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert messages[-2].content == "3.00"
    assert messages[-1].content == "3 euros"


@pytest.mark.parametrize("stream_mode", ["messages", "updates", "custom"])
def test_outer_stream_modes_do_not_force_streaming(endpoint, model, stream_mode):
    endpoint.says('{"answer": "3 euros"}')
    agent = create_agent(model, [price_of])
    list(agent.stream({"messages": [("user", "price?")]}, stream_mode=stream_mode))
    assert "stream" not in endpoint.asked[0]


def test_structured_output(endpoint, model):
    endpoint.says('{"Price": {"euros": 4.5}}')
    assert model.with_structured_output(Price).invoke("price?") == Price(euros=4.5)
    agent = create_agent(model, [], response_format=ToolStrategy(Price))
    assert agent.invoke({"messages": [("user", "price?")]})["structured_response"] == Price(euros=4.5)


def test_one_model_over_many_event_loops_and_threads(endpoint, model):
    async def ask():
        return await asyncio.gather(*(model.ainvoke("hi") for _ in range(4)))

    for _ in range(3):
        assert len(asyncio.run(ask())) == 4
    threads = [threading.Thread(target=lambda: (asyncio.run(ask()), model.invoke("hi"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(endpoint.asked) == 12 + 3 * 5


def test_failed_requests_are_not_sent_again(endpoint, model):
    endpoint.replies = [(500, {"error": {"message": "broken"}})]
    with pytest.raises(openai.InternalServerError):
        model.invoke("hi")
    assert len(endpoint.asked) == 1


def test_the_timeout_is_used(endpoint, monkeypatch):
    release = threading.Event()
    original = endpoint.server.RequestHandlerClass.do_POST
    monkeypatch.setattr(endpoint.server.RequestHandlerClass, "do_POST", lambda self: (release.wait(5), original(self)))
    with pytest.raises(openai.APITimeoutError):
        ToolStepChatModel(base_url=endpoint.url, timeout=0.2).invoke("hi")
    release.set()


@pytest.mark.parametrize("reply", ["<html>not found</html>", {"choices": None}, {"choices": []}])
def test_what_is_no_chat_completion_is_told(endpoint, model, reply):
    endpoint.replies = [(200, reply)]
    with pytest.raises(LocalModelError, match=r"check base_url.*/v1"):
        model.invoke("hi")


def test_the_key_is_sent_where_there_is_one_and_shown_nowhere(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    ToolStepChatModel(base_url=endpoint.url).invoke("hi")
    keyed = ToolStepChatModel(base_url=endpoint.url, api_key="given")
    keyed.invoke("hi")
    sent = [headers["Authorization"] for headers in endpoint.headers]
    assert sent == ["Bearer from-the-environment", "Bearer given"]
    assert "given" not in repr(keyed) + repr(keyed._endpoint())


def test_a_proxy_is_not_asked_for_this_machine(endpoint, model, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert ToolStepChatModel(base_url=endpoint.url, timeout=4).invoke("hi").content == "hello"


def test_callbacks_see_model_temperature_and_seed(endpoint, model):
    seen = {}

    class Handler(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, *, metadata=None, **kwargs):
            seen.update(kwargs["invocation_params"], metadata=metadata)

    model.model_copy(update={"seed": 3}).invoke("hi", {"callbacks": [Handler()]})
    assert (seen["model"], seen["temperature"], seen["seed"], seen["_type"]) == (
        "asked-model",
        0.8,
        3,
        "ec-agent-tool-step",
    )
    assert seen["metadata"]["ls_model_name"] == "asked-model"
    assert seen["metadata"]["ls_temperature"] == 0.8


def test_a_model_is_plain_data(endpoint, model):
    model.invoke("hi")
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin == model
        assert twin.invoke("hi").content == "hello"
