"""Which candidates are one token listed twice: told by its number, or by whole text and bytes, and by nothing else."""

from __future__ import annotations

import json
from math import log

import pytest
from readings import quick, signal

from ec_agent.capture.shapes import call_of, payload_of_response
from ec_agent.capture.shapes.repeated_candidates import identity_of

FOUR_AND_ONE = [log(0.2)] * 4 + [log(0.1)]
THREE_OF_THREE, TWICE = [log(0.25), log(0.25), log(0.1)], [log(0.25), log(0.1)]


def entropy_of(logprobs):
    """By the definition: made to sum to 1, and ``-sum p ln p``."""
    weights = [2.718281828459045**logprob for logprob in logprobs]
    return -sum(w / sum(weights) * log(w / sum(weights)) for w in weights)


def entry(names, logprobs):
    top = [{**name, "logprob": logprob} for name, logprob in zip(names, logprobs, strict=True)]
    return {**top[0], "top_logprobs": top}


def plain(text):
    return {"token": text, "bytes": list(text.encode())}


# Four different tokens that share all that is sent of them
BROKEN = {
    "U+FFFD, no bytes": {"token": "\ufffd", "bytes": None},
    "U+FFFD and nothing": {"token": "\ufffd"},
    "U+FFFD and its own bytes": {"token": "\ufffd", "bytes": [239, 191, 189]},
    "U+FFFD and empty bytes": {"token": "\ufffd", "bytes": []},
    "U+FFFD within a text": {"token": " a\ufffd", "bytes": [32, 97, 239, 191, 189]},
    "nothing and empty bytes": {"token": "", "bytes": []},
    "nothing and no bytes": {"token": "", "bytes": None},
    "nothing and a part of a character": {"token": "", "bytes": [0xE2, 0x80]},
    "U+FFFD and a part of a character": {"token": "\ufffd", "bytes": [0xF0, 0x9F]},
    "a name for a part of a character": {"token": "\\xe2\\x80", "bytes": [0xE2, 0x80]},
    "text with broken bytes": {"token": "?", "bytes": [239, 191, 189]},
    "half a surrogate pair": {"token": "\ud83d", "bytes": None},
    "no text": {"token": None, "bytes": None},
    "no text but bytes": {"token": None, "bytes": [97]},
    "nothing, text for bytes": {"token": "", "bytes": "\ufffd"},
    "bytes out of range": {"token": "a", "bytes": [300]},
    "bytes that are a number": {"token": "a", "bytes": 10**12},
    "an unknown number": {"token": "\ufffd", "bytes": None, "id": -1},
}

# Three candidates, the first two of which are one token
REPEATED = {
    "text and bytes": [plain("a"), plain("a"), plain("b")],
    "text, no bytes": [{"token": "a", "bytes": None}] * 2 + [plain("b")],
    "text, no such key": [{"token": "a"}] * 2 + [{"token": "b"}],
    "a special token's text": [{"token": "<|end|>", "bytes": []}] * 2 + [plain("b")],
    "beyond ASCII": [plain("茶"), plain("茶"), plain("b")],
    "text for bytes": [{"token": "a", "bytes": "a"}] * 2 + [plain("b")],
    "token_id": [{"token": "token_id:5", "bytes": []}] * 2 + [{"token": "token_id:6", "bytes": []}],
    "token_id, broken bytes": [{"token": "token_id:5", "bytes": [239, 191, 189]}] * 2 + [plain("b")],
    "a number beside a broken text": [{"token": "\ufffd", "bytes": None, "id": 5}] * 2 + [plain("b")],
    "Fireworks' number": [{"token": "", "bytes": [], "token_id": 5}] * 2 + [plain("b")],
}

