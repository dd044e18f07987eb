"""Which parts make one streamed answer, and what one that broke off lacks."""

from __future__ import annotations

import pytest

from ec_agent.capture.shapes import Streams, payload_of_message, payload_of_stream
from ec_agent.capture.shapes.alternatives import split
from ec_agent.capture.shapes.gaps import placed
from ec_agent.testing import logprobs_for

A, B = logprobs_for([0.5, 1.5])


def begins(*parts):
    """Of each part, whether an answer begins with it."""
    streams = Streams()
    return [streams.place(part)[1] for part in parts]


def gemini(model="m", prompt=3, tokens=None, **candidate):
    usage = {"promptTokenCount": prompt, **({} if tokens is None else {"candidatesTokenCount": tokens})}
    content = {"parts": [{"text": "x"}]}
    return {"candidates": [{"content": content, **candidate}], "modelVersion": model, "usageMetadata": usage}


def chat(text=None, usage=None, finish=None):
    choices = [] if text is None and finish is None else [{"index": 0, "delta": {"content": text}}]
    for choice in choices:
        choice["finish_reason"] = finish
    return {"object": "chat.completion.chunk", "id": "c", "choices": choices, "usage": usage}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([gemini(), gemini()], [True, False], id="Gemini's that ask the same"),
        pytest.param([gemini(), gemini(prompt=4)], [True, True], id="Gemini's with another prompt"),
        pytest.param([gemini(), gemini("n")], [True, True], id="Gemini's of another model"),
        pytest.param(
            [{"type": "response.created"}, {"type": "response.output_text.delta"}, {"type": "response.created"}],
            [True, False, True],
            id="events that begin anew before an end",
        ),
        pytest.param(
            [chat("a b c"), chat(usage={"completion_tokens": 9}), chat("d")],
            [True, False, False],
            id="a usage on the way, of more than came",
        ),
        pytest.param(
            [chat("a"), chat("b"), chat(usage={"completion_tokens": 2}), chat("d")],
            [True, False, False, True],
            id="a usage that closes what came",
        ),
    ],
)
def test_which_parts_begin_an_answer(parts, expected):
    assert begins(*parts) == expected


def test_an_empty_part_without_usage_is_no_answer():
    stream, _ = Streams().place(chat())
    assert stream.empty
    stream, _ = Streams().place(chat(usage={"completion_tokens": 2}))
    assert not stream.empty


def ollama(entries, **more):
    return {"message": {"role": "assistant", "content": "x"}, "done": False, "logprobs": entries, **more}


@pytest.mark.parametrize(
    ("counted", "known"),
    [pytest.param(None, 2, id="not counted"), pytest.param(3, 2, id="one more, which is no end token")],
)
def test_an_answer_that_broke_off_lacks_a_token(counted, known):
    streams = Streams()
    stream, _ = streams.place(ollama([A]))
    streams.place(ollama([B], **({} if counted is None else {"eval_count": counted})))
    (payload,) = stream.payloads()
    assert (payload.entries, payload.tokens, payload.partial) == ([A, B, None], known + 1, True)


def test_an_answer_cut_before_any_logprob_has_no_count():
    streams = Streams()
    stream, _ = streams.place(ollama(None))
    streams.place(ollama(None))
    (payload,) = stream.payloads()
    assert (list(payload.entries), payload.tokens) == ([], None)


def test_one_answer_is_its_parts_as_they_came():
    parts = [chat("a"), chat(usage={"completion_tokens": 1})]
    assert split(parts) == [parts]
    assert split([{"choices": [{"index": 0}, {"index": 1}]}], 2) == [[{"choices": [{"index": 0}, {"index": 1}]}]]


# What they say


def entry(text):
    return {**A, "token": text, "bytes": list(text.encode())}


def missing(payload):
    gaps = placed(payload.entries, payload.tokens, payload.said())
    return [(gap.place, gap.tokens) for gap in gaps.each]


def message(content, *texts, tokens, finish="stop", **more):
    metadata = {"logprobs": {"content": [entry(text) for text in texts]}, "finish_reason": finish}
    usage = {"input_tokens": 1, "output_tokens": tokens}
    return {"type": "ai", "content": content, "response_metadata": metadata, "usage_metadata": usage, **more}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(message("ab", "a", "b", tokens=3, finish="lengthlength"), [(2, 1)], id="cut, and told so twice"),
        pytest.param(message([{"type": "output_text", "text": "ab"}], "a", tokens=2), [(1, 1)], id="a block of text"),
        pytest.param(message([{"type": "refusal", "refusal": "ab"}], "a", tokens=2), [(1, 1)], id="a refusal"),
        pytest.param(
            message("", "f", '{"q": "', "\xe9", '"}', tokens=5, tool_calls=[{"name": "f", "args": {"q": "\xe9"}}]),
            [],
            id="arguments that are not ASCII",
        ),
    ],
)
def test_what_a_message_says_is_laid_beside_its_tokens(told, expected):
    assert missing(payload_of_message(told)) == expected


def spoken(text, listed=True, finish=None):
    logprobs = {"content": [entry(text)]} if listed else None
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish, "logprobs": logprobs}
    return {"object": "chat.completion.chunk", "id": "c", "choices": [choice]}


def test_a_closing_part_that_came_again_says_nothing_more():
    parts = [spoken("a"), spoken("b", listed=False), *(spoken("c" * 9, finish="stop") for _ in range(2))]
    assert missing(payload_of_stream([*parts, chat(usage={"completion_tokens": 3})])) == [(1, 1)]


def test_the_reason_to_end_may_come_early():
    parts = [spoken("a"), spoken("b"), chat(finish="length"), chat("")]
    assert missing(payload_of_stream([*parts, chat(usage={"completion_tokens": 3})])) == [(2, 1)]


def test_thinking_that_the_last_event_counts_stands_in_front():
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "a", "logprobs": [entry("a")]}
    usage = {"output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 4}}
    final = {"type": "response.completed", "response": {"output": [], "usage": usage}}
    assert missing(payload_of_stream([delta, final])) == [(0, 4)]
