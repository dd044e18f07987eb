"""Streams that nothing counts: what came without logprobs is told by the text, and by parts of characters in it."""

from __future__ import annotations

import numpy as np
import pytest

from ec_agent.capture.shapes import call_of, payload_of_stream
from ec_agent.testing import logprobs_for

WORDS = ("It ", "is ", "rather ", "fine ", "tea")


def chunk(text=None, entries=(), finish=None, index=0):
    logprobs = {"content": list(entries)} if entries else None
    choice = {"index": index, "delta": {"content": text} if text else {}, "logprobs": logprobs, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "id": "c", "choices": [choice]}


def entries(texts, raws=None):
    made = logprobs_for([0.1 + 0.1 * place for place in range(len(texts))])
    raws = raws or [list(text.encode()) for text in texts]
    return [{**e, "token": t, "bytes": raw} for e, t, raw in zip(made, texts, raws, strict=True)]


def gaps(chunks):
    """The places of the gaps, and the length."""
    call = call_of(payload_of_stream(chunks), ("entropy",))
    return np.flatnonzero(np.isnan(call.entropies)).tolist(), len(call.entropies)


END = chunk(finish="stop")


def test_logprobs_that_all_come_at_the_end():
    assert gaps([*(chunk(word) for word in WORDS[:-1]), chunk(WORDS[-1], entries(WORDS)), END]) == ([], 5)


def test_a_tool_call_in_a_cumulative_stream_is_a_gap():
    """The call's tokens have none; each part has some all the same."""
    made = entries(WORDS)
    body = [chunk(word, made[: place + 1]) for place, word in enumerate(WORDS)]
    call = chunk(None, made)
    call["choices"][0]["delta"] = {"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": "{}"}}]}
    places, length = gaps([*body, call, END])
    assert (places, length) == ([5], 6)


@pytest.mark.parametrize("lost", [0, 2, 4])
def test_one_is_lacking_while_the_text_comes_early(lost):
    made = entries(WORDS)
    late = [chunk(None, [e]) for place, e in enumerate(made) if place != lost]
    assert gaps([chunk(word) for word in WORDS] + [*late, END]) == ([lost], 5)


def test_a_mark_makes_up_for_no_word():
    """The logprobs of a tag without text are no logprobs of the text that has none."""
    first, mark, last = entries(("tea ", "</think>", "so"))
    body = [chunk("tea ", [first]), chunk("is "), chunk(None, [mark]), chunk("so", [last])]
    places, length = gaps([*body, END])
    assert (len(places), length) == (1, 4)


@pytest.mark.parametrize(
    ("texts", "raws"),
    [
        (["It ", "bytes:\\xc3", "bytes:\\xa9", "tea"], [[73, 116, 32], [0xC3], [0xA9], [116, 101, 97]]),
        (["It ", "\ufffd", "\ufffd", "tea"], [[73, 116, 32], [0xC3], [0xA9], [116, 101, 97]]),
        (["It ", "", "", "tea"], [[73, 116, 32], [], [], [116, 101, 97]]),
    ],
    ids=["OpenAI", "Ollama", "vLLM"],
)
class TestPartsOfCharacters:
    def body(self, texts, raws):
        said = ("It ", "", "\u00e9", "tea")
        return [chunk(text, [e]) for text, e in zip(said, entries(texts, raws), strict=True)]

    def test_all_came(self, texts, raws):
        assert gaps([*self.body(texts, raws), END]) == ([], 4)

    def test_all_came_and_an_end_token_is_counted(self, texts, raws):
        usage = {**END, "choices": [], "usage": {"completion_tokens": 5}}
        assert gaps([*self.body(texts, raws), END, usage]) == ([], 4)

    def test_ahead_of_their_text(self, texts, raws):
        made = entries(texts, raws)
        said = (None, "It ", None, "\u00e9", "tea")
        body = [chunk(text, [e]) for text, e in zip(said, made, strict=False)]
        assert gaps([*body, chunk("tea"), END]) == ([], 4)


def test_half_a_character_is_lacking():
    body = TestPartsOfCharacters().body(["It ", "\ufffd", "\ufffd", "tea"], [[73], [0xC3], [0xA9], [116, 101, 97]])
    body[1]["choices"][0]["logprobs"] = None
    places, length = gaps([*body, END])
    assert (len(places), length) == (1, 4)


def test_each_alternatives_text_shows_its_gaps():
    made = entries(WORDS)
    one = [*(chunk(word) for word in WORDS[:-1]), chunk(WORDS[-1], made), END]
    two = [chunk(word, [e], index=1) for word, e in zip(WORDS, made, strict=True)]
    assert gaps([*one, *two, chunk(finish="stop", index=1)]) == ([], 5)
    usage = {**END, "choices": [], "usage": {"completion_tokens": 10}}
    assert gaps([*one, *two, chunk(finish="stop", index=1), usage]) == ([], 5)


@pytest.mark.parametrize("place", [1, 3])
def test_the_total_count_reveals_a_repeated_part(place):
    made = entries(WORDS)
    one = [chunk(word, [e]) for word, e in zip(WORDS, made, strict=True)]
    two = [chunk(word, [e], index=1) for word, e in zip(WORDS, entries(WORDS[::-1]), strict=True)]
    usage = {**END, "choices": [], "usage": {"completion_tokens": 10}}
    again = [*one[:place], one[place], *one[place:]]
    assert gaps([*again, *two, END, chunk(finish="stop", index=1), usage]) == ([], 5)
