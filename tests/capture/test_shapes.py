"""Payloads, whole and damaged: each gives what the table in ``shapes`` says, and nothing raises."""

from __future__ import annotations

import copy
import json
import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from asking import shown
from fake_openai import Answer, chat_chunks, chat_completion, legacy_completion, response, response_events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from short_form import part_of

from ec_agent import record_calls
from ec_agent.capture.shapes import (
    Payload,
    call_of,
    entries_of,
    get,
    merge_payloads,
    payload_of_message,
    payload_of_response,
    payload_of_stream,
    tokens_of,
)
from ec_agent.testing import logprobs_for

NAN, INF = float("nan"), float("inf")
ASKED = {"logprobs": True, "include": ["message.output_text.logprobs"], "stream_options": {"include_usage": True}}
ENTROPIES = [1.5, 0.25, 0.75]


def of_message(logprobs, **usage):
    message = AIMessage("x", response_metadata={"logprobs": logprobs})
    if usage:
        message.usage_metadata = {"input_tokens": 0, "total_tokens": 0, **usage}
    return payload_of_message(message)


def entropies_of(entries):
    return shown(call_of(Payload(entries=entries), ("entropy",)).entropies)


def entry(*logprobs, sampled=None):
    top = [{"token": f"t{i}", "logprob": lp} for i, lp in enumerate(logprobs)]
    return {"token": "t0", "logprob": logprobs[0] if sampled is None and logprobs else sampled, "top_logprobs": top}


HALF = math.log(0.5)
EVEN = entry(HALF, HALF)  # ln 2
LN2 = round(math.log(2), 6)

# One entry among readable ones, and its entropy

ODD_ENTRIES = {
    "readable": (EVEN, LN2),
    "unsorted": (entry(math.log(0.1), math.log(0.9)), round(-0.9 * math.log(0.9) - 0.1 * math.log(0.1), 6)),
    "None": (None, None),
    "number": (-0.1, None),
    "string": ("token", None),
    "list": ([], None),
    "empty": ({}, None),
    "no candidates": (entry(sampled=-0.1), None),
    "candidates None": ({"token": "a", "logprob": -0.1, "top_logprobs": None}, None),
    "candidates a dict": ({"token": "a", "logprob": -0.1, "top_logprobs": {"a": -0.1, "b": -2.0}}, None),
    "candidates a string": ({"token": "a", "logprob": -0.1, "top_logprobs": "ab"}, None),
    "candidates a number": ({"token": "a", "logprob": -0.1, "top_logprobs": 5}, None),
    "candidates missing": ({"token": "a", "logprob": -0.1}, None),
    "candidates of None": ({"token": "a", "logprob": -0.1, "top_logprobs": [None, None]}, None),
    "candidates of numbers": ({"token": "a", "logprob": -0.1, "top_logprobs": [-0.1, -2.0]}, None),
    "candidates of strings": ({"token": "a", "logprob": -0.1, "top_logprobs": ["a", "b"]}, None),
    "one candidate None": (entry(HALF, None), None),
    "one candidate without logprob": ({"top_logprobs": [{"token": "a", "logprob": HALF}, {"token": "b"}]}, None),
    "one candidate a string": (entry(HALF, "-0.7"), None),
    "one candidate true": (entry(HALF, True), None),
    "certain as False": (entry(False), None),
    "one candidate NaN": (entry(HALF, NAN), None),
    "one candidate +inf": (entry(HALF, INF), None),
    "one candidate -inf": (entry(HALF, HALF, -INF), LN2),
    "one candidate -9999": (entry(HALF, HALF, -9999.0), LN2),
    "one candidate far beyond": (entry(HALF, HALF, -(10**400)), None),
    "one candidate huge": (entry(HALF, 10**400), None),
    "one candidate huge, one a list": (entry(HALF, -(10**400), []), None),
    "all -9999": (entry(-9999.0, -9999.0), None),
    "all -inf": (entry(-INF, -INF), None),
    "all NaN": (entry(NAN, NAN), None),
    "all underflow": (entry(-800.0, -900.0), None),
    "positive by rounding": (entry(1e-7, -20.0), round(20 * math.exp(-20), 6)),
    "positive": (entry(5.0, -1.0), None),
    "very positive": (entry(700.0, -1.0), None),
    "overflowing": (entry(800.0, 790.0), None),
    "probabilities": (entry(0.9, 0.1), None),
    "integers": (entry(-1, -1), LN2),
    "sampled beyond the top": (entry(HALF, HALF, sampled=-9999.0), LN2),
    "sampled a string": (entry(HALF, HALF, sampled="x"), LN2),
    # a candidate without others is certain only if its own logprob says so
    "single and likely": (entry(math.log(0.6)), None),
    "single and unlikely": (entry(-2.3), None),
    "single and certain": (entry(-1e-5), 0.0),
    "single and exact": (entry(0.0), 0.0),
    "certain in integers": (entry(0, -9999), 0.0),
    "others gone": (entry(-2.3, -9999.0, -9999.0), None),
    "others gone to -inf": (entry(-2.3, -INF), None),
    "others negligible": (entry(-2.3, -700.0), None),
}


