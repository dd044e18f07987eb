"""The model that a command line names."""

from __future__ import annotations

import pytest
from langchain_openai import ChatOpenAI

from ec_agent.cli.eval import model_of
from ec_agent.errors import ConfigError, EvaluationError
from ec_agent.evaluation.model import ModelSettings, arguments_in
from ec_agent.prompted import PromptedToolModel

URL = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_native_tools_are_chat_openais_own():
    arguments = {"max_tokens": 4096, "top_p": 0.95, "extra_body": {"top_k": 20}}
    model = ModelSettings(name="big", base_url=URL, arguments=arguments).build()
    assert type(model) is ChatOpenAI
    asked = model._default_params
    assert (asked["model"], asked["top_p"], asked["extra_body"]) == ("big", 0.95, {"top_k": 20})
    assert (asked["max_completion_tokens"], asked["logprobs"], asked["top_logprobs"]) == (4096, True, 20)
    assert model.openai_api_base == URL
    assert not model.use_responses_api


@pytest.mark.parametrize("tools", ["hermes", "json_schema"])
def test_tools_in_the_text_wrap_the_model_with_their_protocol(tools):
    model = ModelSettings(name="big", base_url=URL, tools=tools, arguments={"top_logprobs": 5}).build()
    assert isinstance(model, PromptedToolModel)
    assert model.protocol == tools
    assert model.model.top_logprobs == 5


def test_the_endpoint_and_the_key_of_the_environment(monkeypatch):
    with pytest.raises(ConfigError, match="no endpoint for big; give --base-url, or set OPENAI_API_KEY"):
        ModelSettings(name="big")
    monkeypatch.setenv("MY_KEY", "sk-mine")
    one = ModelSettings(name="big", api_key_env="MY_KEY")
    assert one.endpoint is None
    assert one.build().openai_api_key.get_secret_value() == "sk-mine"
    monkeypatch.setenv("OPENAI_BASE_URL", URL)
    assert ModelSettings(name="big").lasting()["base_url"] == URL
    with pytest.raises(ConfigError, match="the environment has no OTHER"):
        ModelSettings(name="big", base_url=URL, api_key_env="OTHER").build()


def test_nothing_that_may_hold_a_key_is_kept():
    headers = {"default_headers": {"Authorization": "Bearer sk-mine"}, "top_p": 0.9}
    kept = ModelSettings(name="big", base_url="http://me:sk-mine@host:8000/v1", arguments=headers).lasting()
    assert "sk-mine" not in repr(kept)
    assert (kept["base_url"], kept["model argument top_p"]) == ("http://host:8000/v1", 0.9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"temperature": 0.6}, "temperature is set by --temperature"),
        ({"model_name": "x"}, "model_name is set by --model"),
        ({"openai_api_key": "x"}, "is set by --api-key-env"),
        ({"top_k": 20}, "ChatOpenAI has no argument 'top_k'; .*extra_body=.\"top_k\""),
        ({"max_tokens": "many"}, "arguments of big are wrong"),
    ],
)
def test_arguments_that_the_model_cannot_have_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        ModelSettings(name="big", base_url=URL, arguments=arguments).build()
    with pytest.raises(ConfigError, match="tools is 'magic'"):
        ModelSettings(name="big", base_url=URL, tools="magic")


def test_arguments_of_a_command_line():
    pairs = ["max_tokens=4096", "top_p=0.95", 'extra_body={"top_k": 20, "a": [1]}', "reasoning_effort=high", "stop="]
    assert arguments_in(pairs) == {
        "max_tokens": 4096,
        "top_p": 0.95,
        "extra_body": {"top_k": 20, "a": [1]},
        "reasoning_effort": "high",
        "stop": "",
    }
    for wrong in (["max_tokens"], ["=4"], ["a b=4"], ["top_p=1", "top_p=2"]):
        with pytest.raises(ConfigError, match="write each once, as name=value"):
            arguments_in(wrong)


def test_options_of_a_model_need_one():
    assert model_of(None, None, None, None, ()) is None
    assert model_of("big", URL, None, "hermes", ["top_p=0.9"]) == ModelSettings(
        name="big", base_url=URL, tools="hermes", arguments={"top_p": 0.9}
    )
    for words in ((None, URL, None, None, ()), (None, None, None, None, ["top_p=1"])):
        with pytest.raises(ConfigError, match="name it, or leave them out"):
            model_of(*words)


def test_an_endpoint_that_is_not_there_is_told_before_a_rollout_fails():
    model = ModelSettings(name="big", base_url=URL, arguments={"max_retries": 0, "timeout": 2})
    with pytest.raises(EvaluationError, match=f"big at {URL} does not answer .*ec-agent doctor {URL} --model big"):
        model.probe()
