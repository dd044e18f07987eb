"""Whatever an endpoint sends, the doctor reports; and the room's names are what they say."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
from fake_openai import Answer, chat_completion
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds import Kind
from short_form import part_of

import ec_agent.doctor
from ec_agent.doctor import ChatModelTarget, EndpointTarget, Report, Verdict, diagnose
from ec_agent.doctor.report import EXIT_CODES, QUESTIONS
from ec_agent.doctor.trials import Refusal

BODY = {"messages": [{"role": "user", "content": "x"}], "logprobs": True, "top_logprobs": 20, "tools": [{}]}
WHOLE = chat_completion(Kind()(BODY | {"model": "m"}), BODY)
ODD = st.sampled_from([None, "", "x", 0, -1, 1.5, True, [], {}, [None], {"content": None}, float("1e300"), [[]], ["x"]])


def places(thing, path=()):
    """Every place in a JSON document."""
    yield path
    items = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


PLACES = [path for path in places(WHOLE) if path and len(path) < 9]


def spoiled(path, value):
    whole = copy.deepcopy(WHOLE)
    inner = whole
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return whole


@pytest.mark.members(1)
@pytest.mark.parametrize("way", ["bare client", "chat model"])
@settings(max_examples=part_of(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PLACES), value=ODD)
def test_a_spoiled_answer_is_a_report_and_never_a_traceback(fake, chat_model, way, path, value):
    spoilt = Answer(raw=("application/json", json.dumps(spoiled(path, value)).encode()))
    target = EndpointTarget(fake.url, "m", timeout=5)
    fake.otherwise = spoilt
    if way == "chat model":
        target = ChatModelTarget(chat_model(spoilt, logprobs=True))
    report = diagnose(target)
    assert isinstance(report, Report)
    assert [finding.question for finding in report.findings] == list(QUESTIONS)
    assert all(finding.detail for finding in report.findings)
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ("top_logprobs must be at most 5.", 5),
        ("Invalid value: 20 is not in [0, 11]", 11),
        ("error 400: 'top_logprobs' must be <= 8, got 20", 8),
        ("error 400: no", None),
        ("gpt-4.1 refuses top_logprobs", None),
        ("", None),
    ],
)
def test_the_limit_in_a_message(message, number):
    assert Refusal(message).number() == number


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("404 page not found", "404 page not found"),
        ('{"error": "top_n_tokens must be <= 5"}', "top_n_tokens must be <= 5"),
        ('{"detail": [{"loc": ["body", "logprobs"], "msg": "Extra inputs"}]}', "Extra inputs body logprobs"),
        ('[{"error": {"code": 400, "message": "An invalid argument"}}]', "An invalid argument"),
        ('{"error": {"message": "Provider error", "metadata": {"raw": "no logprobs here"}}}', "no logprobs here"),
        ('{"error": null}', "error 400"),
        ("", "error 400"),
    ],
)
def test_a_refusal_is_told_in_its_own_words_whatever_its_form(fake, body, words):
    fake.otherwise = Answer(status=400, raw=("application/json", body.encode()))
    report = diagnose(EndpointTarget(fake.url, "m", timeout=5))
    assert report.finding("logprobs").detail.endswith(words)


def test_every_public_name_of_the_room_is_documented():
    assert all(getattr(ec_agent.doctor, name).__doc__ for name in ec_agent.doctor.__all__)
    assert set(ec_agent.doctor.__all__) <= set(dir(ec_agent.doctor))
    with pytest.raises(AttributeError, match="nothing"):
        ec_agent.doctor.nothing  # noqa: B018


def test_each_verdict_has_an_exit_code_of_its_own():
    assert set(EXIT_CODES) == set(Verdict)
    assert sorted(EXIT_CODES.values()) == [0, 1, 3, 4]


@pytest.mark.whole_form("a process of its own; test_floors.py reads who imports whom")
def test_the_room_knows_nothing_of_rollouts_and_the_command_line():
    code = (
        "import sys, ec_agent.doctor as d; [getattr(d, name) for name in d.__all__]; "
        "print([m for m in sys.modules if m.startswith(('ec_agent.rollouts', 'ec_agent.cli'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
