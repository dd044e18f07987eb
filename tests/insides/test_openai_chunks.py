"""What ``openai_chunks`` relies on in ``openai.Stream``; and that its events are those of the client's decoder."""

from __future__ import annotations

import json
import random

import httpx2
import pytest
from openai import AsyncOpenAI, AsyncStream, OpenAI, Stream
from openai._streaming import SSEDecoder
from openai.types.chat import ChatCompletionChunk

from ec_agent.insides import openai_chunks
from ec_agent.insides.openai_chunks import QuickChunks
from ec_agent.insides.openai_objects import Later

CLIENT, ACLIENT = OpenAI(api_key="none"), AsyncOpenAI(api_key="none")
LOGPROBS = {"content": [{"token": "a", "logprob": -1.5, "bytes": [97], "top_logprobs": []}], "refusal": None}


class Ready(Later):
    def __init__(self, values):
        self.given = values

    def value(self):
        first, *others = map(json.loads, self.given)
        return {**first, "content": [entry for each in (first, *others) for entry in each["content"]]}


class Hearing:
    """Hears all that ``QuickChunks`` says; any logprobs are usual to it."""

    later = Ready

    def __init__(self):
        self.kinds, self.chunks, self.early = [], [], []

    def usual(self, logprobs):
        return True

    def kind(self, *rest):
        self.kinds.append(rest)
        return len(self.kinds) - 1

    def came(self, *event):
        self.early.append(event)

    def made(self, *event):
        self.chunks.append(event)

    def joined(self):
        self.chunks.append("joined")


def event(text, logprobs=LOGPROBS, **more):
    choice = {"index": 0, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": None}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def sent_of(events):
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events)


def stream_of(pieces, kind=Stream):
    class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
        def __iter__(self):
            return iter(pieces)

        async def __aiter__(self):
            for piece in pieces:
                yield piece

    response = httpx2.Response(200, stream=Pieces(), request=httpx2.Request("POST", "http://x"))
    return kind(cast_to=ChatCompletionChunk, response=response, client=CLIENT if kind is Stream else ACLIENT)


def quickened(stream, held_for=None):
    hearing = Hearing()
    QuickChunks(stream, hearing, to_langchain=False, held_for=held_for)
    return stream, hearing


EVENTS = [
    event("", None),
    event("one"),
    event("two", obfuscation="qwert"),
    event("three", obfuscation="yui"),
    event("four", None, usage=None),
    {**event("x"), "choices": []},
    event("five", system_fingerprint="f"),
    event("six", system_fingerprint="g"),
]


def test_chunks_are_those_of_the_client():
    wanted = list(stream_of([sent_of(EVENTS)]))
    stream, hearing = quickened(stream_of([sent_of(EVENTS)]))
    got = list(stream)
    assert len(hearing.chunks) == len(got)
    assert sum(map(bool, hearing.chunks)) == 7
    assert hearing.early == []
    for one, other in zip(got, wanted, strict=True):
        assert one.model_fields_set == other.model_fields_set
        assert (one, repr(one), one.to_dict()) == (other, repr(other), other.to_dict())


def test_events_that_all_differ_in_more_are_left_to_the_client():
    """Each would be made twice, and kept."""
    events = [event(f"word {n}", progress=n) for n in range(200)]
    wanted = [each.to_dict() for each in stream_of([sent_of(events)])]
    stream, hearing = quickened(stream_of([sent_of(events)]))
    asked = []
    client = stream._client._client
    stream._client._client = Counting(client, asked)
    assert [each.to_dict() for each in stream] == wanted
    assert len(asked) == 200
    assert sum(map(bool, hearing.chunks)) == 64


class Counting:
    """The client, with a list of the events of which it made objects."""

    def __init__(self, client, asked):
        self.client, self.asked = client, asked

    def __getattr__(self, name):
        return getattr(self.client, name)

    def _process_response_data(self, **given):
        self.asked.append(given)
        return self.client._process_response_data(**given)


def with_delta(**more):
    said = event("")
    said["choices"][0]["delta"] |= more
    return said


SAY_MORE = {
    "a part of a tool call": with_delta(tool_calls=[{"index": 0, "function": {"arguments": "1"}}]),
    "a part of a function call": with_delta(function_call={"arguments": "1"}),
    "reasoning": with_delta(reasoning_content="ha"),
    "a count of tokens": event("a", usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}),
}


@pytest.mark.parametrize("held_for", [None, 60.0])
@pytest.mark.parametrize("more", SAY_MORE)
def test_events_that_say_more_than_text_are_passed_on_one_by_one_though_they_are_the_same(more, held_for):
    events = [event("a"), *[SAY_MORE[more]] * 3, event("b")]
    wanted = [each.to_dict() for each in stream_of([sent_of(events)])]
    stream, hearing = quickened(stream_of([sent_of(events)]), held_for)
    got = list(stream)
    assert [each.to_dict() for each in got] == wanted
    # Agents add up such parts in the objects that they got first.
    assert len({id(each.usage or each.choices[0].delta.tool_calls or each) for each in got}) == len(events)
    assert sum(map(bool, hearing.chunks)) == 2


def test_a_chunk_shares_nothing_with_the_next():
    stream, _ = quickened(stream_of([sent_of([event("one"), event("two"), event("three")])]))
    first = next(stream)
    first.choices[0].delta.content = "changed"
    first.choices[0].delta.role = "user"
    first.model = "changed"
    first.choices[0].logprobs.content.clear()
    wanted = stream_of([sent_of([event("two"), event("three")])])
    assert [each.to_dict() for each in stream] == [each.to_dict() for each in wanted]


