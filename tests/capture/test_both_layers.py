"""Calls that LangChain's callbacks and the client's ``request`` both see."""

from __future__ import annotations

import pytest
from asking import INCLUDE, chat, timelines
from fake_openai import MODEL, Answer
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import BaseModel

from ec_agent import record_calls
from ec_agent.testing import Reply, ScriptedChatModel

ENTROPIES = [1.5, 0.25, 0.75]
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unexpected type for token usage"),
    pytest.mark.filterwarnings("ignore:.*is in beta"),
]


class Word(BaseModel):
    word: str


@pytest.fixture
def told(fake):
    fake.answers.update(
        hi=Answer(ENTROPIES),
        one=Answer([0.25]),
        two=Answer([0.5]),
        json=Answer(ENTROPIES, text='{"word": "yes"}'),
        long=Answer([0.5] * 40, pace=0.001),
        cut=Answer(ENTROPIES, text='{"wor', finish="length"),
        bad=Answer(status=400),
        flaky=[Answer(status=500), Answer(ENTROPIES)],
    )
    return fake


def asked(client, prompt, **kwargs):
    return client.chat.completions.create(**chat(prompt, **kwargs))


# ChatOpenAI

MODELS = {
    "chat completions": {},
    "streaming": {"streaming": True},
    "no usage in streams": {"streaming": True, "stream_usage": False},
    "responses": {"use_responses_api": True},
    "responses, streaming": {"use_responses_api": True, "streaming": True},
    "responses, new output": {"use_responses_api": True, "output_version": "responses/v1"},
    "headers": {"include_response_headers": True},
}


@pytest.mark.parametrize("kind", MODELS)
def test_one_call_with_exactly_the_servers_tokens(kind, told, chat_model):
    model = chat_model(**MODELS[kind])
    with record_calls() as recorder:
        model.invoke("hi")
        list(model.stream("hi"))
    assert timelines(recorder) == [ENTROPIES] * 2
    assert [call.tokens for call in recorder.trajectory().calls] == [3, 3]


@pytest.mark.parametrize("kind", MODELS)
async def test_one_call_with_exactly_the_servers_tokens_async(kind, told, chat_model):
    model = chat_model(**MODELS[kind])
    with record_calls() as recorder:
        await model.ainvoke("hi")
        [_ async for _ in model.astream("hi")]
    assert timelines(recorder) == [ENTROPIES] * 2
    assert [call.tokens for call in recorder.trajectory().calls] == [3, 3]


@pytest.mark.parametrize("responses", [False, True])
def test_structured_output(responses, told, chat_model):
    model = chat_model(use_responses_api=responses).with_structured_output(Word)
    with record_calls() as recorder:
        assert model.invoke("json") == Word(word="yes")
    assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize("responses", [False, True])
async def test_structured_output_async(responses, told, chat_model):
    model = chat_model(use_responses_api=responses).with_structured_output(Word)
    with record_calls() as recorder:
        assert await model.ainvoke("json") == Word(word="yes")
    assert timelines(recorder) == [ENTROPIES]


def test_structured_output_that_does_not_parse(told, chat_model):
    with record_calls() as recorder:
        with pytest.raises(Exception, match="length"):
            chat_model().with_structured_output(Word).invoke("cut")
        chat_model().invoke("one")
    assert timelines(recorder) == [ENTROPIES, [0.25]]


async def test_structured_output_that_does_not_parse_async(told, chat_model):
    with record_calls() as recorder:
        with pytest.raises(Exception, match="length"):
            await chat_model().with_structured_output(Word).ainvoke("cut")
        await chat_model().ainvoke("one")
    assert timelines(recorder) == [ENTROPIES, [0.25]]


def test_retries_inside_the_client_count_once(told, chat_model):
    with record_calls() as recorder:
        chat_model(max_retries=2).invoke("flaky")
    assert len(told.bodies("flaky")) == 2
    assert timelines(recorder) == [ENTROPIES]


def test_retries_and_fallbacks_of_langchain(told, chat_model):
    told.answers["flaky"] = [Answer(status=500), Answer(status=500), Answer([0.75])]
    with record_calls() as recorder:
        chat_model().with_retry(stop_after_attempt=2, wait_exponential_jitter=False).with_fallbacks(
            [chat_model()]
        ).invoke("flaky")
    assert timelines(recorder) == [[0.75]]


def test_two_models_one_after_the_other(told, chat_model, client):
    with record_calls() as recorder:
        chat_model().invoke("one")
        asked(client, "two")
        chat_model().invoke("one")
        asked(client, "two")
    assert timelines(recorder) == [[0.25], [0.5], [0.25], [0.5]]


