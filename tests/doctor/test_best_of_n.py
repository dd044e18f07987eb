"""``best_of_n(preflight=...)``: models are asked before the rollouts, and the run ends there where they cannot do."""

from __future__ import annotations

import asyncio

import pytest
from fake_openai import Answer
from kinds import Kind
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import CallFilter, ConfigError, LowestCentroid, PreflightError, best_of_n

ASKING = {"logprobs": True, "top_logprobs": 20}
GO = {"messages": [("user", "go")]}
ANSWERS = [Answer([1.5, *[0.1] * more]) for more in range(2, 6)]


@tool
def get_weather(city: str) -> str:
    """The weather."""
    return "fair"


@pytest.fixture(params=["sync", "async"])
def run(request):
    if request.param == "sync":
        return lambda node: node.run(GO)
    return lambda node: asyncio.run(node.arun(GO))


@pytest.fixture
def went(fake):
    """How many requests the agent itself made."""
    fake.answers["go"] = ANSWERS
    fake._taken.clear()
    yield lambda: len(fake.bodies("go"))
    fake.answers.clear()


def node_of(model, **options):
    return best_of_n(create_agent(model, [get_weather]), n=2, preflight=True, **options)


def test_a_good_model_is_asked_once(run, went, chat_model, fake):
    node = node_of(chat_model(Kind(), **ASKING))
    for runs in (1, 2):
        result = run(node)
        assert all(candidate.centroid is not None for candidate in result.selection.candidates)
        assert went() == 2 * runs
    assert len(fake.asked) == 4 + 2
    assert result.selection.usage["generated_tokens"] == 5 + 6  # the preflight is no part of the bill of a run


@pytest.mark.parametrize("kind", [Kind(logprobs=False), Kind(logprobs="sampled"), Kind(call_logprobs=False)])
def test_a_bad_model_ends_the_run_before_it_costs_anything(run, went, chat_model, kind):
    with pytest.raises(PreflightError, match="would leave rollouts unscored") as caught:
        run(node_of(chat_model(kind, **ASKING)))
    assert len(caught.value.reports) == 1
    assert went() == 0


def test_tool_calls_do_not_matter_to_an_agent_without_tools(run, went, chat_model):
    model = chat_model(Kind(call_logprobs=False), **ASKING)
    run(best_of_n(create_agent(model, []), n=2, preflight=True))
    assert went() == 2


def test_a_model_that_is_not_asked_for_logprobs(run, went, chat_model):
    with pytest.raises(PreflightError, match="logprobs=True"):
        run(node_of(chat_model(Kind())))
    assert went() == 0
    run(node_of(chat_model(Kind()), request_logprobs=True))
    assert went() == 2


def test_coverage_is_the_runs_own(run, went, chat_model):
    model = chat_model(Kind(call_logprobs=2), **ASKING)
    with pytest.raises(PreflightError):
        run(node_of(model, min_coverage=0.8))
    run(node_of(model, min_coverage=0.4))


def test_a_model_given_by_name(run, went, chat_model, fake):
    models = [chat_model(Kind(), **ASKING)]

    def agent(state):
        return {"messages": [models[0].invoke(state["messages"])]}

    run(best_of_n(agent, n=2, preflight=models[0]))
    assert went() == 2
    assert len(fake.asked) == 4


def test_an_agent_without_a_model(run):
    with pytest.raises(ConfigError, match=r"found no chat model.*preflight=model"):
        run(best_of_n(lambda state: {"messages": [AIMessage("x")]}, n=2, preflight=True))


def test_the_preflight_refuses_a_selector_of_another_signal():
    with pytest.raises(ConfigError, match=r"lowest_centroid\(surprisal\)"):
        best_of_n(lambda state: {}, preflight=True, selector=LowestCentroid(signal="surprisal"))


def test_a_nested_question_is_not_asked_again(run, went, chat_model, fake):
    inner = best_of_n(create_agent(chat_model(Kind(), **ASKING), []), n=1, preflight=True)
    run(best_of_n(lambda state: inner.as_agent().invoke(state), n=2))
    assert len(fake.asked) == went() == 2


@pytest.fixture
def judged(chat_model):
    """A solver whose model gives logprobs, and a judge whose model is not asked for any."""
    kind = Kind()
    solver, judge = chat_model(kind, **ASKING), chat_model(kind, model="judge")

    def solve(state):
        return {"messages": [solver.invoke(state["messages"])]}

    def rule(state):
        judge.invoke("rule")

    builder = StateGraph(MessagesState)
    builder.add_node("solve", solve)
    builder.add_node("judge", rule)
    builder.add_edge(START, "solve")
    builder.add_edge("solve", "judge")
    return builder.compile()


def test_a_model_whose_calls_do_not_count_is_not_asked(run, went, judged, fake):
    result = run(best_of_n(judged, n=2, preflight=True, calls=CallFilter(exclude_nodes=["judge"])))
    assert all(candidate.centroid is not None for candidate in result.selection.candidates)
    assert [body["model"] for body in fake.bodies()].count("judge") == 2  # the rollouts' own
    with pytest.raises(PreflightError, match="ChatOpenAI judge"):
        run(best_of_n(judged, n=2, preflight=True))


def test_calls_that_count_by_a_function_need_their_models_named(run, went, judged, chat_model):
    calls = {"calls": lambda call: call.node == "solve"}
    with pytest.raises(ConfigError, match=r"name them: preflight=model"):
        run(best_of_n(judged, n=2, preflight=True, **calls))
    assert went() == 0
    run(best_of_n(judged, n=2, preflight=chat_model(Kind(), **ASKING), **calls))
    assert went() == 2


def test_no_model_whose_calls_count(run, judged):
    with pytest.raises(ConfigError, match="no chat model whose calls count"):
        run(best_of_n(judged, n=2, preflight=True, calls=CallFilter(nodes=["nobody"])))
