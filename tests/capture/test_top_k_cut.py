"""Of more candidates than were asked for the largest count, whatever their order, however they are read."""

from __future__ import annotations

import json
from dataclasses import replace
from math import exp, fsum, log

import numpy as np
import pytest
from asking import chat
from fake_openai import Answer
from langchain_openai import ChatOpenAI
from openai import OpenAI
from readings import ALL, completion, quick, signal

from ec_agent import record_calls, token_entropy
from ec_agent.capture.shapes import call_of, payload_of_response
from ec_agent.capture.transport import http_client
from ec_agent.logs import found_in, opened

K = 3
ROWS = {
    "unsorted": [-3.0, -0.4, -4.0, -2.0, -1.9],
    "sorted": [-0.4, -1.9, -2.0, -3.0, -4.0],
    "ascending": [-4.0, -3.0, -2.0, -1.9, -0.4],
    "the sampled token first": [-4.0, -0.4, -1.9, -2.0, -3.0],
    "ties at the cut": [-2.0, -0.4, -2.0, -2.0, -2.0],
    "sorted, ties at the cut": [-0.4, -2.0, -2.0, -2.0, -2.0],
    "masked ones": [-9999.0, -3.0, -9999.0, -0.4, -2.0, -1.9],
}


def entropy_of(logprobs):
    weights = [exp(logprob) for logprob in logprobs if logprob > -745]
    return -fsum(w / fsum(weights) * log(w / fsum(weights)) for w in weights)


def entry(row):
    top = [{"token": f"t{i}", "bytes": None, "logprob": logprob} for i, logprob in enumerate(row)]
    return {**top[0], "logprob": row[0] if row[0] > -745 else -0.4, "top_logprobs": top}


def largest(row):
    return sorted(row, reverse=True)[:K]


@pytest.mark.parametrize("case", ROWS)
def test_the_largest_count(case):
    row = ROWS[case]
    expected = pytest.approx([entropy_of(largest(row))] * 2, abs=1e-12)
    assert signal([entry(row)] * 2, top_k=K) == expected
    assert token_entropy(np.array([row] * 2), top_k=K).tolist() == expected
    assert [token_entropy(row, top_k=K)] * 2 == expected
    # Every other choice is another number: the first three, the last, all of them, the smallest.
    others = (row[:K], row[-K:], row, sorted(row)[:K])
    assert sum(abs(entropy_of(other) - entropy_of(largest(row))) > 1e-3 for other in others) >= 2


@pytest.mark.parametrize("case", ROWS)
def test_all_candidates_count_if_top_k_is_unknown(case):
    assert signal([entry(ROWS[case])]) == pytest.approx([entropy_of(ROWS[case])], abs=1e-12)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("logprob", "surprisal", "entropy")])
def test_every_signal_of_candidates_is_of_those_that_count(name):
    cut = signal([entry(largest(ROWS["unsorted"]))] * 2, name)
    assert signal([entry(ROWS["unsorted"])] * 2, name, top_k=K) == pytest.approx(cut, abs=1e-12)
    assert signal([entry(ROWS["sorted"])] * 2, name, top_k=K) == pytest.approx(cut, abs=1e-12)


def test_both_ways_of_reading_are_taken():
    assert quick([entry(ROWS["sorted"])], K)
    assert quick([entry(ROWS["sorted, ties at the cut"])], K)
    assert not quick([entry(ROWS["unsorted"])], K)


@pytest.mark.parametrize("case", ROWS)
def test_the_legacy_shape(case):
    row = ROWS[case]
    top = {f"t{i}": logprob for i, logprob in enumerate(row)}
    held = {"tokens": ["t0"] * 2, "token_logprobs": [-0.4] * 2, "top_logprobs": [top] * 2}
    payload = replace(payload_of_response({"choices": [{"text": "x", "logprobs": held}]}), top_k=K)
    values = call_of(payload, ("entropy",)).entropies.tolist()
    assert values == pytest.approx([entropy_of(largest(row))] * 2, abs=1e-12)


def beneath(below):
    return {"http_client": http_client()} if below else {}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize("case", ["unsorted", "sorted", "ties at the cut"])
def test_through_a_client(case, below, stream, fake):
    """It is the request that says how many were asked for."""
    fake.answers["more"] = Answer([1.0] * 2, logprobs={"content": [entry(ROWS[case])] * 2})
    with OpenAI(base_url=fake.url, api_key="none", **beneath(below)) as client, record_calls() as recorder:
        answer = client.chat.completions.create(**chat("more", top_logprobs=K, stream=stream))
        assert not stream or list(answer)
    model = ChatOpenAI(model="m", base_url=fake.url, api_key="none", logprobs=True, top_logprobs=K, **beneath(below))
    with record_calls() as langchain:
        assert (list(model.stream("more")) if stream else model.invoke("more")) is not None
    for record in (recorder, langchain):
        known = record.trajectory().entropies
        assert known[~np.isnan(known)].tolist()[:2] == pytest.approx([entropy_of(largest(ROWS[case]))] * 2, abs=1e-12)


@pytest.mark.parametrize("case", ROWS)
def test_inspects_logs_say_how_many_were_asked_for(case, tmp_path):
    event = {"event": "model", "config": {"top_logprobs": K}, "output": completion([entry(ROWS[case])] * 2)}
    sample = {"id": 1, "epoch": 1, "input": "q", "target": "a", "messages": [], "events": [event], "scores": {}}
    log = {"version": 2, "status": "success", "eval": {"task": "t", "model": "m"}, "samples": [sample]}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    with opened(path) as source:
        (rollout,) = found_in(source, lambda where, what: pytest.fail(f"{where} {what}"))
    values = rollout.trajectory.entropies.tolist()
    assert values == pytest.approx([entropy_of(largest(ROWS[case]))] * 2, abs=1e-12)


def test_vllms_entropies_are_between_those_of_k_1_and_k():
    """The sampled token in the place of the k-th: see docs/method.md, section 1."""
    rng = np.random.default_rng(5)
    for _ in range(300):
        k = int(rng.integers(2, 21))
        all_of_them = -np.sort(rng.standard_exponential(40).cumsum() * rng.uniform(0.05, 1.0))
        all_of_them = np.sort(all_of_them)[::-1] - log(np.exp(all_of_them).sum())
        sampled = all_of_them[rng.integers(k, 40)]
        row = [sampled, *all_of_them[: k - 1]]
        low, high = token_entropy(all_of_them[: k - 1]), token_entropy(all_of_them[:k])
        assert low - 1e-12 <= token_entropy(row, top_k=k) <= high + 1e-12
