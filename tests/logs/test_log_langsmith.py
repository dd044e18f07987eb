"""A LangSmith export says of a run what live capture said of it: without what failed, and of alternatives the first."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from fake_openai import MODEL, Answer, FakeOpenAI
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import record_calls
from ec_agent.logs import found_in, opened
from ec_agent.testing import logprobs_for

KEPT = {
    "id",
    "trace_id",
    "dotted_order",
    "parent_run_id",
    "name",
    "run_type",
    "start_time",
    "outputs",
    "extra",
    "error",
}
FIRST, SECOND = [2.0, 0.1, 0.1], [0.1, 1.0]


@pytest.fixture(scope="module")
def fake():
    fake = FakeOpenAI()
    yield fake
    fake.close()


@pytest.fixture
def model(fake):
    fake.answers.clear()
    fake._taken.clear()
    asking = {"logprobs": True, "top_logprobs": 20, "stream_usage": True}
    return ChatOpenAI(model=MODEL, base_url=fake.url, api_key="none", timeout=10, max_retries=0, **asking)


def exported(runs):
    for run in runs:
        yield json.loads(json.dumps(run.model_dump(mode="json", include=KEPT), default=str))
        yield from exported(run.child_runs)


def told(path):
    troubles = []
    with opened(path) as source:
        return list(found_in(source, lambda where, what: troubles.append(f"{where} {what}"), "langsmith")), troubles


def graph_of(*nodes):
    builder = StateGraph(MessagesState)
    builder.add_sequence([(node.__name__, node) for node in nodes])
    builder.add_edge(START, nodes[0].__name__)
    return builder.compile()


def asking(model, prompt, name, how="invoke"):
    def node(state):
        if how == "invoke":
            return {"messages": [model.invoke(prompt)]}
        parts = list(model.stream(prompt))
        whole = parts[0]
        for part in parts[1:]:
            whole += part
        return {"messages": [whole]}

    node.__name__ = name
    return node


def plain(fake, model):
    return graph_of(asking(model, "first", "one"), asking(model, "second", "two"))


def streamed(fake, model):
    return graph_of(asking(model, "first", "one", "stream"), asking(model, "second", "two"))


def retried(fake, model):
    fake.answers["first"] = [Answer(status=500), Answer(status=500), Answer(FIRST)]
    again = model.with_retry(wait_exponential_jitter=False)
    return graph_of(asking(again, "first", "one"), asking(model, "second", "two"))


def fallen_back(fake, model):
    fake.answers["first"] = [Answer(status=400), Answer(FIRST)]
    return graph_of(asking(model.with_fallbacks([model]), "first", "one"), asking(model, "second", "two"))


def with_gaps(fake, model):
    fake.answers["second"] = Answer(SECOND, usage=9)
    return graph_of(asking(model, "first", "one"), asking(model, "second", "two"))


def calling_tools(fake, model):
    fake.answers["first"] = Answer(FIRST, tool_calls=[("look", {"at": "x"})])
    return graph_of(asking(model, "first", "one"), asking(model, "second", "two"))


RUNS = [plain, streamed, retried, fallen_back, with_gaps, calling_tools]


def same_numbers(live, logged):
    assert len(live.calls) == len(logged.calls) == 2
    for heard, read in zip(live.calls, logged.calls, strict=True):
        np.testing.assert_array_equal(heard.entropies, read.entropies)
        names = ("tokens", "model", "node", "prompt_tokens", "capability")
        assert {name: getattr(heard, name) for name in names} == {name: getattr(read, name) for name in names}
    assert live.coverage == logged.coverage
    assert live.centroid() == logged.centroid()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_the_log_and_live_capture_give_the_same_numbers(tmp_path, fake, model, run):
    fake.answers.update(first=Answer(FIRST), second=Answer(SECOND))
    graph, tracer = run(fake, model), RunCollectorCallbackHandler()
    with record_calls() as recorder:
        graph.invoke({"messages": [("user", "?")]}, {"callbacks": [tracer]})
    (tmp_path / "runs.jsonl").write_text("\n".join(map(json.dumps, exported(tracer.traced_runs))))
    (found,), troubles = told(tmp_path / "runs.jsonl")
    assert troubles == []
    same_numbers(recorder.trajectory(), found.trajectory)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
async def test_the_same_async(tmp_path, fake, model, run):
    fake.answers.update(first=Answer(FIRST), second=Answer(SECOND))
    graph, tracer = run(fake, model), RunCollectorCallbackHandler()
    with record_calls() as recorder:
        await graph.ainvoke({"messages": [("user", "?")]}, {"callbacks": [tracer]})
    (tmp_path / "runs.jsonl").write_text("\n".join(map(json.dumps, exported(tracer.traced_runs))))
    (found,), _ = told(tmp_path / "runs.jsonl")
    same_numbers(recorder.trajectory(), found.trajectory)


def test_a_trace_that_failed_is_no_candidate(tmp_path, fake, model):
    def fail(state):
        raise RuntimeError("boom")

    fake.answers.update(first=Answer(FIRST), second=Answer(SECOND))
    tracer = RunCollectorCallbackHandler()
    for nodes in ((asking(model, "first", "one"), fail), (asking(model, "second", "two"),)):
        with contextlib.suppress(RuntimeError):
            graph_of(*nodes).invoke({"messages": [("user", "?")]}, {"callbacks": [tracer]})
    (tmp_path / "runs.jsonl").write_text("\n".join(map(json.dumps, reversed(list(exported(tracer.traced_runs))))))
    (found,), (trouble,) = told(tmp_path / "runs.jsonl")
    np.testing.assert_allclose(found.trajectory.entropies, SECOND)
    assert "ended in an error (RuntimeError" in trouble


# Alternatives of one call


def alternatives(count, of=FIRST):
    """As LangChain's tracer writes them: the usage of all of them is in each."""
    usage = {"input_tokens": 3, "output_tokens": count * len(of), "total_tokens": 3 + count * len(of)}
    every = [of, *[SECOND] * (count - 1)]
    return [
        {
            "text": "x",
            "message": {
                "lc": 1,
                "type": "constructor",
                "id": ["langchain", "schema", "messages", "AIMessage"],
                "kwargs": {
                    "type": "ai",
                    "content": "x",
                    "usage_metadata": usage,
                    "response_metadata": {"logprobs": {"content": logprobs_for(entropies)}},
                },
            },
        }
        for entropies in every
    ]


