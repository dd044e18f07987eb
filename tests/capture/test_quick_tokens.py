"""The quick ways of reading answers give what the careful one gives, whatever is odd about the answer."""

from __future__ import annotations

import copy
import json
import random
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest
from short_form import part_of

from benchmarks.data import drawn_logprobs, entries_of
from ec_agent.capture.shapes import response_bytes, tokens
from ec_agent.capture.shapes.quick_tokens import usual_tokens
from ec_agent.capture.shapes.tokens import tokens_of
from ec_agent.errors import LogprobsError
from ec_agent.evaluator import trajectory_of
from ec_agent.numbers.signals import SIGNALS

NAN, INF = float("nan"), float("inf")
VALUES = [None, True, False, 0, -1, 0.0, -0.0, 0.005, 0.02, -0.001, -40.0, -650.0, -9999.0, -1e5, NAN, INF, -INF]
ODD = [*VALUES, 10**400, "-0.5", [], {}, {"logprob": -0.5}, [{"token": "a", "logprob": -0.5}], "x"]
KEPT = ("entropy", "logprob", "surprisal", "confidence")


MANY = drawn_logprobs(2_000)


def content(chance):
    first = chance.randrange(len(MANY) - 6)
    rows = MANY[first : first + chance.randint(1, 6), : chance.choice([1, 2, 2, 3, 5, 20])]
    return entries_of(rows, with_bytes=chance.random() < 0.5)


def damaged(entries, chance):
    for _ in range(chance.choice([0, 1, 1, 2])):
        entry = chance.choice(entries)
        tops = entry["top_logprobs"]
        how = chance.choice(["value", "value", "sampled", "candidates", "delete", "double", "shuffle", "entry", "sure"])
        if how == "value" and isinstance(tops, list) and tops and isinstance(tops[0], dict):
            chance.choice(tops)["logprob"] = chance.choice(ODD)
        elif how == "sampled":
            entry["logprob"] = chance.choice(ODD)
        elif how == "candidates":
            entry["top_logprobs"] = copy.deepcopy(chance.choice(ODD))
        elif how == "delete":
            return [{k: v for k, v in e.items() if e is not entry or k != chance.choice(list(entry))} for e in entries]
        elif how == "double" and isinstance(tops, list) and tops:
            tops.insert(chance.randint(0, len(tops)), copy.deepcopy(chance.choice(tops)))
        elif how == "shuffle" and isinstance(tops, list):
            chance.shuffle(tops)
        elif how == "entry":
            entries[entries.index(entry)] = chance.choice([None, 5, "x", [], {**entry, "top_logprobs": []}])
            return entries
        elif how == "sure" and isinstance(tops, list) and tops and isinstance(tops[0], dict):
            tops[0]["logprob"] = chance.choice([0, 0.0, False, -1e-9])
    return entries


def same(a, b):
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def values(call):
    return [call.entropies, *(call.signals[name] for name in KEPT[1:] if name in call.signals)], call.capability


def test_the_quick_way_is_the_careful_way(monkeypatch):
    chance = random.Random(1)
    quick = 0
    for _ in range(part_of(3000)):
        entries = damaged(content(chance), chance)
        top_k = chance.choice([None, None, 1, 2, 20])
        read = tokens_of(entries, top_k=top_k)
        quick += usual_tokens(entries, top_k) is not None
        with monkeypatch.context() as patch:
            patch.setattr(tokens, "usual_tokens", lambda *_: None)
            careful = tokens_of(entries, top_k=top_k)
        assert same((read.sampled,), (careful.sampled,)), entries
        assert same(*([SIGNALS[name](each) for name in KEPT] for each in (read, careful))), entries
        assert tokens.capability_of(read) == tokens.capability_of(careful), entries
        assert np.array_equal(np.sort(read.top), np.sort(careful.top), equal_nan=True), entries
    assert part_of(500) < quick < part_of(2500)


def body_of(entries, chance):
    usage = {"prompt_tokens": 3, "completion_tokens": chance.choice([0, len(entries), len(entries) + 5])}
    choice = {"index": 0, "message": {"role": "assistant", "content": "né"}, "logprobs": {"content": entries}}
    whole = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    if chance.random() < 0.1:
        whole["choices"].append(copy.deepcopy(choice))
    if chance.random() < 0.1:
        whole[chance.choice(["output", "eval_count", "provider"])] = 3
    if chance.random() < 0.1:
        choice["logprobs"][chance.choice(["refusal", "tokens", "reasoning_content"])] = chance.choice([None, entries])
    return whole


@pytest.mark.parametrize("ascii_only", [True, False])
def test_bytes_read_as_their_json(ascii_only):
    chance = random.Random(2)
    quick = 0
    for _ in range(part_of(1200)):
        whole = body_of(damaged(content(chance), chance), chance)
        body = json.dumps(whole, ensure_ascii=ascii_only).encode()
        quick += response_bytes.read_json(body, KEPT).__class__.__name__ == "Call"
        (read,) = trajectory_of(body).calls
        (plain,) = trajectory_of(json.loads(body)).calls
        assert same(values(read)[0], values(plain)[0]), whole
        for name in ("tokens", "capability", "prompt_tokens", "cached_tokens", "model", "partial", "constrained"):
            assert getattr(read, name) == getattr(plain, name), (name, whole)
    assert part_of(200) < quick < part_of(1000)


def test_without_the_typed_decoder(monkeypatch):
    body = json.dumps(body_of(content(random.Random(3)), random.Random(3))).encode()
    expected = trajectory_of(body).entropies
    monkeypatch.setattr(response_bytes, "_decoded", lambda body: None)
    assert same((trajectory_of(body).entropies,), (expected,))
    assert len(trajectory_of([body, json.loads(body)])) == 2 * len(expected)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"choices": [\xff]}', b"[" * 100_000, b"3", b'"x"', b"{}"])
def test_bytes_that_are_no_response(body):
    with pytest.raises(LogprobsError):
        trajectory_of(body)


def test_all_number_types_and_objects_are_read():
    rows = drawn_logprobs(4)[:, :5]
    plain = tokens_of(entries_of(rows))
    for kind in (np.float64, lambda x: Decimal(repr(x))):
        entries = entries_of(rows)
        for entry in entries:
            for candidate in entry["top_logprobs"]:
                candidate["logprob"] = kind(candidate["logprob"])
        assert same((tokens_of(entries).top,), (plain.top,))
        entries[1]["top_logprobs"].reverse()  # no longer usual
        assert np.array_equal(np.sort(tokens_of(entries).top), np.sort(plain.top))
    objects = [
        SimpleNamespace(**{**entry, "top_logprobs": [SimpleNamespace(**top) for top in entry["top_logprobs"]]})
        for entry in entries_of(rows)
    ]
    assert same((tokens_of(objects).top, tokens_of(objects).sampled), (plain.top, plain.sampled))
    assert usual_tokens(objects) is not None
