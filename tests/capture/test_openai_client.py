from __future__ import annotations

import threading

import openai
import pytest
from asking import INCLUDE, chat, timelines
from fake_openai import MODEL, Answer
from openai import OpenAI
from openai._base_client import AsyncAPIClient, SyncAPIClient
from pydantic import BaseModel

from ec_agent import record_calls
from ec_agent.capture.openai_client import install_patch

ENTROPIES = [1.5, 0.25, 0.75]
JSON = Answer(ENTROPIES, text='{"word": "yes"}')


class Word(BaseModel):
    word: str


@pytest.fixture
def told(fake):
    fake.answers.update(
        hi=Answer(ENTROPIES),
        json=JSON,
        wrong=Answer(status=400),
        flaky=[Answer(status=500), Answer(status=500), Answer(ENTROPIES)],
        choices=Answer([0.25], more=[[0.5], [0.75]]),
    )
    return fake


# Every way into the client, sync and async.


def ask_create(client):
    return client.chat.completions.create(**chat("hi"))


def ask_parse(client):
    return client.chat.completions.parse(**chat("json"), response_format=Word)


def ask_streamed(client):
    return list(client.chat.completions.create(**chat("hi"), stream=True))


def ask_streamed_by_next(client):
    stream = client.chat.completions.create(**chat("hi"), stream=True)
    while next(stream, None) is not None:
        pass


def ask_stream_helper(client):
    with client.chat.completions.stream(**chat("hi")) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion()


def ask_copy(client):
    return client.with_options(timeout=5).chat.completions.create(**chat("hi"))


def ask_raw(client):
    return client.chat.completions.with_raw_response.create(**chat("hi")).parse()


def ask_raw_parse(client):
    return client.chat.completions.with_raw_response.parse(**chat("json"), response_format=Word).parse()


def ask_raw_streamed(client):
    return list(client.chat.completions.with_raw_response.create(**chat("hi"), stream=True).parse())


def ask_responses(client):
    return client.responses.create(model=MODEL, input="hi", **INCLUDE)


def ask_responses_parse(client):
    return client.responses.parse(model=MODEL, input="json", text_format=Word, **INCLUDE)


def ask_responses_streamed(client):
    return list(client.responses.create(model=MODEL, input="hi", stream=True, **INCLUDE))


def ask_responses_stream_helper(client):
    with client.responses.stream(model=MODEL, input="hi", **INCLUDE) as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


def ask_legacy(client):
    return client.completions.create(model=MODEL, prompt="hi", logprobs=20)


def ask_post(client):
    return client.post("/chat/completions", body=chat("hi"), cast_to=object)


async def aask_create(client):
    return await client.chat.completions.create(**chat("hi"))


async def aask_parse(client):
    return await client.chat.completions.parse(**chat("json"), response_format=Word)


async def aask_streamed(client):
    return [chunk async for chunk in await client.chat.completions.create(**chat("hi"), stream=True)]


async def aask_streamed_by_next(client):
    stream = await client.chat.completions.create(**chat("hi"), stream=True)
    while await anext(stream, None) is not None:
        pass


async def aask_stream_helper(client):
    async with client.chat.completions.stream(**chat("hi")) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_completion()


async def aask_copy(client):
    return await client.with_options(timeout=5).chat.completions.create(**chat("hi"))


async def aask_raw(client):
    return (await client.chat.completions.with_raw_response.create(**chat("hi"))).parse()


async def aask_raw_parse(client):
    return (await client.chat.completions.with_raw_response.parse(**chat("json"), response_format=Word)).parse()


async def aask_raw_streamed(client):
    raw = await client.chat.completions.with_raw_response.create(**chat("hi"), stream=True)
    return [chunk async for chunk in raw.parse()]


async def aask_responses(client):
    return await client.responses.create(model=MODEL, input="hi", **INCLUDE)


async def aask_responses_parse(client):
    return await client.responses.parse(model=MODEL, input="json", text_format=Word, **INCLUDE)


async def aask_responses_streamed(client):
    return [event async for event in await client.responses.create(model=MODEL, input="hi", stream=True, **INCLUDE)]


async def aask_responses_stream_helper(client):
    async with client.responses.stream(model=MODEL, input="hi", **INCLUDE) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_response()


async def aask_legacy(client):
    return await client.completions.create(model=MODEL, prompt="hi", logprobs=20)