# alone in a call, they may be all that its provider ever lists
STAND_INS = ("single and certain", "single and exact")


@pytest.mark.parametrize("case", ODD_ENTRIES)
def test_an_odd_entry_among_readable_ones(case):
    odd, entropy = ODD_ENTRIES[case]
    assert entropies_of([EVEN, odd, EVEN]) == [LN2, entropy, LN2]


@pytest.mark.parametrize("case", ODD_ENTRIES)
def test_an_odd_entry_on_its_own(case):
    odd, entropy = ODD_ENTRIES[case]
    assert entropies_of([odd]) == [None if case in STAND_INS else entropy]


@pytest.mark.parametrize("case", ODD_ENTRIES)
def test_objects_read_as_dicts_do(case):
    odd, entropy = ODD_ENTRIES[case]

    def as_object(thing):
        if isinstance(thing, dict):
            return SimpleNamespace(**{key: as_object(value) for key, value in thing.items()})
        return [as_object(each) for each in thing] if isinstance(thing, list) else thing

    assert entropies_of([as_object(EVEN), as_object(odd)]) == [LN2, entropy]
    assert entropies_of([EVEN, as_object(odd)]) == [LN2, entropy]


@pytest.mark.parametrize(
    ("rows", "entropies"),
    [
        ([entry(-0.5), entry(-0.1), entry(-2.0)], [None] * 3),
        ([entry(-0.5), entry(0.0), entry(-1e-5)], [None] * 3),  # only the sampled token came back
        ([entry(-1e-5), entry(0.0)], [None] * 2),  # nor does a call of certain tokens read as confident
        ([entry(-1e-5), None, entry()], [None] * 3),
        ([entry(-1e-5, -9999.0), entry(0.0)], [0.0, 0.0]),
        ([entry(-0.5), EVEN, entry(0.0)], [None, LN2, 0.0]),
        ([entry(-2.0, -9999.0), entry(0.0, -9999.0)], [None, None]),
        ([], []),
    ],
)
def test_single_candidates(rows, entropies):
    assert entropies_of(rows) == entropies


def test_asking_for_one_candidate_gives_no_entropy():
    for rows in ([entry(-1e-5, -12.0)], [EVEN, entry(0.0, -9999.0)], [entry(HALF)]):
        call = call_of(Payload(entries=rows, top_k=1), ("entropy", "logprob"))
        assert shown(call.entropies) == [None] * len(rows)
        assert call.capability == "sampled"


def test_ragged_rows():
    even = [entry(*[math.log(1 / k)] * k) for k in (1, 2, 3, 20)]
    assert entropies_of([*even, entry()]) == [*(round(math.log(k), 6) for k in (1, 2, 3, 20)), None]


def test_the_sampled_logprob():
    values = [-0.5, None, NAN, INF, -9999.0, "x", True, 0.0, -INF, 3.0, 10**400, -(10**400), 1e-7, -2]
    sampled = tokens_of([{"logprob": value} for value in values]).sampled
    assert shown(sampled) == [-0.5, None, None, None, None, None, None, 0.0, None, None, None, None, 0.0, -2.0]


def test_texts():
    tokens = tokens_of([{"token": "a"}, None, {"token": None}, {"token": 5}], keep_text=True)
    assert tokens.texts == ("a", "", "", "5")


# Whole payloads

ODD_LOGPROBS = [
    *(None, False, True, 0, 5, -0.5, NAN, "", "abc", b"abc", [], {}, [[]], [None], {"content": None}),
    *({"content": []}, {"content": 5}, {"content": "abc"}, {"content": {}}, {"refusal": 5}, {"tokens": 5}),
    *({"tokens": ["a"], "token_logprobs": None}, {"top_logprobs": [{"a": "b"}]}, {"content": [None, 5, "x", {}]}),
    *({"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": {"a": -0.5}}, {"token_logprobs": ["x", None]}),
]