def in_choice(**more):
    said = event("a")
    said["choices"][0] |= more
    return said


ADDED_UP = {
    "a list of a choice": (in_choice(token_ids=[5]), lambda each: each.choices[0].token_ids.append(6)),
    "a dict of an event": (event("a", timings={"n": 1}), lambda each: each.timings.update(n=2)),
    "an empty list of a delta": (with_delta(tool_calls=[]), lambda each: each.choices[0].delta.tool_calls.append(1)),
    "a list in a list": (event("a", sources=[["x"]]), lambda each: each.sources[0].append("y")),
}


@pytest.mark.parametrize("case", ADDED_UP)
async def test_a_reader_may_add_up_in_the_lists_of_a_chunk(case):
    said, change = ADDED_UP[case]
    wanted = [each.to_dict() for each in stream_of([sent_of([said] * 3)])]
    got, agot = [], []
    stream, hearing = quickened(stream_of([sent_of([said] * 3)]))
    for each in stream:
        got.append(each.to_dict())
        change(each)
    async for each in quickened(stream_of([sent_of([said] * 3)], AsyncStream))[0]:
        agot.append(each.to_dict())
        change(each)
    assert got == agot == wanted
    assert sum(map(bool, hearing.chunks)) == 3


@pytest.fixture
def patterns(monkeypatch):
    """How many patterns were made, which takes longer than an object."""
    made = []
    make = openai_chunks.pattern_of
    monkeypatch.setattr(openai_chunks, "pattern_of", lambda *given: made.append(1) or make(*given))
    return made


@pytest.mark.parametrize("more", SAY_MORE)
def test_no_patterns_are_made_of_events_that_say_more_than_text(more, patterns):
    sent = sent_of([SAY_MORE[more]] * 100 + [event("one"), event("two")])
    stream, hearing = quickened(stream_of([sent]))
    assert len(list(stream)) == 102
    assert sum(map(bool, hearing.chunks)) == 2
    assert len(patterns) == 1


def test_few_patterns_are_made_where_all_logprobs_are_unusual(patterns):
    stream, hearing = quickened(stream_of([sent_of([event(f"word {n}") for n in range(200)])]))
    hearing.usual = lambda logprobs: False
    assert len(list(stream)) == 200
    assert not any(hearing.chunks)
    assert len(patterns) == 64


async def test_async_chunks_are_those_of_the_client():
    pieces = [sent_of(EVENTS)[n : n + 50] for n in range(0, len(sent_of(EVENTS)), 50)]
    wanted = [each async for each in stream_of(pieces, AsyncStream)]
    stream, hearing = quickened(stream_of(pieces, AsyncStream))
    assert [each async for each in stream] == wanted
    assert any(hearing.chunks)


ODD = {**event("x"), "choices": []}
FOLLOWING = [event("one"), event("two"), event("three"), event("no", None), event("more", None), ODD, event("four")]


async def test_events_of_a_kind_that_follow_one_another_are_one():
    sent = sent_of(FOLLOWING)
    pieces = [sent[n : n + 50] for n in range(0, len(sent), 50)]
    stream, hearing = quickened(stream_of(pieces), held_for=60)
    astream, _ = quickened(stream_of(pieces, AsyncStream), held_for=60)
    got = list(stream)
    assert got == [each async for each in astream]
    singly = list(stream_of([sent]))
    assert [[choice.delta.content for choice in each.choices] for each in got] == [
        ["onetwothree"],
        ["nomore"],
        [],
        ["four"],
    ]
    logprobs = [choice.logprobs.content for each in singly for choice in each.choices if choice.logprobs]
    assert got[0].choices[0].logprobs.content == [entry for each in logprobs[:3] for entry in each]
    assert (got[1].choices[0].logprobs, got[2], got[3]) == (None, singly[5], singly[6])
    assert hearing.chunks == ["joined", "joined", (), "joined"]
    assert [text for _, text, _ in hearing.early] == ["one", "two", "three", "no", "more", "four"]


def test_what_came_is_passed_on_before_an_odd_line_and_after_the_time():
    sent = sent_of([event("one"), event("two")])
    stream, _ = quickened(stream_of([sent + b"event: x\n" + sent]), held_for=60)
    assert [each.choices[0].delta.content for each in stream] == ["onetwo", "one", "two"]
    stream, hearing = quickened(stream_of([sent, sent]), held_for=0)
    assert [each.choices[0].delta.content for each in stream] == ["one", "two"] * 2
    assert len(hearing.early) == 4


LINES = [
    b"data: {}",
    b"data:{}",
    b": ping",
    b"",
    b"event: e",
    b"id: 3",
    b"retry: 5",
    b"data: 1",
    b"data: \xc3\xbc",
    b"x",
]


@pytest.mark.parametrize("seed", range(60))
def test_events_are_those_of_the_clients_decoder(seed):
    chance = random.Random(seed)
    ends = [b"\n"] if seed % 2 else [b"\n", b"\r\n", b"\r"]
    sent = b"".join(chance.choice(LINES) + chance.choice(ends) * chance.randint(1, 2) for _ in range(12))
    cuts = sorted(chance.choices(range(len(sent) + 1), k=4))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    stream, _ = quickened(stream_of([]))
    got = [(each.event, each.data) for each in stream._decoder.iter_bytes(iter(pieces))]
    assert got == [(each.event, each.data) for each in SSEDecoder().iter_bytes(iter(pieces))]
