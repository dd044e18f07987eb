"""What is recorded of a prompted model: the inner call's tokens, each once, whoever makes the request."""

from __future__ import annotations

import json

import pytest
from fake_openai import Answer
from inner import inner
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from openai import AsyncOpenAI, OpenAI
from pricing import ANSWERING, CALLING, STATE, STEP, price_of

from ec_agent import CallFilter, IdenticalRolloutsWarning, MissingLogprobsError, best_of_n, record_calls
from ec_agent.prompted import PromptedToolModel
from ec_agent.testing import Reply, message_of


class Raw(type(inner(""))):
    """On a raw client; ``quiet`` keeps the logprobs out of the message, as some integrations do."""

    url: str = ""
    quiet: bool = False

    def _request(self, messages, kwargs):
        roles = {"system": "system", "human": "user", "ai": "assistant"}
        turns = [{"role": roles[turn.type], "content": turn.content} for turn in messages]
        return {"model": "m", "messages": turns, "logprobs": True, "top_logprobs": 20, **kwargs}

    def _result(self, response):
        choice = response.choices[0]
        info = {} if self.quiet else {"logprobs": choice.logprobs.model_dump()}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(choice.message.content), generation_info=info)])

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        with OpenAI(base_url=self.url, api_key="none") as client:
            return self._result(client.chat.completions.create(**self._request(messages, kwargs)))

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        async with AsyncOpenAI(base_url=self.url, api_key="none") as client:
            return self._result(await client.chat.completions.create(**self._request(messages, kwargs)))


@pytest.fixture(params=["local", "chat_openai", "responses", "raw", "raw quiet"])
def below(request, told, local, chat_openai):
    return {
        "local": lambda: local,
        "chat_openai": chat_openai,
        "responses": lambda: chat_openai(use_responses_api=True),
        "raw": lambda: Raw(url=told.url),
        "raw quiet": lambda: Raw(url=told.url, quiet=True),
    }[request.param]()


def timelines(recorder):
    return [[round(h, 6) for h in call.entropies.tolist()] for call in recorder.trajectory().calls]


def check(recorder, messages):
    assert timelines(recorder) == [CALLING, ANSWERING]
    assert recorder.trajectory().coverage == 1.0
    # Not messages[1]: the fake's Responses all have one id, and of two messages with one id the last stays.
    assert [message.tool_calls[0]["args"] for message in recorder.asking] == [{"name": "mug"}]
    assert "4.50 euros" in [message.text for message in messages]
    assert len(recorder.every_call()) == 2


def test_every_token_once(below):
    agent = create_agent(PromptedToolModel(model=below), [price_of])
    with record_calls() as recorder:
        messages = agent.invoke(STATE)["messages"]
    check(recorder, messages)


async def test_every_token_once_async(below):
    agent = create_agent(PromptedToolModel(model=below), [price_of])
    with record_calls() as recorder:
        messages = (await agent.ainvoke(STATE))["messages"]
    check(recorder, messages)


def test_every_token_once_streamed(below):
    agent = create_agent(PromptedToolModel(model=below), [price_of])
    with record_calls() as recorder:
        list(agent.stream(STATE, stream_mode="messages"))
    assert timelines(recorder) == [CALLING, ANSWERING]


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_model_without_any_client(mode):
    replies = [message_of(Reply(STEP, entropies=CALLING)), message_of(Reply('{"answer": "a"}', entropies=ANSWERING))]
    agent = create_agent(PromptedToolModel(model=inner(*replies)), [price_of])
    with record_calls() as recorder:
        agent.invoke(STATE) if mode == "sync" else await agent.ainvoke(STATE)
    assert timelines(recorder) == [CALLING, ANSWERING]


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_several_prompts_in_one_generate(mode, told, local):
    prompts = [[HumanMessage("price?")], [HumanMessage("4.50")]]
    model = PromptedToolModel(model=local)
    with record_calls() as recorder:
        model.generate(prompts) if mode == "sync" else await model.agenerate(prompts)
    assert timelines(recorder) == [CALLING, ANSWERING]


def test_a_schema_held_request_has_no_native_tools(below, told):
    create_agent(PromptedToolModel(model=below), [price_of]).invoke(STATE)
    for body in told.bodies():
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)
        assert body.get("stream") in (None, False)
        shape = body.get("response_format") or body["text"]["format"]
        assert shape["type"] == "json_schema"
        assert "price_of" in json.dumps(shape)


def test_a_cut_reply_is_reported_and_counted(below, told):
    told.answers["price?"] = Answer(entropies=CALLING, text=STEP[:-4], finish="length")
    with record_calls() as recorder:
        message = PromptedToolModel(model=below).bind_tools([price_of]).invoke("price?")
    assert message.invalid_tool_calls[0]["name"] == "price_of"
    assert timelines(recorder) == [CALLING]


def test_sampling_reaches_the_request(told, below):
    better = best_of_n(
        create_agent(PromptedToolModel(model=below), [price_of]),
        n=2,
        sampling=lambda index: {"seed": index, "temperature": 0.25},
    )
    with pytest.warns(IdenticalRolloutsWarning):
        selection = better.run(STATE).selection
    assert all(c.unsampled_calls == 0 and c.calls == 2 and c.tokens == 5 for c in selection.candidates)
    assert sorted(body["seed"] for body in told.bodies()) == [0, 0, 1, 1]
    assert {body["temperature"] for body in told.bodies()} == {0.25}


def test_a_call_without_logprobs_raises_through_both(told, local):
    told.answers["price?"] = Answer(entropies=CALLING, text=STEP, logprobs=False)
    better = best_of_n(create_agent(PromptedToolModel(model=local), [price_of]), n=1, on_missing="raise")
    with pytest.raises(MissingLogprobsError, match="fake-model"):
        better.run(STATE)


def test_a_filter_by_the_prompted_models_tags(told, local):
    with record_calls(calls=CallFilter(exclude_tags=["judge"])) as recorder:
        PromptedToolModel(model=local, tags=["judge"]).bind_tools([price_of]).invoke("price?")
        PromptedToolModel(model=local).bind_tools([price_of]).invoke("price?")
    assert timelines(recorder) == [CALLING]
    assert len(recorder.every_call()) == 2


@pytest.fixture
def cache():
    set_llm_cache(InMemoryCache())
    yield
    set_llm_cache(None)


def test_a_cache_hit_is_scored_once(told, local, cache):
    model = PromptedToolModel(model=local).bind_tools([price_of])
    with record_calls() as recorder:
        first, second = model.invoke("price?"), model.invoke("price?")
    assert timelines(recorder) == [CALLING, CALLING]
    assert len(told.bodies()) == 1
    assert recorder.facts()["cache_hits"] == 1
    assert first.tool_calls[0]["args"] == second.tool_calls[0]["args"]