# A client's call in the course of a LangChain stream: all counted, none twice


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_call_between_the_chunks_of_a_stream(streamed, told, chat_model, client):
    with record_calls() as recorder:
        for place, _ in enumerate(chat_model().stream("hi")):
            if place == 1:
                answer = asked(client, "one", stream=streamed)
                if streamed:
                    list(answer)
        asked(client, "two")
    assert timelines(recorder) == [ENTROPIES, [0.25], [0.5]]


async def test_a_client_call_between_the_chunks_of_a_stream_async(told, chat_model, aclient):
    with record_calls() as recorder:
        place = 0
        async for _ in chat_model().astream("hi"):
            place += 1
            if place == 2:
                await asked(aclient, "one")
        await asked(aclient, "two")
    assert timelines(recorder) == [ENTROPIES, [0.25], [0.5]]


def test_a_model_call_between_the_chunks_of_a_stream(told, chat_model, client):
    with record_calls() as recorder:
        for place, _ in enumerate(chat_model().stream("hi")):
            if place == 1:
                chat_model().invoke("one")
                asked(client, "two")
    assert timelines(recorder) == [ENTROPIES, [0.25], [0.5]]


@pytest.mark.parametrize("way", ["between", "abandoned"])
def test_a_client_call_during_another_models_stream(way, told, client):
    foreign = ScriptedChatModel([[Reply("a b c d", entropies=[0.1, 0.2, 0.3, 0.4])]])
    with record_calls() as recorder:
        stream = foreign.stream("hi")
        next(stream)
        asked(client, "long")
        if way == "between":
            list(stream)
    if way == "between":
        assert timelines(recorder) == [[0.1, 0.2, 0.3, 0.4], [0.5] * 40]
    else:
        assert [0.5] * 40 in timelines(recorder)


@pytest.mark.parametrize("way", ["stream", "stream_events"])
def test_a_stream_without_logprobs_absorbs_no_other_calls(way, told, chat_model):
    silent = ScriptedChatModel([[Reply("a b c")]])
    with record_calls() as recorder:
        stream = silent.stream("x") if way == "stream" else silent.stream_events("x", version="v3")
        for place, _ in enumerate(stream):
            if place == 1:
                chat_model().invoke("hi")
    assert timelines(recorder) == [[], ENTROPIES]
    assert recorder.trajectory().coverage is None


# Models of one's own


class Own(BaseChatModel):
    """Runs ``ask(client)``, and answers with what it returns: a message, or just text."""

    ask: object
    client: object = None

    @property
    def _llm_type(self):
        return "own"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        answer = self.ask(self.client)
        message = answer if isinstance(answer, AIMessage) else AIMessage(answer)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        answer = await self.ask(self.client)
        message = answer if isinstance(answer, AIMessage) else AIMessage(answer)
        return ChatResult(generations=[ChatGeneration(message=message)])


def as_message(response):
    """What an integration makes of a response."""
    choice = response.choices[0]
    used = response.usage.completion_tokens
    return AIMessage(
        choice.message.content,
        response_metadata={"logprobs": choice.logprobs.model_dump()},
        usage_metadata={"input_tokens": 0, "output_tokens": used, "total_tokens": used},
    )


def twice(client):
    asked(client, "one")
    return as_message(asked(client, "hi"))


def twice_as_text(client):
    return asked(client, "one").choices[0].message.content + asked(client, "hi").choices[0].message.content


def twice_with_both(client):
    first, second = as_message(asked(client, "one")), as_message(asked(client, "hi"))
    second.response_metadata["logprobs"]["content"][:0] = first.response_metadata["logprobs"]["content"]
    return second


def streamed_twice(client):
    return str(len([*asked(client, "one", stream=True), *asked(client, "hi", stream=True)]))


@pytest.mark.parametrize("ask", [twice, twice_as_text, twice_with_both, streamed_twice])
def test_a_custom_model_with_two_client_calls(ask, told, client):
    with record_calls() as recorder:
        Own(ask=ask, client=client).invoke("x")
        asked(client, "two")
    assert timelines(recorder) == [[0.25, *ENTROPIES], [0.5]]


async def test_a_custom_model_with_two_client_calls_async(told, aclient):
    async def ask(client):
        await asked(client, "one")
        return as_message(await asked(client, "hi"))

    with record_calls() as recorder:
        await Own(ask=ask, client=aclient).ainvoke("x")
        await asked(aclient, "two")
    assert timelines(recorder) == [[0.25, *ENTROPIES], [0.5]]


def test_gaps_of_two_client_calls_stay_in_place(fake, client):
    fake.answers.update(gap=Answer([0.25], usage=3), hi=Answer(ENTROPIES))

    def ask(client):
        asked(client, "gap")
        return asked(client, "hi").choices[0].message.content

    with record_calls() as recorder:
        Own(ask=ask, client=client).invoke("x")
    assert timelines(recorder) == [[0.25, None, None, *ENTROPIES]]


