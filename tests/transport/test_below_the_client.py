"""The whole way through the client: the same record with the transport as without, and no logprobs for its user."""

from __future__ import annotations

import asyncio
import threading

import pytest
import test_openai_client as ways
import wire_openai
from alike import ENTROPIES, KEPT, told_by
from asking import INCLUDE, chat, timelines
from fake_openai import MODEL, Answer
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI
from langchain_openai import OpenAI as Completions
from openai import APIConnectionError, BadRequestError, OpenAI
from said import PLAIN
from wire import Reply, Server

from ec_agent import CallFilter, best_of_n, record_calls
from ec_agent.capture.transport import async_http_client, http_client


def holds(answer):
    """Whether there are logprobs in what a user got."""
    return any(mark in repr(answer) for mark in ("top_logprobs=[", "'top_logprobs': [", "token_logprobs=["))


# Every way into the client

UNSEEN = ("streamed_by_next", "stream_helper")  # what is returned is not what came


@pytest.mark.parametrize("way", ways.WAYS)
def test_every_way_in(way, told, client, below):
    ask = getattr(ways, f"ask_{way}")
    with record_calls(**KEPT) as expected:
        assert holds(ask(client)) or way in UNSEEN
    with record_calls(**KEPT) as recorder:
        assert not holds(ask(below))
    assert told_by(recorder) == told_by(expected)
    assert timelines(recorder)[0] == ENTROPIES


@pytest.mark.parametrize("way", ways.WAYS)
async def test_every_way_in_async(way, told, aclient, abelow):
    ask = getattr(ways, f"aask_{way}")
    with record_calls(**KEPT) as expected:
        await ask(aclient)
    with record_calls(**KEPT) as recorder:
        assert not holds(await ask(abelow))
    assert told_by(recorder) == told_by(expected)


@pytest.mark.parametrize("prompt", ["more", "gap", "flaky", "odd", "cut"])
@pytest.mark.parametrize("stream", [False, True])
def test_every_kind_of_answer(prompt, stream, told, client, below):
    records = []
    for each in (client, below):
        told._taken.clear()
        with record_calls(**KEPT) as recorder:
            answer = each.chat.completions.create(**chat(prompt), n=3, stream=stream)
            assert not stream or list(answer)
        records.append(told_by(recorder))
    assert records[0] == records[1]
    assert len(records[0]) == 1


@pytest.mark.parametrize("where", ["both", "deltas", "final"])
@pytest.mark.parametrize("stream", [False, True])
def test_responses(where, stream, told, client, below):
    told.answers["there"] = Answer(ENTROPIES, usage=10, finish="length", logprobs_in=where)
    records = []
    for each in (client, below):
        with record_calls(**KEPT) as recorder:
            answer = each.responses.create(model=MODEL, input="there", stream=stream, **INCLUDE)
            assert not stream or list(answer)
        records.append(told_by(recorder))
    assert records[0] == records[1]


def test_only_the_logprobs_are_taken_out(told, client, below):
    for way in ("create", "responses", "legacy", "parse"):
        ask = getattr(ways, f"ask_{way}")
        outside = ask(client)
        with record_calls():
            inside = ask(below)
        for each in (outside, inside):
            for part in getattr(each, "choices", ()):
                part.logprobs = None
            for item in getattr(each, "output", ()):
                for part in getattr(item, "content", None) or ():
                    part.logprobs = []
        assert inside == outside


# Who reads logprobs themselves


def test_inert_outside_a_rollout(told, below, monkeypatch):
    monkeypatch.setattr("ec_agent.capture.transport.decoder._Emptied", None)  # to use it would fail
    assert holds(ways.ask_create(below))
    assert holds(ways.ask_streamed(below))


def test_switched_off(told):
    client = OpenAI(base_url=told.url, api_key="none", http_client=http_client(strip=False))
    with client, record_calls() as recorder:
        assert holds(ways.ask_create(client))
        assert holds(ways.ask_streamed(client))
    assert timelines(recorder) == [ENTROPIES] * 2


def test_calls_that_do_not_count_are_left_alone(told, below):
    with record_calls(calls=CallFilter(tags=["agent"])) as recorder:
        assert holds(ways.ask_create(below))
    assert recorder.trajectory().calls == ()
    assert len(recorder.every_call()) == 1


def test_readers_of_bytes_are_left_alone(told, client, below):
    records = []
    for each in (client, below):
        with record_calls(**KEPT) as recorder:
            for stream in (False, True):
                with each.chat.completions.with_streaming_response.create(**chat("hi"), stream=stream) as response:
                    assert b"top_logprobs" in b"".join(response.iter_bytes())
        records.append(told_by(recorder))
    assert records[0] == records[1]


@pytest.mark.parametrize("keep", [False, True])
def test_keep_logprobs(keep, told, model):
    seen = []

    def agent(state):
        message = model().invoke(state["messages"])
        seen.append("logprobs" in message.response_metadata and bool(message.response_metadata["logprobs"]))
        return {"messages": [message]}

    result = best_of_n(agent, n=1, keep_logprobs=keep).run({"messages": [("user", "hi")]})
    assert seen == [keep]
    assert [len(trajectory) for trajectory in result.trajectories] == [3]
    assert all(candidate.reason is None for candidate in result.selection.candidates)


# LangChain


