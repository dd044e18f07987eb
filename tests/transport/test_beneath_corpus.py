"""Answers of every provider, whole and damaged, read beneath the client: the same records, and the same objects for it.

One in twenty of the ten thousand damaged answers is read here; ``EC_AGENT_DAMAGED_EVERY=1`` reads all.
"""

from __future__ import annotations

import json
import random
from collections import Counter

import httpx2
import pytest
import test_same_as_objects as same
from openai import APIError, Stream
from openai.types.chat import ChatCompletionChunk
from short_form import part_of
from test_corpus import damaged

from ec_agent.capture import beneath
from ec_agent.capture.open_calls import Request
from ec_agent.capture.plain_parts import light
from ec_agent.capture.taken_logprobs import RECORDED
from ec_agent.capture.transport import decoder, plain_decoder
from ec_agent.insides.openai_chunks import QuickChunks

HOW = Counter()
SENT = httpx2.Request("POST", "http://x")


@pytest.fixture(params=["typed", "plain"], autouse=True)
def _decoding(request, monkeypatch):
    """With msgspec and without it."""
    HOW.clear()
    monkeypatch.setattr(beneath, "DECODER", {"typed": decoder, "plain": plain_decoder}[request.param])


def by_objects(sent, stream, whole, part):
    """The client's own stream is read, so that errors are those that it reports."""
    request = Request()
    if not stream:
        request.response = same.parsed(json.loads(sent), whole)
        return request, [request.response]
    chunks = list(stream_of(sent, part))
    request.chunks = [light(chunk) for chunk in chunks]
    return request, chunks


def stream_of(sent, part):
    response = httpx2.Response(200, stream=httpx2.ByteStream(sent), request=SENT)
    return Stream(cast_to=part, response=response, client=same.CLIENT)


def by_beneath(sent, stream, whole, part):
    request = Request()
    if not stream:
        response = httpx2.Response(200, content=sent, headers={"content-type": "application/json"}, request=SENT)
        beneath._read(response, request.taken)
        request.response = answer = same.parsed(response.json(), whole)
        HOW["bytes" if request.taken.whole else "objects"] += 1
        beneath.give_back(answer, request.taken, to_langchain=False)
        assert response.content == sent
        return request, [answer]
    answers = stream_of(sent, part)
    beneath.read_stream(answers, request.taken, to_langchain=False)
    chunks = []
    for chunk in answers:
        kept = request.taken.put_back(chunk)
        HOW["objects" if kept is chunk else "bytes"] += 1
        request.chunks.append(light(kept))
        chunks.append(chunk)
    return request, chunks


def by_joined(sent, stream, whole, part):
    """As if nobody saw the parts of a stream one by one."""
    request, answers = Request(), stream_of(sent, part)
    heard = beneath._Noted(request.taken, request.chunks.append)
    request.taken.entries_of = beneath.DECODER.of_content
    QuickChunks(answers, heard, to_langchain=False, held_for=60)
    chunks = []
    for chunk in answers:
        kept = request.taken.put_back(chunk)
        if kept is not RECORDED:
            request.chunks.append(light(kept))
        chunks.append(chunk)
    return request, chunks


def said_in(chunks):
    """The texts and the logprobs, added up, and everything else that is not empty."""
    texts, entries, others = [], [], []
    for chunk in chunks:
        choices = getattr(chunk, "choices", None)
        for choice in choices if isinstance(choices, list) else ():
            texts.append(getattr(getattr(choice, "delta", None), "content", None) or "")
            content = getattr(getattr(choice, "logprobs", None), "content", None)
            entries += map(repr, content if isinstance(content, list) else [])
            others.append(repr(getattr(choice, "finish_reason", None)))
        others.append(repr(getattr(chunk, "usage", None)))
    return "".join(map(str, texts)), entries, [other for other in others if other != "None"]


def outcome(way, *args):
    """What the record has, and what the client's user gets; or the error that it raises."""
    try:
        request, answers = way(*args)
    except APIError as error:
        return {"error": str(error)}, []
    except Exception as error:
        return {"error": (type(error), str(error))}, []
    told = same.outcome(lambda: request)
    # As texts, for NaN differs from itself.
    return {fact: repr(value) for fact, value in told.items()}, answers


def compared(name, stream, sent):
    types = same.types_of(name)
    expected, wanted = outcome(by_objects, sent, stream, *types)
    told, got = outcome(by_beneath, sent, stream, *types)
    assert told == expected
    # Not by ==, for NaN differs from itself.
    assert list(map(repr, got)) == list(map(repr, wanted))
    if stream and types[1] is ChatCompletionChunk:
        told, got = outcome(by_joined, sent, stream, *types)
        assert told == expected
        assert len(got) <= len(wanted)
        assert said_in(got) == said_in(wanted)
    return expected


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whole_payloads(stream):
    chance = random.Random(0)
    for name, streamed, answer in same.CORPUS:
        if streamed == stream:
            compared(name, stream, same.as_sent(answer, stream, chance))
    assert HOW["bytes"] > HOW["objects"] / 2


@pytest.mark.members(1)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_payloads():
    for seed in range(0, part_of(10_000), same.EVERY):
        chance = random.Random(seed)
        name, stream, answer = chance.choice(same.CORPUS)
        compared(name, stream, same.as_sent(damaged(answer, chance), stream, chance))
    assert min(HOW["bytes"], HOW["objects"]) > sum(HOW.values()) / 20


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_bytes():
    for seed in range(0, 10_000, 5 * same.EVERY):
        chance = random.Random(seed)
        name, stream, answer = chance.choice(same.CORPUS)
        sent = bytearray(same.as_sent(answer, stream, chance))
        for _ in range(chance.randint(1, 3)):
            sent[chance.randrange(len(sent))] = chance.choice(b'\x00\xff\xc3"{}[],:-e09\\u ')
        compared(name, stream, bytes(sent))


def test_numbers_are_read_to_the_last_bit():
    numbers = [*same.numbers()]
    entry = '{"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "a", "logprob": N}]}'
    content = ", ".join(entry.replace("N", number) for number in numbers)
    body = f'{{"choices": [{{"logprobs": {{"content": [{content}]}}}}]}}'
    ((_, logprobs),) = plain_decoder.of_whole(body.encode())[1]
    read = [float(entry["top_logprobs"][0]["logprob"]) for entry in logprobs["content"]]
    assert list(map(float.hex, read)) == [float.hex(float(json.loads(number))) for number in numbers]


@pytest.mark.parametrize("body", same.ODD, ids=range(len(same.ODD)))
def test_unreadable_logprobs_stay_in_the_body(body):
    found = plain_decoder.of_whole(body)
    assert found is None or b"NaN" in body
