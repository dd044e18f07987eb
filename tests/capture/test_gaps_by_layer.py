"""The same gaps by every layer that sees an answer, live and saved: a stream that lacks entries on both sides."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from click.testing import CliRunner
from fake_openai import MODEL, Answer
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI

from ec_agent import best_of_n, record_calls
from ec_agent.capture.transport import async_http_client, http_client
from ec_agent.cli.app import app
from ec_agent.evaluator import trajectory_of
from ec_agent.testing import logprobs_for

ASKED = {"model": MODEL, "logprobs": True, "top_logprobs": 20, "messages": [{"role": "user", "content": "hi"}]}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
SAID = ["{", "\n ", ' "', "fruit", '":', ' "', "fig", '"', "\n", "}"]


def part(text, entry=None, finish=None, **more):
    delta = {"role": "assistant", "content": text}
    logprobs = {"content": [entry]} if entry else None
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice], **more}


def parts(counted):
    """A fence, the JSON, a fence, as llama.cpp streams it: what it does not show comes without logprobs."""
    rows = logprobs_for([0.2 + 0.1 * place for place in range(11)])
    got = [{**row, "token": text, "bytes": list(text.encode())} for row, text in zip(rows, ["```", *SAID], strict=True)]
    counts = [{"timings": {"predicted_n": n}} if counted else {} for n in (1, *range(4, 14))]
    yield part(None, got[0], **counts[0])
    for entry, count in zip(got[1:], counts[1:], strict=True):
        yield part(entry["token"], entry, **count)
    yield part(None, finish="stop")
    usage = {"prompt_tokens": 5, "completion_tokens": 16, "total_tokens": 21}
    yield {**part(None), "choices": [], "usage": usage}


@pytest.fixture(params=[False, True], ids=["uncounted", "counted"])
def counted(request, fake):
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in parts(request.param)) + "data: [DONE]\n\n"
    fake.answers["hi"] = Answer(raw=("text/event-stream", body.encode()))
    return request.param


def shape(call):
    return "".join("." if np.isnan(value) else "#" for value in call.entropies)


def check(trajectory, counted):
    (call,) = trajectory.calls
    assert shape(call) == "#..##########..."
    assert call.unplaced == (0 if counted else 4)
    assert np.allclose(call.entropies[[0, 3, 12]], [0.2, 0.3, 1.2])


def chat(url, **more):
    common = {"model": MODEL, "base_url": url, "api_key": "none", "logprobs": True, "top_logprobs": 20}
    return ChatOpenAI(**common, streaming=True, stream_usage=True, **more)


SYNC = {
    "client": lambda url: list(OpenAI(base_url=url, api_key="none").chat.completions.create(**ASKED, **STREAM)),
    "transport": lambda url: list(
        OpenAI(base_url=url, api_key="none", http_client=http_client()).chat.completions.create(**ASKED, **STREAM)
    ),
    "bytes": lambda url: raw_bytes(url),
    "langchain": lambda url: chat(url).invoke("hi"),
    "langchain over the transport": lambda url: chat(url, http_client=http_client()).invoke("hi"),
    "langchain stream": lambda url: list(chat(url).stream("hi")),
}


def raw_bytes(url):
    client = OpenAI(base_url=url, api_key="none")
    with client.chat.completions.with_streaming_response.create(**ASKED, **STREAM) as response:
        return list(response.iter_bytes())


@pytest.mark.parametrize("way", SYNC)
def test_a_live_stream_has_each_gap_in_its_place(fake, counted, way):
    with record_calls() as recorder:
        SYNC[way](fake.url)
    check(recorder.trajectory(), counted)


@pytest.mark.parametrize("way", ["client", "transport", "langchain"])
async def test_gaps_of_a_live_async_stream_are_in_place(fake, counted, way):
    http = {"http_client": async_http_client()} if way == "transport" else {}
    with record_calls() as recorder:
        if way == "langchain":
            await chat(fake.url).ainvoke("hi")
        else:
            async with AsyncOpenAI(base_url=fake.url, api_key="none", **http) as client:
                stream = await client.chat.completions.create(**ASKED, **STREAM)
                assert [each async for each in stream]
    check(recorder.trajectory(), counted)


def test_a_message_that_langchain_added_up_and_nobody_heard(fake, counted):
    message = chat(fake.url).invoke("hi")
    (call,) = trajectory_of([message]).calls
    assert (call.tokens, call.unplaced) == (16, 4)  # counts of the parts are not on it
    assert shape(call) == "#..##########..."


def test_saved_parts_have_each_gap_in_its_place(counted):
    check(trajectory_of(list(parts(counted))), counted)


def test_the_command_line_says_so(counted, tmp_path):
    log = tmp_path / "chunks.jsonl"
    log.write_text("".join(json.dumps(each) + "\n" for each in parts(counted)))
    row = json.loads(CliRunner().invoke(app, ["score", str(log), "--json"]).stdout)
    assert (row["tokens"], row["unplaced"]) == (16, 0 if counted else 4)
    assert ("have no certain place" in row["comment"]) is not counted
    table = CliRunner().invoke(app, ["score", str(log)]).stdout
    assert ("whose place is not known" in table) is not counted


@pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_receipt_warns(fake, counted, mode):
    node = best_of_n(lambda state: ask(fake.url), n=2)
    result = node.run("hi") if mode == "sync" else asyncio.run(node.arun("hi"))
    (warning,) = [each for each in result.selection.warnings if "whose place is not known" in each] or [None]
    assert (warning is None) is counted
    assert [each.unplaced_tokens for each in result.selection.candidates] == [0 if counted else 4] * 2
    assert counted or "2 of 2 rollouts" in warning


def ask(url):
    return "".join(
        choice.delta.content or ""
        for each in OpenAI(base_url=url, api_key="none").chat.completions.create(**ASKED, **STREAM)
        for choice in each.choices
    )
