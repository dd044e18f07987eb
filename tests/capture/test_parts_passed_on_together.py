"""Parts of a stream that nobody sees one by one come together; whoever sees them gets them as they came."""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest
from asking import chat, timelines
from fake_openai import Answer
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_openai import ChatOpenAI
from openai import APIConnectionError

from ec_agent import best_of_n, record_calls
from ec_agent.capture.installing import recording
from ec_agent.capture.recorder import Recorder
from ec_agent.capture.request_params import RequestSettings
from ec_agent.insides import openai_chunks
from ec_agent.numbers.signals import SIGNALS

LONG = [0.5, 0.25, 1.5, 0.75, 0.125] * 8


@pytest.fixture
def told(fake):
    fake.answers.update(
        hi=Answer(LONG),
        json=Answer(LONG, text=json.dumps({"word": "x" * 40})),
        quotes=Answer(LONG, text='"\\ {},\n' * 10),
        none=Answer(LONG, logprobs=False),
        call=Answer(LONG, tool_calls=[("look", {"at": "x"})]),
        broken=Answer(LONG, drop_after=9),
        slow=Answer(LONG, pace=0.02),
    )
    return fake


@pytest.fixture
def chunks(monkeypatch):
    """How many chunks were made of events that fit a pattern."""
    made = []
    make = openai_chunks._Kind.made
    monkeypatch.setattr(openai_chunks._Kind, "made", lambda *given: made.append(1) or make(*given))
    return made


@pytest.fixture
def model(told, chat_model):
    return chat_model(streaming=True)


def both(model, prompt, **kwargs):
    return model.invoke(prompt, **kwargs), asyncio.run(model.ainvoke(prompt, **kwargs))


def as_before():
    return recording(Recorder(signals=tuple(SIGNALS), requests=RequestSettings(keep_logprobs=True)))


def recorded(recorder):
    return [[call.signal(name).tobytes() for name in SIGNALS] for call in recorder.every_call()]


WAYS = {"plain": {}, "v1": {"output_version": "v1"}, "no usage": {"stream_usage": False}}


@pytest.mark.parametrize("prompt", ["hi", "json", "quotes", "none", "call"])
@pytest.mark.parametrize("way", WAYS)
def test_messages_and_records_are_the_same(prompt, way, told, chat_model, chunks):
    model = chat_model(streaming=True, **WAYS[way])
    records, answers = [], []
    for block in (record_calls(signals=tuple(SIGNALS)), as_before()):
        with block as recorder:
            answers.append(both(model, prompt))
        records.append(recorded(recorder))
    assert len(chunks) <= 10
    assert records[0] == records[1]
    for got, wanted in zip(*answers, strict=True):
        wanted.id = got.id
        assert got == wanted
        assert json.dumps(got.response_metadata) == json.dumps(wanted.response_metadata)


@pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")
def test_calls_of_several_rollouts(model, chunks):
    answered = best_of_n(lambda state: {"messages": [model.invoke("hi")]}, n=4).run({"messages": []})
    assert [each.scored_tokens for each in answered.trajectories] == [len(LONG)] * 4
    assert len(chunks) <= 4 * 5


