"""Streams without a ``finish_reason`` where it belongs: whole where anything says so, and cut where nothing does."""

from __future__ import annotations

import pytest
from asking import timelines
from fake_openai import MODEL, Answer
from langchain.agents import create_agent
from langchain_core.tools import tool
from openai import OpenAI
from told_streams import COUNT, ENTROPIES, answer, async_ways, chunk, last, tokens, usage, ways

from ec_agent import best_of_n, record_calls
from ec_agent.errors import AllRolloutsFailedError, StreamCutError
from ec_agent.testing import logprobs_for


def running(parts):
    return [{**part, "usage": usage(place + 1)} for place, part in enumerate(parts)]


def on_last(parts, **more):
    return [*parts[:-1], {**parts[-1], **more}]


def in_choice(part, **more):
    return {**part, "choices": [{**part["choices"][0], **more}]}


def wholes(logprobs=True):
    """By name: chunks, and whether ``[DONE]`` comes after them."""
    body = tokens(logprobs=logprobs)
    empty = [in_choice(part, finish_reason="") for part in body]
    calling = [
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "look", "arguments": "{"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
    ]
    return {
        "mark": (body, True),
        "mark, a usage that differs": ([*body, last(usage=usage(COUNT + 3))], True),
        "mark, empty reasons": (empty, True),
        "mark, running totals": (running(body), True),
        "closing usage": ([*body, last(usage=usage())], False),
        "closing usage, end token": ([*body, last(usage=usage(COUNT + 1))], False),
        "closing usage, empty reasons": ([*empty, last(usage=usage())], False),
        "closing usage in a silent part": ([*body, chunk(usage=usage())], False),
        "closing usage on the last token": (on_last(body, usage=usage()), False),
        "closing usage after running totals": ([*running(body), last(usage=usage())], False),
        "closing usage of hidden thinking": (
            [*body, last(usage=usage(COUNT + 9, completion_tokens_details={"reasoning_tokens": 9}))],
            False,
        ),
        "tool call, mark": (calling, True),
        "tool call, closing usage": ([*calling, last(usage=usage(2))], False),
        "reason in the usage chunk": ([*body, {**last(usage=usage(COUNT + 3)), "finish_reason": "stop"}], False),
        "reason in the usage": ([*body, last(usage={**usage(COUNT + 3), "finish_reason": "stop"})], False),
        "reason in the delta": ([*body, chunk({"finish_reason": "stop"})], False),
        "reason beside the choices": (on_last(body, finish_reason="stop"), False),
        "reason, then an empty one": ([*body, chunk(finish="stop"), chunk(finish="")], False),
    }


def cuts(logprobs=True):
    """By name: chunks of streams that broke off."""
    body = tokens(logprobs=logprobs)
    return {
        "no usage": body[:3],
        "empty reasons": [in_choice(part, finish_reason="") for part in body[:3]],
        "null as a text": [in_choice(part, finish_reason="null") for part in body[:3]],
        "running totals": running(body)[:3],
        "running totals, first token": running(body)[:1],
        "usage of the prompt": [chunk(usage=usage(0)), *body[:3]],
        "usage of the prompt alone": [last(usage=usage(0)), *body[:3]],
        "a usage that differs": [*body[:3], last(usage=usage())],
        "a usage that differs, in a silent part": [*body[:3], chunk(usage=usage())],
        "role alone": [chunk({"role": "assistant"})],
    }


WHOLE, CUT = list(wholes()), list(cuts())
SOME = ["chat model, stream", "client", "client, transport", "client, bytes"]
SOME_ASYNC = ["chat model, stream", "client"]


@pytest.mark.parametrize("way", SOME)
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_stream(name, way, fake, chat_model):
    chunks, mark = wholes()[name]
    fake.answers["hi"] = answer(chunks, mark)
    with record_calls() as recorder:
        ways(fake, chat_model)[way]()
    (call,) = recorder.trajectory().calls
    assert not call.partial


@pytest.mark.parametrize("way", SOME_ASYNC)
@pytest.mark.parametrize("name", WHOLE)
async def test_a_whole_stream_async(name, way, fake, chat_model):
    chunks, mark = wholes()[name]
    fake.answers["hi"] = answer(chunks, mark)
    with record_calls() as recorder:
        await async_ways(fake, chat_model)[way]()
    (call,) = recorder.trajectory().calls
    assert not call.partial


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_stream_without_logprobs(name, fake, client):
    chunks, mark = wholes(logprobs=False)[name]
    fake.answers["hi"] = answer(chunks, mark)
    with record_calls() as recorder:
        list(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True))
    assert not recorder.trajectory().calls[0].partial


