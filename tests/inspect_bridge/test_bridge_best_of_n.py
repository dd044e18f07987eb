"""The best of n on each of Inspect's samples."""

from __future__ import annotations

import asyncio

import pytest
from bridge_kit import SAMPLES, agent, answer_of, entropies_of, graph_of, run, slow_centroid
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser
from inspect_ai.scorer import match
from inspect_ai.solver import system_message, use_tools
from inspect_ai.tool import ToolError, tool
from langchain_core.messages import AIMessage
from langgraph.types import interrupt

from ec_agent import Selection
from ec_agent.errors import AgentError, ConfigError
from ec_agent.evaluation.inspect_ai import best_of_n_solver, lowest_centroid, selected_by, with_centroid
from ec_agent.selectors import MajorityVote
from ec_agent.testing import Reply

ONE = SAMPLES[:1]


def only(log):
    (sample,) = log.samples
    return sample


def answered(log):
    sample = only(log)
    assert sample.error is None
    return sample.output.completion


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    solver = best_of_n_solver(agent, n=4, sampling=lambda index: {"seed": index + 1})
    reducers = [lowest_centroid()]
    scorer = with_centroid(match())
    return run(tmp_path_factory.mktemp("logs"), solver, scorer, samples=SAMPLES[:2], epochs=2, reducers=reducers)


def test_the_winner_answers_and_the_receipt_says_why(log):
    centroids = [slow_centroid(entropies_of(seed, 0), entropies_of(seed, 1)) for seed in (1, 2, 3, 4)]
    winner = centroids.index(min(centroids))
    for sample in log.samples:
        receipt = Selection.from_dict(sample.store["ec_agent:receipt"])
        assert receipt.to_dict() == sample.store["ec_agent:receipt"]
        assert receipt.winner == winner
        assert [candidate.centroid for candidate in receipt.candidates] == centroids
        assert sample.output.completion == answer_of(winner + 1)
        assert [message.role for message in sample.messages] == ["user", "assistant", "tool", "assistant"]
        (info,) = [event for event in sample.events if event.event == "info"]
        assert (info.source, info.data) == ("ec_agent", receipt.to_dict())
        usage = sample.output.usage
        assert usage.output_tokens == receipt.usage["generated_tokens"] == sum(2 * (20 + seed) for seed in (1, 2, 3, 4))


def test_its_epochs_can_be_selected_among_by_the_winners_centroid(log):
    (reduction,) = log.reductions
    assert [s.metadata["ec_agent:selection"]["epochs"] for s in reduction.samples] == [[1, 2], [1, 2]]
    with pytest.raises(ConfigError, match="ec_agent/shortest: that number was not kept; use rollout_solver"):
        selected_by("shortest")([sample.scores["match"] for sample in log.samples])


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (lambda m, i: Reply(error=ValueError("model down")), "AllRolloutsFailedError('all 2 rollouts failed"),
        (lambda m, i: Reply("right"), "NoScoredRolloutError('none of 2 rollouts could be scored"),
    ],
    ids=["failed", "unscored"],
)
def test_our_errors_are_the_samples(tmp_path, script, told):
    solver = best_of_n_solver(graph_of(script), n=2)
    sample = only(run(tmp_path, solver, match(), samples=ONE, fail_on_error=False))
    assert sample.error.message.startswith(told)


def test_a_question_to_a_person_fails_the_rollouts(tmp_path):
    def asks(state):
        return {"messages": [AIMessage(interrupt("may I?"))]}

    sample = only(run(tmp_path, best_of_n_solver(asks, n=2), match(), samples=ONE, fail_on_error=False))
    assert "interrupt()" in sample.error.message


def test_a_time_limit_of_the_sample_ends_the_rollouts(tmp_path):
    async def slow(state):
        await asyncio.sleep(60)

    sample = only(run(tmp_path, best_of_n_solver(slow, n=2), match(), samples=ONE, time_limit=1))
    assert (sample.limit.type, sample.error) == ("time", None)


@tool
def double():
    async def execute(number: int):
        """Double a number.

        Args:
            number: The number.
        """
        if number > 10:
            raise ToolError("too large")
        return str(2 * number)

    return execute


def test_a_factory_gets_the_samples_tools_and_inspect_runs_them(tmp_path):
    seen = []

    def made(task):
        seen.append((task.id, task.epoch, task.metadata, [each.name for each in task.tools]))

        async def doubling(state):
            (its,) = task.tools
            return {"messages": [AIMessage(" ".join([await its.ainvoke({"number": n}) for n in (3, 30)]))]}

        return doubling

    solver = [use_tools(double()), best_of_n_solver(made, n=1, selector=MajorityVote())]
    log = run(tmp_path, solver, match(), samples=ONE)
    assert answered(log) == "6 Error: too large"
    assert seen == [("a", 1, {"topic": "a"}, ["double"])]
    tools = [event for event in only(log).events if event.event == "tool"]
    assert [event.result for event in tools] == ["6", ""]


def test_the_conversation_so_far_is_the_input_and_a_structured_answer_is_json(tmp_path):
    def agent(state):
        return {"heard": [[message.type, message.text] for message in state["messages"]]}

    conversation = Sample([ChatMessageSystem(content="Be brief."), ChatMessageUser(content="Hello")], id="x")
    solver = [system_message("Be kind."), best_of_n_solver(agent, n=1, selector=MajorityVote())]
    log = run(tmp_path, solver, match(), samples=[conversation])
    assert answered(log) == '{"heard": [["system", "Be brief."], ["system", "Be kind."], ["human", "Hello"]]}'
    assert only(log).messages[-1].text == answered(log)


def test_an_input_of_ones_own(tmp_path):
    solver = best_of_n_solver(
        lambda state: {"said": state["topic"] * 2}, n=1, input=lambda state: state.metadata, selector=MajorityVote()
    )
    assert answered(run(tmp_path, solver, match(), samples=ONE)) == '{"said": "aa"}'


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "right"}], "right"),
        ([{"type": "reasoning", "id": "r", "summary": []}], ""),
    ],
    ids=["thinking", "nothing else"],
)
def test_a_providers_own_blocks_are_left_out(tmp_path, content, text):
    def agent(state):
        return {"messages": [AIMessage(content)]}

    solver = best_of_n_solver(
        agent, n=1, input=lambda state: {"messages": [("user", state.input_text)]}, on_unscored="first"
    )
    log = run(tmp_path, solver, match(), samples=ONE)
    assert answered(log) == text
    assert [message.role for message in only(log).messages] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"n": 0}, ConfigError, "n is 0"),
        ({"speed": 3}, ConfigError, "the options of best_of_n are"),
        ({"agent": None}, AgentError, "NoneType"),
        ({"agent": lambda task: agent, "n": "x"}, ConfigError, "n is 'x'"),
    ],
    ids=["n", "option", "agent", "factory"],
)
def test_wrong_arguments_are_refused_before_the_first_sample(given, error, message):
    with pytest.raises(error, match=message):
        best_of_n_solver(**{"agent": agent, **given})
