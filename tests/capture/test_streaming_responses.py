"""``with_streaming_response``: the body is the user's to read, and is read along."""

from __future__ import annotations

import gzip
import json

import httpx2
import pytest
from asking import INCLUDE, chat, timelines
from fake_openai import MODEL, Answer, chat_completion
from openai import OpenAI

from ec_agent import record_calls
from ec_agent.capture.http_bodies import parts_of

ENTROPIES = [1.5, 0.25, 0.75]
WHOLE = chat_completion(Answer(ENTROPIES), chat("hi"))


@pytest.fixture
def told(fake):
    fake.answers["hi"] = Answer(ENTROPIES)
    return fake


READERS = {
    "read": lambda response: response.read(),
    "parse": lambda response: response.parse(),
    "json": lambda response: response.json(),
    "text": lambda response: response.text(),
    "iter_lines": lambda response: list(response.iter_lines()),
    "iter_bytes": lambda response: list(response.iter_bytes(7)),
    "iter_text": lambda response: list(response.iter_text()),
}
STREAM_READERS = {**READERS, "parse": lambda response: list(response.parse())}
del STREAM_READERS["json"]


def asks(client):
    return {
        "chat": (client.chat.completions, chat("hi")),
        "legacy": (client.completions, {"model": MODEL, "prompt": "hi", "logprobs": 20}),
        "responses": (client.responses, {"model": MODEL, "input": "hi", **INCLUDE}),
    }


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("way", ["chat", "legacy", "responses"])
def test_a_whole_answer(told, client, way, read):
    endpoint, asked = asks(client)[way]
    with record_calls() as recorder, endpoint.with_streaming_response.create(**asked) as response:
        READERS[read](response)
    assert timelines(recorder) == [ENTROPIES]
    assert recorder.trajectory().coverage == 1.0
    assert not recorder.trajectory().calls[0].partial


@pytest.mark.parametrize("read", STREAM_READERS)
@pytest.mark.parametrize("way", ["chat", "responses"])
def test_a_streamed_answer(told, client, way, read):
    endpoint, asked = asks(client)[way]
    with record_calls() as recorder, endpoint.with_streaming_response.create(**asked, stream=True) as response:
        STREAM_READERS[read](response)
    assert timelines(recorder) == [ENTROPIES]
    assert not recorder.trajectory().calls[0].partial


@pytest.mark.parametrize("stream", [False, True])
async def test_async(told, aclient, stream):
    with record_calls() as recorder:
        completions = aclient.chat.completions
        async with completions.with_streaming_response.create(**chat("hi"), stream=stream) as response:
            parsed = await response.parse()
            if stream:
                assert [chunk async for chunk in parsed]
        async with completions.with_streaming_response.create(**chat("hi"), stream=stream) as response:
            assert b"w0" in await response.read()
    assert timelines(recorder) == [ENTROPIES] * 2


def test_a_stream_its_reader_leaves(fake, client):
    fake.answers["hi"] = Answer(ENTROPIES, pace=0.05)
    create = client.chat.completions.with_streaming_response.create
    with record_calls() as recorder, create(**chat("hi"), stream=True) as response:
        for chunk in response.parse():
            if chunk.choices[0].delta.content:
                break
    (call,) = recorder.trajectory().calls
    assert call.partial
    assert 1 <= len(call.entropies) < 3
    assert not recorder.failure


async def test_a_stream_its_reader_leaves_async(fake, aclient):
    fake.answers["hi"] = Answer(ENTROPIES, pace=0.05)
    with record_calls() as recorder:
        create = aclient.chat.completions.with_streaming_response.create
        async with create(**chat("hi"), stream=True) as response:
            async for chunk in await response.parse():
                if chunk.choices[0].delta.content:
                    break
    (call,) = recorder.trajectory().calls
    assert call.partial
    assert 1 <= len(call.entropies) < 3


def test_an_unread_body_is_a_call_of_unknown_length(told, client):
    create = client.chat.completions.with_streaming_response.create
    with record_calls() as recorder, create(**chat("hi")) as response:
        assert response.status_code == 200
        inside = recorder.trajectory()
    for trajectory in (inside, recorder.trajectory()):
        assert [(call.tokens, call.partial) for call in trajectory.calls] == [(None, True)]
        assert trajectory.coverage is None


def test_the_same_when_it_is_still_open(told, client):
    with record_calls() as recorder:
        manager = client.chat.completions.with_streaming_response.create(**chat("hi"), stream=True)
        response = manager.__enter__()
    assert [call.partial for call in recorder.trajectory().calls] == [True]
    response.close()


@pytest.mark.parametrize("streamed", [True, False])
def test_packed_bodies(streamed):
    def compressing(request):
        body = gzip.compress(json.dumps(WHOLE).encode())
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        stream = httpx2.ByteStream(body)
        return httpx2.Response(200, headers=headers, **({"stream": stream} if streamed else {"content": body}))

    transport = httpx2.MockTransport(compressing)
    with OpenAI(api_key="none", http_client=httpx2.Client(transport=transport)) as client:
        create = client.chat.completions.with_streaming_response.create
        with record_calls() as recorder, create(**chat("hi")) as response:
            assert response.json() == WHOLE
    assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", ""),
        (b"{", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"data: {\n\ndata: [DONE]\n\n", "text/event-stream"),
    ],
)
def test_bodies_that_cannot_be_read(raw, kind):
    assert parts_of(raw, kind) == (None, [])


@pytest.mark.parametrize("raw", [gzip.compress(b"[1]" * 99, mtime=0)[:9], b"nonsense"])
def test_packed_bodies_that_cannot_be_read(raw):
    assert parts_of(raw, "application/json", "gzip") == (None, [])
