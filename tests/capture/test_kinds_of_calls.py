"""What is on record of each call beside its numbers: capability, constraint, whether it came whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from asking import INCLUDE, chat, shown, timelines
from fake_openai import MODEL, Answer, chat_chunks, response_events
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import BaseModel

from ec_agent import (
    Limits,
    LowestCentroid,
    MissingLogprobsError,
    NoScoredRolloutError,
    Trajectory,
    best_of_n,
    record_calls,
)
from ec_agent.capture.request_params import asked_of
from ec_agent.capture.shapes import call_of, payload_of_response, payload_of_stream
from ec_agent.errors import ConfigError
from ec_agent.testing import logprobs_for

ENTROPIES = [1.5, 0.25, 0.75]
BARE = {"content": [{**entry, "top_logprobs": []} for entry in logprobs_for(ENTROPIES)], "refusal": None}
SURPRISALS = [round(-entry["logprob"], 6) for entry in logprobs_for(ENTROPIES)]
ALONE = {"content": [{**entry, "top_logprobs": entry["top_logprobs"][:1]} for entry in BARE["content"]]}
for _entry, _whole in zip(ALONE["content"], logprobs_for(ENTROPIES), strict=True):
    _entry["top_logprobs"] = _whole["top_logprobs"][:1]


@pytest.fixture
def told(fake):
    fake.answers |= {
        "hi": Answer(ENTROPIES),
        "bare": Answer(ENTROPIES, logprobs=BARE),
        "alone": Answer(ENTROPIES, logprobs=ALONE),
        "none": Answer(ENTROPIES, logprobs=False),
    }
    return fake


@pytest.mark.parametrize(
    ("prompt", "capability"), [("hi", "full"), ("bare", "sampled"), ("alone", "sampled"), ("none", "none")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_capability(told, client, prompt, capability, stream):
    with record_calls(signals=["surprisal"]) as recorder:
        answer = client.chat.completions.create(**chat(prompt), stream=stream)
        if stream:
            list(answer)
    (call,) = recorder.trajectory().calls
    assert call.capability == capability
    assert np.isnan(call.entropies).all() == (capability != "full")
    unknown = [] if stream else [None] * 3  # this stream says nothing of its length
    assert shown(call.signal("surprisal")) == (unknown if prompt == "none" else SURPRISALS)


# on_missing, by the signal that is compared


class Saying(BaseChatModel):
    """Says something new each time, with these logprobs."""

    logprobs: list
    said: list

    @property
    def _llm_type(self):
        return "saying"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.said.append(None)
        logprobs = self.logprobs[(len(self.said) - 1) % len(self.logprobs)]
        usage = {"input_tokens": 1, "output_tokens": len(logprobs["content"]), "total_tokens": 1}
        message = AIMessage(f"answer {len(self.said)}", usage_metadata=usage, response_metadata={"logprobs": logprobs})
        return ChatResult(generations=[ChatGeneration(message=message)])


def sampled(*logprobs):
    return {"content": [{"token": "x", "logprob": lp, "top_logprobs": []} for lp in logprobs]}


def agent_of(*logprobs):
    model = Saying(logprobs=list(logprobs), said=[])
    return lambda state: {"messages": [model.invoke(state["messages"])]}


HI = {"messages": [("user", "hi")]}
EARLY, LATE = sampled(-3.0, -0.1, -0.1, -0.1, -0.1, -0.1), sampled(-0.1, -0.1, -0.1, -0.1, -0.1, -3.0)
WHOLE = {"content": logprobs_for([0.1, 2.0, 0.1, 0.1])}
ONE_AT_A_TIME = Limits(max_concurrency=1)


def test_sampled_logprobs_are_not_scored_unless_asked_for_by_name():
    with pytest.raises(NoScoredRolloutError, match=r"sampled tokens alone.*signal='surprisal'"):
        best_of_n(agent_of(LATE, EARLY), n=2).run(HI)


def test_surprisal_by_name():
    node = best_of_n(agent_of(LATE, EARLY), n=2, selector=LowestCentroid(signal="surprisal"), limits=ONE_AT_A_TIME)
    selection = node.run(HI).selection
    assert selection.winner == 1
    assert selection.selector == "lowest_centroid(surprisal)"
    assert [candidate.score for candidate in selection.candidates] == [5.5 / 6, 0.5 / 6]
    assert [candidate.centroid for candidate in selection.candidates] == [None, None]
    assert [candidate.coverage for candidate in selection.candidates] == [1.0, 1.0]
    assert [candidate.scored_tokens for candidate in selection.candidates] == [6, 6]
    assert [candidate.phases for candidate in selection.candidates] == [1, 1]
    assert [candidate.logprobs for candidate in selection.candidates] == [{"sampled": 1}] * 2


def test_entropies_and_surprisals_are_never_compared():
    mixed = (LATE, WHOLE)
    by_entropy = best_of_n(agent_of(*mixed), n=2, limits=ONE_AT_A_TIME).run(HI).selection
    assert [(c.score, c.reason) for c in by_entropy.candidates] == [(None, "coverage"), (1.5 / 4, None)]
    by_name = LowestCentroid(signal="surprisal")
    by_surprisal = best_of_n(agent_of(*mixed), n=2, selector=by_name, limits=ONE_AT_A_TIME).run(HI)
    tokens = by_surprisal.trajectories[1].signal("surprisal")
    assert shown(tokens) == [round(-entry["logprob"], 6) for entry in WHOLE["content"]]
    assert by_surprisal.selection.candidates[0].score == 5.5 / 6


def test_raise_is_about_the_signal_that_is_compared():
    with pytest.raises(MissingLogprobsError, match=r"sampled tokens alone, without candidates.*surprisal"):
        best_of_n(agent_of(LATE), n=1, on_missing="raise").run(HI)
    node = best_of_n(agent_of(LATE), n=1, on_missing="raise", selector=LowestCentroid(signal="surprisal"))
    assert node.run(HI).selection.winner == 0
    with pytest.raises(MissingLogprobsError, match=r"returned no logprobs.*ec-agent doctor"):
        best_of_n(
            agent_of(sampled(math.nan)), n=1, on_missing="raise", selector=LowestCentroid(signal="surprisal")
        ).run(HI)


def test_coverage_is_that_of_the_signal_that_is_compared():
    half = {"content": [*sampled(-3.0, -0.1)["content"], None, None, None]}
    node = best_of_n(agent_of(half), n=1, selector=LowestCentroid(signal="surprisal"))
    with pytest.raises(NoScoredRolloutError, match="min_coverage"):
        node.run(HI)
    node = best_of_n(agent_of(half), n=1, selector=LowestCentroid(signal="surprisal"), min_coverage=0.4)
    assert node.run(HI).selection.candidates[0].coverage == 0.4


def test_an_unknown_signal():
    with pytest.raises(ConfigError, match=r"unknown signal 'surprise'.*surprisal"):
        LowestCentroid(signal="surprise")


# what was asked for


SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


class Word(BaseModel):
    word: str


CONSTRAINED = {
    "json_schema": {"response_format": SCHEMA},
    "json_object": {"response_format": {"type": "json_object"}},
    "a pydantic class": {"response_format": Word},
    "grammar": {"grammar": "root ::= x"},
    "vLLM": {"structured_outputs": {"regex": "x"}},
    "Ollama": {"format": "json"},
    "Gemini": {"response_mime_type": "application/json"},
    "Responses": {"text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}},
    "a tool": {"tools": [TOOL], "tool_choice": "required"},
    "a named tool": {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}},
    "a function, before there were tools": {"functions": [TOOL["function"]], "function_call": {"name": "look"}},
    "a strict tool": {"tools": [{"type": "function", "function": {"name": "look", "strict": True}}]},
}
FREE = {
    "nothing": {},
    "text": {"response_format": {"type": "text"}},
    "Responses text": {"text": {"format": {"type": "text"}}},
    "tools": {"tools": [TOOL]},
    "tools at will": {"tools": [TOOL], "tool_choice": "auto"},
    "functions at will": {"functions": [TOOL["function"]], "function_call": "auto"},
    "a choice without tools": {"tool_choice": "required"},
    "no format": {"format": "", "grammar": None},
}


@pytest.mark.parametrize("case", CONSTRAINED)
def test_constrained(case):
    assert asked_of(CONSTRAINED[case]).constrained


@pytest.mark.parametrize("case", FREE)
def test_free(case):
    assert not asked_of(FREE[case]).constrained


def test_constraints_are_on_record(told, client, chat_model):
    with record_calls() as recorder:
        client.chat.completions.create(**chat("hi"))
        client.chat.completions.create(**chat("hi"), extra_body={"grammar": "root ::= x"})
        chat_model().invoke("hi", response_format=SCHEMA)
        chat_model().invoke("hi")
        chat_model().bind_tools([TOOL], tool_choice="required").invoke("hi")
    assert [call.constrained for call in recorder.trajectory().calls] == [False, True, True, False, True]


def test_constraints_are_in_the_receipt(told, chat_model):
    model = chat_model().bind(response_format=SCHEMA)
    node = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=1)
    assert node.run(HI).selection.candidates[0].constrained_calls == 1


@pytest.mark.parametrize(
    ("params", "top_k"),
    [
        ({"top_logprobs": 5, "logprobs": True}, 5),
        ({"logprobs": 5}, 5),
        ({"logprobs": True}, None),
        ({"logprobs": True, "top_logprobs": 0}, None),
        ({"top_logprobs": "5"}, None),
        ({}, None),
    ],
)
def test_how_many_candidates_were_asked_for(params, top_k):
    assert asked_of(params).top_k == top_k


def test_more_candidates_than_asked_for(told, client, chat_model):
    """vLLM and legacy completions append the sampled token beyond the top k."""
    two = sorted((c["logprob"] for c in logprobs_for([1.5])[0]["top_logprobs"]), reverse=True)[:2]
    p = np.exp(two) / np.exp(two).sum()
    expected = round(float(-(p * np.log(p)).sum()), 6)
    told.answers["hi"] = Answer([1.5])
    with record_calls() as recorder:
        client.chat.completions.create(**{**chat("hi"), "top_logprobs": 2})
        client.completions.create(model=MODEL, prompt="hi", logprobs=2)
        client.responses.create(model=MODEL, input="hi", **INCLUDE, top_logprobs=2)
        chat_model(top_logprobs=2).invoke("hi")
    assert timelines(recorder) == [[expected]] * 4


# whole or not


def test_partial_streams(told, client, chat_model):
    told.answers["hi"] = Answer(ENTROPIES, pace=0.02)
    with record_calls() as recorder:
        with client.chat.completions.create(**chat("hi"), stream=True) as stream:
            for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
        parts = chat_model().stream("hi")
        next(parts), next(parts)
        parts.close()
        list(client.chat.completions.create(**chat("hi"), stream=True))
    calls = recorder.trajectory().calls
    assert [call.partial for call in calls] == [True, True, False]
    assert all(0 < Trajectory([call]).scored_tokens < 3 for call in calls[:2])


class Streaming(BaseChatModel):
    """Streams three parts, without any client of ours."""

    @property
    def _llm_type(self):
        return "streaming"

    def _generate(self, *args, **kwargs):
        raise AssertionError("it streams")

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for entry in logprobs_for(ENTROPIES):
            info = {"logprobs": {"content": [entry]}}
            yield ChatGenerationChunk(message=AIMessageChunk("x "), generation_info=info)


def test_partial_streams_of_other_models():
    with record_calls() as recorder:
        parts = Streaming().stream("hi")
        next(parts), next(parts)
        parts.close()
        list(Streaming().stream("hi"))
    calls = recorder.trajectory().calls
    assert [call.partial for call in calls] == [True, False]
    assert shown(calls[1].entropies) == ENTROPIES
    assert 0 < len(calls[0].entropies) < 3


def test_partial_calls_are_in_the_receipt(told, client):
    told.answers["hi"] = Answer([*ENTROPIES, 0.1], pace=0.02)

    def agent(state):
        with client.chat.completions.create(**chat("hi"), stream=True) as stream:
            for chunk in stream:
                if chunk.choices[0].delta.content == "w2 ":
                    break
        return {"messages": [AIMessage("left early")]}

    receipt = best_of_n(agent, n=1).run(HI).selection.candidates[0]
    assert (receipt.partial_calls, receipt.scored_tokens) == (1, 3)


# odd streams


def silent_chunks(usage):
    """Text with logprobs, then a tool call without."""
    asked = {"logprobs": True, "stream_options": {"include_usage": True}}
    said = chat_chunks(Answer(ENTROPIES, usage=None), asked)
    called = chat_chunks(Answer([], usage=usage, tool_calls=[("look", {"at": "x"})]), asked)
    return [*said[:-1], *called]


def test_silent_parts_of_a_stream_without_usage_are_gaps():
    """Tool calls that stream without logprobs must not vanish from the timeline."""
    call = call_of(payload_of_stream(silent_chunks(None)), ("entropy",))
    assert shown(call.entropies) == [*ENTROPIES, None]
    counted = call_of(payload_of_stream(silent_chunks(9)), ("entropy",))
    assert shown(counted.entropies) == [*ENTROPIES, *[None] * 6]
    without = call_of(payload_of_stream(chat_chunks(Answer(ENTROPIES, usage=None), {})), ("entropy",))
    assert without.tokens is None


def part_of(**delta):
    return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}


SILENT = {
    "a tool": part_of(tool_calls=[{"index": 0, "function": {"arguments": "{"}}]),
    "a custom tool": part_of(tool_calls=[{"index": 0, "custom": {"input": "x"}}]),
    "a function": part_of(function_call={"arguments": "{"}),
    "thinking": part_of(reasoning_content="hm"),
}


@pytest.mark.parametrize("part", SILENT)
def test_whatever_a_stream_says_without_logprobs_is_a_gap(part):
    said = chat_chunks(Answer(ENTROPIES, usage=None), {"logprobs": True})
    call = call_of(payload_of_stream([*said, SILENT[part], SILENT[part]]), ("entropy",))
    assert shown(call.entropies) == [*ENTROPIES, None, None]
    alone = payload_of_stream([SILENT[part], {"choices": [], "usage": {"completion_tokens": 0}}])
    assert alone.tokens is None  # a count of nothing is not believed


@pytest.mark.parametrize("kind", ["function_call_arguments", "custom_tool_call_input", "reasoning_text", "output_text"])
def test_text_without_logprobs_of_an_abandoned_response_is_a_gap(kind):
    events = response_events(Answer(ENTROPIES), INCLUDE)[:-1]
    silent = [{"type": f"response.{kind}.delta", "output_index": 1, "delta": "x"}] * 2
    call = call_of(payload_of_stream([*events, *silent]), ("entropy",))
    assert shown(call.entropies) == [*ENTROPIES, None, None]


def together_chunks():
    parts = [("Hel", -0.5, {"Hel": -0.5, "Hi": -1.2}), ("lo", -0.1, {"lo": -0.1, "p": -3.0}), (".", -0.2, None)]
    for text, logprob, top in parts:
        choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "logprobs": logprob, "top_logprobs": top}
        yield {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}


def test_bare_numbers_in_a_stream():
    call = call_of(payload_of_stream(list(together_chunks())), ("entropy", "logprob"))
    assert shown(call.signal("logprob")) == [-0.5, -0.1, -0.2]
    assert [value is None for value in shown(call.entropies)] == [False, False, True]


def test_thinking_that_only_the_total_counts():
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 15}
    details = {"completion_tokens_details": {"reasoning_tokens": 5}}
    assert payload_of_response({"usage": {**usage, **details}}).tokens == 8  # xAI
    assert payload_of_response({"usage": {**usage, **details, "total_tokens": 10}}).tokens == 3  # OpenAI
    assert payload_of_response({"usage": usage}).tokens == 3


def test_an_echoed_prompt_does_not_count(told, client):
    entries = logprobs_for(ENTROPIES)
    tops = [{c["token"]: c["logprob"] for c in entry["top_logprobs"]} for entry in entries]
    legacy = {
        "tokens": ["Say", " hi", *(e["token"] for e in entries)],
        "token_logprobs": [None, -4.0, *(e["logprob"] for e in entries)],
        "top_logprobs": [None, {" hi": -4.0, " x": -0.1}, *tops],
    }
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    one = {"choices": [{"logprobs": legacy}], "usage": usage}
    assert shown(call_of(payload_of_response(one), ("entropy",)).entropies) == ENTROPIES
    two = {"choices": [{"logprobs": legacy}] * 2, "usage": {**usage, "completion_tokens": 6}}
    call = call_of(payload_of_response(two), ("entropy",))
    assert (shown(call.entropies), call.generated) == ([None] * 3, 6)  # of two answers one counts


def test_a_candidate_listed_twice_counts_once():
    def entropy(*candidates):
        top = [{"token": text, "logprob": lp, **({"bytes": raw} if raw else {})} for text, lp, raw in candidates]
        choice = {"logprobs": {"content": [{"token": "a", "logprob": -0.7, "top_logprobs": top}]}}
        return shown(call_of(payload_of_response({"choices": [choice]}), ("entropy",)).entropies)[0]

    half = math.log(0.5)
    ln2, ln3 = round(math.log(2), 6), round(math.log(3), 6)
    assert entropy(("a", half, None), ("b", half, None)) == ln2
    assert entropy(("a", half, None), ("b", half, None), ("a", half, None)) == ln2
    assert entropy(("a", half, None), ("a", half, None)) is None  # one candidate, and far from certain
    assert entropy(("a", half, None), ("b", half, None), ("c", half, None)) == ln3
    # characters cut in two share one text, and may share the bytes: only a number would tell that one came twice
    assert entropy(("\ufffd", half, [195]), ("\ufffd", half, [196])) == ln2
    assert entropy(("\ufffd", half, [195]), ("\ufffd", half, [195])) == ln2
    assert entropy(("\ufffd", half, None), ("\ufffd", half, None)) == ln2
