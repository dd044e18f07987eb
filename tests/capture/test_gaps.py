"""Where in an answer tokens without an entry are placed: by running counts, by the text, or not at all."""

from __future__ import annotations

import random

import numpy as np
import pytest

from ec_agent.capture.shapes import call_of, merge_payloads, payload_of_message, payload_of_response, payload_of_stream
from ec_agent.evaluator import trajectory_of
from ec_agent.testing import logprobs_for

NAMES = ("entropy", "logprob")


def entry(text, entropy=1.0, raw=None):
    """One token: with ``raw``, its bytes beside its text."""
    (made,) = logprobs_for([entropy])
    return {**made, "token": text, "bytes": list(text.encode() if raw is None else raw)}


def entries(*texts):
    return [entry(text, 0.1 + 0.01 * place) for place, text in enumerate(texts)]


def chunk(text=None, got=(), finish=None, usage=None, timings=None, **delta):
    choice = {"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}
    choice["logprobs"] = {"content": list(got)} if got else None
    return {
        "object": "chat.completion.chunk",
        "id": "c1",
        "choices": [choice],
        **({"usage": {"completion_tokens": usage}} if usage is not None else {}),
        **({"timings": {"predicted_n": timings}} if timings is not None else {}),
    }


def closing(tokens, **details):
    return {
        "object": "chat.completion.chunk",
        "id": "c1",
        "choices": [],
        "usage": {"completion_tokens": tokens, **details},
    }


def strip(payload):
    """The timeline as text: a token that has an entropy, and one that has none."""
    call = call_of(payload, NAMES, keep_text=True, keep_candidates=2)
    assert np.array_equal(np.isnan(call.entropies), np.isnan(call.signals["logprob"]))
    return "".join("." if np.isnan(value) else "#" for value in call.entropies), call.unplaced


def test_a_removed_code_fence_is_a_gap_on_both_sides():
    """llama.cpp with a JSON schema: ```, json, a line break; the JSON; a line break, ```, the end token."""
    said = entries("{", '"a"', ":", "1", "}")
    chunks = [chunk(None, entries("```"), role="assistant"), *(chunk(e["token"], [e]) for e in said)]
    chunks += [chunk(finish="stop"), closing(11)]
    assert strip(payload_of_stream(chunks)) == ("#..#####...", 4)


@pytest.mark.parametrize("where", ["timings", "usage"])
def test_running_counts_say_it_exactly(where):
    said = entries("{", '"a"', ":", "1", "}")
    counts = [4, 5, 8, 9, 10]
    chunks = [chunk(None, entries("```"), **{where: 1})]
    chunks += [chunk(e["token"], [e], **{where: n}) for e, n in zip(said, counts, strict=True)]
    chunks += [chunk(finish="stop"), closing(13)]
    assert strip(payload_of_stream(chunks)) == ("#..##..###...", 0)


@pytest.mark.parametrize(
    "counts", [[0, 0, 0, 0, 0], [9, 9, 9, 2, 1], [40, 41, 42, 43, 44], [1, 1, 1, 1, 1], [3, 3, 4, 4, 5]]
)
def test_counts_that_make_no_sense_are_not_used(counts):
    said = entries("a", "b", "c", "d", "e")
    chunks = [chunk(e["token"], [e], timings=n) for e, n in zip(said, counts, strict=True)]
    chunks[2]["choices"][0]["logprobs"] = None
    assert strip(payload_of_stream([*chunks, chunk(finish="stop"), closing(6)])) == ("##.##.", 0)


TEXTS = ["a", " b", " a", " b", " a", "!", " ok"]


@pytest.mark.parametrize("lost", [[0], [3], [6], [0, 1], [2, 3], [5, 6], [0, 6], [1, 2, 3, 4, 5]])
@pytest.mark.parametrize("ended", ["stop", "length"])
def test_parts_of_a_stream_without_entries_keep_their_places(lost, ended):
    got = entries(*TEXTS)
    chunks = [chunk(e["token"], [] if place in lost else [e]) for place, e in enumerate(got)]
    ends = ended == "stop"
    payload = payload_of_stream([*chunks, chunk(finish=ended), closing(len(TEXTS) + ends)])
    shape, unplaced = strip(payload)
    expected = "".join("." if place in lost else "#" for place in range(len(TEXTS)))
    assert shape == expected + "." * ends
    assert unplaced <= len(lost)


@pytest.mark.parametrize("lost", [[0], [3], [6], [0, 1], [2, 3]])
def test_without_usage_they_keep_their_places_too(lost):
    got = entries(*TEXTS)
    chunks = [chunk(e["token"], [] if place in lost else [e]) for place, e in enumerate(got)]
    shape, _ = strip(payload_of_stream([*chunks, chunk(finish="stop")]))
    assert shape == "".join("." if place in lost else "#" for place in range(len(TEXTS)))


WHOLE = ["The", " quick", " brown", " fox", " jumps", " over", " dogs", "."]


@pytest.mark.parametrize("lost", [[0], [7], [4], [0, 1, 2], [5, 6, 7], [3, 4], [0, 7]])
def test_a_whole_answer_is_aligned_with_its_text(lost):
    got = [e for place, e in enumerate(entries(*WHOLE)) if place not in lost]
    message = {"role": "assistant", "content": "".join(WHOLE)}
    choice = {"message": message, "logprobs": {"content": got}, "finish_reason": "length"}
    answer = {"choices": [choice], "usage": {"completion_tokens": len(WHOLE)}}
    expected = "".join("." if place in lost else "#" for place in range(len(WHOLE)))
    assert strip(payload_of_response(answer)) == (expected, 0)
    metadata = {"logprobs": {"content": got}, "finish_reason": "length"}
    usage = {"input_tokens": 1, "output_tokens": len(WHOLE), "total_tokens": 9}
    spoken = {"type": "ai", "content": "".join(WHOLE), "response_metadata": metadata, "usage_metadata": usage}
    assert strip(payload_of_message(spoken)) == (expected, 0)


def test_a_gap_shows_its_text():
    got = entries("The", " dogs", ".")
    answer = {"choices": [{"message": {"content": "The quick brown dogs."}, "logprobs": {"content": got}}]}
    call = call_of(payload_of_response({**answer, "usage": {"completion_tokens": 6}}), NAMES, keep_text=True)
    assert call.texts == ("The", " quick brown", "", "", " dogs", ".")
    assert call.tokens == 6


def test_several_holes_share_by_their_size_and_say_so():
    got = entries("aaaa", "bbbb", "cccc")
    text = "aaaa" + "x" * 32 + "bbbb" + "y" * 8 + "cccc"
    answer = {"choices": [{"message": {"content": text}, "logprobs": {"content": got}, "finish_reason": "length"}]}
    shape, unplaced = strip(payload_of_response({**answer, "usage": {"completion_tokens": 13}}))
    assert shape == "#" + "." * 8 + "#" + ".." + "#"
    assert unplaced == 8  # each holds one for sure


def test_a_gap_in_repeated_text_is_unsure():
    got = entries("ha", "ha")
    answer = {"choices": [{"message": {"content": "hahaha"}, "logprobs": {"content": got}, "finish_reason": "length"}]}
    shape, unplaced = strip(payload_of_response({**answer, "usage": {"completion_tokens": 3}}))
    assert (sorted(shape), unplaced) == ([*"##."], 1)


@pytest.mark.parametrize("end", ["", "<|im_end|>", "</s>"])
def test_one_missing_token_beside_a_listed_end_is_a_gap(end):
    chunks = [chunk(e["token"], [e]) for e in entries("a", "b", "d")]
    chunks += [chunk("", entries(end), finish="stop"), closing(5)]
    shape, unplaced = strip(payload_of_stream(chunks))
    assert (shape.count("."), unplaced) == (1, 1)


def test_one_missing_token_after_complete_text_is_the_end_token():
    chunks = [chunk(e["token"], [e]) for e in entries("a", "b", "d")]
    assert strip(payload_of_stream([*chunks, chunk(finish="stop"), closing(4)])) == ("###", 0)
    assert strip(payload_of_stream([*chunks, chunk(finish="tool_calls"), closing(4)])) == ("###", 0)
    assert strip(payload_of_stream([*chunks, chunk(finish="length"), closing(4)])) == ("###.", 1)


def test_characters_of_several_tokens():
    """llama.cpp lists the last token of a character alone, with the whole of it, streamed or not."""
    got = [entry("a"), entry("\U0001f600"), entry("b"), entry("")]
    answer = {"choices": [{"message": {"content": "a\U0001f600b"}, "logprobs": {"content": got}}]}
    assert strip(payload_of_response({**answer, "usage": {"completion_tokens": 6}})) == ("#..###", 0)


def test_half_characters_are_found_by_their_bytes():
    raw = "\U0001f600".encode()
    halves = [entry("\ufffd", raw=raw[:2]), entry("\ufffd", raw=raw[2:3]), entry("\ufffd", raw=raw[3:])]
    answer = {
        "choices": [
            {
                "message": {"content": "a\U0001f600 bc"},
                "logprobs": {"content": [*halves, entry(" bc")]},
                "finish_reason": "length",
            }
        ],
        "usage": {"completion_tokens": 5},
    }
    assert strip(payload_of_response(answer)) == (".####", 0)
    for each in halves:  # Ollama's U+FFFD has the bytes of that sign, vLLM's broken texts none
        each["bytes"] = None
    assert strip(payload_of_response(answer)) == (".####", 0)


def test_half_characters_are_no_hole():
    halves = [entry("\ufffd", raw=b"") for _ in range(3)]
    answer = {"message": {"content": "\U0001f600 bc d"}, "finish_reason": "length"}
    answer["logprobs"] = {"content": [*halves, entry(" bc")]}
    whole = {"choices": [answer], "usage": {"completion_tokens": 6}}
    assert strip(payload_of_response(whole)) == ("####..", 0)


def test_the_reading_with_the_fewest_holes_is_taken():
    answer = {"message": {"content": "x a y a b"}, "logprobs": {"content": entries("a", " b")}}
    answer["finish_reason"] = "length"
    assert strip(payload_of_response({"choices": [answer], "usage": {"completion_tokens": 5}})) == ("...##", 0)


def test_hidden_thinking_stands_before_what_is_said():
    got = entries("4", "2", ".")
    usage = {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 6}}
    answer = {"choices": [{"message": {"content": "42."}, "logprobs": {"content": got}, "finish_reason": "stop"}]}
    assert strip(payload_of_response({**answer, "usage": usage})) == ("......###", 0)
    chunks = [*(chunk(e["token"], [e]) for e in got), chunk(finish="stop"), closing(**{"tokens": 9, **usage_of(6)})]
    assert strip(payload_of_stream(chunks)) == ("......###", 0)


