"""Spans and traces of other tools: the recorded files of ``data/``, OTLP of the real encoder, and what looks alike."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from log_kit import by_hand, told
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from ec_agent.testing import logprobs_for

DATA = Path(__file__).parent / "data"
FIRST, SECOND = [2.0, 0.1, 0.7], [0.1, 1.0]  # as in data/record_others.py


def has_calls(rollout, *expected):
    for call, entropies in zip(rollout.trajectory.calls, expected, strict=True):
        np.testing.assert_array_equal(call.entropies, by_hand(logprobs_for(entropies)))
        assert (call.tokens, call.prompt_tokens in (7, None)) == (len(entropies), True)


RECORDED = [
    "mlflow-3.17.2.jsonl",
    "mlflow-3.17.2.db",
    "openinference-openai-0.1.66.json",
    "openinference-langchain-0.1.80.json",
    "openinference-openai-0.1.66-langchain-0.1.80.json",
]


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("packed", [True, False])
def test_a_trace_is_a_rollout_of_its_llm_spans(tmp_path, name, packed):
    file = DATA / f"{name}.gz"
    if not packed:
        file = tmp_path / name
        file.write_bytes(gzip.decompress((DATA / f"{name}.gz").read_bytes()))
    found, troubles = told(file)
    assert troubles == []
    agent, alone = sorted(found, key=lambda each: -len(each.trajectory.calls))
    has_calls(agent, FIRST, SECOND)
    assert agent.asked is not None
    assert agent.asked == alone.asked
    if name.startswith("mlflow"):  # which drops the logprobs of streamed answers
        assert "MLflow's autolog for openai, of streamed answers, leaves logprobs out" in alone.lacking
        assert (len(alone.trajectory), alone.trajectory.scored_tokens) == (3, 0)
    else:
        has_calls(alone, FIRST)


@pytest.mark.parametrize("name", sorted(file.name for file in DATA.glob("*.gz")))
def test_what_is_recorded_does_not_say_where_it_was_recorded(name):
    assert (
        re.findall(rb"/[^\"\0]*/(?:tests|site-packages)/|/(?:home|Users)/", gzip.decompress((DATA / name).read_bytes()))
        == []
    )


def test_the_records_of_mlflow_have_its_tags():
    found, _ = told(DATA / "mlflow-3.17.2.jsonl.gz")
    (tagged,) = [each for each in found if each.record.get("question") == "one"]
    assert tagged.name.startswith("tr-")


@pytest.fixture
def tracer():
    provider = TracerProvider()
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), exporter


def answer(entropies, name=None):
    choice = {"message": {"role": "assistant", "content": "x"}, "logprobs": {"content": logprobs_for(entropies)}}
    return json.dumps({"id": name, "choices": [choice], "usage": {"completion_tokens": len(entropies)}})


def llm(entropies, **more):
    asked = json.dumps({"messages": [{"role": "user", "content": "q"}]})
    return {
        "openinference.span.kind": "LLM",
        "input.value": asked,
        "output.value": answer(entropies),
        "llm.token_count.completion": len(entropies),
        **more,
    }


def otlp(exporter, folder, *, lines=False):
    """The finished spans as a collector's file exporter writes them."""
    document = MessageToDict(encode_spans(exporter.get_finished_spans()))
    file = folder / "spans.json"
    file.write_text(json.dumps(document) + "\n" if lines else json.dumps(document, indent=1))
    return file


@pytest.mark.parametrize("lines", [False, True])
def test_otlp_is_read(tmp_path, tracer, lines):
    tracing, exporter = tracer
    with tracing.start_as_current_span("agent", attributes={"session.id": "s7"}):
        for entropies in (FIRST, SECOND):
            tracing.start_span("call", attributes=llm(entropies)).end()
    found, troubles = told(otlp(exporter, tmp_path, lines=lines))
    assert troubles == []
    (rollout,) = found
    has_calls(rollout, FIRST, SECOND)
    assert rollout.record["session.id"] == "s7"


def test_calls_are_in_the_order_of_their_start_not_of_the_file(tmp_path, tracer):
    tracing, exporter = tracer
    early = tracing.start_span("trace")
    from opentelemetry.trace import set_span_in_context

    within = set_span_in_context(early)
    first = tracing.start_span("first", within, attributes=llm(FIRST))
    tracing.start_span("second", within, attributes=llm(SECOND)).end()
    first.end()
    early.end()
    ((rollout,), _) = told(otlp(exporter, tmp_path))
    has_calls(rollout, FIRST, SECOND)