# Three candidates that differ though much of what is sent of them is the same
DIFFERENT = {
    "numbers beside one text": [{**plain("a"), "id": 5}, {**plain("a"), "id": 6}, plain("b")],
    "numbers beside a broken text": [{"token": "\ufffd", "bytes": None, "id": each} for each in (5, 6, 7)],
    "numbers in token_id": [{"token": "", "bytes": [], "token_id": each} for each in (5, 6, 7)],
    "token_id": [{"token": f"token_id:{each}", "bytes": [239, 191, 189]} for each in (5, 6, 7)],
    "one number for all, broken texts": [{"token": text, "bytes": [], "id": 0} for text in ("", "", "b")],
    "one number for all, lone surrogates": [{"token": text, "id": 0} for text in ("\ud83d", "\ud83d", "\ud83e")],
    "one number for all": [{**plain(text), "id": 1} for text in "abc"],
    "bytes beside one text": [{"token": "a", "bytes": [97]}, {"token": "a", "bytes": [32, 97]}, plain("b")],
    "texts": [plain("a"), plain(" a"), plain("A")],
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_candidates_are_never_one_token(case):
    """A row may hold many of them with one logprob, and each counts."""
    row = entry([BROKEN[case]] * 4 + [plain("x")], FOUR_AND_ONE)
    assert signal([row] * 3) == pytest.approx([entropy_of(FOUR_AND_ONE)] * 3, abs=1e-12)


@pytest.mark.parametrize("case", REPEATED)
def test_a_true_repeat_counts_once(case):
    row = entry(REPEATED[case], THREE_OF_THREE)
    assert signal([row] * 2) == pytest.approx([entropy_of(TWICE)] * 2, abs=1e-12)
    apart = entry([REPEATED[case][place] for place in (0, 2, 1)], [THREE_OF_THREE[place] for place in (0, 2, 1)])
    assert signal([apart] * 2) == pytest.approx([entropy_of(TWICE)] * 2, abs=1e-12)


@pytest.mark.parametrize("case", DIFFERENT)
def test_different_candidates_all_count(case):
    row = entry(DIFFERENT[case], THREE_OF_THREE)
    assert signal([row] * 2) == pytest.approx([entropy_of(THREE_OF_THREE)] * 2, abs=1e-12)


def test_a_repeat_has_the_same_logprob():
    row = entry([plain("a"), plain("a"), plain("b")], [log(0.3), log(0.25), log(0.1)])
    assert signal([row]) == pytest.approx([entropy_of([log(0.3), log(0.25), log(0.1)])], abs=1e-12)


def test_a_number_with_two_logprobs_tells_nothing():
    """One token has one: a server that gives all the same number leaves texts alone to tell them apart."""
    row = entry([{"token": "", "token_id": 0}] * 5, FOUR_AND_ONE)
    assert signal([row]) == pytest.approx([entropy_of(FOUR_AND_ONE)], abs=1e-12)


def test_candidates_named_by_numbers():
    """mistral.rs names candidates so, with the text in ``bytes``."""
    broken = [{"token": number, "bytes": "\ufffd"} for number in (5, 6, 7)]
    assert signal([{**entry(broken, THREE_OF_THREE), "token": "a"}]) == pytest.approx([entropy_of(THREE_OF_THREE)])
    twice = [{"token": number, "bytes": "\ufffd"} for number in (5, 5, 7)]
    assert signal([{**entry(twice, THREE_OF_THREE), "token": "a"}]) == pytest.approx([entropy_of(TWICE)])


@pytest.mark.parametrize(("numbers", "counted"), [((5, 6, 7), THREE_OF_THREE), ((5, 5, 7), TWICE)])
def test_gemini_tells_tokens_apart_by_number(numbers, counted):
    top = [
        {"token": "\ufffd", "tokenId": number, "logProbability": logprob}
        for number, logprob in zip(numbers, THREE_OF_THREE, strict=True)
    ]
    held = {"chosenCandidates": top[:1], "topCandidates": [{"candidates": top}]}
    call = call_of(payload_of_response({"candidates": [{"logprobsResult": held}]}), ("entropy",))
    assert call.entropies.tolist() == pytest.approx([entropy_of(counted)], abs=1e-12)


def test_legacy_candidates_are_named_by_their_keys():
    top = {"\ufffd": log(0.25), "": log(0.25), "bytes:\\xe2": log(0.25), "token_id:5": log(0.25)}
    held = {"tokens": ["\ufffd"], "token_logprobs": [log(0.25)], "top_logprobs": [top]}
    call = call_of(payload_of_response({"choices": [{"text": "x", "logprobs": held}]}), ("entropy",))
    assert call.entropies.tolist() == pytest.approx([log(4)], abs=1e-12)


def test_equal_logprobs_alone_are_read_the_quick_way():
    """In bfloat16 many candidates share a logprob: their names are compared, and no more is looked at."""
    names = [plain(text) for text in "abcde"]
    assert quick([entry(names, FOUR_AND_ONE)] * 5)
    assert quick([entry([BROKEN["U+FFFD, no bytes"]] * 4 + names[:1], FOUR_AND_ONE)])
    assert not quick([entry([names[0], names[0], names[1]], THREE_OF_THREE)])


def test_identities_of_candidates_are_hashable():
    """Whatever a server sends can be compared."""
    for name in ([], {}, 5.0, True, b"a", float("nan")):
        for other in (None, [], {}, [None], "x", b"\xff", float("nan"), json):
            hash(identity_of({"token": name, "bytes": other, "id": other}))