CHOICES = [{"message": {"content": "x"}, "logprobs": {"content": logprobs_for(each)}} for each in (FIRST, SECOND)]
OUTPUTS = {
    "a chat model's": {"generations": [alternatives(3)]},
    "in no list of their own": {"generations": alternatives(2)},
    "a completion model's": {
        "generations": [
            [
                {"text": "x", "generation_info": {"logprobs": {"content": logprobs_for(each)}}}
                for each in (FIRST, SECOND)
            ]
        ]
    },
    "a wrapped client's": {"choices": CHOICES, "usage": {"completion_tokens": 5, "prompt_tokens": 3}},
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_the_agent_went_on_with_the_first(tmp_path, kind):
    run = {"id": "1", "trace_id": "t", "run_type": "llm", "outputs": OUTPUTS[kind]}
    (tmp_path / "runs.jsonl").write_text(json.dumps(run))
    (found,), troubles = told(tmp_path / "runs.jsonl")
    assert troubles == []
    np.testing.assert_allclose(found.trajectory.entropies, FIRST)
    assert found.trajectory.coverage == 1.0


# Failed attempts, as they may be written


@pytest.mark.parametrize(
    ("failed", "tokens"),
    [
        ({"error": "RateLimitError()", "outputs": None}, 3),
        ({"status": "error", "outputs": {}}, 3),
        ({"status": "pending", "outputs": None}, 3),  # killed: nobody told how it ended
        ({"status": "pending", "outputs": {"generations": [alternatives(1, SECOND)]}}, 5),
        ({"error": "x", "outputs": {"generations": [[]]}}, 3),
        ({"error": "x", "outputs": {"generations": [alternatives(1, SECOND)]}}, 5),  # it had begun to stream
    ],
)
def test_failed_attempts_do_not_spoil_a_trace(tmp_path, failed, tokens):
    run = {"trace_id": "t", "run_type": "llm"}
    lines = [{**run, "id": "1", **failed}, {**run, "id": "2", "outputs": {"generations": [alternatives(1)]}}]
    (tmp_path / "runs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (found,), _ = told(tmp_path / "runs.jsonl")
    assert (len(found.trajectory), found.trajectory.coverage) == (tokens, 1.0)
    assert [call.partial for call in found.trajectory.calls] == ([True, False] if tokens == 5 else [False])


def test_the_tracer_that_dropped_them_is_named(tmp_path):
    bare = {"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": 3}}
    (tmp_path / "runs.jsonl").write_text(json.dumps({"id": "1", "trace_id": "1", "run_type": "llm", "outputs": bare}))
    (found,), _ = told(tmp_path / "runs.jsonl")
    assert "wrap_openai" in found.lacking
