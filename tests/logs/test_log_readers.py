"""Logs of others: what a real one holds is found, in order, and nothing else; any size in the same memory."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langgraph.graph import START, MessagesState, StateGraph
from log_kit import told

from ec_agent import LogprobsError, TraceStore, Trajectory, best_of_n, token_entropy
from ec_agent.cli.app import app
from ec_agent.errors import ConfigError
from ec_agent.logs import READERS, opened
from ec_agent.support.extras import installing
from ec_agent.testing import Reply, ScriptedChatModel, logprobs_for

DATA = Path(__file__).parent / "data"
TRACES = Path(__file__).parents[1] / "traces" / "data"


def read(path, **more):
    found, troubles = told(path, **more)
    assert troubles == []
    return found


# Inspect: both files were written by inspect_ai 0.3.285. Its sample asks a model with the role "user" once, the model
# under test twice, and its scorer asks that model once more.


@pytest.fixture(scope="module")
def samples():
    with opened(DATA / "inspect.json") as source, source.open() as file:
        return json.load(file)["samples"]


def test_inspect_logs_are_read_by_the_agents_calls(samples):
    (found,) = read(DATA / "inspect.json")
    events = [event for event in samples[0]["events"] if event["event"] == "model"]
    assert [event.get("role") for event in events] == ["user", None, None, None]
    expected = [
        token_entropy(
            [[c["logprob"] for c in t["top_logprobs"]] for t in e["output"]["choices"][0]["logprobs"]["content"]]
        )
        for e in events[1:3]
    ]
    assert (found.name, found.task, found.outcome) == ("one epoch 1", "one", 1.0)
    for call, entropies, event in zip(found.trajectory.calls, expected, events[1:3], strict=True):
        np.testing.assert_array_equal(call.entropies, entropies)
        assert (call.model, call.prompt_tokens) == ("mockllm/model", 10)
        assert call.tokens == event["output"]["usage"]["output_tokens"]
        assert call.ended >= call.started > 1.7e9
        assert "surprisal" in call.signals


def test_an_eval_file_has_every_sample_and_epoch():
    found = read(DATA / "inspect.eval")
    assert [(each.name, each.task, each.outcome) for each in found] == [
        ("one epoch 1", "one", 1.0),
        ("2 epoch 1", "2", 0.0),
        ("one epoch 2", "one", 1.0),
        ("2 epoch 2", "2", 0.0),
    ]
    assert [len(each.trajectory.calls) for each in found] == [2] * 4
    assert all(each.trajectory.coverage == 1.0 for each in found)


def in_a_zip(path, samples):
    with zipfile.ZipFile(path, "w") as archive:
        for number, sample in enumerate(samples):
            text = sample if isinstance(sample, str) else json.dumps(sample)
            archive.writestr(f"samples/{number}_epoch_1.json", text)
    return path


@pytest.mark.parametrize(
    ("score", "outcome"),
    [("C", 1.0), ("I", 0.0), ("P", 0.5), (0.25, 0.25), (True, 1.0), ("text", None), ({"a": 1}, None), (None, None)],
)
def test_grades_of_inspect(tmp_path, samples, score, outcome):
    (found,) = read(in_a_zip(tmp_path / "log.eval", [{**samples[0], "scores": {"one": {"value": score}}}]))
    assert found.outcome == outcome


def test_a_sample_without_events_is_read_by_its_output(tmp_path, samples):
    bare = {**samples[0], "events": [], "scores": None}
    (found,) = read(in_a_zip(tmp_path / "log.eval", [bare]))
    assert len(found.trajectory.calls) == 1
    assert len(found.trajectory) == len(bare["output"]["choices"][0]["logprobs"]["content"])


def test_odd_samples_are_left_out(tmp_path, samples):
    found, troubles = told(in_a_zip(tmp_path / "log.eval", ["{", "[]", {"id": 1, "events": [3]}, samples[0]]))
    assert [each.name for each in found] == ["one epoch 1"]
    odd = "is not a sample that can be read"
    for number, (trouble, words) in enumerate(zip(troubles, ["is not JSON", odd, odd], strict=True)):
        assert f"log.eval, samples/{number}_epoch_1.json {words}" in trouble


def test_half_an_eval_file_is_said(tmp_path):
    half = tmp_path / "half.eval"
    half.write_bytes((DATA / "inspect.eval").read_bytes()[:5000])
    found, (trouble,) = told(half)
    assert found == []
    assert "is not a complete .eval file" in trouble


# LangSmith: the runs are those of LangChain's own tracer.


def runs_of(example, *scripts):
    """The runs of an agent with two calls, as they are exported."""
    model = ScriptedChatModel([list(scripts)])

    def ask(state):
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    for before, name in ((START, "first"), ("first", "second")):
        builder.add_node(name, ask)
        builder.add_edge(before, name)
    tracer = RunCollectorCallbackHandler()
    builder.compile().invoke({"messages": [("user", "?")]}, {"callbacks": [tracer]})

    def flat(run):
        kept = {"id", "trace_id", "dotted_order", "parent_run_id", "name", "run_type", "start_time", "outputs", "extra"}
        yield {**run.model_dump(mode="json", include=kept), "reference_example_id": None}
        for child in run.child_runs:
            yield from flat(child)

    runs = list(flat(tracer.traced_runs[0]))
    runs[0]["reference_example_id"] = example
    return runs


@pytest.fixture(scope="module")
def traces():
    early = runs_of("example", Reply("a", entropies=[2.0, 0.1]), Reply("b", entropies=[0.1, 0.1, 0.1]))
    late = runs_of("example", Reply("a", entropies=[0.1, 0.1]), Reply("b", entropies=[0.1, 0.1, 2.0]))
    return [json.loads(json.dumps(run, default=str)) for run in [*early, *late]]


@pytest.mark.parametrize("array", [False, True])
def test_the_llm_runs_of_a_trace_are_a_rollout(tmp_path, traces, array):
    file = tmp_path / "runs.json"
    mixed = list(reversed(traces))  # newest first, as the API returns them
    file.write_text(json.dumps(mixed, indent=1) if array else "\n".join(map(json.dumps, mixed)))
    late, early = read(file)
    assert {late.task, early.task} == {"example"}
    assert {late.name, early.name} == {run["trace_id"] for run in traces}
    np.testing.assert_allclose(early.trajectory.entropies, [2.0, 0.1, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(late.trajectory.entropies, [0.1, 0.1, 0.1, 0.1, 2.0])
    assert [call.node for call in early.trajectory.calls] == ["first", "second"]


def test_outputs_as_text_and_of_an_openai_client(tmp_path, traces):
    (llm, _, *_) = [run for run in traces if run["run_type"] == "llm"]
    content = logprobs_for([2.0, 0.1])
    wrapped = {"choices": [{"message": {"content": "x"}, "logprobs": {"content": content}}], "model": "m"}
    completion = {"generations": [[{"text": "x", "generation_info": {"logprobs": {"content": content}}}]]}
    outputs = [
        json.dumps(llm["outputs"]),
        wrapped,
        completion,
        {"message": llm["outputs"]["generations"][0][0]["message"]},
    ]
    file = tmp_path / "runs.jsonl"
    file.write_text("\n".join(json.dumps({**llm, "trace_id": str(i), "outputs": o}) for i, o in enumerate(outputs)))
    for found in read(file):
        np.testing.assert_allclose(found.trajectory.entropies, [2.0, 0.1])


def test_odd_runs_are_skipped_and_failed_ones_have_no_logprobs(tmp_path, traces):
    (llm, *_) = [run for run in traces if run["run_type"] == "llm"]
    file = tmp_path / "runs.jsonl"
    lines = [{**llm, "outputs": None}, {**llm, "outputs": "{"}, {"run_type": "llm"}, 7]
    file.write_text("\n".join(map(json.dumps, lines)))
    (found,), troubles = told(file)
    assert found.trajectory.scored_tokens == 0
    assert [trouble.partition("line ")[2][:12] for trouble in troubles] == [
        "2 has output",
        "3 is not a r",
        "4 is not a r",
    ]


# The reference code: a record as its tau2-bench collector and its vLLM engine write it.


def reference(number, entropies, **more):
    sequence = [
        {"token": "t", "token_id": 5, "position": i, "entropy": h, "top_k_token_ids": [5, 6], "top_k_probs": [0.9, 0.1]}
        for i, h in enumerate(entropies)
    ]
    return {
        "id": f"7_traj_{number}" if number else "7",
        "original_id": "7",
        "trajectory_index": number,
        "problem": "?",
        "solution": None,
        "source": "tau2-bench-airline",
        "generated_text": 'about "entropy_sequence" and {"choices": 1}',
        "tokens": ["t"] * len(entropies),
        "token_ids": [5] * len(entropies),
        "entropy_sequence": sequence,
        "statistics": {},
        **more,
    }


@pytest.mark.parametrize("name", ["entropy_results.jsonl", "entropy_results.json", "renamed.txt"])
def test_entropy_results(tmp_path, name):
    records = [reference(0, [2.0, None, 0.1], reward=1.0), reference(1, [0.1, 0.1, 2.0])]
    file = tmp_path / name
    file.write_text(json.dumps(records, indent=2) if name.endswith(".json") else "\n".join(map(json.dumps, records)))
    first, second = read(file)
    assert (first.name, first.task, first.outcome) == ("7", "7", 1.0)
    assert (second.name, second.task, second.outcome) == ("7_traj_1", "7", None)
    np.testing.assert_array_equal(first.trajectory.entropies, [2.0, np.nan, 0.1])


def test_a_cut_line_of_entropy_results_is_left_out(tmp_path):
    file = tmp_path / "entropy_results.jsonl"
    whole = json.dumps(reference(0, [2.0, 0.1]))
    file.write_text(f"{whole}\n{{}}\n{whole[:-40]}")
    found, troubles = told(file)
    assert len(found) == 1
    assert "line 2 has no 'entropy_sequence' that can be read" in troubles[0]
    assert "line 3 is not JSON" in troubles[1]


# Our own.


def test_our_own_files_are_scored(tmp_path):
    replies = [[Reply("late", entropies=[0.1, 0.1, 2.0])], [Reply("early", entropies=[2.0, 0.1, 0.1])]]
    model = ScriptedChatModel(replies)
    node = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=2)
    with TraceStore(tmp_path / "traces.db", create=True) as store:
        for _ in range(2):
            store.record(node.run({"messages": [("user", "?")]}), name="q")
    found = read(tmp_path / "traces.db")
    assert [(each.name, each.task, each.outcome) for each in found][::2] == [
        ("q, rollout 0", "q (1)", None),
        ("q, rollout 0", "q (2)", None),
    ]
    done = CliRunner().invoke(app, ["score", str(tmp_path / "traces.db"), "--json"])
    assert [json.loads(line)["best"] for line in done.stdout.splitlines()] == [False, True] * 2
    assert [each.name for each in read(shutil.copy(TRACES / "version_1.db", tmp_path))] == [
        "a, rollout 0",
        "b, rollout 0",
    ]


# Any of them.


def test_a_format_can_be_forced(tmp_path):
    file = tmp_path / "x.json"
    file.write_text(json.dumps({**reference(0, [2.0, 0.1]), "entropies": [1.0, 1.0, 1.0]}))
    assert len(read(file)[0].trajectory) == 2
    assert len(read(file, format="responses")[0].trajectory) == 3
    with pytest.raises(LogprobsError, match="unknown format 'x'; the formats are traces, otel, inspect"):
        told(file, format="x")


def test_the_command_knows_every_reader():
    done = CliRunner().invoke(app, ["score", "--help"])
    assert "[" + "|".join(READERS) + "]" in done.output.replace("\n", "").replace(" ", "")


MEASURE = """
import re, sys
from pathlib import Path
from ec_agent.logs import found_in, opened
tokens = 0
for file in map(Path, sys.argv[1:]):
    with opened(file) as source:
        for found in found_in(source, lambda *what: sys.exit(str(what))):
            tokens += len(found.trajectory)
