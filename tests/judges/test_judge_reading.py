"""The probabilities of the words that a judge may answer with, from the first token of its answer."""

from __future__ import annotations

import math

import judged_slowly as slowly
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import logprobs
from short_form import part_of

from ec_agent.capture.shapes import Payload, call_of
from ec_agent.judges.p_true import probability
from ec_agent.judges.reading import bare, shares_of

WORDS = ("true", "false")


def call(*tokens, candidates=20):
    payload = Payload(entries=logprobs(*tokens)["content"], tokens=len(tokens))
    return call_of(payload, ("entropy", "logprob"), keep_text=True, keep_candidates=candidates)


@pytest.mark.parametrize(
    "token",
    ["True", " True", "true", "TRUE", "\u2581True", "\u0120true", "**True", '"True', "True.", "\nTrue", "(True)"],
)
def test_all_ways_of_writing_a_word_are_that_word(token):
    assert bare(token) == "true"


@pytest.mark.parametrize("token", ["Tr", "Truely", "untrue", "Not true", "T", "1", "Trüe"])
def test_a_part_of_a_word_or_more_than_it_is_another_token(token):
    assert bare(token) not in WORDS


def test_variants_are_summed():
    shares = shares_of(call({"True": 0.4, " true": 0.2, "FALSE": 0.1, "Well": 0.25, " False": 0.05}), WORDS)
    assert shares.found == pytest.approx({"true": 0.6, "false": 0.15})
    assert shares.mass == pytest.approx(0.75)
    assert probability(shares) == pytest.approx(0.8)


def test_blank_tokens_before_the_word_are_passed_over():
    blank = {"\n": 0.9, "True": 0.1}
    shares = shares_of(call(blank, {" **": 1.0}, {"False": 0.7, "True": 0.3}), WORDS)
    assert probability(shares) == pytest.approx(0.3)


def test_a_word_that_is_not_among_the_candidates_is_as_likely_as_it_can_be():
    assert probability(shares_of(call({"True": 0.9, "Well": 0.02, "So": 0.01}), WORDS)) == pytest.approx(0.9 / 0.91)
    assert probability(shares_of(call({"True": 0.9, "Well": 0.06, "So": 0.035}), WORDS)) == pytest.approx(0.9 / 0.905)
    assert probability(shares_of(call({"False": 0.98, "Well": 0.02}), WORDS)) == pytest.approx(0.0)


def test_neither_is_known_where_neither_came():
    shares = shares_of(call({"Well": 0.9, "So": 0.1}), WORDS)
    assert (shares.found, shares.mass) == ({}, 0.0)


def test_without_candidates_the_sampled_token_alone_is_known():
    payload = Payload(entries=[{"token": "True", "logprob": math.log(0.7), "top_logprobs": []}], tokens=1)
    alone = call_of(payload, ("entropy", "logprob"), keep_text=True, keep_candidates=20)
    assert probability(shares_of(alone, WORDS)) == pytest.approx(0.7)


@pytest.mark.parametrize(
    "payload",
    [
        Payload(tokens=1),
        Payload(entries=[{"token": "True", "logprob": None, "top_logprobs": []}], tokens=1),
        Payload(entries=[{"token": " ", "logprob": -0.1, "top_logprobs": []}], tokens=1),
    ],
    ids=["no logprobs", "no number", "blank"],
)
def test_an_answer_without_logprobs_says_nothing(payload):
    read = call_of(payload, ("entropy", "logprob"), keep_text=True, keep_candidates=20)
    assert shares_of(read, WORDS) is None


TOKENS = ["True", " true", "TRUE", "False", " False", "Well", "No", "fals"]


@settings(max_examples=part_of(60), deadline=None)
@given(st.dictionaries(st.sampled_from(TOKENS), st.floats(0.01, 1.0), min_size=2), st.floats(0.3, 1.0))
def test_it_is_the_slow_restatement(weights, mass):
    total = sum(weights.values())
    likeliest = {token: weight / total * mass for token, weight in weights.items()}
    first = max(likeliest, key=likeliest.get)
    shares = shares_of(call(likeliest), WORDS)
    expected = slowly.p_true(likeliest)
    assert first
    if expected is None:
        assert not shares.found
    else:
        assert probability(shares) == pytest.approx(expected, abs=1e-9)
