"""Answers of every provider, whole and damaged, through the transport's decoder and through the client's objects.

One in twenty of the ten thousand damaged answers is read here; ``EC_AGENT_DAMAGED_EVERY=1`` reads all.
"""

from __future__ import annotations

import json
import os
import random
import struct
import warnings
from collections import Counter

import httpx2
import msgspec
import pytest
from alike import ALL, told_of
from openai import OpenAI
from openai._streaming import SSEDecoder
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from short_form import part_of
from test_corpus import LISTS, NOT_STREAMED, TURNS, WIRES, damaged, served

from ec_agent.capture.open_calls import Request
from ec_agent.capture.plain_parts import light
from ec_agent.capture.shapes import call_of
from ec_agent.capture.transport import decoder
from ec_agent.capture.transport.decoder import of_event, of_whole
from ec_agent.capture.transport.events import Events

CLIENT = OpenAI(api_key="none")
ANSWER = httpx2.Response(200, request=httpx2.Request("POST", "http://x"))
EVERY = int(os.environ.get("EC_AGENT_DAMAGED_EVERY", "20"))  # 1: all of the ten thousand
# Together has shapes of its own; the others are no endpoints that the client speaks to.
LEFT = {"Together", "llama.cpp completion", "Ollama", "Gemini"}


def types_of(name):
    """The client's types for a whole answer and for a part of a streamed one."""
    if name == "Responses":
        return Response, ResponseStreamEvent
    if WIRES[name][1].get("prompt") == LISTS["prompt"]:
        return Completion, Completion
    return ChatCompletion, ChatCompletionChunk


CORPUS = [
    (name, stream, served(name, turn, stream))
    for name in WIRES
    for turn in TURNS.values()
    for stream in ((False,) if name in NOT_STREAMED else (False, True))
]


def as_sent(answer, stream, chance):
    """The bytes that come; pretty-printed now and then, as OpenAI's own are."""
    indent = chance.choice([None, 2])
    if not stream:
        return json.dumps(answer, default=str, indent=indent).encode()
    return b"".join(b"data: " + json.dumps(event, default=str).encode() + b"\n\n" for event in answer)


def parsed(data, kind):
    return CLIENT._process_response_data(data=data, cast_to=kind, response=ANSWER)


def by_objects(sent, stream, whole, part):
    request = Request()
    if stream:
        request.chunks = [parsed(json.loads(e.data), part) for e in SSEDecoder().iter_bytes(iter([sent]))]
    else:
        request.response = parsed(json.loads(sent), whole)
    return request


def by_light_objects(sent, stream, whole, part):
    request = by_objects(sent, stream, whole, part)
    request.chunks = [light(chunk) for chunk in request.chunks]
    return request


def by_transport(sent, stream, whole, part, chance=None):
    request = Request()
    if not stream:
        found = of_whole(sent)
        body, request.taken.whole = found or (sent, ())
        request.response = parsed(json.loads(body), whole)
        return request
    events = Events(request.taken, of_event)
    cuts = sorted(chance.choices(range(len(sent)), k=3)) if chance else []
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    emptied = [*(events.feed(piece) for piece in pieces), events.finish()]
    for event in SSEDecoder().iter_bytes(iter(emptied)):
        request.chunks.append(light(request.taken.put_back(parsed(json.loads(event.data), part))))
    return request