# Not ru_maxrss, which a child process has from its parent.
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024, tokens)
"""


def of_each_kind(folder, times, samples, traces):
    """A file of each kind with so many records; about 15 kB of each a time."""
    folder.mkdir()
    record = reference(0, [0.5] * 100)
    response = {"choices": [{"logprobs": {"content": logprobs_for([0.5] * 8)}}]}
    runs = [{**run, "trace_id": f"{run['trace_id']}{i}"} for i in range(times) for run in traces[:5]]
    (folder / "lines.jsonl").write_text("\n".join([json.dumps(response)] * times))
    (folder / "array.json").write_text(json.dumps([record] * times))
    (folder / "runs.jsonl").write_text("\n".join(map(json.dumps, runs)))
    (folder / "log.json").write_text(
        json.dumps({"version": 2, "status": "success", "eval": {}, "samples": samples * times})
    )
    in_a_zip(folder / "log.eval", samples * times)
    return sorted(folder.iterdir())


@pytest.mark.whole_form("two processes read megabytes; test_log_bounds.py bounds what is kept of small files")
def test_ten_times_the_size_takes_the_same_memory(tmp_path, samples, traces):
    megabytes = []
    for times in (15, 150):
        files = of_each_kind(tmp_path / str(times), times, samples, traces)
        assert sum(file.stat().st_size for file in files) > 60_000 * times
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *map(str, files)], capture_output=True, text=True, check=True, timeout=120
        )
        peak, tokens = map(int, done.stdout.split())
        assert tokens > 100 * times
        megabytes.append(peak)
    assert megabytes[1] - megabytes[0] < 6, megabytes  # of the larger files, one has 4 MB, and all have 10


def test_a_trajectory_is_what_is_found():
    assert all(isinstance(found.trajectory, Trajectory) for found in read(DATA / "inspect.eval"))


def test_without_what_unpacks_zstandard_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "backports", None)
    monkeypatch.setitem(sys.modules, "compression", None)
    monkeypatch.delitem(sys.modules, "ec_agent.logs.inspect_zip", raising=False)
    if sys.version_info < (3, 14):
        with pytest.raises(
            ConfigError, match=re.escape(f"needs backports.zstd; install it ({installing('ec-agent[cli]')})")
        ):
            read(DATA / "inspect.eval")
    assert read(DATA / "inspect.json")