def test_one_of_two_client_calls_is_of_unknown_length(fake, client):
    fake.answers.update(bare=Answer([0.25], usage=None, logprobs=False), hi=Answer(ENTROPIES))

    def ask(client):
        asked(client, "bare")
        return as_message(asked(client, "hi"))

    with record_calls() as recorder:
        Own(ask=ask, client=client).invoke("x")
    assert recorder.trajectory().coverage is None


def test_two_client_calls_without_logprobs(told, client):
    def ask(client):
        for prompt in ("one", "hi"):
            asked(client, prompt, logprobs=False, top_logprobs=None)
        return "x"

    with record_calls() as recorder:
        Own(ask=ask, client=client).invoke("x")
    assert timelines(recorder) == [[None] * 4]


def test_a_model_whose_first_request_fails(told, client):
    def ask(client):
        with pytest.raises(Exception, match="as told"):
            asked(client, "bad")
        return as_message(asked(client, "hi"))

    with record_calls() as recorder:
        Own(ask=ask, client=client).invoke("x")
    assert timelines(recorder) == [ENTROPIES]


def test_a_model_that_fails_after_its_request(told, client):
    def ask(client):
        asked(client, "hi")
        raise ValueError("after")

    with record_calls() as recorder:
        with pytest.raises(ValueError, match="after"):
            Own(ask=ask, client=client).invoke("x")
        asked(client, "one")
    assert timelines(recorder) == [ENTROPIES, [0.25]]


def test_a_streaming_chat_model_around_another(told, chat_model):
    class Streams(Own):
        def _stream(self, messages, stop=None, run_manager=None, **kwargs):
            for chunk in chat_model().stream("hi"):
                yield ChatGenerationChunk(message=chunk)

    with record_calls() as recorder:
        list(Streams(ask=None).stream("x"))
    assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize("metadata", [True, False])
def test_a_chat_model_around_another(metadata, told, chat_model):
    inner = chat_model()

    def ask(_):
        answer = inner.invoke("hi")
        return answer if metadata else str(answer.content)

    with record_calls() as recorder:
        Own(ask=ask).invoke("x")
    assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize("metadata", [True, False])
async def test_a_chat_model_around_another_async(metadata, told, chat_model):
    inner = chat_model()

    async def ask(_):
        answer = await inner.ainvoke("hi")
        return answer if metadata else str(answer.content)

    with record_calls() as recorder:
        await Own(ask=ask).ainvoke("x")
    assert timelines(recorder) == [ENTROPIES]


def test_a_chat_model_calling_another_before_its_request(told, chat_model, client):
    def ask(client):
        chat_model().invoke("one")
        return as_message(asked(client, "hi"))

    with record_calls() as recorder:
        Own(ask=ask, client=client).invoke("x")
    assert sorted(timelines(recorder)) == [[0.25], ENTROPIES]


def test_a_model_that_streams_from_two_requests(told, client):
    class Streams(Own):
        def _stream(self, messages, stop=None, run_manager=None, **kwargs):
            for prompt in ("one", "hi"):
                for chunk in asked(self.client, prompt, stream=True):
                    logprobs = chunk.choices[0].logprobs
                    info = {"logprobs": {"content": logprobs.model_dump()["content"]}} if logprobs else None
                    message = AIMessageChunk(chunk.choices[0].delta.content or "")
                    yield ChatGenerationChunk(message=message, generation_info=info)

    with record_calls() as recorder:
        list(Streams(ask=None, client=client).stream("x"))
    assert timelines(recorder) == [[0.25, *ENTROPIES]]


def test_a_custom_model_with_several_prompts(told, client):
    turns = iter(["one", "hi"])
    with record_calls() as recorder:
        Own(ask=lambda c: asked(c, next(turns)).choices[0].message.content, client=client).generate(
            [[HumanMessage("a")], [HumanMessage("b")]]
        )
        asked(client, "two")
    assert timelines(recorder) == [[0.25], ENTROPIES, [0.5]]


def test_a_client_call_after_a_batch_that_failed(told, chat_model, client):
    with record_calls() as recorder:
        with pytest.raises(Exception, match="as told"):
            chat_model().generate([[HumanMessage("bad")], [HumanMessage("one")]])
        for prompt in ("one", "hi", "two"):
            asked(client, prompt)
    assert timelines(recorder) == [[0.25], ENTROPIES, [0.5]]


def test_responses_without_include_have_no_logprobs_in_either_layer(told, chat_model, client):
    with record_calls() as recorder:
        chat_model(use_responses_api=True, include=None).invoke("hi")
        client.responses.create(model=MODEL, input="hi")
        client.responses.create(model=MODEL, input="hi", **INCLUDE)
    assert timelines(recorder) == [[None] * 3, [None] * 3, ENTROPIES]
