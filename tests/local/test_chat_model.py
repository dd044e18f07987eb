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
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from ec_agent.errors import ConfigError, LocalModelError
from ec_agent.local import LocalChatModel


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


def test_it_has_no_tools_of_its_own(model):
    with pytest.raises(ConfigError, match=r"PromptedToolModel\(model=LocalChatModel"):
        model.bind_tools([])
    with pytest.raises(ConfigError, match="PromptedToolModel"):
        model.with_structured_output({"title": "Price", "type": "object", "properties": {}})


def test_further_fields_reach_the_request(endpoint, model):
    shape = {"type": "json_object"}
    held = model.model_copy(update={"extra_body": {"id_slot": 1, "grammar": "a"}})
    held.invoke("hi", response_format=shape, extra_body={"grammar": "b"})
    assert endpoint.asked[0]["response_format"] == shape
    assert (endpoint.asked[0]["id_slot"], endpoint.asked[0]["grammar"]) == (1, "b")


def test_the_conversation_in_openais_form(endpoint, model):
    call = {"name": "price_of", "args": {"name": "mug"}, "id": "1"}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    model.invoke(
        [
            SystemMessage("Be a shop."),
            HumanMessage("a mug?"),
            HumanMessage([{"type": "text", "text": "now"}]),
            AIMessage("", tool_calls=[call]),
            ToolMessage("4.50", tool_call_id="1"),
            HumanMessage([{"type": "text", "text": "and this"}, picture]),
        ]
    )
    system, asked, called, result, seen = endpoint.asked[0]["messages"]
    assert system == {"role": "system", "content": "Be a shop."}
    assert asked == {"role": "user", "content": "a mug?\nnow"}
    assert called["tool_calls"][0]["function"] == {"name": "price_of", "arguments": '{"name": "mug"}'}
    assert (result["role"], result["content"]) == ("tool", "4.50")
    assert seen["content"] == [{"type": "text", "text": "and this"}, picture]


def test_reasoning_is_kept(endpoint, model):
    endpoint.says("hello")
    endpoint.replies[0][1]["choices"][0]["message"]["reasoning_content"] = "hm"
    assert model.invoke("hi").additional_kwargs == {"reasoning_content": "hm"}


@pytest.mark.parametrize("stream_mode", ["messages", "updates", "custom"])
def test_outer_stream_modes_do_not_force_streaming(endpoint, model, stream_mode):
    agent = create_agent(model, [])
    list(agent.stream({"messages": [("user", "price?")]}, stream_mode=stream_mode))
    assert "stream" not in endpoint.asked[0]


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
        LocalChatModel(base_url=endpoint.url, timeout=0.2).invoke("hi")
    release.set()


@pytest.mark.parametrize("reply", ["<html>not found</html>", {"choices": None}, {"choices": []}])
def test_other_answers_than_completions_raise(endpoint, model, reply):
    endpoint.replies = [(200, reply)]
    with pytest.raises(LocalModelError, match=r"check base_url.*/v1"):
        model.invoke("hi")


def test_the_key_is_sent_and_never_shown(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    LocalChatModel(base_url=endpoint.url).invoke("hi")
    keyed = LocalChatModel(base_url=endpoint.url, api_key="given")
    keyed.invoke("hi")
    sent = [headers["Authorization"] for headers in endpoint.headers]
    assert sent == ["Bearer from-the-environment", "Bearer given"]
    assert "given" not in repr(keyed) + repr(keyed._endpoint())


def test_a_proxy_is_not_asked_for_this_machine(endpoint, model, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert LocalChatModel(base_url=endpoint.url, timeout=4).invoke("hi").content == "hello"


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
        "ec-agent-local",
    )
    assert seen["metadata"]["ls_model_name"] == "asked-model"
    assert seen["metadata"]["ls_temperature"] == 0.8


def test_a_model_is_plain_data(endpoint, model):
    model.invoke("hi")
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin == model
        assert twin.invoke("hi").content == "hello"
