"""The checks of `make engines`, on the embedded server: they pass where all is right, and see what is wrong."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import by_hand
import doctor_by_hand
import engine_checks
import numpy as np
import pytest
import real_servers
import seen_servers
from answer_tap import Exchange, Tap
from engine_checks import Asking, Result, unlike, unmatched
from fake_openai import MODEL, FakeOpenAI
from thinking_server import THINK, ThinkingServer

from ec_agent import Call
from ec_agent.doctor import EndpointTarget, diagnose
from ec_agent.doctor.report import Mark

sys.path.append(str(Path(__file__).parents[1] / "doctor"))

from engines import ENGINES

HALVES = [{"token": "a", "logprob": math.log(0.5)}, {"token": "b", "logprob": math.log(0.5)}]
ENTRY = {"token": "a", "logprob": math.log(0.5), "top_logprobs": HALVES}


def whole(choices, usage=None):
    told = [{"index": place, "message": {"content": "a"}, "logprobs": each} for place, each in enumerate(choices)]
    body = {"model": "m", "choices": told, "usage": {"completion_tokens": usage} if usage else None}
    return Exchange("/v1/chat/completions", {}, 200, "application/json", json.dumps(body).encode())


def streamed(parts):
    events = [{"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": each}]} for each in parts]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in [*events, {"usage": {"completion_tokens": 2}}])
    return Exchange("/v1/chat/completions", {}, 200, "text/event-stream", (body + "data: [DONE]\n\n").encode())


FORMS = {
    "content": whole([{"content": [ENTRY, ENTRY]}], 2),
    "a bare list": whole([[ENTRY, ENTRY]], 2),
    "parallel lists": whole(
        [
            {
                "tokens": ["a", "a"],
                "token_logprobs": [math.log(0.5)] * 2,
                "top_logprobs": [{each["token"]: each["logprob"] for each in HALVES}] * 2,
            }
        ],
        2,
    ),
    "streamed": streamed([{"content": [ENTRY]}, {"content": [ENTRY]}]),
    "streamed, a bare entry": streamed([ENTRY, ENTRY]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_by_hand(form):
    answer = by_hand.read(FORMS[form])
    assert answer.first.entropies == pytest.approx([math.log(2)] * 2)
    assert answer.counted == 2


def test_what_has_no_entropy():
    masked = {**ENTRY, "top_logprobs": [{"token": "a", "logprob": -9999.0}]}
    placeholder = {**ENTRY, "logprob": 0.0}
    assert np.isnan([by_hand.entropy(each) for each in (masked, placeholder, {"token": "a", "logprob": -1.0})]).all()


def test_of_more_candidates_than_were_asked_for_the_likeliest_count():
    more = {**ENTRY, "top_logprobs": [*HALVES, {"token": "c", "logprob": -3.0}]}
    assert by_hand.entropy(more, 2) == pytest.approx(math.log(2))
    assert by_hand.entropy(more) > math.log(2)


def test_a_candidate_that_is_listed_twice_counts_once():
    assert by_hand.entropy({**ENTRY, "top_logprobs": [*HALVES, HALVES[0]]}) == pytest.approx(math.log(2))


RIGHT = Call(entropies=np.array([math.log(2)] * 2))
WRONG = {
    "another number": Call(entropies=np.array([math.log(2), 0.6])),
    "a number that is not there": Call(entropies=np.array([math.log(2)] * 3)),
    "a number that is left out": Call(entropies=np.array([math.log(2), np.nan])),
    "tokens that are not there": Call(entropies=RIGHT.entropies, tokens=4),
    "answers left out of the bill": replace(RIGHT, beside=0),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_seen(wrong):
    raw = [{"content": [ENTRY, ENTRY]}, {"content": [ENTRY, ENTRY]}]
    two = wrong == "answers left out of the bill"
    answer = by_hand.read(whole(raw if two else raw[:1], 4 if two else 2))
    assert list(unlike(WRONG[wrong], answer))
    assert not list(unlike(replace(RIGHT, beside=2) if two else RIGHT, answer))


def test_calls_and_answers_must_match_one_to_one():
    answer = by_hand.read(FORMS["content"])
    assert not list(unmatched([RIGHT], [answer]))
    assert list(unmatched([RIGHT, RIGHT], [answer]))
    assert list(unmatched([], [answer]))
    assert list(unmatched([WRONG["another number"]], [answer]))


@pytest.fixture(scope="module")
def asking(local_server):
    with Tap(local_server.base_url) as tap:
        yield Asking(tap, local_server.model, max_tokens=6, seconds=60)


@pytest.mark.model
@pytest.mark.parametrize("check", ["text, whole", "text, streamed", "n = 2, whole"])
def test_the_embedded_server_passes(asking, check, monkeypatch):
    kept = {what: body for what, body in engine_checks.REQUESTS.items() if check.startswith(what)}
    monkeypatch.setattr(engine_checks, "REQUESTS", kept)
    (result,) = [each for each in engine_checks.answers(asking) if each.check == check]
    assert not result.wrong
    assert " tokens" in result.said


@pytest.fixture(scope="module")
def thinking():
    with ThinkingServer() as server, Tap(server.base_url) as tap:
        yield Asking(tap, server.model, max_tokens=16, seconds=60, reasoning=THINK)


@pytest.mark.model
def test_thinking_is_told_apart_and_scored(thinking, monkeypatch):
    monkeypatch.setattr(engine_checks, "REQUESTS", {"reasoning": {}})
    whole, streamed = engine_checks.answers(thinking)
    assert (whole.wrong, streamed.wrong) == ("", "")
    counts = [re.fullmatch(r"(\d+) of (\d+) tokens, thinking among them", each.said) for each in (whole, streamed)]
    assert counts[0][1] == counts[0][2]
    # Of the mark that closes the thinking llama.cpp streams nothing; its tokens are gaps.
    assert int(counts[1][1]) < int(counts[1][2]) <= int(counts[0][1])


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (by_hand.Choice([{"token": "a"}], thought="a"), "among them"),
        (by_hand.Choice([{"token": "b"}], thought="a"), "without the thinking"),
        (by_hand.Choice([{"token": "b"}]), "no thinking"),
    ],
)
def test_what_is_told_of_thinking(choice, said):
    assert said in engine_checks._thinking(choice)


@pytest.mark.model
def test_a_way_of_reading_that_differs_is_seen(asking, monkeypatch):
    monkeypatch.setattr(engine_checks, "ways", lambda *_: [("by magic", ())])
    monkeypatch.setattr(engine_checks, "REQUESTS", {"text": {}})
    assert {result.wrong for result in engine_checks.answers(asking)} == {"by magic: not as live"}


@pytest.fixture(scope="module")
def unlike_engines():
    """A server that is whichever engine it is told to be, behind a tap."""
    fake = FakeOpenAI()
    with Tap(fake.url) as tap:
        yield fake, tap
    fake.close()


@pytest.mark.members(12)
@pytest.mark.parametrize("name", ENGINES)
def test_the_doctors_lines_are_judged(unlike_engines, name):
    fake, tap = unlike_engines
    fake.otherwise, before = ENGINES[name], len(tap.exchanges)
    report = diagnose(EndpointTarget(tap.url, MODEL, timeout=60))
    heard = doctor_by_hand.Heard(tap.exchanges[before:])
    assert not [result for result in doctor_by_hand.judged(report, heard) if result.wrong]
    # Of a report that says the contrary, most lines are wrong; some can be judged only of certain answers.
    contrary = {Mark.YES: Mark.NO, Mark.NO: Mark.YES, Mark.PARTLY: Mark.NO, Mark.UNKNOWN: Mark.YES}
    lies = [replace(each, mark=contrary.get(each.mark, each.mark)) for each in report.findings]
    wrong = [result for result in doctor_by_hand.judged(replace(report, findings=tuple(lies)), heard) if result.wrong]
    asked = [each for each in report.findings if each.mark is not Mark.NOT_ASKED]
    assert len(wrong) >= len(asked) - 3


# What was seen


def test_what_is_kept_names_engines_that_there_are():
    kept = seen_servers.kept()
    versions = {engine.name: engine.version for engine in real_servers.ENGINES}
    assert len(kept) >= 4
    assert {name: of["version"] for name, of in kept.items()} == {name: versions[name] for name in kept}


def test_nothing_that_was_seen_is_wrong():
    assert not [result for of in seen_servers.kept().values() for result in of["results"] if result[2]]


def test_a_table_has_a_cell_for_each_check(tmp_path, monkeypatch):
    monkeypatch.setattr(seen_servers, "KEPT", tmp_path / "seen.json")
    engine = real_servers.ENGINES[0]
    results = [Result(head, "5 of 6 tokens, no tool call") for head in seen_servers.HEADS[:2]]
    seen_servers.note(engine, [*results, Result("doctor: a", "yes", "by hand: no")], "2026-11-29")
    (row,) = [line for line in seen_servers.section().splitlines() if line.startswith(f"| {engine.name} ")]
    assert row.count("5 of 6, no call") == 2
    assert "0 of 1 lines right" in row
    assert row.count("|") == len(seen_servers.HEADS) + 5


def test_the_page_names_each_engine_seen_or_not():
    _, table, not_run = re.split(r"\n\| engine .*\n|\nNot run:\n", seen_servers.section())
    kept = seen_servers.kept()
    for engine in real_servers.ENGINES:
        where = table if engine.name in kept else not_run
        assert f"{engine.name} {engine.version}" in where
