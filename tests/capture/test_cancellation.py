"""Calls that are cancelled: what had arrived counts, and what comes after is as if nothing had been."""

from __future__ import annotations

import asyncio
import gc

import pytest
from asking import chat, timelines
from fake_openai import Answer
from langchain_core.callbacks import AsyncCallbackHandler

from ec_agent import record_calls
from ec_agent.capture.open_calls import open_call
from ec_agent.testing import Reply, ScriptedChatModel

ENTROPIES = [1.5, 0.25, 0.75]
SLOW = 0.3  # half of it is enough for the others on a machine that does nothing else


@pytest.fixture
def told(fake):
    fake.answers.update(
        hi=Answer(ENTROPIES), stuck=Answer(ENTROPIES, delay=1.0), dripping=Answer([0.5] * 40, pace=0.04)
    )
    return fake


async def drip(stream, seen):
    async for chunk in stream:
        seen.append(chunk)


def asked(client, prompt, **kwargs):
    return client.chat.completions.create(**chat(prompt, **kwargs))


async def timed_out(awaitable):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SLOW):
            await awaitable


async def test_a_client_call(told, aclient):
    with record_calls() as recorder:
        await timed_out(asked(aclient, "stuck"))
        await asked(aclient, "hi")
    assert timelines(recorder) == [ENTROPIES]


async def test_a_client_stream(told, aclient):
    seen = []
    with record_calls() as recorder:
        await timed_out(drip(await asked(aclient, "dripping", stream=True), seen))
        await asked(aclient, "hi")
    partial, after = timelines(recorder)
    assert partial == [0.5] * (len(seen) - 1)
    assert len(partial) > 0
    assert after == ENTROPIES


@pytest.mark.parametrize("responses", [False, True])
async def test_a_model_call(responses, told, chat_model, aclient):
    model = chat_model(use_responses_api=responses)
    with record_calls() as recorder:
        await timed_out(model.ainvoke("stuck"))
        assert open_call() is None
        await asked(aclient, "hi")
        await model.ainvoke("hi")
    assert timelines(recorder) == [ENTROPIES, ENTROPIES]


# Before Python 3.12, asyncio.wait_for swallows a cancellation that meets an arriving chunk; langchain-openai uses it
# unless there is no time limit for chunks.
UNLIMITED = {"stream_chunk_timeout": None}


@pytest.mark.parametrize("way", ["streaming", "astream"])
async def test_a_model_stream(way, told, chat_model, aclient):
    model = chat_model(**UNLIMITED, **({"streaming": True} if way == "streaming" else {}))
    with record_calls() as recorder:
        await timed_out(model.ainvoke("dripping") if way == "streaming" else drip(model.astream("dripping"), []))
        assert open_call() is None
        await asked(aclient, "hi")
    partial, after = timelines(recorder)
    assert 0 < len(partial) < 20
    assert set(partial) == {0.5}
    assert after == ENTROPIES


async def test_a_model_stream_cancelled_between_its_chunks(told, chat_model, aclient):
    async def slowly():
        stream = chat_model(**UNLIMITED).astream("dripping")
        async for chunk in stream:
            if chunk.content:
                await asyncio.sleep(60)

    with record_calls() as recorder:
        await timed_out(slowly())
        await asyncio.sleep(0.02)
        await asked(aclient, "hi")
    heard = [h for call in timelines(recorder) for h in call]
    assert heard == [0.5, *ENTROPIES]


async def test_a_model_stream_cancelled_while_another_handler_runs(told, chat_model, aclient):
    class Slow(AsyncCallbackHandler):
        async def on_llm_new_token(self, token, **kwargs):
            await asyncio.sleep(60 if token else 0)

    with record_calls() as recorder:
        await timed_out(chat_model(streaming=True, **UNLIMITED).ainvoke("dripping", config={"callbacks": [Slow()]}))
        await asyncio.sleep(0.02)
        gc.collect()
        await asyncio.sleep(0.02)
        assert open_call() is None
        await asked(aclient, "hi")
    assert timelines(recorder) == [[0.5], ENTROPIES]


async def test_a_batch(told, chat_model, aclient):
    with record_calls() as recorder:
        await timed_out(chat_model().abatch(["stuck", "hi", "stuck"]))
        await asked(aclient, "hi")
    assert timelines(recorder) == [ENTROPIES, ENTROPIES]


async def test_one_of_several_concurrent_calls(told, chat_model):
    model = chat_model()
    with record_calls() as recorder:
        tasks = [asyncio.create_task(model.ainvoke(prompt)) for prompt in ("stuck", "hi")]
        await tasks[1]
        tasks[0].cancel()
        await asyncio.wait(tasks)
        await model.ainvoke("hi")
    assert timelines(recorder) == [ENTROPIES, ENTROPIES]


async def test_a_model_without_an_openai_client_below(told, aclient):
    model = ScriptedChatModel([[Reply("x", entropies=[0.25], delay=5)]])
    with record_calls() as recorder:
        await timed_out(model.ainvoke("x"))
        await asked(aclient, "hi")
        await asked(aclient, "hi")
    assert [h for call in timelines(recorder) for h in call] == ENTROPIES * 2


async def test_a_cancelled_excluded_call_does_not_affect_later_calls(told, chat_model, aclient):
    judge = chat_model(tags=["judge"], **UNLIMITED)
    with record_calls(calls=lambda call: "judge" not in call.tags) as recorder:
        await timed_out(judge.ainvoke("stuck"))
        await timed_out(drip(judge.astream("dripping"), []))
        await asked(aclient, "hi")
    assert timelines(recorder) == [ENTROPIES]
    assert len(recorder.every_call()) == 2
