"""Streams of the raw client that end early, and calls side by side: what arrived counts, in the order of the starts."""

from __future__ import annotations

import asyncio
import gc

import openai
import pytest
from asking import INCLUDE, LOGPROBS, chat, timelines
from fake_openai import MODEL, Answer
from openai import AsyncOpenAI

from ec_agent import record_calls

ENTROPIES = [1.5, 0.25, 0.75]


@pytest.fixture
def told(fake):
    fake.answers.update(
        hi=Answer(ENTROPIES), long=Answer([0.5] * 40, pace=0.001), broken=Answer([0.5] * 5, drop_after=3)
    )
    return fake


# Streams that end early


def test_tokens_of_an_abandoned_stream_count(told, client):
    with record_calls() as recorder:
        for place, _ in enumerate(client.chat.completions.create(**chat("long"), stream=True)):
            if place == 10:  # the first chunk opens the message, it has no token
                break
    assert timelines(recorder) == [[0.5] * 10]


def test_tokens_of_an_open_stream_count(told, client):
    with record_calls() as recorder:
        stream = client.chat.completions.create(**chat("long"), stream=True)
        assert recorder.trajectory().calls == ()
        for _ in range(5):
            next(stream)
        assert timelines(recorder) == [[0.5] * 4]
        list(stream)
    assert timelines(recorder) == [[0.5] * 40]


def test_tokens_of_a_closed_stream_count(told, client):
    with record_calls() as recorder:
        with client.chat.completions.create(**chat("long"), stream=True) as stream:
            for _ in range(5):
                next(stream)
        client.chat.completions.create(**chat("hi"))
    assert timelines(recorder) == [[0.5] * 4, ENTROPIES]


async def test_tokens_of_an_abandoned_stream_count_async(told, aclient):
    with record_calls() as recorder:
        place = 0
        async for _ in await aclient.chat.completions.create(**chat("long"), stream=True):
            place += 1
            if place == 11:
                break
        gc.collect()
        await asyncio.sleep(0)
        await aclient.chat.completions.create(**chat("hi"))
    assert timelines(recorder) == [[0.5] * 10, ENTROPIES]


async def test_tokens_of_a_closed_stream_count_async(told, aclient):
    with record_calls() as recorder:
        async with await aclient.chat.completions.create(**chat("long"), stream=True) as stream:
            for _ in range(5):
                await anext(stream)
    assert timelines(recorder) == [[0.5] * 4]


def test_tokens_of_a_broken_stream_count(told, client):
    with record_calls() as recorder:
        with pytest.raises(openai.APIConnectionError):
            list(client.chat.completions.create(**chat("broken"), stream=True))
        client.chat.completions.create(**chat("hi"))
    assert timelines(recorder) == [[0.5] * 2, ENTROPIES]


async def test_tokens_of_a_broken_stream_count_async(told, aclient):
    with record_calls() as recorder:
        with pytest.raises(openai.APIConnectionError):
            [_ async for _ in await aclient.chat.completions.create(**chat("broken"), stream=True)]
        await aclient.chat.completions.create(**chat("hi"))
    assert timelines(recorder) == [[0.5] * 2, ENTROPIES]


def test_an_abandoned_responses_stream(told, client):
    with record_calls() as recorder:
        for event in client.responses.create(model=MODEL, input="long", stream=True, **INCLUDE):
            if event.type == "response.output_text.delta" and event.delta == "w9 ":
                break
        list(client.responses.create(model=MODEL, input="hi", stream=True, **INCLUDE))
    assert timelines(recorder) == [[0.5] * 10, ENTROPIES]
    assert [call.partial for call in recorder.trajectory().calls] == [True, False]


# Order and separation


async def test_calls_are_in_the_order_of_their_starts(fake, aclient):
    fake.answers.update(slow=Answer([0.25], delay=0.15), quick=Answer([0.5]))
    with record_calls() as recorder:
        first = asyncio.create_task(aclient.chat.completions.create(**chat("slow")))
        await asyncio.sleep(0.03)
        await aclient.chat.completions.create(**chat("quick"))
        await first
    assert timelines(recorder) == [[0.25], [0.5]]


async def test_a_stream_has_its_place_from_its_start(fake, aclient):
    fake.answers.update(slow=Answer([0.25] * 3), quick=Answer([0.5]))
    with record_calls() as recorder:
        stream = await aclient.chat.completions.create(**chat("slow"), stream=True)
        await aclient.chat.completions.create(**chat("quick"))
        [_ async for _ in stream]
    assert timelines(recorder) == [[0.25] * 3, [0.5]]


async def test_concurrent_recordings_hear_only_their_own(fake, aclient):
    fake.answers.update({f"p{i}": Answer([i / 10, i / 20], delay=0.01 * (i % 3)) for i in range(8)})

    async def one(i):
        with record_calls() as recorder:
            await aclient.chat.completions.create(**chat(f"p{i}"))
            [_ async for _ in await aclient.chat.completions.create(**chat(f"p{i}"), stream=True)]
        return timelines(recorder)

    heard = await asyncio.gather(*(one(i) for i in range(8)))
    assert heard == [[[i / 10, i / 20]] * 2 for i in range(8)]


def test_a_request_without_logprobs_is_a_call_without_entropies(told, client):
    with record_calls() as recorder:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert timelines(recorder) == [[None] * 3]
    assert recorder.trajectory().coverage == 0.0


async def test_an_async_client_outside_and_inside_at_once(told):
    async with AsyncOpenAI(base_url=told.url, api_key="none") as client:

        async def inside():
            with record_calls() as recorder:
                await client.chat.completions.create(**chat("hi"))
            return timelines(recorder)

        heard, _ = await asyncio.gather(inside(), client.chat.completions.create(**chat("hi")))
    assert heard == [ENTROPIES]


def test_logprobs_asked_for_are_the_users_own_business(told, client):
    with record_calls():
        client.chat.completions.create(**chat("hi"))
    (body,) = told.bodies("hi")
    assert body == chat("hi")
    assert LOGPROBS.items() <= body.items()
