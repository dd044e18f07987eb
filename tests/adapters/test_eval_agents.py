"""The agents of ``graphs/eval_agents.py``: built for every kind of task, and really run on our own two families."""

from __future__ import annotations

import math

import pytest
from gold import outcome_of
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

from ec_agent import best_of_n
from ec_agent.evaluation import evaluate
from ec_agent.evaluation.adapters import load, long, sums
from ec_agent.evaluation.adapters.answers import AnswerTask
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.tasks import Outcome
from ec_agent.local import LocalChatModel
from ec_agent.testing import Reply, ScriptedChatModel
from graphs import eval_agents


@pytest.fixture
def embedded(local_server, monkeypatch):
    """The session's server in place of the process's own."""
    monkeypatch.delenv("EC_AGENT_MODEL", raising=False)
    at = lambda **settings: LocalChatModel(base_url=local_server.base_url, **settings)  # noqa: E731
    monkeypatch.setattr(eval_agents, "LocalChatModel", at)


def rollouts(task, n):
    node = best_of_n(
        eval_agents.make_agent(task),
        n=n,
        environment=lambda index, _: task.environment(),
        sampling=lambda index: {"seed": index, "temperature": 0.8},
    )
    return node.run(task.input)


NODES = {
    "sums": {"act", "tools", "answer"},
    "long": {"act", "tools", "answer"},
    "bfcl:simple_python": {"act"},
    "bfcl:multi_turn": {"agent", "user"},
    "reasoning_gym:chain_sum": {"model", "tools"},
    "agentdojo:slack": {"model", "tools"},
    "textworld": {"act", "tools", "answer"},
}


@pytest.mark.members(3)
@pytest.mark.parametrize("source", NODES)
def test_an_agent_for_every_source(source):
    if source.partition(":")[0] in ("reasoning_gym", "textworld"):
        pytest.importorskip(source.partition(":")[0], reason="it is compiled, and there was no compiler")
    task = load(source, 1)[0]
    nodes = eval_agents.make_agent(task).get_graph().nodes
    assert NODES[source] <= set(nodes)


@pytest.mark.parametrize(
    "question", ["2 + 2?", [("system", "Be short."), ("user", "2 + 2?")]], ids=["text", "messages"]
)
def test_one_reply_answers_a_question(question):
    task = AnswerTask("a", question, "4")
    model = ScriptedChatModel([[Reply("It is 4.", entropies=[0.1, 0.2])]])
    result = best_of_n(eval_agents.make_agent(task, model), n=1).run(task.input)
    assert result.final_actions[0].text == "It is 4."
    assert [len(call.entropies) for call in result.trajectories[0].calls] == [2]


@pytest.mark.parametrize("source", NODES)
def test_a_task_of_every_source_is_run_and_judged(source, tmp_path):
    def mute(state):
        return {"messages": [AIMessage("nothing")]}

    report = evaluate(load(source, 1), mute, tmp_path / "run.db", RunSettings(n=1, greedy=False))
    assert (report.finished, report.stored, report.failures) == (True, 1, ())


REPLIES = {
    "4": "4",
    "The answer is 4.": "4",
    "2 + 2 = 4.0": "4",
    "It costs -1,234.50 pounds": "-1234.5",
    "100": "100",
    "I do not know. ": "I do not know.",
}


@pytest.mark.parametrize("reply", REPLIES)
def test_the_last_number_of_a_reply(reply):
    assert eval_agents.last_number(reply) == REPLIES[reply]


async def test_a_thinking_agent_thinks_and_then_says_its_number_alone():
    pytest.importorskip("reasoning_gym", reason="what it needs is compiled, and there was no compiler")
    task = load("reasoning_gym:gsm_symbolic", 1)[0]
    reply = f"I add 1 and 2. It is {task.gold}."
    agent = eval_agents.thinking_agent(task, ScriptedChatModel([[Reply(reply, entropies=[0.1] * 5)]]))
    for result in (best_of_n(agent, n=1).run(task.input), await best_of_n(agent, n=1).arun(task.input)):
        asked = [eval_agents.THINK, reply, eval_agents.ANSWER, task.gold]
        assert [message.text for message in result.output["messages"][1:]] == asked
        assert result.final_actions[0].text == task.gold
        assert task.verdict(Outcome(result.final_actions[0], result.output)) == 1
        assert [len(call.entropies) for call in result.trajectories[0].calls] == [5, 5]


def test_the_environment_names_the_model(monkeypatch):
    monkeypatch.setenv("EC_AGENT_MODEL", "some-model")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert isinstance(eval_agents.model_for("x", max_tokens=3), ChatOpenAI)


def test_worked_examples_end_with_their_answer():
    kinds = [message.type for message in eval_agents.worked(load("sums", 2))]
    assert kinds == ["human", *["ai", "tool"] * 4, "ai"] * 2
    kinds = [message.type for message in eval_agents.worked(load("sums", 2), closed=False)]
    assert kinds == ["human", *["ai", "tool"] * 4] * 2


def test_one_call_is_the_final_action():
    task = load("bfcl:simple_python", 1)[0]
    model = ScriptedChatModel([[Reply(tool_calls=task.gold, entropies=[0.1])]])
    result = best_of_n(eval_agents.one_call(model, task.tools), n=1).run(task.input)
    assert result.final_actions[0].tool_calls[0]["args"] == task.gold[0][1]
    assert task.verdict(Outcome(result.final_actions[0], result.output))
    assert task.verdict(outcome_of(task.gold))


@pytest.mark.whole_form("it compiles a game; those of test_textworld.py end when they are won")
def test_a_game_that_is_won_ends_it():
    pytest.importorskip("textworld", reason="it is compiled, and there was no compiler")
    task = load("textworld", 1)[0]
    script = [Reply(tool_calls=[call], entropies=[0.1]) for call in task.gold] + [Reply("not asked")] * 20
    agent = eval_agents.fixed_calls(ScriptedChatModel([script]), task.tools, 20)
    result = best_of_n(agent, n=1, environment=lambda index, _: task.environment()).run(task.input)
    assert len(result.trajectories[0].calls) == len(task.gold)
    assert "point" in result.final_actions[0].text


@pytest.mark.whole_form("real rollouts of many calls; a single real call is in the short form")
@pytest.mark.model
@pytest.mark.parametrize(
    ("task", "calls", "tokens"),
    [(sums.load("", 1)[0], 4, 40), (long.load("", 1, steps=5)[0], 5, 125)],
    ids=["sums", "long"],
)
def test_real_rollouts_are_equally_many_calls_long(embedded, task, calls, tokens):
    result = rollouts(task, 2)
    assert [len(trajectory.calls) for trajectory in result.trajectories] == [calls] * 2
    assert all(len(trajectory) >= tokens for trajectory in result.trajectories)
    assert all(math.isfinite(entropy) for t in result.trajectories for entropy in t.entropies)
    assert {type(task.verdict(Outcome(action))) for action in result.final_actions} == {bool}


@pytest.mark.model
def test_a_real_single_call(embedded):
    task = load("bfcl:simple_python", 2)[1]
    result = rollouts(task, 2)
    assert all(action.tool_calls[0]["name"] == "math_factorial" for action in result.final_actions)
