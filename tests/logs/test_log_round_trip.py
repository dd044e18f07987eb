"""Run, export, score: what LangSmith's own tracer and client wrote and gave back has the run's numbers, bit by bit.

The same for Inspect is in ``tests/inspect_bridge``, for our OpenTelemetry spans in ``test_log_otel.py``.
"""

from __future__ import annotations

import asyncio
import json
import warnings

import pytest
from click.testing import CliRunner
from fake_langsmith import PROJECT, FakeLangSmith
from fake_openai import MODEL, Answer, FakeOpenAI
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_core.tracers.langchain import LangChainTracer
from langchain_openai import ChatOpenAI
from langsmith import Client
from log_kit import told

from ec_agent import Limits, LowestCentroid, best_of_n, read_only, record_calls
from ec_agent.cli.app import app

QUESTIONS = ("early", "late", "long")
ENTROPIES = {"early": [2.3, 0.1, 0.1, 0.2, 0.1], "late": [0.1, 0.3, 0.1, 0.1, 1.9], "long": [0.07, 0.9] * 9}


@read_only
@tool
def look(at: str) -> str:
    """Look."""
    return f"after {at}"


@pytest.fixture
def fake():
    """Each question is answered with a tool call, and what the tool says with text."""
    fake = FakeOpenAI()
    for name, entropies in ENTROPIES.items():
        fake.answers[name] = Answer(entropies, tool_calls=[("look", {"at": name})])
        fake.answers[f"after {name}"] = Answer([entropy / 3 for entropy in entropies], usage=len(entropies) + 2)
    yield fake
    fake.close()


@pytest.fixture
def smith():
    smith = FakeLangSmith()
    yield smith
    smith.close()


@pytest.fixture
def client(smith):
    return Client(api_url=smith.url, api_key="x", auto_batch_tracing=False)


def agent(fake, **more):
    model = ChatOpenAI(model=MODEL, base_url=fake.url, api_key="x", logprobs=True, top_logprobs=20, **more)
    return create_agent(model, [look])


SELECTED = ["ID", "TRACE_ID", "RUN_TYPE", "STATUS", "ERROR", "DOTTED_ORDER", "OUTPUTS", "EXTRA"]


def by_list_runs(client):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        yield from client.list_runs(project_name="default")


def by_query_v2(client, selects=SELECTED):
    async def asked():
        return [run async for run in client.runs.query_v2(project_ids=[PROJECT], selects=selects)]

    return asyncio.run(asked())


EXPORTS = [by_list_runs, by_query_v2]


def exported(runs, path):
    """The export that docs/traces.md tells of."""
    path.write_text("".join(f"{run.model_dump_json()}\n" for run in runs))
    return path


def scored(path, *options):
    done = CliRunner().invoke(app, ["score", str(path), "--json", "--one-task", *options])
    assert done.exception is None, done.exception
    return {row["id"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("export", EXPORTS)
def test_a_run_of_langsmith_scored_again_is_the_run(tmp_path, fake, client, streaming, export):
    live = {}
    for question in QUESTIONS:
        tracer = LangChainTracer(client=client, project_name="default")
        with record_calls() as recorder:
            agent(fake, streaming=streaming, stream_usage=True).invoke(
                {"messages": [("user", question)]}, {"callbacks": [tracer]}
            )
        tracer.wait_for_futures()
        live[str(tracer.latest_run.trace_id)] = recorder.trajectory()
    path = exported(export(client), tmp_path / "runs.jsonl")
    found, troubles = told(path)
    assert troubles == []
    assert {each.name for each in found} == set(live)
    for each in found:
        for heard, read in zip(live[each.name].calls, each.trajectory.calls, strict=True):
            assert heard.entropies.tobytes() == read.entropies.tobytes()
            names = ("tokens", "generated", "unplaced", "node", "model", "prompt_tokens")
            assert [getattr(heard, name) for name in names] == [getattr(read, name) for name in names]
    rows = scored(path)
    assert {name: row["centroid"] for name, row in rows.items()} == {
        name: trajectory.centroid() for name, trajectory in live.items()
    }
    best = min(live, key=lambda name: live[name].centroid())
    assert [name for name, row in rows.items() if row["best"]] == [best]


@pytest.mark.parametrize("export", EXPORTS)
def test_what_best_of_n_chose_is_chosen_again(tmp_path, fake, client, export):
    """A rollout each in its own trace: ``sampling`` has no part in it, so the agent traces itself."""

    def rollout(state):
        question = QUESTIONS[len(seen)]
        tracer = LangChainTracer(client=client, project_name="default")
        seen.append(tracer)
        return agent(fake).invoke({"messages": [("user", question)]}, {"callbacks": [tracer]})

    seen = []
    result = best_of_n(rollout, n=3, selector=LowestCentroid(), limits=Limits(max_concurrency=1)).run(
        {"messages": [("user", "any")]}
    )
    for tracer in seen:
        tracer.wait_for_futures()
    rows = scored(exported(export(client), tmp_path / "runs.jsonl"))
    again = [rows[str(tracer.latest_run.trace_id)] for tracer in seen]
    assert [row["centroid"] for row in again] == [each.centroid for each in result.selection.candidates]
    assert [row["best"] for row in again].index(True) == result.selection.winner


# What was not selected


@pytest.fixture
def traced(fake, client):
    tracer = LangChainTracer(client=client, project_name="default")
    agent(fake).invoke({"messages": [("user", "early")]}, {"callbacks": [tracer], "metadata": {"question": "one"}})
    tracer.wait_for_futures()
    return tracer.latest_run


@pytest.mark.parametrize("without", ["TRACE_ID", "DOTTED_ORDER"])
def test_what_is_selected_may_tell_the_rest(tmp_path, client, traced, without):
    more = ["START_TIME"] if without == "DOTTED_ORDER" else []
    runs = by_query_v2(client, [*(name for name in SELECTED if name != without), *more])
    (found,), troubles = told(exported(runs, tmp_path / "runs.jsonl"))
    assert (troubles, found.name, len(found.trajectory.calls)) == ([], str(traced.trace_id), 2)
    assert [call.tokens for call in found.trajectory.calls] == [5, 7]


def test_without_outputs_they_are_asked_for(tmp_path, client, traced):
    runs = by_query_v2(client, [name for name in SELECTED if name != "OUTPUTS"])
    (found,), _ = told(exported(runs, tmp_path / "runs.jsonl"))
    assert "select OUTPUTS" in found.lacking


def test_a_run_that_does_not_tell_its_trace_is_none(tmp_path, client, traced):
    (tmp_path / "runs.jsonl").write_text(json.dumps({"run_type": "LLM", "id": "1", "parent_run_id": "2"}))
    found, (trouble,) = told(tmp_path / "runs.jsonl")
    assert found == []
    assert "TRACE_ID" in trouble


@pytest.mark.parametrize("key", ["metadata.question", "extra.metadata.question"])
@pytest.mark.parametrize("field", ["METADATA", "EXTRA"])
def test_what_the_user_wrote_beside_a_run_names_its_task(tmp_path, client, traced, key, field):
    runs = by_query_v2(client, [*(name for name in SELECTED if name != "EXTRA"), field])
    path = exported(runs, tmp_path / "runs.jsonl")
    done = CliRunner().invoke(app, ["score", str(path), "--json", "--task-from", key])
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["task"] == "one"