async def aask_post(client):
    return await client.post("/chat/completions", body=chat("hi"), cast_to=object)


WAYS = [name.removeprefix("ask_") for name in list(globals()) if name.startswith("ask_")]


def test_every_way_in_has_its_async_twin():
    assert [name.removeprefix("aask_") for name in globals() if name.startswith("aask_")] == WAYS


@pytest.mark.parametrize("way", WAYS)
def test_captured_once(way, told, client):
    with record_calls() as recorder:
        globals()[f"ask_{way}"](client)
    assert timelines(recorder) == [ENTROPIES]
    (call,) = recorder.trajectory().calls
    assert call.tokens == 3
    assert call.model == MODEL
    assert call.started <= call.ended


@pytest.mark.parametrize("way", WAYS)
async def test_captured_once_async(way, told, aclient):
    with record_calls() as recorder:
        await globals()[f"aask_{way}"](aclient)
    assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize("way", WAYS)
def test_the_user_gets_what_it_always_gets(way, told, client):
    ask = globals()[f"ask_{way}"]
    outside = ask(client)
    with record_calls():
        assert ask(client) == outside


@pytest.mark.parametrize("way", WAYS)
async def test_the_user_gets_what_it_always_gets_async(way, told, aclient):
    ask = globals()[f"aask_{way}"]
    outside = await ask(aclient)
    with record_calls():
        assert await ask(aclient) == outside


def test_usage_is_taken_along(told, client):
    with record_calls() as recorder:
        ask_create(client)
        ask_responses(client)
        list(client.chat.completions.create(**chat("hi"), stream=True, stream_options={"include_usage": True}))
    assert [(c.prompt_tokens, c.cached_tokens, c.tokens) for c in recorder.trajectory().calls] == [(7, 3, 3)] * 3


def test_the_first_of_several_choices_counts(told, client):
    with record_calls() as recorder:
        client.chat.completions.create(**chat("choices"), n=3)
        list(client.chat.completions.create(**chat("choices"), n=3, stream=True))
    assert timelines(recorder) == [[0.25]] * 2
    assert [(call.tokens, call.generated) for call in recorder.trajectory().calls] == [(1, 3), (1, 1 + 2)]


def test_tool_calls_come_with_their_logprobs(fake, client):
    fake.answers["tool"] = Answer(ENTROPIES, tool_calls=[("search", {"q": "x"})])
    with record_calls() as recorder:
        client.chat.completions.create(**chat("tool"))
        list(client.chat.completions.create(**chat("tool"), stream=True))
    assert timelines(recorder) == [ENTROPIES] * 2


def test_responses_logprobs_only_in_events_or_at_the_end(fake, client):
    fake.answers.update(deltas=Answer(ENTROPIES, logprobs_in="deltas"), final=Answer(ENTROPIES, logprobs_in="final"))
    with record_calls() as recorder:
        for prompt in ("deltas", "final"):
            list(client.responses.create(model=MODEL, input=prompt, stream=True, **INCLUDE))
    assert timelines(recorder) == [ENTROPIES] * 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_cut_short_keeps_its_usage(stream, fake, client):
    fake.answers["cut"] = Answer(ENTROPIES, usage=10, finish="length")
    with record_calls() as recorder:
        answer = client.responses.create(model=MODEL, input="cut", stream=stream, **INCLUDE)
        if stream:
            list(answer)
    (call,) = recorder.trajectory().calls
    assert call.tokens == 10
    assert recorder.trajectory().scored_tokens == 3


# Clients, the patch, and outside a rollout


def test_clients_made_before_during_and_after(told):
    before = OpenAI(base_url=told.url, api_key="none")
    install_patch()
    install_patch()
    with record_calls() as recorder:
        during = OpenAI(base_url=told.url, api_key="none")
        for each in (before, during, before.copy(), before.with_options(max_retries=0)):
            ask_create(each)
    assert timelines(recorder) == [ENTROPIES] * 4