def outcome(way, *args):
    """All of what a call became, or the kind of error that the client raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # pydantic's
        try:
            request = way(*args)
        except Exception as error:
            return {"capability": "error", "error": (type(error), str(error))}
    return told_of(call_of(request.payload(), ALL, keep_text=True, keep_candidates=3))


def compared(name, stream, sent, chance):
    types = types_of(name)
    expected = outcome(by_objects, sent, stream, *types)
    assert outcome(by_transport, sent, stream, *types, chance) == expected
    assert outcome(by_light_objects, sent, stream, *types) == expected
    return expected


@pytest.mark.parametrize("stream", [False, True])
def test_whole_payloads(stream):
    chance, taken = random.Random(0), set()
    for name, streamed, answer in CORPUS:
        if streamed == stream:
            sent = as_sent(answer, stream, chance)
            compared(name, stream, sent, chance)
            bodies = sent.removeprefix(b"data: ").split(b"\n\ndata: ") if stream else [sent]
            taken |= {name for body in bodies if of_event(body)}
    assert taken == WIRES.keys() - LEFT


@pytest.mark.parametrize("name", ["OpenAI", "vLLM", "completions"])
def test_usage_in_every_chunk(name):
    """Such chunks are emptied where they are, and not read in their place."""
    chunks = served(name, TURNS["text"], True)
    for count, chunk in enumerate(chunks[:-1]):
        chunk["usage"] = {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}
    outcome = compared(name, True, as_sent(chunks, True, random.Random(0)), random.Random(0))
    assert (outcome["capability"], outcome["tokens"]) == ("full", 5)


def test_damaged_payloads():
    kinds, taken = Counter(), Counter()
    for seed in range(0, part_of(10_000), EVERY):
        chance = random.Random(seed)
        name, stream, answer = chance.choice(CORPUS)
        sent = as_sent(damaged(answer, chance), stream, chance)
        kinds[compared(name, stream, sent, chance)["capability"]] += 1
        if not stream and name not in LEFT:
            taken[of_whole(sent) is not None] += 1
    assert min(kinds["full"], kinds["none"]) > sum(kinds.values()) / 20
    assert min(taken.values()) > sum(taken.values()) / 20


def test_damaged_bytes():
    for seed in range(0, 10_000, 5 * EVERY):
        chance = random.Random(seed)
        name, stream, answer = chance.choice(CORPUS)
        sent = bytearray(as_sent(answer, stream, chance))
        for _ in range(chance.randint(1, 3)):
            sent[chance.randrange(len(sent))] = chance.choice(b'\x00\xff\xc3"{}[],:-e09\\u ')
        compared(name, stream, bytes(sent), chance)


def numbers():
    """Logprobs in all their spellings, long ones and near ties among them."""
    chance = random.Random(0)
    for _ in range(5_000):
        value = -chance.expovariate(0.2)
        yield from (repr(value), f"{value:.40f}", f"{value:.8g}", f"{value:e}", str(-chance.getrandbits(70)))
        digits = "".join(chance.choices("0123456789", k=chance.randint(1, 40)))
        yield f"-{chance.randint(0, 99)}.{digits}{chance.choice(['', 'e-3', 'E+2', 'e-300', 'e-320', 'e290'])}"
    yield from ("-0", "-0.0", "0", "-1e-400", "5e-324", "2.4703282292062328e-324", "-9007199254740993")


def test_numbers_are_read_to_the_last_bit():
    sent = json.dumps([{"logprob": "N"}])[1:-1]
    body = "[" + ",".join(sent.replace('"N"', number) for number in numbers()) + "]"
    read = [candidate.logprob for candidate in msgspec.json.decode(body, type=list[decoder.TopLogprob])]
    expected = [float(candidate["logprob"]) for candidate in json.loads(body)]
    assert struct.pack(f"{len(read)}d", *read) == struct.pack(f"{len(expected)}d", *expected)


def test_candidates_are_identified_as_through_objects():
    one = {"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "\ufffd", "logprob": -2.0, "bytes": [1, 2]}]}
    (found,) = msgspec.json.decode(json.dumps([one]), type=list[decoder.TokenEntry])
    assert str(found.top_logprobs[0].bytes) == "[1, 2]"
    one["top_logprobs"][0].pop("bytes")
    (found,) = msgspec.json.decode(json.dumps([one]), type=list[decoder.TokenEntry])
    assert found.top_logprobs[0].bytes is None


ODD = [
    b"",
    b"null",
    b"[]",
    b'"logprobs"',
    b'{"logprobs": 1}',
    b'{"choices": {"logprobs": {}}}',
    b'{"choices": [1, "logprobs"]}',
    b'{"choices": [{"logprobs": 0.5}]}',
    b'{"choices": [{"logprobs": {"content": [{"token": "a", "logprob": NaN}]}}]}',
    b'{"choices": [{"logprobs": {"unknown": []}}]}',
    b'{"choices": [{"logprobs": {"content": [null]}}]}',
    b'{"output": "logprobs", "x": {"logprobs": []}}',
    b'{"choices": [{"logprobs": {"content": []}}], "x": "\xff"}',
    b"[" * 5000 + b'"logprobs"',
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_unreadable_logprobs_stay_in_the_body(body):
    assert of_whole(body) is None
    assert of_event(body) is None