@pytest.mark.parametrize("logprobs", ODD_LOGPROBS, ids=repr)
def test_odd_logprobs(logprobs):
    for payload in (
        of_message(logprobs),
        payload_of_message({"response_metadata": {"logprobs": logprobs}, "type": "ai"}),
        payload_of_message(AIMessage("x"), {"logprobs": logprobs}),
        payload_of_response({"choices": [{"logprobs": logprobs}]}),
        payload_of_response({"output": [{"content": [{"logprobs": logprobs}]}]}),
        payload_of_stream([{"choices": [{"index": 0, "logprobs": logprobs}]}]),
        payload_of_stream([{"type": "response.output_text.delta", "logprobs": logprobs}]),
    ):
        assert not (call_of(payload, ("entropy", "logprob")).entropies >= 0).any()


@pytest.mark.parametrize("logprobs", ODD_LOGPROBS, ids=repr)
def test_odd_logprobs_do_not_disturb_the_run(logprobs):
    class Odd(BaseChatModel):
        @property
        def _llm_type(self):
            return "odd"

        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            message = AIMessage("x", response_metadata={"logprobs": logprobs})
            return ChatResult(generations=[ChatGeneration(message=message)])

    with record_calls() as recorder:
        assert Odd().invoke("hi").content == "x"
    assert recorder.trajectory().scored_tokens == 0
    assert recorder.trajectory().centroid() is None


@pytest.mark.parametrize(
    "usage", [None, 5, "x", [], {}, {"completion_tokens": "x"}, {"completion_tokens": -1}], ids=repr
)
def test_odd_usage(usage):
    for payload in (
        payload_of_response({"usage": usage}),
        payload_of_stream([{"usage": usage}]),
        payload_of_message({"response_metadata": {"token_usage": usage}, "usage_metadata": usage}),
    ):
        assert payload.tokens is None
        assert call_of(payload, ("entropy",)).tokens is None


@pytest.mark.parametrize("count", [True, 3.0, "3", -1, 2**40, 10**400, None])
def test_odd_counts(count):
    assert payload_of_response({"usage": {"completion_tokens": count}}).tokens is None
    assert payload_of_response({"usage": {"output_tokens": count}}).tokens is None


def test_refusals_count():
    refused = {"content": None, "refusal": logprobs_for(ENTROPIES)}
    assert entropies_of(entries_of(refused)) == ENTROPIES
    both = {"content": logprobs_for([1.0]), "refusal": logprobs_for(ENTROPIES)}
    assert entropies_of(entries_of(both)) == [1.0, *ENTROPIES]


def test_the_legacy_shape():
    payload = payload_of_response(legacy_completion(Answer([*ENTROPIES, None]), {"prompt": "x", "logprobs": 20}))
    assert shown(call_of(payload, ("entropy",)).entropies) == [*ENTROPIES, None]
    assert [e["token"] for e in payload.entries] == ["w0 ", "w1 ", "w2 ", "w3 "]


def test_the_legacy_shape_without_candidates():
    bare = {"tokens": ["a", "b", "c"], "token_logprobs": [-0.5, -0.1], "top_logprobs": None}
    assert entropies_of(entries_of(bare)) == [None] * 3


def test_a_message_as_the_dict_a_remote_graph_returns():
    message = AIMessage(
        "x",
        response_metadata={"logprobs": {"content": logprobs_for(ENTROPIES)}, "model_name": "m"},
        usage_metadata={
            "input_tokens": 7,
            "output_tokens": 5,
            "total_tokens": 12,
            "input_token_details": {"cache_read": 3},
        },
    )
    for form in (message, message.model_dump(), json.loads(message.model_dump_json())):
        call = call_of(payload_of_message(form), ("entropy",))
        assert shown(call.entropies) == [*ENTROPIES, None, None]
        assert (call.tokens, call.prompt_tokens, call.cached_tokens, call.model) == (5, 7, 3, "m")


def test_usage_of_a_message_without_usage_metadata():
    for name in ("token_usage", "usage"):
        metadata = {name: {"completion_tokens": 5, "prompt_tokens": 7}}
        payload = payload_of_message({"response_metadata": metadata})
        assert (payload.tokens, payload.prompt_tokens) == (5, 7)


def test_merged_requests():
    known, gap = Payload(logprobs_for([1.0]), 1, 2, 1, "m"), Payload(logprobs_for([0.5]), 4, 3)
    merged = merge_payloads([gap, known, Payload(tokens=2)])
    call = call_of(merged, ("entropy",))
    assert shown(call.entropies) == [0.5, None, None, None, 1.0, None, None]
    assert (call.prompt_tokens, call.cached_tokens, call.model) == (5, 1, "m")
    assert call_of(merge_payloads([known, Payload()]), ("entropy",)).tokens is None


