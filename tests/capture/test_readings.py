"""Entries that were read once keep what was asked for, and are made again for everything else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ec_agent.capture.shapes import Payload, Reading, call_of, entries_of, generated, read_once
from ec_agent.capture.shapes.readings import ReadEntries

LOGPROBS = {
    "content": [
        {
            "token": token,
            "logprob": -0.1 * place - 0.1,
            "top_logprobs": [
                {"token": token, "logprob": -0.1 * place - 0.1},
                {"token": "x", "logprob": -2.5},
                {"token": "y", "logprob": -4.0},
            ],
        }
        for place, token in enumerate("abcd")
    ]
}
USUAL = Reading(("entropy", "surprisal"), top_k=3)
OTHERS = [
    Reading(("entropy", "surprisal"), top_k=2),
    Reading(("entropy",), 3, keep_text=True),
    Reading(("entropy",), 3),
]


def made(log):
    return lambda: log.append(1) or entries_of(LOGPROBS)


def same(one, other):
    assert one.signals.keys() == other.signals.keys()
    for name in one.signals:
        np.testing.assert_array_equal(one.signals[name], other.signals[name])
    assert (one.texts, one.candidates, one.capability) == (other.texts, other.candidates, other.capability)


def test_what_was_read_is_not_read_again():
    log = []
    entries = ReadEntries(entries_of(LOGPROBS), USUAL, made(log))
    assert len(entries) == 4
    assert USUAL.of(entries) is entries.read
    assert log == []


def test_another_reading_has_its_own_values():
    for other in OTHERS:
        log = []
        same(other.of(ReadEntries(entries_of(LOGPROBS), USUAL, made(log))), other.of(entries_of(LOGPROBS)))
        assert log == [1]


def test_whoever_looks_at_the_entries_gets_them_made_once():
    log = []
    entries = ReadEntries(entries_of(LOGPROBS), USUAL, made(log))
    assert [entry["token"] for entry in entries] == list("abcd")
    assert entries[2]["token"] == "c"
    assert [entry["token"] for entry in entries[1:3]] == ["b", "c"]
    assert log == [1]


def test_missing_tokens_keep_their_places():
    payload = Payload(entries=entries_of(LOGPROBS), tokens=7)
    early = read_once(payload, Reading(("entropy",)), lambda: 1 / 0)
    assert generated(early) == generated(payload) == 7
    np.testing.assert_array_equal(call_of(early, ["entropy"]).entropies, call_of(payload, ["entropy"]).entropies)


def test_another_number_of_tokens_is_looked_for_in_the_answer():
    payload = Payload(entries=entries_of(LOGPROBS), tokens=4)
    early = read_once(payload, Reading(("entropy",)), lambda: payload)
    assert generated(replace(early, tokens=6)) == 6
