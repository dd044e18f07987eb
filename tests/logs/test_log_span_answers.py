"""Logprobs that a tracer leaves out of an LLM span, and writes into the spans of the node and the graph around it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage
from log_kit import by_hand, told
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ec_agent.testing import logprobs_for

FIRST, SECOND, THIRD = [2.0, 0.1, 0.7], [0.1, 1.0], [0.5, 0.4, 0.3, 0.2]


def message(entropies, text="x", name=None, calls=()):
    return AIMessage(
        text,
        id=f"lc_run--{name}" if name else None,
        response_metadata={"logprobs": {"content": logprobs_for(entropies)}},
        usage_metadata={"input_tokens": 7, "output_tokens": len(entropies), "total_tokens": 7 + len(entropies)},
        tool_calls=[{"name": "look", "args": {}, "id": each} for each in calls],
    )


class Langfuse:
    """The attributes of langfuse: messages as mappings."""

    @staticmethod
    def llm(said):
        calls = [{"name": each["name"], "id": each["id"]} for each in said.tool_calls]
        told = {"role": "assistant", "content": said.content, "tool_calls": calls}
        counts = {"input": 7, "output": said.usage_metadata["output_tokens"]}
        return {
            "langfuse.observation.type": "generation",
            "langfuse.observation.output": json.dumps(told),
            "langfuse.observation.usage_details": json.dumps(counts),
        }

    @staticmethod
    def node(*said):
        messages = [each.model_dump() for each in said]
        return {
            "langfuse.observation.type": "chain",
            "langfuse.observation.output": json.dumps([{"update": {"messages": messages}}]),
        }


class Traceloop:
    """The attributes of Traceloop: messages as LangChain's ``dumps`` writes them."""

    @staticmethod
    def llm(said):
        parts = [{"type": "tool_call", "id": each["id"], "name": each["name"]} for each in said.tool_calls]
        parts += [{"type": "text", "content": said.content}] if said.content else []
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": parts}]),
            "gen_ai.usage.output_tokens": said.usage_metadata["output_tokens"],
        }

    @staticmethod
    def node(*said):
        return {
            "traceloop.span.kind": "task",
            "traceloop.entity.output": json.dumps({"outputs": {"messages": [dumpd(each) for each in said]}}),
        }


class OpenInference:
    """The attributes of OpenInference, if it wrote as little into a model's span."""

    @staticmethod
    def llm(said):
        calls = [{"id": each["id"]} for each in said.tool_calls]
        return {
            "openinference.span.kind": "LLM",
            "output.value": json.dumps({"role": "assistant", "content": said.content, "tool_calls": calls}),
            "llm.token_count.completion": said.usage_metadata["output_tokens"],
        }

    @staticmethod
    def node(*said):
        messages = [each.model_dump() for each in said]
        return {"openinference.span.kind": "CHAIN", "output.value": json.dumps({"messages": messages})}


TOOLS = {each.__name__: each for each in (Langfuse, Traceloop, OpenInference)}


@pytest.fixture(params=TOOLS)
def tool(request):
    return TOOLS[request.param]


@pytest.fixture
def tracer():
    provider = TracerProvider()
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), exporter


def read(exporter, folder):
    file = folder / "spans.json"
    file.write_text(json.dumps(MessageToDict(encode_spans(exporter.get_finished_spans()))))
    found, troubles = told(file)
    assert troubles == []
    return found


def run(tracing, tool, *said, earlier=(), nodes=True):
    """One run of an agent: a node for each answer, and the graph, which returns them all."""
    with tracing.start_as_current_span("graph") as graph:
        for each in said:
            with tracing.start_as_current_span("node") as node:
                tracing.start_span("model", attributes=tool.llm(each)).end()
                if nodes:
                    node.set_attributes(tool.node(each))
        graph.set_attributes(tool.node(HumanMessage("q"), *earlier, *said))


def has(rollout, *expected):
    assert [call.tokens for call in rollout.trajectory.calls] == [len(each) for each in expected]
    for call, entropies in zip(rollout.trajectory.calls, expected, strict=True):
        np.testing.assert_array_equal(call.entropies, by_hand(logprobs_for(entropies)))


def test_each_answer_counts_once_in_the_place_of_its_call(tmp_path, tracer, tool):
    tracing, exporter = tracer
    for _ in range(2):
        run(
            tracing, tool, message(FIRST, "", "1", calls=["c1"]), message(SECOND, "", "2", calls=["c2"]), message(THIRD)
        )
    found = read(exporter, tmp_path)
    assert len(found) == 2
    for each in found:
        has(each, FIRST, SECOND, THIRD)


def test_answers_with_the_same_text_are_those_of_their_nodes(tmp_path, tracer, tool):
    tracing, exporter = tracer
    run(tracing, tool, message(FIRST, "yes", "1"), message(SECOND, "yes", "2"), message(FIRST, "yes", "3"))
    (rollout,) = read(exporter, tmp_path)
    has(rollout, FIRST, SECOND, FIRST)


def test_an_answer_of_an_earlier_run_is_not_counted(tmp_path, tracer, tool):
    tracing, exporter = tracer
    run(tracing, tool, message(SECOND, "yes", "2"), earlier=[message(FIRST, "yes", "1"), message(THIRD, "no", "0")])
    (rollout,) = read(exporter, tmp_path)
    has(rollout, SECOND)


def test_the_state_of_the_graph_is_enough(tmp_path, tracer, tool):
    tracing, exporter = tracer
    run(tracing, tool, message(FIRST, "a", "1"), message(SECOND, "b", "2"), nodes=False)
    (rollout,) = read(exporter, tmp_path)
    has(rollout, FIRST, SECOND)


def test_what_is_nowhere_is_a_gap(tmp_path, tracer, tool):
    tracing, exporter = tracer
    with tracing.start_as_current_span("chain", attributes=tool.node(message(SECOND, "b"))):
        tracing.start_span("model", attributes=tool.llm(message(FIRST, "a"))).end()
        tracing.start_span("model", attributes=tool.llm(message(SECOND, "b"))).end()
    (rollout,) = read(exporter, tmp_path)
    assert rollout.trajectory.coverage == len(SECOND) / len(FIRST + SECOND)
    assert rollout.trajectory.calls[0].capability == "none"


def test_a_trace_without_spans_of_models_has_the_answers_themselves(tmp_path, tracer, tool):
    tracing, exporter = tracer
    said = [message(FIRST, "a", "1"), message(SECOND, "b", "2")]
    with tracing.start_as_current_span("graph", attributes=tool.node(*said)):
        for each in said:
            tracing.start_span("node", attributes=tool.node(each)).end()
    (rollout,) = read(exporter, tmp_path)
    has(rollout, FIRST, SECOND)


@pytest.mark.parametrize(("text", "before"), [("of a tool", False), ("of a tool", True), ("a", True)])
def test_the_answer_of_a_model_inside_a_tool_takes_no_other_calls_place(tmp_path, tracer, tool, text, before):
    tracing, exporter = tracer
    with tracing.start_as_current_span("graph", attributes=tool.node(message(FIRST, "a", "1"))):
        for of_the_tool in (before, not before):
            if of_the_tool:
                tracing.start_span("tool", attributes=tool.node(message(THIRD, text, "9"))).end()
            else:
                tracing.start_span("model", attributes=tool.llm(message(FIRST, "a"))).end()
    (rollout,) = read(exporter, tmp_path)
    has(rollout, FIRST)