def test_the_patch_is_installed_once_even_from_many_threads():
    install_patch()
    sync, asynchronous = SyncAPIClient.request, AsyncAPIClient.request
    threads = [threading.Thread(target=install_patch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert SyncAPIClient.request is sync
    assert AsyncAPIClient.request is asynchronous
    assert not hasattr(sync.__wrapped__, "__wrapped__")
    assert not hasattr(asynchronous.__wrapped__, "__wrapped__")


def test_inert_outside_a_rollout(told, client, monkeypatch):
    install_patch()
    monkeypatch.setattr("ec_agent.capture.openai_client._Watched", None)  # calling it would fail
    assert ask_create(client).choices[0].message.content == "w0 w1 w2 "
    stream = client.chat.completions.create(**chat("hi"), stream=True)
    assert stream._iterator.__qualname__ == "Stream.__stream__"
    stream.close()


async def test_inert_outside_a_rollout_async(told, aclient, monkeypatch):
    install_patch()
    monkeypatch.setattr("ec_agent.capture.openai_client._Watched", None)
    assert (await aask_create(aclient)).choices[0].message.content == "w0 w1 w2 "


def test_after_the_block_nothing_is_added(told, client):
    with record_calls() as recorder:
        ask_create(client)
    ask_create(client)
    assert timelines(recorder) == [ENTROPIES]


def test_a_stream_opened_inside_and_read_outside_belongs_inside(told, client):
    with record_calls() as recorder:
        stream = client.chat.completions.create(**chat("hi"), stream=True)
    list(stream)
    assert timelines(recorder) == [ENTROPIES]


def test_requests_that_generate_nothing_are_no_calls(told, client):
    with record_calls() as recorder:
        client.embeddings.create(model=MODEL, input="hi")
        client.chat.completions.list()
        client.responses.retrieve("resp_1")
    assert recorder.trajectory().calls == ()
    assert recorder.started_calls() == 0


async def test_requests_that_generate_nothing_are_no_calls_async(told, aclient):
    with record_calls() as recorder:
        await aclient.embeddings.create(model=MODEL, input="hi")
        await aclient.chat.completions.list()
        await aclient.responses.retrieve("resp_1")
    assert recorder.started_calls() == 0


def test_raw_threads_are_missed(told, client):
    """Documented: a bare thread starts with an empty context. ``contextvars.copy_context().run`` brings it along."""
    with record_calls() as recorder:
        thread = threading.Thread(target=ask_create, args=(client,))
        thread.start()
        thread.join()
    assert recorder.trajectory().calls == ()


# Errors and retries


def test_retries_inside_the_client_count_once(told, client):
    with record_calls() as recorder:
        client.chat.completions.create(**chat("flaky"))
    assert len(told.bodies("flaky")) == 3
    assert timelines(recorder) == [ENTROPIES]


async def test_retries_inside_the_client_count_once_async(told, aclient):
    with record_calls() as recorder:
        await aclient.chat.completions.create(**chat("flaky"))
    assert len(told.bodies("flaky")) == 3
    assert timelines(recorder) == [ENTROPIES]


def test_a_failed_request_leaves_no_call(told, client):
    with record_calls() as recorder:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**chat("wrong"))
        ask_create(client)
    assert timelines(recorder) == [ENTROPIES]


async def test_a_failed_request_leaves_no_call_async(told, aclient):
    with record_calls() as recorder:
        with pytest.raises(openai.BadRequestError):
            await aclient.chat.completions.create(**chat("wrong"))
        await aask_create(aclient)
    assert timelines(recorder) == [ENTROPIES]


def test_an_unparsable_answer_still_counts(fake, client):
    fake.answers["cut"] = Answer(ENTROPIES, text='{"wor', finish="length")
    fake.answers["filtered"] = Answer(ENTROPIES, text='{"wor', finish="content_filter")
    with record_calls() as recorder:
        for ask in (client.chat.completions.parse, client.chat.completions.with_raw_response.parse):
            with pytest.raises(openai.LengthFinishReasonError):
                ask(**chat("cut"), response_format=Word).parse()
            with pytest.raises(openai.ContentFilterFinishReasonError):
                ask(**chat("filtered"), response_format=Word).parse()
    assert timelines(recorder) == [ENTROPIES] * 4


async def test_an_unparsable_answer_still_counts_async(fake, aclient):
    fake.answers["cut"] = Answer(ENTROPIES, text='{"wor', finish="length")
    with record_calls() as recorder, pytest.raises(openai.LengthFinishReasonError):
        await aclient.chat.completions.parse(**chat("cut"), response_format=Word)
    assert timelines(recorder) == [ENTROPIES]
