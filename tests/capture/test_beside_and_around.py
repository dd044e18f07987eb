"""Calls beside a stream, around others, cancelled, or failed in the reading: each token counts, once."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from asking import LOGPROBS, chat, timelines
from fake_openai import MODEL, Answer, legacy_chunks, legacy_completion
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import OpenAI as CompletionModel
from pydantic import BaseModel, ValidationError

from ec_agent import Limits, MissingLogprobsError, NoScoredRolloutError, best_of_n, record_calls
from ec_agent.capture.shapes import call_of, payload_of_message, payload_of_response, payload_of_stream
from ec_agent.testing import logprobs_for

ENTROPIES = [1.5, 0.25, 0.75]
HI = {"messages": [("user", "hi")]}


@pytest.fixture
def told(fake):
    fake.answers |= {"hi": Answer(ENTROPIES, pace=0.02), "one": Answer([0.25]), "two": Answer([0.5, 1.0], delay=0.2)}
    return fake


@pytest.mark.parametrize("ends", ["within the stream", "after the stream"])
async def test_a_task_beside_a_stream(told, chat_model, aclient, ends):
    """A guardrail, say, that reads along."""
    prompt = "one" if ends == "within the stream" else "two"
    task = None
    with record_calls() as recorder:
        async for _ in chat_model().astream("hi"):
            if task is None:
                task = asyncio.create_task(aclient.chat.completions.create(**chat(prompt)))
                await asyncio.sleep(0)
        await task
    assert timelines(recorder) == [ENTROPIES, [0.25] if prompt == "one" else [0.5, 1.0]]


class Around(BaseChatModel):
    """Asks as it is told, and says what that gives."""

    ask: object

    @property
    def _llm_type(self):
        return "around"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return ChatResult(generations=[ChatGeneration(message=self.ask())])


def test_the_last_of_several_inner_answers_is_passed_on(told, chat_model):
    told.answers["two"] = Answer([0.5, 1.0])
    model = chat_model()

    def ask():
        model.invoke("one")
        return AIMessage("x", response_metadata=model.invoke("two").response_metadata)

    with record_calls() as recorder:
        Around(ask=ask).invoke("x")
    assert timelines(recorder) == [[0.25], [0.5, 1.0]]


def test_text_added_to_an_inner_answer_is_a_gap(told, chat_model):
    model = chat_model()

    def ask():
        model.invoke("hi")
        return AIMessage("x", usage_metadata={"input_tokens": 1, "output_tokens": 500, "total_tokens": 501})

    with record_calls() as recorder:
        Around(ask=ask).invoke("x")
    trajectory = recorder.trajectory()
    assert (len(trajectory), trajectory.scored_tokens) == (503, 3)


def test_extra_candidates_are_cut_on_both_layers(told, chat_model):
    """The inner request knows how many were asked for, the model around it does not."""
    model = chat_model(logprobs=None, top_logprobs=None)
    entry = logprobs_for([1.0])[0]
    appended = {"token": "sampled", "logprob": math.log(1e-4), "bytes": None}
    entry["top_logprobs"] = [*entry["top_logprobs"], appended]
    told.answers["hi"] = Answer([1.0], logprobs={"content": [entry]})
    with record_calls(request_logprobs=True) as recorder:
        Around(ask=lambda: AIMessage("x", response_metadata=model.invoke("hi").response_metadata)).invoke("x")
    assert timelines(recorder) == [[1.0]]


# answers that cannot be parsed


class Word(BaseModel):
    word: str


@pytest.fixture
def wrong(fake):
    fake.answers["json"] = [Answer(ENTROPIES, text="no JSON"), Answer([0.25], text='{"word": "tea"}')]
    return fake


def test_an_answer_that_does_not_parse_counts(wrong, client):
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "json"}], "response_format": Word, **LOGPROBS}
    with record_calls() as recorder:
        with pytest.raises(ValidationError):
            client.chat.completions.parse(**asked)
        assert client.chat.completions.parse(**asked).choices[0].message.parsed.word == "tea"
    assert timelines(recorder) == [ENTROPIES, [0.25]]


async def test_the_same_async_and_raw(wrong, aclient):
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "json"}], "response_format": Word, **LOGPROBS}
    with record_calls() as recorder:
        raw = await aclient.chat.completions.with_raw_response.parse(**asked)
        with pytest.raises(ValidationError):
            raw.parse()
        assert (await aclient.chat.completions.parse(**asked)).choices[0].message.parsed.word == "tea"
    assert timelines(recorder) == [ENTROPIES, [0.25]]


def test_structured_output_that_does_not_parse_counts(wrong, chat_model):
    model = chat_model().with_structured_output(Word, method="json_schema")
    with record_calls() as recorder:
        with pytest.raises(Exception, match=r"(?i)json|word"):
            model.invoke("json")
        assert model.invoke("json").word == "tea"
    assert timelines(recorder) == [ENTROPIES, [0.25]]


# a cancelled call that was never told of it


class Slow(BaseChatModel):
    @property
    def _llm_type(self):
        return "slow"

    def _generate(self, *args, **kwargs):
        raise AssertionError("it is asynchronous")

    async def _agenerate(self, *args, **kwargs):
        await asyncio.sleep(10)


def cancelling(aclient, **asked):
    async def agent(state):
        try:
            async with asyncio.timeout(0.02):
                await Slow().ainvoke("x")
        except TimeoutError:
            pass
        for _ in range(4):
            await aclient.chat.completions.create(**{**chat("hi"), **asked})
        return {"messages": [AIMessage("done")]}

    return agent


async def test_limits_hold_after_a_cancelled_call(told, aclient):
    node = best_of_n(cancelling(aclient), n=1, limits=Limits(max_tokens=5))
    with pytest.raises(Exception, match="TokenLimitError"):
        await node.arun(HI)
    assert (await best_of_n(cancelling(aclient), n=1, limits=Limits(max_tokens=12)).arun(HI)).selection.winner == 0


async def test_missing_logprobs_are_met_after_a_cancelled_call(told, aclient):
    node = best_of_n(cancelling(aclient, logprobs=False, top_logprobs=None), n=1, on_missing="raise")
    with pytest.raises(MissingLogprobsError):
        await node.arun(HI)


# counts that cannot be


def test_a_count_of_0_for_an_answer_is_unknown():
    zero = {"completion_tokens": 0, "prompt_tokens": 1, "total_tokens": 1}
    called = {"message": {"tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]}}
    part = {"index": 0, "delta": {"content": "x"}}
    message = AIMessage("x", usage_metadata={"input_tokens": 1, "output_tokens": 0, "total_tokens": 1})
    for payload in (
        payload_of_response({"choices": [called], "usage": zero}),
        payload_of_response({"choices": [{"text": "x"}], "usage": zero}),
        payload_of_stream([{"choices": [part]}, {"choices": [], "usage": zero}]),
        payload_of_message(message),
    ):
        assert call_of(payload, ("entropy",)).tokens is None
    for payload in (
        payload_of_response({"choices": [{"message": {"content": ""}}], "usage": zero}),
        payload_of_message(message.model_copy(update={"content": ""})),
    ):
        assert call_of(payload, ("entropy",)).tokens == 0


def test_such_a_call_is_not_overlooked(fake, client):
    fake.answers |= {"hi": Answer(ENTROPIES), "tool": Answer([], usage=0, tool_calls=[("look", {})])}

    def agent(state):
        client.chat.completions.create(**chat("hi"))
        client.chat.completions.create(**chat("tool"))
        return {"messages": [AIMessage("done")]}

    with pytest.raises(NoScoredRolloutError):
        best_of_n(agent, n=1).run(HI)


# an echoed prompt, streamed and through LangChain


def echoed():
    whole = legacy_completion(Answer(ENTROPIES), {"prompt": "x", "logprobs": 20})
    logprobs = whole["choices"][0]["logprobs"]
    ahead = {"tokens": "Say ", "token_logprobs": None, "top_logprobs": None, "text_offset": 0}
    for name, rows in logprobs.items():
        rows.insert(0, ahead[name])
    whole["choices"][0]["text"] = "Say " + whole["choices"][0]["text"]
    return whole


def test_an_echo_in_a_stream():
    whole = echoed()
    chunks = [*legacy_chunks(whole), {"choices": [], "usage": whole["usage"]}]
    call = call_of(payload_of_stream(chunks), ("entropy",))
    assert call.entropies.round(6).tolist() == ENTROPIES


def test_an_echo_through_langchain(fake):
    fake.answers["x"] = Answer(raw=("application/json", json.dumps(echoed()).encode()))
    model = CompletionModel(model=MODEL, base_url=fake.url, api_key="none", logprobs=20, max_retries=0)
    with record_calls() as recorder:
        model.invoke("x")
    assert timelines(recorder) == [ENTROPIES]
