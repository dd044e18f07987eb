"""Server-sent events that arrive in parts: whatever the parts, the client sees the same events, less their logprobs."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder
from short_form import part_of

from ec_agent.capture.taken_logprobs import TakenLogprobs
from ec_agent.capture.transport.decoder import of_event
from ec_agent.capture.transport.events import Events


def logprobs(*values):
    return {"content": [{"token": "x", "logprob": v, "top_logprobs": [{"token": "x", "logprob": v}]} for v in values]}


def chunk(*values, text="t"):
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "logprobs": logprobs(*values)}]})


def passed(pieces):
    """What the client reads, and what was taken, of a stream in these pieces."""
    heard = TakenLogprobs()
    events = Events(heard, of_event)
    emptied = [*(events.feed(piece) for piece in pieces), events.finish()]
    return list(SSEDecoder().iter_bytes(iter(emptied))), list(heard.events)


def plain(stream):
    return list(SSEDecoder().iter_bytes(iter([stream])))


def values_of(taken):
    kept = [event.choices if event else () for event in taken]
    return [[entry.logprob for entry in choice.logprobs.content] for choices in kept for choice in choices]


def emptied(event):
    """The event as it should be passed on."""
    try:
        data = json.loads(event.data)
    except ValueError:
        return event.event, event.id, event.data
    for choice in data.get("choices", ()):
        choice["logprobs"] = None
    return event.event, event.id, data


def check(stream, pieces):
    assert b"".join(pieces) == stream
    read, taken = passed(pieces)
    original = plain(stream)
    assert [emptied(event) for event in read] == [emptied(event) for event in original]
    assert not any("top_logprobs" in event.data for event in read)
    before_done = original[: next((n for n, e in enumerate(original) if e.data.startswith("[DONE]")), None)]
    # The test's chunks alone have logprobs; one item an event keeps them in step.
    assert len(taken) >= len(before_done)
    wanted = [json.loads(event.data) for event in before_done]
    assert values_of(taken[: len(wanted)]) == [
        [entry["logprob"] for entry in c["logprobs"]["content"]] for data in wanted for c in data.get("choices", ())
    ]


STREAM = "".join(
    [
        ": a comment\n\n",
        f"data: {chunk(-1.0)}\n\n",
        f"event: x\r\ndata: {chunk(-2.0, text='two')}\r\n: between\r\n\r\n",
        f"data:{chunk(-3.0)}\r\r",
        "retry: 10\n",
        "\n".join(f"data: {line}" for line in json.dumps(json.loads(chunk(-4.0, -5.0)), indent=1).splitlines()),
        "\n\n: ping\n\n",
        'data: {"usage": {"completion_tokens": 5}}\n\n',
        f"data: {chunk(-6.0, text='ü€')}\nother: 1\n\n",
        "data: [DONE]\n\n",
    ]
).encode()


@pytest.mark.parametrize(
    ("ending", "step"), [(b"", 1), (b"data: {", 9), (b"data: {}\n", 9)], ids=["whole", "cut", "line"]
)
def test_split_at_every_byte(ending, step):
    stream = STREAM + ending
    for place in range(0, len(stream) + 1, step):
        check(stream, [stream[:place], stream[place:]])
    check(stream, [stream[n : n + 1] for n in range(len(stream))])


ENDS = st.sampled_from(["\n", "\r\n", "\r"])
LINES = st.sampled_from([": c", ":", "event: e", "other: 1", "x"])


@st.composite
def blocks(draw):
    """One event, its lines ended in any way, with lines of other kinds between."""
    body = draw(
        st.sampled_from([chunk(-1.0), chunk(-2.0, -3.5), '{"a": 1}', json.dumps(json.loads(chunk(-7.0)), indent=1)])
    )
    lines = [f"data: {line}" for line in body.splitlines()]
    for line in draw(st.lists(LINES, max_size=2)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    return "".join(line + draw(ENDS) for line in lines) + draw(ENDS)


def readable(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@settings(max_examples=part_of(200), deadline=None)
@given(st.data(), st.lists(blocks(), max_size=4))
def test_any_stream_in_any_parts(data, drawn):
    # "\r" before "\n" makes one end of two: the stream is what it is, the client's own decoder says what it means.
    stream = "".join(drawn).encode()
    assume(all(readable(event.data) for event in plain(stream)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    check(stream, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)])


def test_an_event_goes_on_with_its_last_byte():
    events = Events(TakenLogprobs(), of_event)
    sent = f"data: {chunk(-1.0)}\r\r".encode()
    assert [events.feed(sent[n : n + 1]) for n in range(len(sent) - 1)] == [b""] * (len(sent) - 1)
    assert events.feed(sent[-1:]).startswith(b'data: {"choices"')


def test_what_has_no_logprobs_goes_on_byte_for_byte():
    stream = b': hi\r\n\r\nevent: e\rdata:  {"a" :1}\rdata:2\n\r\nid: 3\n\ndata: not json\n\ndata: [DONE]\n\n'
    events = Events(TakenLogprobs(), of_event)
    assert b"".join(events.feed(stream[n : n + 1]) for n in range(len(stream))) + events.finish() == stream


def test_a_large_event_in_parts_is_copied_once():
    sent = f"data: {chunk(*[-1.0] * 20_000)}\n\n".encode()
    parts = [sent[n : n + 1000] for n in range(0, len(sent), 1000)]
    events = Events(TakenLogprobs(), of_event)
    for part in parts[:-1]:
        assert events.feed(part) == b""
    assert len(events._tail) == len(parts) - 1
    assert len(events.feed(parts[-1])) < 200
