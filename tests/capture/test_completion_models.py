"""Completion models through LangChain: their asynchronous runs start in contexts of their own."""

from __future__ import annotations

import asyncio

import pytest
from asking import timelines
from fake_openai import MODEL, Answer
from langchain_openai import OpenAI

from ec_agent import record_calls

ENTROPIES = [1.5, 0.25, 0.75]


@pytest.fixture
def model(fake):
    fake.answers |= {"hi": Answer(ENTROPIES), "one": Answer([0.25]), "two": Answer([0.5, 1.0])}
    return OpenAI(model=MODEL, base_url=fake.url, api_key="none", logprobs=20, max_retries=0)


async def test_one(model):
    with record_calls() as recorder:
        await model.ainvoke("hi")
        model.invoke("one")
        await model.ainvoke("one")
    assert timelines(recorder) == [ENTROPIES, [0.25], [0.25]]


async def test_several_at_once(model):
    with record_calls() as recorder:
        await asyncio.gather(*(model.ainvoke(prompt) for prompt in ("hi", "one", "two", "one")))
    assert sorted(timelines(recorder), key=len) == [[0.25], [0.25], [0.5, 1.0], ENTROPIES]


async def test_a_batch_in_one_request(model, fake):
    fake.answers["two"] = Answer([0.5, 1.0], more=[ENTROPIES])
    with record_calls() as recorder:
        result = await model.agenerate(["hi", "two"])
        await model.ainvoke("one")
    assert len(result.generations) == 2
    assert len(fake.bodies()) == 2
    assert timelines(recorder) == [[0.5, 1.0], ENTROPIES, [0.25]]
    assert [call.tokens for call in recorder.trajectory().calls] == [2, 3, 1]


async def test_streams(model):
    with record_calls() as recorder:
        assert [part async for part in model.astream("hi")]
        assert list(model.stream("one"))
    assert timelines(recorder) == [ENTROPIES, [0.25]]


async def test_a_request_by_hand_beside_one(model, aclient):
    asked = {"model": MODEL, "logprobs": 20}
    with record_calls() as recorder:
        await asyncio.gather(model.ainvoke("hi"), aclient.completions.create(prompt="two", **asked))
    assert sorted(timelines(recorder), key=len) == [[0.5, 1.0], ENTROPIES]


def test_one_without_a_loop(model):
    with record_calls() as recorder:
        model.invoke("hi")
    assert timelines(recorder) == [ENTROPIES]


def test_two_prompts_in_one_request_without_a_loop(model, fake):
    fake.answers["hi"] = Answer([0.25, 0.5], more=[[0.75]])
    with record_calls() as recorder:
        model.generate(["ho", "hi"])
    assert timelines(recorder) == [[0.25, 0.5], [0.75]]