def test_logprobs_of_another_form_between_usual_ones(fake, chat_model):
    """LangChain adds up the parts' logprobs, which must have one type."""
    events = []
    for number in range(40):
        logprobs = {"content": [{"token": "x", "logprob": -0.5, "top_logprobs": []}]}
        if number % 10 == 5:
            logprobs["more"] = [number]
        choice = {"index": 0, "delta": {"content": "x"}, "logprobs": logprobs, "finish_reason": None}
        events.append({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    fake.answers["odd"] = Answer(raw=("text/event-stream", body.encode()))
    model = chat_model(streaming=True)
    answers = []
    for block in (record_calls(), as_before()):
        with block as recorder:
            answers += both(model, "odd")
        assert [call.generated for call in recorder.every_call()] == [40] * 2
    assert len(answers[0].response_metadata["logprobs"]["content"]) == 40
    assert [answer.response_metadata for answer in answers] == [answers[-1].response_metadata] * 4


def same(delta, **more):
    """A stream of which five parts are the same, byte for byte."""
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"n": 1'}}
    logprobs = {"content": [{"token": "1", "logprob": -0.5, "bytes": [49], "top_logprobs": []}]}
    deltas = [{"content": "", "tool_calls": [call]} if "tool_calls" in delta else {"content": ""}]
    deltas += [{"content": "", **delta}] * 5
    deltas += [{"content": "", "tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}] * ("tool_calls" in delta)
    choices = [{"index": 0, "delta": each, "logprobs": logprobs, "finish_reason": None} for each in deltas]
    base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", **more}
    body = "".join(f"data: {json.dumps({**base, 'choices': [each]})}\n\n" for each in choices) + "data: [DONE]\n\n"
    return Answer(raw=("text/event-stream", body.encode()))


class Reasons(ChatOpenAI):
    def _convert_chunk_to_generation_chunk(self, chunk, *args):
        made = super()._convert_chunk_to_generation_chunk(chunk, *args)
        made.message.additional_kwargs["reasoning"] = chunk["choices"][0]["delta"].get("reasoning") or ""
        return made


SAME = {
    "tool calls": (ChatOpenAI, same({"tool_calls": [{"index": 0, "function": {"arguments": "1"}}]})),
    "usage": (ChatOpenAI, same({}, usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})),
    "reasoning": (Reasons, same({"reasoning": "ha"})),
}
SUMS = {
    "tool calls": lambda message: message.tool_calls[0]["args"] == {"n": 111111},
    "usage": lambda message: message.usage_metadata["output_tokens"] == 6,
    "reasoning": lambda message: message.additional_kwargs["reasoning"] == "ha" * 5,
}


@pytest.mark.parametrize("case", SAME)
def test_parts_that_say_more_than_text_are_added_up_though_they_are_the_same(case, fake):
    kind, fake.answers["same"] = SAME[case]
    model = kind(model="m", base_url=fake.url, api_key="none", streaming=True, logprobs=True, top_logprobs=20)
    alone = both(model, "same")
    with record_calls() as recorder:
        answers = both(model, "same")
    for got, wanted in zip(answers, alone, strict=True):
        wanted.id = got.id
        assert got == wanted
    assert SUMS[case](alone[0])
    assert [call.generated for call in recorder.every_call()] == [7 if case == "tool calls" else 6] * 2


# Somebody sees the parts


class Hears(BaseCallbackHandler):
    def __init__(self):
        self.tokens = []

    def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)


class HearsAsync(AsyncCallbackHandler, Hears):
    async def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)


class Looks(ChatOpenAI):
    def _stream(self, *args, **kwargs):
        for part in super()._stream(*args, **kwargs):
            SEEN.append(part.text)
            yield part

    async def _astream(self, *args, **kwargs):
        async for part in super()._astream(*args, **kwargs):
            SEEN.append(part.text)
            yield part


SEEN = []
WORDS = [f"w{number} " for number in range(len(LONG))]


def spoken(tokens):
    return [token for token in tokens if token]


@pytest.mark.parametrize("handler", [Hears, HearsAsync])
async def test_a_handler_that_listens_hears_each_part(handler, model):
    hears = handler()
    with record_calls():
        if handler is Hears:
            model.invoke("hi", {"callbacks": [hears]})
            assert spoken(hears.tokens) == WORDS
            hears.tokens.clear()
        await model.ainvoke("hi", {"callbacks": [hears]})
    assert spoken(hears.tokens) == WORDS


async def test_a_model_of_ones_own_sees_each_part(told):
    model = Looks(model="m", base_url=told.url, api_key="none", streaming=True, logprobs=True, top_logprobs=20)
    for asked in (lambda: asyncio.to_thread(model.invoke, "hi"), lambda: model.ainvoke("hi")):
        SEEN.clear()
        with record_calls():
            await asked()
        assert spoken(SEEN) == WORDS


async def test_who_streams_gets_each_part(model, client, aclient):
    asked = chat("hi", stream=True)
    with record_calls() as recorder:
        assert spoken(part.content for part in model.stream("hi")) == WORDS
        assert spoken([part.content async for part in model.astream("hi")]) == WORDS
        events = [event async for event in model.astream_events("hi", version="v2")]
        raw = [choice.delta.content for part in client.chat.completions.create(**asked) for choice in part.choices]
        stream = await aclient.chat.completions.create(**asked)
        araw = [choice.delta.content async for part in stream for choice in part.choices]
    said = [event["data"]["chunk"].content for event in events if event["event"] == "on_chat_model_stream"]
    assert spoken(said) == spoken(raw) == spoken(araw) == WORDS
    assert timelines(recorder) == [LONG] * 5


class Counts:
    """Gets reports, also of parts."""

    parts = True

    def __init__(self):
        self.counted = []

    def call_streamed(self, call):
        self.counted.append(call.parts)

    def call_started(self, *given):
        pass

    call_ended = call_started


def test_parts_that_are_counted_for_somebody_are_told_one_by_one(model):
    with record_calls() as recorder:
        recorder.told = Counts()
        model.invoke("hi")
    assert len(recorder.told.counted) >= len(LONG)


# Streams that end early


def requests(recorder):
    return [request for call in recorder.call_list.so_far() for request in call.batch.requests]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_parts_of_a_stream_that_breaks_off_count(how, model):
    with record_calls() as recorder, pytest.raises(APIConnectionError):
        model.invoke("broken") if how == "sync" else asyncio.run(model.ainvoke("broken"))
    assert timelines(recorder) == [LONG[:8]]
    assert recorder.every_call()[0].partial


async def test_parts_of_a_stream_that_is_cancelled_count(model):
    with record_calls() as recorder:
        task = asyncio.create_task(model.ainvoke("slow"))
        while not any(
            len(request.chunks) > 3 for call in recorder.call_list.so_far() for request in call.batch.requests
        ):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (call,) = recorder.trajectory().calls
    assert call.partial
    assert 1 <= len(call.entropies) < len(LONG)


LOGPROBS = {"content": [{"token": "x", "logprob": -0.5, "top_logprobs": []}]}
CHOICE = {"index": 0, "delta": {"content": "x"}, "logprobs": LOGPROBS}
PART = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [CHOICE]}
BURST = b"data: %s\n\n" % json.dumps(PART).encode() * 20
EVENTS = {"content-type": "text/event-stream"}