def test_get_follows_anything():
    assert get({"a": [SimpleNamespace(b=(1, 2))]}, "a", 0, "b", 1) == 2
    for path in (("x",), ("a", 5), ("a", 0, "x"), ("a", "b"), ("a", 0, "b", 9)):
        assert get({"a": [SimpleNamespace(b=(1, 2))]}, *path) is None
    assert get(None, "a") is None


# Mutated payloads

SCRAP = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 5.0, -5.0, NAN, INF, -INF, -9999.0, 10**400, 2**40, "", "x", "-0.5", b"x"),
        *([], {}, [None], ["x"], [[]], {"a": 1}, {"content": None}, {"logprob": -0.5}, [{"logprob": -0.5}]),
    ]
)


def places_in(thing, path=()):
    """All paths into nested lists and dicts."""
    keys = thing.keys() if isinstance(thing, dict) else range(len(thing)) if isinstance(thing, list) else ()
    found = []
    for key in keys:
        found += [(*path, key), *places_in(thing[key], (*path, key))]
    return found


def mutated(thing, path, draw):
    """The thing with the place replaced, deleted or doubled."""
    thing = copy.deepcopy(thing)
    holder = thing
    for key in path[:-1]:
        holder = holder[key]
    how = draw(st.sampled_from(["replace", "replace", "delete", "double"]))
    if how == "delete":
        del holder[path[-1]]
    elif how == "double" and isinstance(holder, list):
        holder.insert(path[-1], holder[path[-1]])
    else:
        holder[path[-1]] = draw(SCRAP)
    return thing


@st.composite
def damaged(draw, whole):
    for _ in range(draw(st.integers(1, 3))):
        places = places_in(whole)
        if not places:
            break
        whole = mutated(whole, draw(st.sampled_from(places)), draw)
    return whole


UNSURE = Answer([0.7, 1.2], usage=3)  # no token of it is certain
WHOLES = {
    "chat": (payload_of_response, chat_completion(UNSURE, ASKED)),
    "chat stream": (payload_of_stream, chat_chunks(UNSURE, ASKED)),
    "legacy": (payload_of_response, legacy_completion(UNSURE, {**ASKED, "prompt": "x"})),
    "responses": (payload_of_response, response(UNSURE, ASKED)),
    "responses stream": (payload_of_stream, response_events(UNSURE, ASKED)),
    "message": (
        payload_of_message,
        {
            "type": "ai",
            "content": "x",
            "response_metadata": {"model_name": "m", "logprobs": {"content": logprobs_for([0.7, 1.2])}},
            "usage_metadata": {"input_tokens": 1, "output_tokens": 3, "total_tokens": 4},
        },
    ),
}
# The places that matter are few among the many: keep two candidates a token.
for _, _whole in WHOLES.values():
    for _path in places_in(_whole):
        if _path[-1] == "top_logprobs":
            _holder = _whole
            for _key in _path[:-1]:
                _holder = _holder[_key]
            if isinstance(_holder["top_logprobs"][0], dict) and "logprob" in _holder["top_logprobs"][0]:
                _holder["top_logprobs"] = _holder["top_logprobs"][:2]


def truly_certain(payload):
    """How many entries a reader would call certain: a candidate whose own logprob says so."""

    def certain(each):
        candidates = get(each, "top_logprobs")
        values = [get(c, "logprob") for c in candidates] if isinstance(candidates, list) else []
        return any(isinstance(v, float | int) and not isinstance(v, bool) and -0.001 <= v <= 0.01 for v in values)

    return sum(certain(each) for each in payload.entries)


@settings(max_examples=part_of(600), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_payloads_have_documented_outcomes(data):
    read, whole = WHOLES[data.draw(st.sampled_from(sorted(WHOLES)))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        payload = read(data.draw(damaged(whole)))
        call = call_of(payload, ("entropy", "logprob"), keep_text=True)
    entropies = call.entropies
    assert not np.isinf(entropies).any()
    assert not (entropies < 0).any()
    assert np.count_nonzero(entropies == 0.0) <= truly_certain(payload)
    assert call.tokens is None or call.tokens == len(entropies) == len(call.signals["logprob"])
    if call.tokens is None:
        assert len(entropies) == 0


@settings(max_examples=part_of(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.recursive(
        SCRAP,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "logprobs",
                        "content",
                        "top_logprobs",
                        "logprob",
                        "usage",
                        "output",
                        "type",
                        "response",
                        "tokens",
                    ]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_scrap_is_read_as_nothing(scrap):
    for payload in (payload_of_response(scrap), payload_of_message(scrap), payload_of_stream([scrap, scrap])):
        call = call_of(payload, ("entropy",))
        assert np.count_nonzero(call.entropies == 0.0) <= truly_certain(payload)