def usage_of(thought):
    return {"completion_tokens_details": {"reasoning_tokens": thought}}


def test_thinking_that_is_shown_without_logprobs():
    answer = {
        "choices": [
            {
                "message": {"content": "42.", "reasoning_content": "six times seven"},
                "logprobs": {"content": entries("4", "2", ".")},
                "finish_reason": "length",
            }
        ],
        "usage": {"completion_tokens": 7},
    }
    assert strip(payload_of_response(answer)) == ("....###", 0)


def test_marks_between_thinking_and_text():
    """A reasoning parser takes ``</think>`` off, and its tokens go with it."""
    chunks = [chunk(None, [e], reasoning_content=e["token"]) for e in entries("I", " see")]
    chunks += [chunk(e["token"], [e]) for e in entries("Yes", ".")]
    shape, unplaced = strip(payload_of_stream([*chunks, chunk(finish="stop"), closing(9)]))
    assert (shape, unplaced) == ("##..##...", 4)


def test_a_tool_call_without_logprobs_stands_behind_the_text():
    call = {"id": "1", "type": "function", "function": {"name": "price_of", "arguments": '{"product": "mug"}'}}
    answer = {
        "choices": [
            {
                "message": {"content": "Let me see.", "tool_calls": [call]},
                "logprobs": {"content": entries("Let", " me", " see", ".")},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"completion_tokens": 14},
    }
    assert strip(payload_of_response(answer)) == ("####" + "." * 10, 0)


UNLIKE = {
    "ids alone": [{**e, "token": f"token_id:{place}", "bytes": None} for place, e in enumerate(entries(*"abcd"))],
    "another text": entries("w", "x", "y", "z"),
    "no text": [{**e, "token": None, "bytes": None} for e in entries(*"abcd")],
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_gaps_without_evidence_are_unsure(kind):
    answer = {"choices": [{"message": {"content": "abcdef"}, "logprobs": {"content": UNLIKE[kind]}}]}
    assert strip(payload_of_response({**answer, "usage": {"completion_tokens": 9}})) == ("####.....", 4)
    assert strip(payload_of_response({**answer, "usage": {"completion_tokens": 5}})) == ("####", 0)


def test_several_requests_keep_theirs():
    message = {"content": "xyb"}
    one = {"choices": [{"message": message, "logprobs": {"content": entries("b")}, "finish_reason": "length"}]}
    first = payload_of_response({**one, "usage": {"completion_tokens": 2}})
    second = payload_of_response({**one, "usage": {"completion_tokens": 3}})
    assert strip(merge_payloads([first, second])) == (".#..#", 0)


def test_aligning_a_long_bad_answer_ends_in_time():
    chance = random.Random(3)
    texts = [chance.choice(["a", "b", " "]) for _ in range(6000)]
    got = [entry(text) for place, text in enumerate(texts) if place % 3]
    answer = {"choices": [{"message": {"content": "".join(texts)}, "logprobs": {"content": got}}]}
    shape, unplaced = strip(payload_of_response({**answer, "usage": {"completion_tokens": 6001}}))
    assert len(shape) == 6001
    assert unplaced


def test_saved_parts_are_placed_alike():
    chunks = [chunk(e["token"], [] if place in (0, 4) else [e]) for place, e in enumerate(entries(*WHOLE))]
    (call,) = trajectory_of([*chunks, chunk(finish="stop"), closing(9)]).calls
    assert "".join("." if np.isnan(value) else "#" for value in call.entropies) == ".###.###."


OTHERS = {
    "ollama": lambda e: {"message": {"role": "assistant", "content": e["token"]}, "logprobs": [e]},
    "llama.cpp": lambda e: {"content": e["token"], "completion_probabilities": [e]},
    "message": lambda e: {
        "type": "AIMessageChunk",
        "id": "run-1",
        "content": e["token"],
        "response_metadata": {"logprobs": {"content": [e]}},
    },
}
ENDS = {
    "ollama": {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "length", "eval_count": 8},
    "llama.cpp": {"content": "", "stop": True, "stop_type": "limit", "tokens_predicted": 8},
    "message": {
        "type": "AIMessageChunk",
        "id": "run-1",
        "content": "",
        "chunk_position": "last",
        "response_metadata": {"finish_reason": "length"},
        "usage_metadata": {"input_tokens": 1, "output_tokens": 8, "total_tokens": 9},
    },
}
GOES_ON = {"ollama": {"done": False}, "llama.cpp": {"stop": False}, "message": {}}


@pytest.mark.parametrize("kind", OTHERS)
def test_parts_of_other_kinds_too(kind):
    parts = [{**OTHERS[kind](e), **GOES_ON[kind]} for e in entries(*WHOLE)]
    for place in (0, 4, 5):
        for name in ("logprobs", "completion_probabilities"):
            parts[place].pop(name, None)
        if "response_metadata" in parts[place]:
            parts[place]["response_metadata"] = {}
    (call,) = trajectory_of([*parts, ENDS[kind]]).calls
    assert "".join("." if np.isnan(value) else "#" for value in call.entropies) == ".###..##"
