"""Whose account of a call is believed, case by case."""

from __future__ import annotations

import pytest

from ec_agent.capture.shapes import Payload, finished
from ec_agent.capture.which_account import account_of, same_tokens, text_in
from ec_agent.testing import logprobs_for

A, B, C = logprobs_for([0.5, 1.5, 0.25])


def believed(heard, own, text="a", said="a"):
    return account_of(heard, own, text, lambda: said)


def test_the_request_is_preferred_over_an_equal_message():
    assert believed(Payload(entries=[A], tokens=1), Payload(entries=[B], tokens=1)).entries == [A]


def test_parts_without_logprobs_count_as_recorded():
    heard, own = Payload(entries=[A], mute=1), Payload(entries=[B, C])
    assert believed(heard, own).entries == [A]


def test_facts_missing_in_the_request_are_filled_in():
    own = Payload(prompt_tokens=5, cached_tokens=2, model="m", response="r", cache_hit=True)
    found = believed(Payload(entries=[A], tokens=1), own)
    assert (found.prompt_tokens, found.cached_tokens, found.model, found.response) == (5, 2, "m", "r")
    assert found.cache_hit


def test_how_the_answer_came_is_known_from_the_request_alone():
    own = Payload(top_k=5, constrained=True, partial=True)
    found = believed(Payload(entries=[A], tokens=1), own)
    assert (found.top_k, found.constrained, found.partial) == (None, False, False)


@pytest.mark.parametrize(
    ("heard", "own", "same"), [([A], [A], True), ([A], [A, A], True), ([A, A], [A], False), ([], [], False)]
)
def test_the_same_tokens_perhaps_some_of_them_twice(heard, own, same):
    assert same_tokens(Payload(entries=heard), Payload(entries=own)) is same


@pytest.mark.parametrize(
    "part",
    [
        {"choices": [{"delta": {"content": "a"}}]},
        {"choices": [{"message": {"content": "a"}}]},
        {"choices": [{"text": "a"}]},
        {"output": [{"content": [{"text": "a"}]}]},
        {"type": "response.output_text.delta", "delta": "a"},
    ],
)
def test_the_text_of_every_kind(part):
    assert text_in([part, part]) == "aa"


def test_of_several_answers_each_has_to_end():
    ended, other = ({"choices": [{"index": place, "delta": {"content": "a"}}]} for place in (0, 1))
    ended["choices"][0]["finish_reason"] = "stop"
    assert finished([ended])
    assert not finished([ended, other])