@pytest.fixture
def model(told):
    """Makes a chat model, with the transport unless told."""

    def make(below=True, **kwargs):
        given = {"http_client": http_client(), "http_async_client": async_http_client()} if below else {}
        asking = INCLUDE if kwargs.get("use_responses_api") else {"logprobs": True, "top_logprobs": 20}
        here = {"model": MODEL, "base_url": told.url, "api_key": "none", "max_retries": 0}
        return ChatOpenAI(**here, **asking, **given, **kwargs)

    return make


KINDS = {
    "chat": {},
    "streaming": {"streaming": True},
    "no usage": {"streaming": True, "stream_usage": False},
    "responses": {"use_responses_api": True},
    "responses, streaming": {"use_responses_api": True, "streaming": True},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_chat_models_count_once(kind, model):
    records = []
    for each in (model(below=False, **KINDS[kind]), model(**KINDS[kind])):
        with record_calls(**KEPT) as recorder:
            answers = [each.invoke("hi"), await each.ainvoke("hi"), *each.stream("hi")]
        records.append(told_by(recorder))
    assert records[0] == records[1]
    assert timelines(recorder) == [ENTROPIES] * 3
    assert [call.tokens for call in recorder.trajectory().calls] == [3] * 3
    assert not any("top_logprobs" in repr(answer) for answer in answers)


def test_chat_models_that_do_not_ask(told):
    model = ChatOpenAI(model=MODEL, base_url=told.url, api_key="none", http_client=http_client())
    with record_calls(request_logprobs=True) as recorder:
        model.invoke("hi")
        list(model.stream("hi"))
    assert timelines(recorder) == [ENTROPIES] * 2


def test_asked_again_in_one_piece(told, below):
    told.refuse = lambda path, body: "logprobs and stream" if body.get("stream") and body.get("logprobs") else None
    with record_calls(request_logprobs=True) as recorder:
        list(below.chat.completions.create(**chat("hi"), stream=True))
    assert timelines(recorder) == [ENTROPIES]


def test_a_cache_is_given_the_whole_answer(model):
    set_llm_cache(InMemoryCache())
    try:
        with record_calls() as recorder:
            for _ in range(2):
                model().invoke("hi")
    finally:
        set_llm_cache(None)
    assert timelines(recorder) == [ENTROPIES] * 2


async def test_prompts_that_share_a_request(told):
    told.answers["two"] = Answer([0.5, 1.0], more=[ENTROPIES])
    model = Completions(
        model=MODEL, base_url=told.url, api_key="none", logprobs=20, http_async_client=async_http_client()
    )
    with record_calls() as recorder:
        await model.agenerate(["hi", "two"])
    assert timelines(recorder) == [[0.5, 1.0], ENTROPIES]


# What does not go well


def test_errors_and_their_bodies_are_untouched(told, client, below):
    for each in (client, below):
        with record_calls() as recorder, pytest.raises(BadRequestError, match="as told"):
            each.chat.completions.create(**chat("wrong"))
        assert recorder.every_call() == []


@pytest.mark.parametrize("read", [1, 3, 99])
def test_a_stream_left_half_way_or_broken(read, told, client, below):
    records = []
    for each in (client, below):
        with record_calls(**KEPT) as recorder:
            stream = each.chat.completions.create(**chat("hi" if read < 99 else "broken"), stream=True)
            try:
                for _ in range(read):
                    next(stream)
            except APIConnectionError:
                assert read == 99
            stream.close()
        records.append(told_by(recorder))
    assert records[0] == records[1]
    (call,) = records[0]
    assert call["partial"]
    assert 0 < len(call["texts"]) < 5 or read == 1


async def test_a_stream_that_is_cancelled(told, abelow):
    told.answers["slow"] = Answer([0.5] * 100, pace=0.02)

    async def reading():
        async for part in await abelow.chat.completions.create(**chat("slow"), stream=True):
            if part.choices[0].delta.content == "w2 ":
                task.cancel()

    with record_calls() as recorder:
        task = asyncio.ensure_future(reading())
        with pytest.raises(asyncio.CancelledError):
            await task
    (call,) = recorder.trajectory().calls
    assert call.partial
    assert call.entropies == pytest.approx(0.5)
    assert 3 <= len(call.entropies) < 50


class Paused:
    """The pieces of a stream, of which the rest comes when the test says so."""

    def __init__(self, pieces):
        self.pieces, self.go_on = pieces, threading.Event()

    def __len__(self):
        return len(self.pieces)

    def __iter__(self):
        for number, piece in enumerate(self.pieces):
            assert number != 2 or self.go_on.wait(20)
            yield piece


def test_the_first_event_is_not_delayed():
    def wire(turn, asked):
        paused.pieces = wire_openai.speaks(wire_openai.OPENAI)(turn, asked).pieces
        return Reply(paused, "text/event-stream")

    paused, server = Paused(()), Server(wire, PLAIN)
    client = OpenAI(base_url=f"{server.url}/v1", api_key="none", http_client=http_client(), timeout=15)
    try:
        with client, record_calls() as recorder:
            stream = client.chat.completions.create(**chat("hi"), stream=True)
            parts = [next(stream), next(stream)]
            assert len(recorder.counted_calls()) == 1
            paused.go_on.set()
            parts += stream
        assert "".join(part.choices[0].delta.content or "" for part in parts) == PLAIN.text
        assert len(recorder.counted_calls()) == len(PLAIN.tokens)
    finally:
        paused.go_on.set()
        server.close()
