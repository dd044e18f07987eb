"""LangSmith: metadata on the rollouts' runs and feedback to them, at a local server, by its own client."""

from __future__ import annotations

import time

import pytest
from clerks import ASKED, clerk, peak, searching
from langchain.agents import create_agent
from langchain_core.tracers import LangChainTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langsmith import Client
from langsmith.utils import get_env_var
from sink import PROJECT, serving
from urllib3 import Retry

from ec_agent import best_of_n
from ec_agent.selectors import MeanEntropy
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.tracing import flush

SECRET = "lsv2_s3cr3t"
TWO = ([Reply("a private answer", entropies=peak(9))], [Reply("another", entropies=peak(1))])


def given(server):
    """Feedback by run and key; and the runs themselves, by id."""
    assert flush(20)
    scores = {}
    for each in server.parts("feedback"):
        scores.setdefault(each["run_id"], {})[each["key"]] = each
    return scores, {run["id"]: run for run in server.parts("post")}


def test_each_rollouts_run_gets_its_scores(server, tracer, run):
    selection = run(best_of_n(clerk(searching(5), [Reply("early", entropies=peak(1))]), n=2), ASKED, tracer).selection
    scores, runs = given(server)
    assert len(scores) == 2
    for run_id, told in scores.items():
        posted = runs[run_id]
        assert posted["name"] == "clerk"
        receipt = selection.candidates[posted["extra"]["metadata"]["ec_rollout"]]
        assert told["ec_agent.centroid"]["score"] == pytest.approx(receipt.centroid, abs=1e-4)
        assert told["ec_agent.selected"]["score"] == (receipt.index == selection.winner)
        assert told["ec_agent.coverage"]["score"] == 1.0
        assert set(told) == {"ec_agent.centroid", "ec_agent.selected", "ec_agent.coverage"}
        assert {(each["trace_id"], each["session_id"]) for each in told.values()} == {(posted["trace_id"], PROJECT)}


def test_the_runs_are_marked(server, tracer):
    best_of_n(clerk(*TWO), n=2).run(ASKED, tracer)
    _, runs = given(server)
    of_rollouts = [run for run in runs.values() if "ec_rollout" in run["extra"]["metadata"]]
    assert sorted(run["name"] for run in of_rollouts) == 2 * ["ScriptedChatModel"] + 2 * ["clerk"] + 2 * ["model"]
    marked = [run["extra"]["metadata"] for run in of_rollouts]
    assert {each["ec_selector"] for each in marked} == {"lowest_centroid"}
    assert {each["ec_config"] for each in marked} == {"1/80/2"}
    assert {each["ec_rollout"] for each in marked} == {0, 1}


def test_another_score_and_no_score(server, tracer):
    scripts = (*TWO, [Reply("no logprobs", tokens=9)], [Reply(error=ValueError("a private mishap"))])
    best_of_n(clerk(*scripts), n=4, selector=MeanEntropy()).run(ASKED, tracer)
    scores, runs = given(server)
    by_index = {runs[run_id]["extra"]["metadata"]["ec_rollout"]: told for run_id, told in scores.items()}
    assert by_index[0]["ec_agent.score"]["comment"] == "mean_entropy"
    assert by_index[2]["ec_agent.selected"]["comment"] == "coverage"
    assert by_index[3]["ec_agent.selected"]["comment"] == "failed"
    assert set(by_index[3]) == {"ec_agent.selected"}


def test_our_additions_have_no_content_and_no_secret(server, tracer):
    best_of_n(clerk(*TWO), n=2).run(ASKED, tracer)
    assert flush(20)
    assert server.parts("feedback")
    assert "private" not in str(server.parts("feedback"))
    assert SECRET not in server.text()


def test_hidden_inputs_and_outputs_stay_hidden(server, run):
    client = Client(api_url=server.url, api_key=SECRET, hide_inputs=True, hide_outputs=True)
    # By a function: LangChain's tracer sends the repr of a model that it cannot serialise.
    model = ScriptedChatModel(lambda messages, index: TWO[index][0])
    node = best_of_n(create_agent(model, [], name="clerk"), n=2)
    run(node, ASKED, {"callbacks": [LangChainTracer(client=client, project_name="p")]})
    assert len(given(server)[0]) == 2
    assert "private" not in server.text()
    client.cleanup()


def test_the_environment_turns_it_on(server, monkeypatch):
    for name, value in (("TRACING", "true"), ("ENDPOINT", server.url), ("API_KEY", SECRET), ("PROJECT", "p")):
        monkeypatch.setenv(f"LANGSMITH_{name}", value)
    get_env_var.cache_clear()
    try:
        best_of_n(clerk(*TWO), n=2).run(ASKED)
        assert len(given(server)[0]) == 2
    finally:
        monkeypatch.undo()
        get_env_var.cache_clear()


def test_a_resumed_question_scores_earlier_rollouts(server, tracer, monkeypatch):
    """Their runs are known from the checkpoint, which is all a new process would have."""
    killed = []

    def choose(*args):
        killed.append(args)
        raise KeyboardInterrupt

    builder = StateGraph(MessagesState).add_node("solve", best_of_n(clerk(*TWO), n=2))
    graph = builder.add_edge(START, "solve").compile(checkpointer=InMemorySaver())
    config = {**tracer, "configurable": {"thread_id": "t"}}
    monkeypatch.setattr("ec_agent.rollouts.asking_selectors.choose", choose)
    with pytest.raises(KeyboardInterrupt):
        graph.invoke(ASKED, config)
    monkeypatch.undo()
    assert killed
    assert given(server)[0] == {}
    graph.invoke(None, config)
    scores, runs = given(server)
    assert sorted(runs[run_id]["extra"]["metadata"]["ec_rollout"] for run_id in scores) == [0, 1]


@pytest.mark.parametrize("answer", [(500, b"broken"), (403, b"{}"), (200, b"not JSON")], ids=["500", "403", "nonsense"])
def test_a_broken_langsmith_breaks_nothing(answer, run, caplog):
    with serving(lambda path: answer) as sink:
        client = Client(api_url=sink.url, api_key=SECRET, timeout_ms=2000, retry_config=Retry(0))
        tracer = LangChainTracer(client=client, project_name="p")
        started = time.monotonic()
        assert run(best_of_n(clerk(*TWO), n=2), ASKED, {"callbacks": [tracer]}).selection.winner == 1
        assert time.monotonic() - started < 30
        assert flush(20)
    assert [r.message for r in caplog.records if r.name.startswith("ec_agent") and "could not be sent" in r.message]


def test_no_langsmith_no_trouble(run):
    assert run(best_of_n(clerk(*TWO), n=2)).selection.winner == 1
    assert flush(0)