@pytest.mark.parametrize("inner", [True, False], ids=["inner has none", "outer has none"])
def test_a_call_in_two_spans_counts_once(tmp_path, tracer, inner):
    tracing, exporter = tracer
    bare = {**llm(FIRST), "output.value": "text"}
    outer, nested = (llm(FIRST), bare) if inner else (bare, llm(FIRST))
    with tracing.start_as_current_span("model", attributes=outer), tracing.start_as_current_span("chain"):
        tracing.start_span("client", attributes=nested).end()
    ((rollout,), _) = told(otlp(exporter, tmp_path))
    has_calls(rollout, FIRST)


def test_equal_answers_of_two_calls_count_twice(tmp_path, tracer):
    tracing, exporter = tracer
    for _ in range(2):
        with tracing.start_as_current_span("agent"):
            for _ in range(2):
                tracing.start_span("call", attributes=llm(FIRST)).end()
    found, _ = told(otlp(exporter, tmp_path))
    assert [len(each.trajectory.calls) for each in found] == [2, 2]


def test_a_trace_that_failed_is_no_candidate_and_a_failed_call_no_call(tmp_path, tracer):
    tracing, exporter = tracer
    with tracing.start_as_current_span("agent"):
        failed = {name: value for name, value in llm(SECOND).items() if name == "openinference.span.kind"}
        tracing.start_span("call", attributes=failed).set_status(Status(StatusCode.ERROR, "429"))
        span = tracing.start_span("call", attributes=failed)
        span.set_status(Status(StatusCode.ERROR, "429"))
        span.end()
        tracing.start_span("call", attributes=llm(FIRST)).end()
    with tracing.start_as_current_span("agent") as root:
        tracing.start_span("call", attributes=llm(FIRST)).end()
        root.set_status(Status(StatusCode.ERROR, "it broke"))
    found, (trouble,) = told(otlp(exporter, tmp_path))
    (rollout,) = found
    has_calls(rollout, FIRST)
    assert "ended in an error (it broke), so it is no candidate" in trouble


def test_tokens_that_came_without_logprobs_are_a_gap(tmp_path, tracer):
    tracing, exporter = tracer
    streamed = json.dumps({"choices": json.loads(answer(FIRST))["choices"]})  # OpenInference leaves the usage out
    attributes = {**llm(FIRST), "output.value": streamed, "llm.token_count.completion": 6}
    tracing.start_span("call", attributes=attributes).end()
    ((rollout,), _) = told(otlp(exporter, tmp_path))
    assert (rollout.trajectory.coverage, len(rollout.trajectory)) == (0.5, 6)


# Files that look like spans


def test_spans_of_a_tool_that_drops_logprobs_say_so(tmp_path, tracer):
    tracing, exporter = tracer
    tracing.start_span(
        "openai.chat", attributes={"gen_ai.request.model": "m", "gen_ai.completion.0.content": "x"}
    ).end()
    found, troubles = told(otlp(exporter, tmp_path))
    assert found == []
    assert "Traceloop" in troubles[0]


def test_an_api_page_with_info_and_data_is_no_trace(tmp_path):
    file = tmp_path / "log.json"
    file.write_text(json.dumps({"info": {"trace_id": "t"}, "data": {"response": json.loads(answer(FIRST))}}))
    ((rollout,), troubles) = told(file)
    assert troubles == []
    np.testing.assert_array_equal(rollout.trajectory.entropies, by_hand(logprobs_for(FIRST)))


def test_odd_spans_are_named_and_left_out(tmp_path, tracer):
    tracing, exporter = tracer
    tracing.start_span("call", attributes=llm(FIRST)).end()
    whole = json.loads(otlp(exporter, tmp_path).read_text())
    file = tmp_path / "log.jsonl"
    file.write_text(f"{json.dumps(whole)}\n{{}}\n[]\n{{\n")
    found, troubles = told(file)
    has_calls(found[0], FIRST)
    assert [trouble.partition("line ")[2][:14] for trouble in troubles] == [
        "2 has no spans",
        "3 has no spans",
        "4 is not JSON ",
    ]
