"""One token in the place of a list of one: read as objects, by the transport and from logs; LangChain does not fail."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from asking import chat, shown, timelines
from fake_openai import MODEL, Answer
from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletionChunk

from ec_agent import best_of_n, record_calls
from ec_agent.capture.mergeable_parts import make_mergeable
from ec_agent.capture.shapes import entries_of
from ec_agent.capture.transport import async_http_client, http_client
from ec_agent.evaluator import trajectory_of

ROWS = [("So", (-0.9, -1.2, -1.9)), (" be", (-0.1, -3.1, -4.2)), (" it", (-0.4, -1.4, -3.4))]


def entropy(logprobs):
    weights = [math.exp(each) for each in logprobs]
    return round(-sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights), 6)


ENTROPIES = [entropy(logprobs) for _, logprobs in ROWS]


def token(text, logprobs, raw=list):
    named = [{"token": 100 + i, "logprob": lp, "bytes": f"{text}{i}"} for i, lp in enumerate(logprobs)]
    return {"token": text, "logprob": logprobs[0], "bytes": raw(text.encode()), "top_logprobs": named}


def side_by_side(text, logprobs):
    return {
        "tokens": text,
        "token_logprobs": logprobs[0],
        "top_logprobs": {f"{text}{i}": lp for i, lp in enumerate(logprobs)},
    }


# How one token of a streamed part comes.
SINGLE = {
    "bare": token,
    "bytes as text": lambda text, logprobs: token(text, logprobs, bytes.decode),
    "under content": lambda text, logprobs: {"content": token(text, logprobs), "refusal": None},
    "beside numbers": lambda text, logprobs: {"content": [token(text, logprobs)], "mean": logprobs[0] / 3},
    "side by side": side_by_side,
}


def chunks_of(single):
    base = {"id": "3", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    chunks = []
    for place, row in enumerate(ROWS):
        choice = {"index": 0, "delta": {"role": "assistant", "content": row[0]}, "logprobs": single(*row)}
        choice["finish_reason"] = "stop" if place == len(ROWS) - 1 else None
        chunks.append({**base, "choices": [choice]})
    usage = {"prompt_tokens": 5, "completion_tokens": len(ROWS), "total_tokens": 5 + len(ROWS)}
    chunks[-1]["usage"] = usage
    return chunks


def answer(chunks):
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return Answer(raw=("text/event-stream", body.encode()))


@pytest.fixture(params=SINGLE)
def chunks(request, fake):
    chunks = chunks_of(SINGLE[request.param])
    fake.answers["hi"] = answer(chunks)
    return chunks


@pytest.fixture(params=[False, True], ids=["objects", "transport"])
def model(request, fake, chunks):
    more = {"http_client": http_client(), "http_async_client": async_http_client()} if request.param else {}
    asking = {"logprobs": True, "top_logprobs": 3, "max_retries": 0}
    return ChatOpenAI(model=MODEL, base_url=fake.url, api_key="none", streaming=True, **asking, **more)


def test_a_client_hears_single_entries(client, chunks):
    with record_calls() as recorder:
        list(client.chat.completions.create(**chat("hi"), stream=True))
    assert timelines(recorder) == [ENTROPIES]


async def test_an_asynchronous_client_hears_single_entries(aclient, chunks):
    with record_calls() as recorder:
        [_ async for _ in await aclient.chat.completions.create(**chat("hi"), stream=True)]
    assert timelines(recorder) == [ENTROPIES]


def test_a_log_of_single_entries_is_read(chunks):
    read = trajectory_of(json.loads(json.dumps(chunks)))
    assert ([shown(call.entropies) for call in read.calls], read.coverage) == ([ENTROPIES], 1.0)


def test_langchain_does_not_fail_on_single_entries(model):
    with record_calls() as recorder:
        whole = model.invoke("hi")
        parts = list(model.stream("hi"))
        added = sum(parts[1:], parts[0])
    assert timelines(recorder) == [ENTROPIES] * 2
    assert whole.content == added.content == "So be it"


async def test_asynchronous_langchain_does_not_fail_on_single_entries(model):
    with record_calls() as recorder:
        whole = await model.ainvoke("hi")
        parts = [part async for part in model.astream("hi")]
    assert timelines(recorder) == [ENTROPIES] * 2
    assert whole.content == sum(parts[1:], parts[0]).content == "So be it"


def test_an_agent_does_not_fail_on_single_entries(model):
    node = best_of_n(create_agent(model, []), n=1)
    results = [node.run({"messages": [("user", "hi")]}), asyncio.run(node.arun({"messages": [("user", "hi")]}))]
    for result in results:
        assert [shown(call.entropies) for call in result.trajectories[0].calls] == [ENTROPIES]
    assert list(node.as_agent().stream({"messages": [("user", "hi")]}, stream_mode="messages"))


def test_the_messages_hold_what_openai_would_have_sent(fake):
    """Of candidates that are named by numbers, the text stands in ``bytes``."""
    fake.answers["hi"] = answer(chunks_of(token))
    model = ChatOpenAI(model=MODEL, base_url=fake.url, api_key="none", streaming=True, logprobs=True, top_logprobs=3)
    with record_calls(keep_text=True, keep_candidates=2) as recorder:
        message = model.invoke("hi")
    first = message.response_metadata["logprobs"]["content"][0]
    assert [each["token"] for each in first["top_logprobs"]] == ["So0", "So1", "So2"]
    assert (first["token"], first["bytes"], first["top_logprobs"][1]["token_id"]) == ("So", [83, 111], 101)
    (call,) = recorder.trajectory().calls
    assert call.texts == ("So", " be", " it")
    assert [[text for text, _ in row] for row in call.candidates] == [
        ["So0", "So1"],
        [" be0", " be1"],
        [" it0", " it1"],
    ]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of candidates that are named by numbers
@pytest.mark.parametrize("name", SINGLE)
def test_langchain_fails_on_it_alone(fake, name):
    """What ``ec_agent/capture/mergeable_parts.py`` is there for: once this no longer fails, it may go."""
    first, second, *_ = chunks = chunks_of(SINGLE[name])
    one, other = (
        ChatGenerationChunk(message=AIMessageChunk(""), generation_info={"logprobs": each["choices"][0]["logprobs"]})
        for each in (first, second)
    )
    with pytest.raises(TypeError, match="unsupported type <class 'float'>"):
        one + other
    fake.answers["hi"] = answer(chunks)
    model = ChatOpenAI(model=MODEL, base_url=fake.url, api_key="none", streaming=True, logprobs=True, top_logprobs=3)
    with pytest.raises(TypeError, match="unsupported type <class 'float'>"):
        model.invoke("hi")


@pytest.mark.parametrize(
    "logprobs",
    [{"token": "a"}, {"logprob": -0.1}, {"token": "a", "logprob": True}, {"token": "a", "logprob": "x"}, "a", -0.1, {}],
    ids=str,
)
def test_objects_that_are_no_token_are_skipped(logprobs):
    assert entries_of(logprobs) == []


def test_other_parts_stay_as_they_are():
    chunk = ChatCompletionChunk.construct(**chunks_of(lambda text, logprobs: {"content": [token(text, logprobs)]})[0])
    before = chunk.choices[0].logprobs
    make_mergeable(chunk)
    assert chunk.choices[0].logprobs is before
