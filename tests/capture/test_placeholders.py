"""Numbers that stand where nothing was measured give a token no signal of any kind, however it is read."""

from __future__ import annotations

from math import log

import pytest
from langchain.agents import create_agent
from readings import ALL, completion, quick, readings, signal

from ec_agent import LowestCentroid, best_of_n, record_calls
from ec_agent.capture.shapes import Payload, call_of, payload_of_message, payload_of_response
from ec_agent.evaluator import trajectory_of
from ec_agent.selectors import SELECTORS, selector_named
from ec_agent.testing import Reply, ScriptedChatModel

LLAMAS_LOWEST = -3.4028234663852886e38


def entry(sampled, *logprobs, text="t0"):
    top = [{"token": f"t{i}", "bytes": None, "logprob": lp} for i, lp in enumerate(logprobs)]
    return {"token": text, "bytes": None, "logprob": sampled, "top_logprobs": top}


def bare(*logprobs):
    return [entry(lp) for lp in logprobs]


MEASURED = entry(log(0.6), log(0.6), log(0.3), log(0.05))

# Tokens in which nothing was measured, among others with candidates
UNMEASURED = {
    "0.0, no candidates": entry(0.0),
    "-0.0, no candidates": entry(-0.0),
    "0, no candidates": entry(0),
    "above 0 by rounding, no candidates": entry(1e-6),
    "0.0, candidates None": {"token": "t0", "logprob": 0.0, "top_logprobs": None},
    "0.0, no such key": {"token": "t0", "logprob": 0.0},
    "0.0, the token listed with another": entry(0.0, log(0.6), log(0.3), log(0.05)),
    "-0.0, the token listed with another": entry(-0.0, log(0.6), log(0.3), log(0.05)),
    "0.0, candidates without it": entry(0.0, log(0.6), log(0.3), log(0.1), text="beyond"),
    "0.0, unsorted candidates": entry(0.0, log(0.1), log(0.6), log(0.3)),
    "0.0, another is certain": entry(0.0, -1e-5, -12.0, -13.0, text="beyond"),
    "0.0, another is certain, it is listed": entry(0.0, -1e-5, -12.0, -13.0, text="t1"),
    "0.0, another has it": entry(0.0, 0.0, -9999.0, text="beyond"),
    "0.0, another has it, all others masked": entry(0.0, -1000.0, 0.0, LLAMAS_LOWEST, text="t0"),
    "0.0, another alone has it": entry(0.0, 0.0, text="beyond"),
    "0.0, a single one that is not": entry(0.0, log(0.6)),
    "0.0, all of them 0.0": entry(0.0, 0.0, 0.0, 0.0),
    "a number of its own, all of them 0.0": entry(-0.7, 0.0, 0.0, 0.0),
    "a number of its own, two of them 0.0": entry(-0.7, 0.0, -3.0, 0.0),
    "0.0, all -9999": entry(0.0, -9999.0, -9999.0, -9999.0),
    "all -9999": entry(-9999.0, -9999.0, -9999.0, -9999.0),
    "all -9999, a number of its own": entry(-0.7, -9999.0, -9999.0, -9999.0),
    "all -1000": entry(-0.7, -1000.0, -1000.0, -1000.0),
    "all lowest": entry(-0.7, LLAMAS_LOWEST, LLAMAS_LOWEST, LLAMAS_LOWEST),
    "all lowest, falling": entry(-0.7, -800.0, -900.0, -1000.0),
    "one, -9999": entry(0.0, -9999.0),
}

