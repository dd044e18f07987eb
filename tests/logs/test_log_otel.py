"""Run, export, score again: our own spans give the numbers of the run, to the bit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf.json_format import MessageToJson
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ec_agent import best_of_n
from ec_agent.cli.app import app
from ec_agent.logs import found_in, opened
from ec_agent.testing import Reply
from ec_agent.tracing import instrument, uninstrument

sys.path.append(str(Path(__file__).parents[1] / "tracing"))

from clerks import ASKED, clerk, peak, searching

GAPPED = [1 / 3, None, 2.0, 0.1, None, 0.1, 0.1]
SCRIPTS = {
    "several calls": [searching(3), searching(6), searching(1)],
    "gaps": [[Reply("a", entropies=GAPPED)], [Reply("b", entropies=peak(5))]],
    "one without logprobs": [[Reply("a", entropies=[None] * 4)], [Reply("b", entropies=peak(5))]],
}


def as_sdk(spans):
    return "\n".join(span.to_json() for span in spans)


def as_sdk_lines(spans):
    return "\n".join(span.to_json(indent=None) for span in spans)


def as_collector(spans):
    """What a collector's file exporter writes: a document of OTLP a batch."""
    batches = [spans[: len(spans) // 2], spans[len(spans) // 2 :]]
    return "\n".join(MessageToJson(encode_spans(batch), indent=None) for batch in batches if batch)


FORMS = {"SDK": as_sdk, "SDK, a line each": as_sdk_lines, "OTLP": as_collector}


@pytest.fixture
def exported():
    """Traces with entropies, and gives all spans."""
    exporter = InMemorySpanExporter()

    def tracing(limits=None, **settings):
        provider = TracerProvider(span_limits=limits)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        instrument(provider, **{"entropies": True, **settings})
        return exporter.get_finished_spans

    yield tracing
    uninstrument()


def told(tmp_path, text):
    file, troubles = tmp_path / "spans.json", []
    file.write_text(text)
    with opened(file) as source:
        return list(found_in(source, lambda where, what: troubles.append(f"{where} {what}"))), troubles


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scripts", SCRIPTS)
def test_scored_again_it_equals_the_run(tmp_path, exported, form, scripts):
    spans = exported()
    result = best_of_n(clerk(*SCRIPTS[scripts]), n=len(SCRIPTS[scripts])).run(ASKED)
    found, troubles = told(tmp_path, FORMS[form](spans()))
    assert troubles == []
    assert len({each.task for each in found}) == 1
    by_index = {int(each.name.rpartition(" ")[2]): each.trajectory for each in found}
    for index, live in enumerate(result.trajectories):
        assert by_index[index].entropies.tobytes() == live.entropies.tobytes()
        assert by_index[index].centroid() == live.centroid()
        assert by_index[index].coverage == live.coverage
        assert [call.tokens for call in by_index[index].calls] == [call.tokens for call in live.calls]


def test_the_command_chooses_what_the_run_chose(tmp_path, exported):
    spans = exported()
    selection = best_of_n(clerk(searching(6), searching(1), searching(3)), n=3).run(ASKED).selection
    file = tmp_path / "spans.jsonl"
    file.write_text(as_sdk_lines(spans()))
    done = CliRunner().invoke(app, ["score", str(file), "--json"])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    (winner,) = [line["id"] for line in lines if line.get("best")]
    assert winner.endswith(f"rollout {selection.winner}")


def test_each_question_is_a_task_and_what_others_trace_is_passed_over(tmp_path, exported):
    spans = exported()
    for _ in range(2):
        best_of_n(clerk(searching(3), searching(6)), n=2).run(ASKED)
    found, troubles = told(tmp_path, as_collector(spans()))
    assert troubles == []
    assert sorted(each.task for each in found) == sorted([*{each.task for each in found}] * 2)
    assert len({each.task for each in found}) == 2


def test_without_entropies_it_says_what_to_switch_on(tmp_path, exported):
    spans = exported(entropies=False)
    best_of_n(clerk(searching(3)), n=1).run(ASKED)
    found, (trouble,) = told(tmp_path, as_sdk(spans()))
    assert found == []
    assert trouble.endswith("has 0 of the rollout's 2 calls; export spans with instrument(entropies=True)")


def test_calls_that_the_sdk_dropped_are_missed(tmp_path, exported):
    spans = exported(SpanLimits(max_events=2))
    best_of_n(clerk(searching(3)), n=1).run(ASKED)
    found, (trouble,) = told(tmp_path, as_collector(spans()))
    assert found == []
    assert "has 1 of the rollout's 2 calls; set OTEL_SPAN_EVENT_COUNT_LIMIT" in trouble


def test_failed_rollouts_are_no_candidates(tmp_path, exported):
    spans = exported()
    best_of_n(clerk([Reply(error=ValueError("no"))], searching(3)), n=2).run(ASKED)
    found, (trouble,) = told(tmp_path, as_sdk_lines(spans()))
    assert [each.name.rpartition(" ")[2] for each in found] == ["1"]
    assert trouble.endswith("is of a rollout that failed, so it is no candidate")


@pytest.mark.parametrize("broken", [{"ec_agent.call.gaps.entropy": [99]}, {"ec_agent.call.signal.entropy": ["x"]}])
def test_damaged_events_are_told(tmp_path, exported, broken):
    spans = exported()
    best_of_n(clerk(searching(3)), n=1).run(ASKED)
    records = [json.loads(span.to_json()) for span in spans()]
    for record in records:
        for event in record["events"]:
            event["attributes"] |= broken if event["name"] == "ec_agent.call" else {}
    found, (trouble,) = told(tmp_path, "\n".join(map(json.dumps, records)))
    assert found == []
    assert "cannot be read" in trouble