@pytest.mark.parametrize("way", SOME)
@pytest.mark.parametrize("name", CUT)
def test_a_cut_stream(name, way, fake, chat_model):
    fake.answers["hi"] = answer(cuts()[name], mark=False)
    with record_calls() as recorder:
        ways(fake, chat_model)[way]()
    with pytest.raises(StreamCutError):
        recorder.trajectory()
    assert all(call.partial for call in recorder.counted_calls().calls)


@pytest.mark.parametrize("way", SOME_ASYNC)
@pytest.mark.parametrize("name", CUT)
async def test_a_cut_stream_async(name, way, fake, chat_model):
    fake.answers["hi"] = answer(cuts()[name], mark=False)
    with record_calls() as recorder:
        await async_ways(fake, chat_model)[way]()
    with pytest.raises(StreamCutError):
        recorder.trajectory()


@pytest.mark.parametrize("name", CUT)
def test_a_cut_stream_without_logprobs(name, fake, client):
    fake.answers["hi"] = answer(cuts(logprobs=False)[name], mark=False)
    with record_calls() as recorder:
        list(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True))
    with pytest.raises(StreamCutError):
        recorder.trajectory()


def test_the_end_mark_completes_a_legacy_stream(fake):
    def parts(count):
        entries = logprobs_for(ENTROPIES)[:count]
        base = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": MODEL}
        tops = [{top["token"]: top["logprob"] for top in entry["top_logprobs"]} for entry in entries]
        return [
            {
                **base,
                "choices": [
                    {
                        "index": 0,
                        "text": entry["token"],
                        "finish_reason": None,
                        "logprobs": {
                            "tokens": [entry["token"]],
                            "token_logprobs": [entry["logprob"]],
                            "top_logprobs": [top],
                        },
                    }
                ],
            }
            for entry, top in zip(entries, tops, strict=True)
        ]

    with OpenAI(base_url=fake.url, api_key="none") as client, record_calls() as recorder:
        fake.answers["hi"] = answer(parts(COUNT))
        list(client.completions.create(model=MODEL, prompt="hi", logprobs=20, stream=True))
        assert timelines(recorder) == [ENTROPIES]
        fake.answers["hi"] = answer(parts(3), mark=False)
        list(client.completions.create(model=MODEL, prompt="hi", logprobs=20, stream=True))
        with pytest.raises(StreamCutError):
            recorder.trajectory()


@pytest.mark.parametrize("blank", ["", "\n", "\r\n"])
async def test_a_mark_that_ends_the_body(blank, fake, client, aclient):
    """Without a blank line after it, it is no event of the client's."""
    fake.answers["hi"] = answer(tokens(), blank=blank)
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "logprobs": True, "stream": True}
    with record_calls() as recorder:
        list(client.chat.completions.create(**asked))
        [_ async for _ in await aclient.chat.completions.create(**asked)]
    assert [call.partial for call in recorder.trajectory().calls] == [False, False]


def test_a_body_left_at_its_mark_is_whole(fake, client):
    fake.answers["hi"] = answer(tokens())
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    with record_calls() as recorder, client.chat.completions.with_streaming_response.create(**asked) as response:
        for line in response.iter_lines():
            if line.endswith("[DONE]"):
                break
    assert [call.partial for call in recorder.trajectory().calls] == [False]


def test_a_dropped_connection_stays_an_error(fake, chat_model):
    fake.answers["hi"] = Answer(ENTROPIES, drop_after=4)
    agent = best_of_n(create_agent(chat_model(streaming=True), []), n=2)
    with pytest.raises(AllRolloutsFailedError, match="OpenAIConnectionError"):
        agent.run({"messages": [("user", "hi")]})


@tool
def look(at: str) -> str:
    """Look there."""
    return "nothing"


@pytest.mark.parametrize("broken", [False, True])
def test_an_agent_that_calls_tools(broken, fake, chat_model):
    entries = logprobs_for(ENTROPIES[:2])
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": '}}
    calling = [
        chunk({"role": "assistant", "tool_calls": [call]}, logprobs={"content": [entries[0]]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"x"}'}}]}, logprobs={"content": [entries[1]]}),
    ]
    fake.answers["hi"] = answer(calling[: 1 if broken else 2], mark=not broken)
    fake.answers["nothing"] = answer(tokens())
    node = best_of_n(create_agent(chat_model(streaming=True), [look]), n=1)
    if broken:
        with pytest.raises(AllRolloutsFailedError, match="StreamCutError"):
            node.run({"messages": [("user", "hi")]})
    else:
        calls = node.run({"messages": [("user", "hi")]}).trajectories[0].calls
        assert [each.tokens for each in calls] == [2, COUNT]
