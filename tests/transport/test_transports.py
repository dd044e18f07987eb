"""The transports by themselves: packed bodies, headers, what they wrap, what they refuse, and what they do without."""

from __future__ import annotations

import gzip
import json
import sys
import zlib

import httpx2
import pytest
from alike import ENTROPIES
from asking import chat, timelines
from fake_openai import Answer, chat_chunks, chat_completion
from openai import APIConnectionError, AsyncOpenAI, OpenAI

from ec_agent import ConfigError, record_calls
from ec_agent.capture.transport import (
    AsyncEntropyTransport,
    EntropyTransport,
    async_http_client,
    decoding,
    http_client,
)

ASKED = chat("hi")
WHOLE = json.dumps(chat_completion(Answer(ENTROPIES), ASKED)).encode()
EVENTS = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chat_chunks(Answer(ENTROPIES), ASKED)]
EVENTS.append(b"data: [DONE]\n\n")


def deflated(parts):
    """Each part can be unpacked as soon as it is there."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    for part in parts:
        yield packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


class Parts(httpx2.SyncByteStream):
    """A body that counts its parts as they are fetched."""

    def __init__(self, parts):
        self.parts, self.fetched, self.closed = parts, 0, False

    def __iter__(self):
        for part in self.parts:
            self.fetched += 1
            yield part

    def close(self):
        self.closed = True


def asking(answer, **kwargs):
    """A client that is answered so, and all answers as it got them."""
    got = []
    http = httpx2.Client(
        transport=EntropyTransport(httpx2.MockTransport(lambda request: answer() if callable(answer) else answer)),
        event_hooks={"response": [got.append]},
    )
    return OpenAI(base_url="http://x/v1", api_key="none", http_client=http, max_retries=0, **kwargs), got


def response(body=WHOLE, kind="application/json", status=200, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, headers={"content-type": kind, **named}, content=body)


PACKED = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", PACKED)
def test_packed_whole_answers(coding):
    client, got = asking(response(PACKED[coding](WHOLE), content_encoding=coding))
    with record_calls() as recorder:
        raw = client.chat.completions.with_raw_response.create(**ASKED)
    assert timelines(recorder) == [ENTROPIES]
    assert raw.parse().choices[0].logprobs is None
    assert "content-encoding" not in got[0].headers
    assert got[0].headers["content-length"] == str(len(raw.content))
    assert raw.elapsed.total_seconds() >= 0


def test_packed_streams_are_unpacked_as_they_come():
    parts = Parts(deflated(EVENTS))
    headers = {"content-type": "text/event-stream; charset=utf-8", "content-encoding": "gzip"}
    client, got = asking(httpx2.Response(200, headers=headers, stream=parts))
    with record_calls() as recorder:
        stream = client.chat.completions.create(**ASKED, stream=True)
        chunks = [next(stream), next(stream)]
        assert parts.fetched == 2
        chunks += stream
    assert timelines(recorder) == [ENTROPIES]
    assert not any(choice.logprobs for chunk in chunks for choice in chunk.choices)
    assert "content-encoding" not in got[0].headers
    assert parts.closed


async def test_streams_of_transports_that_are_made_up():
    def answer(request):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=b"".join(EVENTS))

    inner = httpx2.MockTransport(answer)
    http = httpx2.Client(transport=EntropyTransport(inner))
    ahttp = httpx2.AsyncClient(transport=AsyncEntropyTransport(inner))
    here = {"base_url": "http://x/v1", "api_key": "none"}
    with record_calls() as recorder:
        chunks = list(OpenAI(**here, http_client=http).chat.completions.create(**ASKED, stream=True))
        stream = await AsyncOpenAI(**here, http_client=ahttp).chat.completions.create(**ASKED, stream=True)
        chunks += [chunk async for chunk in stream]
    assert not any(choice.logprobs for chunk in chunks for choice in chunk.choices)
    assert timelines(recorder) == [ENTROPIES] * 2


def test_bodies_that_cannot_be_unpacked():
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    client, _ = asking(httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(b"no gzip")))
    with record_calls() as recorder, pytest.raises(APIConnectionError):
        client.chat.completions.create(**ASKED)
    assert recorder.every_call() == []


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_that_is_left_is_whole(packed):
    body = WHOLE.replace(b'"logprob": ', b'"logprob": "x", "y": ')
    sent = response(gzip.compress(body), content_encoding="gzip") if packed else response(body, x_mine="1")
    client, _ = asking(sent)
    with record_calls() as recorder:
        raw = client.chat.completions.with_raw_response.create(**ASKED)
    assert raw.content == body
    assert raw.headers["content-length"] == str(len(body))
    assert raw.headers.get("x-mine") == (None if packed else "1")
    assert timelines(recorder) == [[None] * 3]


def test_other_answers_pass_untouched():
    for answer in (response(kind="text/plain"), response(status=404), response(b"oops", status=500)):
        transport = EntropyTransport(httpx2.MockTransport(lambda request, answer=answer: answer))
        assert transport.handle_request(httpx2.Request("POST", "http://x")) is answer


def test_json_where_a_stream_was_asked_for_is_left():
    client, got = asking(response())
    with record_calls(), client.chat.completions.create(**ASKED, stream=True) as stream:
        assert list(stream) == []
    assert got[0].content == WHOLE


def test_only_the_last_attempt_counts():
    short = json.dumps(chat_completion(Answer([0.5]), ASKED)).encode()
    attempts = iter([response(short), response(WHOLE.replace(b'"logprob": ', b'"logprob": "x", "y": '))])
    client, _ = asking(lambda: next(attempts))
    calls = []

    def sends_twice(request):
        calls.append(client._client._transport.handle_request(request).read())
        return client._client._transport.handle_request(request)

    outer = httpx2.Client(transport=httpx2.MockTransport(sends_twice))
    with record_calls() as recorder:
        OpenAI(base_url="http://x/v1", api_key="none", http_client=outer).chat.completions.create(**ASKED)
    assert len(calls) == 1
    assert timelines(recorder) == [[None] * 3]


@pytest.mark.parametrize("stream", [False, True])
def test_one_above_another(stream):
    sent = response(b"".join(EVENTS), kind="text/event-stream") if stream else response()
    inner = EntropyTransport(httpx2.MockTransport(lambda request: sent))
    http = httpx2.Client(transport=EntropyTransport(EntropyTransport(inner)))
    with record_calls() as recorder, OpenAI(base_url="http://x/v1", api_key="none", http_client=http) as client:
        answer = client.chat.completions.create(**ASKED, stream=stream)
        assert not any(choice.logprobs for part in (answer if stream else [answer]) for choice in part.choices)
    assert timelines(recorder) == [ENTROPIES]


class Watched(httpx2.BaseTransport):
    def __init__(self):
        self.seen = []

    def handle_request(self, request):
        self.seen.append("request")
        return response()

    def __enter__(self):
        self.seen.append("enter")
        return self

    def __exit__(self, *error):
        self.seen.append("exit")

    def close(self):
        self.seen.append("close")


class AsyncWatched(Watched, httpx2.AsyncBaseTransport):
    async def handle_async_request(self, request):
        return self.handle_request(request)

    async def __aenter__(self):
        return self.__enter__()

    async def __aexit__(self, *error):
        self.__exit__()

    async def aclose(self):
        self.close()


async def test_the_inner_transport_is_entered_used_and_closed():
    inner, ainner = Watched(), AsyncWatched()
    with httpx2.Client(transport=EntropyTransport(inner)) as http, record_calls() as recorder:
        OpenAI(base_url="http://x/v1", api_key="none", http_client=http).chat.completions.create(**ASKED)
    async with httpx2.AsyncClient(transport=AsyncEntropyTransport(ainner)) as ahttp:
        with record_calls() as arecorder:
            aclient = AsyncOpenAI(base_url="http://x/v1", api_key="none", http_client=ahttp)
            await aclient.chat.completions.create(**ASKED)
    assert inner.seen == ainner.seen == ["enter", "request", "exit"]
    assert timelines(recorder) == timelines(arecorder) == [ENTROPIES]
    EntropyTransport(inner).close()
    await AsyncEntropyTransport(ainner).aclose()
    assert inner.seen[-1] == ainner.seen[-1] == "close"


def test_http_clients_keep_defaults_and_given_settings(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", "here")
    for client, around in ((http_client(timeout=3), EntropyTransport), (async_http_client(), AsyncEntropyTransport)):
        assert isinstance(client._transport, around)
        kinds = {pattern.pattern: type(mounted) for pattern, mounted in client._mounts.items()}
        assert kinds == {"https://": around, "all://*here": type(None)}
        assert client.follow_redirects
        assert client.timeout.connect == (3 if around is EntropyTransport else 5)
    assert http_client(transport=(mine := Watched()))._transport._inner is mine


WRONG = [
    (lambda: EntropyTransport(httpx2.Client()), "inner is .*; give an httpx2.BaseTransport"),
    (lambda: AsyncEntropyTransport(Watched()), "inner is .*; give an httpx2.AsyncBaseTransport"),
    (lambda: EntropyTransport(strip="no"), "strip is 'no'; give one of True, False"),
    (lambda: http_client(strip=None), "strip is None; give one of True, False"),
]


@pytest.mark.parametrize(("make", "said"), WRONG, ids=range(len(WRONG)))
def test_wrong_arguments(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_without_msgspec(monkeypatch):
    monkeypatch.delattr("ec_agent.capture.transport.decoder", raising=False)
    monkeypatch.setitem(sys.modules, "ec_agent.capture.transport.decoder", None)
    monkeypatch.setattr("ec_agent.capture.transport.transports.DECODER", decoding._decoder())
    client, got = asking(response())
    with record_calls() as recorder:
        client.chat.completions.create(**ASKED)
    assert timelines(recorder) == [ENTROPIES]
    assert b"top_logprobs" not in got[0].content
    client, _ = asking(response(b"".join(EVENTS), kind="text/event-stream"))
    with record_calls() as recorder:
        chunks = list(client.chat.completions.create(**ASKED, stream=True))
    assert timelines(recorder) == [ENTROPIES]
    assert not any(choice.logprobs for chunk in chunks for choice in chunk.choices)