class Bursts(httpx2.AsyncByteStream):
    """Twelve times twenty parts that come at once, and silence in between."""

    async def __aiter__(self):
        for _ in range(12):
            yield BURST
            await asyncio.sleep(0.05)
        yield b"data: [DONE]\n\n"


def test_a_model_that_waits_for_parts_gets_some_in_time(chunks):
    """The limit is below the time of the whole answer, and parts are held for a hundredth of it only."""
    sent = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=EVENTS, stream=Bursts()))
    http = httpx2.AsyncClient(transport=sent)
    model = ChatOpenAI(model="m", api_key="none", streaming=True, http_async_client=http, stream_chunk_timeout=0.5)
    with record_calls() as recorder:
        asyncio.run(model.ainvoke("hi"))
    assert [call.generated for call in recorder.every_call()] == [12 * 20]
    assert 5 < len(chunks) < 12 * 20


@pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")
def test_a_follower_is_let_go_when_the_first_part_comes(told, chat_model):
    """Rollouts that share a prompt wait for the leader's first part, which the agent has not got yet."""
    model = chat_model(streaming=True)
    node = best_of_n(lambda state: {"messages": [model.invoke("slow")]}, n=3, share_prompt=True)
    result = node.run({"messages": []})
    starts = sorted(call.started for each in result.trajectories for call in each.calls)
    assert starts[1] - starts[0] < 0.02 * len(LONG) * 0.75


def test_keep_logprobs_leaves_parts_alone(model, chunks):
    with record_calls() as recorder:
        recorder.requests = RequestSettings(keep_logprobs=True)
        model.invoke("hi")
    assert chunks == []
    assert timelines(recorder) == [LONG]
