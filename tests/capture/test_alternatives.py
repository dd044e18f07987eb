"""Several answers to one request: when there are several, and which tokens are whose."""

from __future__ import annotations

import pytest

from ec_agent.capture.shapes import Payload
from ec_agent.capture.shapes.alternatives import Alternative, among, split
from ec_agent.testing import logprobs_for

A, B = logprobs_for([0.5, 1.5])


def choice(index, text="x"):
    return {"index": index, "delta": {"content": text}}


def test_a_choice_with_an_index_above_0_is_an_alternative():
    parts = [{"choices": [choice(1, "b")]}, {"choices": [choice(0, "a")]}]
    each = split(parts)
    assert [[c["delta"]["content"] for part in parts for c in part["choices"]] for parts in each] == [["a"], ["b"]]


@pytest.mark.parametrize(("choices", "prompts", "answers"), [(1, 1, 1), (3, 1, 3), (4, 2, 2), (3, 2, 3), (2, 2, 1)])
def test_how_many_answers_there_are(choices, prompts, answers):
    assert len(split([{"choices": [choice(place) for place in range(choices)]}], prompts)) == answers


def told(alternatives, tokens, **more):
    each = [Alternative(payload, frozenset(words)) for payload, words in alternatives]
    return [one.payload.tokens for one in among(each, Payload(tokens=tokens), **more).alternatives]


KNOWN, MUTE, EMPTY = (Payload(entries=[A, B]), {"a b"}), (Payload(), {"c"}), (Payload(), ())


@pytest.mark.parametrize(
    ("alternatives", "tokens", "unreturned", "expected"),
    [
        pytest.param([KNOWN, MUTE], 5, 0, [2, 3], id="the rest is that of one without entries"),
        pytest.param([KNOWN, MUTE], 2, 0, [2, None], id="of one that speaks, 0 is no count"),
        pytest.param([KNOWN, MUTE, EMPTY], 5, 0, [2, 3, 0], id="one that says nothing has none"),
        pytest.param([KNOWN, MUTE], 8, 1, [2, 3], id="one that was kept back has its share"),
    ],
)
def test_alternatives_share_the_remaining_tokens(alternatives, tokens, unreturned, expected):
    assert told(alternatives, tokens, unreturned=unreturned) == expected


def test_tokens_without_entries_are_paid_for():
    mute = Payload(entries=[A], mute=2)
    each = [Alternative(KNOWN[0], frozenset({"a"})), Alternative(mute, frozenset({"b"}))]
    assert among(each, Payload()).beside == 3


def test_counts_and_names_that_were_told_for_all_answers():
    own = Payload(entries=[A], prompt_tokens=9, cached_tokens=3, model="own", response="r")
    found = among([Alternative(own, frozenset({"a"}))], Payload(tokens=1, prompt_tokens=4))
    assert (found.prompt_tokens, found.cached_tokens, found.model, found.response) == (4, None, "own", "r")