# Tokens of which something was measured, and their sampled logprob
CERTAIN = {
    "0.0 in both": (entry(0.0, 0.0, -20.0, -21.0), 0.0),
    "-0.0 and 0.0": (entry(-0.0, 0.0, -20.0, -21.0), 0.0),
    "0.0 and next to it": (entry(0.0, -1e-5, -12.0, -13.0), 0.0),
    "next to it and 0.0": (entry(-1e-5, 0.0, -12.0, -13.0), -1e-5),
    "others masked": (entry(0.0, 0.0, -9999.0, -9999.0), 0.0),
    "others masked otherwise": (entry(0.0, 0.0, -1000.0, LLAMAS_LOWEST), 0.0),
    "named by its number": ({**entry(0.0, -1e-5, -12.0, -13.0), "token": "token_id:7"}, 0.0),
    "a broken name": (entry(0.0, -1e-5, -12.0, -13.0, text="\ufffd"), 0.0),
    "the same number by another name": (entry(0.0, 0.0, -12.0, -13.0, text="▁t0"), 0.0),
    "the same number, in GPT-2's letters": (entry(0.0, 0.0, -9999.0, text="Ġt0"), 0.0),
    "the same number, white space by another name": (entry(0.0, 0.0, -9999.0, text="\n"), 0.0),
    "the same number, letters beyond ASCII": (entry(0.0, 0.0, -9999.0, text="Ã©"), 0.0),
    "a single one": (entry(0.0, 0.0), 0.0),
    "not certain, and listed so": (entry(log(0.3), log(0.6), log(0.3), log(0.05), text="t1"), log(0.3)),
    "not certain, beyond the list": (entry(log(0.01), log(0.6), log(0.3), log(0.05), text="beyond"), log(0.01)),
    "nearly certain, and nothing else": (entry(-0.001), -0.001),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("case", UNMEASURED)
def test_a_placeholder_has_no_signal(case, name):
    values = signal([MEASURED, UNMEASURED[case], MEASURED, MEASURED], name)
    assert values[1] is None
    assert None not in (values[0], *values[2:])


@pytest.mark.parametrize("case", CERTAIN)
def test_what_is_certain_and_confirmed_is_a_measurement(case):
    token, sampled = CERTAIN[case]
    entries = [MEASURED, token, MEASURED]
    assert signal(entries, "logprob")[1] == pytest.approx(sampled, abs=0)
    if token["top_logprobs"]:
        assert signal(entries)[1] is not None


def test_a_mask_is_no_part_of_the_confidence():
    """DeepConf's mean would take a candidate at -1000 for the surest of tokens."""
    plain = signal([MEASURED] * 2, "confidence")
    for mask in (-9999.0, -1000.0, LLAMAS_LOWEST):
        masked = entry(log(0.6), log(0.6), log(0.3), log(0.05), mask)
        assert signal([masked] * 2, "confidence") == plain


def test_the_quick_reading_takes_single_zeros():
    assert quick([MEASURED, UNMEASURED["0.0, the token listed with another"]])
    assert quick([MEASURED, UNMEASURED["0.0, another is certain"]])
    assert quick([MEASURED, CERTAIN["0.0 in both"][0]])
    assert not quick([MEASURED, UNMEASURED["0.0, all of them 0.0"]])


# Where the sampled tokens' own logprobs are all that came

M = log(0.4)
PLACEHOLDERS = {
    "all": [0.0] * 20,
    "nearly all": [M] + [0.0] * 59,
    "drafts of three": [M, 0.0, 0.0, 0.0] * 10,
    "drafts of two": [M, 0.0, 0.0] * 10,
    "drafts of one": [M, 0.0] * 10,
    "one run in a long answer": [M] * 80 + [0.0] * 6,
    "a run of three": [M, M, 0.0, 0.0, 0.0, M, M, M, M, M, M, M, M, M],
    "-0.0": [M] * 4 + [-0.0] * 5,
    "a few nearly certain": [M, -1e-5, 0.0, 0.0, 0.0] * 2 + [0.0] * 10,
}
MEASUREMENTS = {
    "one": [M, 0.0, M, M],
    "one alone": [0.0],
    "a short answer": [0.0, 0.0],
    "some, scattered": [M, M, M, M, M, M, 0.0] * 4,
    "two in a row": [M] * 10 + [0.0, 0.0] + [M] * 10,
    "many, beside nearly certain ones": [M, 0.0, 0.0, -2e-7, 0.0, -4e-6, 0.0, 0.0, -1e-4] * 5,
    "none": [M, -1e-5, -1e-7] * 5,
}


@pytest.mark.parametrize("name", ["logprob", "surprisal"])
@pytest.mark.parametrize("case", PLACEHOLDERS)
def test_zeros_with_nothing_to_confirm_them(case, name):
    values = signal(bare(*PLACEHOLDERS[case]), name)
    assert [value is None for value in values] == [lp == 0.0 for lp in PLACEHOLDERS[case]]


@pytest.mark.parametrize("case", MEASUREMENTS)
def test_zeros_that_a_sure_model_has(case):
    assert signal(bare(*MEASUREMENTS[case]), "logprob") == MEASUREMENTS[case]


@pytest.mark.parametrize("case", ["nearly all", "drafts of three", "all"])
def test_stand_ins_confirm_nothing(case):
    """The sampled token alone, listed once more."""
    values = signal([entry(lp, lp) for lp in PLACEHOLDERS[case]], "surprisal")
    assert [value is None for value in values] == [lp == 0.0 for lp in PLACEHOLDERS[case]]


def legacy(entries):
    tops = [{each["token"]: each["logprob"] for each in one["top_logprobs"]} for one in entries]
    return {
        "tokens": [one["token"] for one in entries],
        "token_logprobs": [one["logprob"] for one in entries],
        "top_logprobs": tops,
    }


def gemini(entries):
    def candidate(each):
        return {"token": each["token"], "logProbability": each["logprob"]}

    tops = [{"candidates": [candidate(each) for each in one["top_logprobs"]]} for one in entries]
    return {"chosenCandidates": [candidate(one) for one in entries], "topCandidates": tops}


@pytest.mark.parametrize("name", ALL)
def test_other_shapes(name):
    entries = [MEASURED, *UNMEASURED.values(), CERTAIN["0.0 in both"][0]]
    entries = [{"top_logprobs": [], **{k: v for k, v in each.items() if v is not None}} for each in entries]
    for payload in (
        payload_of_response({"choices": [{"text": "x", "logprobs": legacy(entries)}]}),
        payload_of_response({"candidates": [{"logprobsResult": gemini(entries)}]}),
        payload_of_message({"type": "ai", "response_metadata": {"logprobs": legacy(entries)}}),
        Payload(entries=entries),
    ):
        values = call_of(payload, ALL).signal(name)
        assert len(values) == len(entries)
        assert [place for place, value in enumerate(values) if value == value] == [0, len(entries) - 1]


def test_a_call_of_nothing_else_has_no_logprobs():
    for entries in (bare(*[0.0] * 20), [UNMEASURED["all -9999"]] * 3):
        assert {call.capability for call in readings(entries).values()} == {"none"}
        assert trajectory_of(completion(entries)).share("surprisal") == 0.0


# In rollouts

KINDS = {
    "bare": entry(0.0),
    "listed": entry(0.0, log(0.6), log(0.3)),
    "masked": entry(0.0, *[-9999.0] * 3),
    "all 0.0": entry(0.0, *[0.0] * 3),
}
READ_LOGPROBS = [name for name in SELECTORS if selector_named(name).signals]


def varied(place):
    share = 0.9 if place % 5 else 0.4
    return entry(log(share), log(share), log((1 - share) * 0.7), log((1 - share) * 0.3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", READ_LOGPROBS)
def test_coverage_says_what_was_measured(label, kind):
    """By whatever signal a selector reads."""
    names = selector_named(label).signals
    with record_calls(signals=names) as recorder:
        ScriptedChatModel([[Reply("x", logprobs={"content": [varied(0)] + [KINDS[kind]] * 59})]]).invoke("hi")
    assert [recorder.trajectory().share(name) for name in names] == pytest.approx([1 / 60] * len(names))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", ["surprisal", *READ_LOGPROBS])
async def test_the_measured_rollout_is_taken(label, kind):
    selector = LowestCentroid(signal="surprisal") if label == "surprisal" else selector_named(label)
    logprobs = [varied(0)] + [KINDS[kind]] * 59, [varied(place) for place in range(60)]
    model = ScriptedChatModel([[Reply(f"{i}", logprobs={"content": each})] for i, each in enumerate(logprobs)])
    node = best_of_n(create_agent(model, []), n=2, selector=selector)
    for result in (node.run({"messages": "go"}), await node.arun({"messages": "go"})):
        assert result.selection.winner == 1
        assert [each.reason for each in result.selection.candidates] == ["coverage", None]
