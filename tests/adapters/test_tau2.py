"""tau2-bench: known solutions are accepted and others not; the simulated user's calls are none of the agent's."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from fake_openai import MODEL, Answer, FakeOpenAI
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph
from published import needs

from ec_agent.cli.app import app
from ec_agent.environments.worlds import in_environment
from ec_agent.errors import ConfigError
from ec_agent.evaluation import RunSettings, evaluate, load_results
from ec_agent.evaluation.adapters import load
from ec_agent.evaluation.adapters.simulated_user import with_user
from ec_agent.evaluation.adapters.tau2 import DOMAINS
from ec_agent.evaluation.tasks import Outcome, Task
from ec_agent.testing import Reply, ScriptedChatModel
from graphs import eval_agents

needs("tau2", "loguru", "deepdiff", "addict")

LONG = pytest.mark.whole_form("seconds over a large database; the solutions of telecom are in the short form")
CASES = [domain if domain == "telecom" else pytest.param(domain, marks=LONG) for domain in DOMAINS]
FROM, TO = 2, 4  # tasks whose solutions change something, or tell something, in every domain


@pytest.fixture(scope="module")
def tasks():
    return {domain: load(f"tau2:{domain}", TO)[FROM:] for domain in DOMAINS}


def played(task, steps, said="", ends=True):
    """The verdict after these calls, with the agent's words, and the user's last."""
    with task.environment() as desk, in_environment(desk):
        tools = {"assistant": task.tools, "user": task.user_tools}
        for who, name, arguments in steps:
            {tool.name: tool for tool in tools[who]}[name].invoke(arguments)
        desk.hear("assistant", f"Done: {said}")
        desk.hear("user", "Thanks. ###STOP###" if ends else "And now?")
        return task.verdict(Outcome(AIMessage(said), None, desk))


@pytest.mark.parametrize("domain", CASES)
def test_gold_is_accepted_and_what_lacks_a_step_is_not(tasks, domain):
    for task in tasks[domain]:
        assert isinstance(task, Task)
        assert played(task, task.gold_steps, task.gold_said) == 1.0
        assert played(task, task.gold_steps, task.gold_said, ends=False) == 0.0
        assert played(task, task.gold_steps[:-1], "") == 0.0


@pytest.mark.whole_form("it plays a solution over the large database of retail; telecom's is small")
def test_every_rollout_has_a_world_of_its_own(tasks):
    task = tasks["retail"][0]
    assert played(task, task.gold_steps, task.gold_said) == 1.0
    assert played(task, task.gold_steps, task.gold_said) == 1.0


def test_what_is_asked(tasks):
    task = tasks["airline"][0]
    assert [role for role, _ in task.input["messages"]] == ["system", "ai"]
    assert "<policy>" in task.input["messages"][0][1]
    assert {tool.name for tool in task.tools} >= {"book_reservation", "get_user_details"}
    assert task.user_tools == ()
    assert {tool.name for tool in tasks["telecom"][0].user_tools} >= {"check_network_status"}
    assert "###STOP###" in task.scenario


def scripted_user():
    """Asks, and ends the conversation when it has been answered."""

    def says(messages, index):
        asked = any(message.type == "ai" for message in messages)
        return Reply("Bye. ###STOP###", entropies=[0.5]) if asked else Reply("Cancel it.", entropies=[0.5] * 3)

    return ScriptedChatModel(says)


def agent_of(words):
    model = ScriptedChatModel([[Reply(words, entropies=[0.1, 0.2])]])

    def answer(state):
        return {"messages": [model.invoke(state["messages"])]}

    return StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()


@pytest.mark.whole_form("an evaluation over a large database; the turns of agent and user are in the short form")
def test_the_users_calls_are_none_of_the_agents(tasks, tmp_path):
    task = tasks["airline"][0]
    agent = with_user(agent_of("I cannot."), task, scripted_user())
    evaluate([task], agent, tmp_path / "a.db", RunSettings(n=1, greedy=False))
    (result,) = load_results(tmp_path / "a.db")
    (candidate,) = result.candidates
    assert [len(call.entropies) for call in candidate.trajectory.calls] == [2]  # none of the user's two


async def test_the_user_asks_again_until_it_ends(tasks):
    task = tasks["airline"][0]
    for invoke in ("invoke", "ainvoke"):
        agent = with_user(agent_of("I cannot."), task, scripted_user())
        with task.environment() as desk, in_environment(desk):
            found = getattr(agent, invoke)(task.input)
            output = await found if invoke == "ainvoke" else found
        assert [message.type for message in output["messages"]] == ["system", "ai", "human", "ai", "human"]
        assert desk.ended
        assert [message.content for message in desk.said][1:] == ["Cancel it.", "I cannot.", "Bye. ###STOP###"]


def test_a_user_with_tools_uses_them(tasks):
    task = tasks["telecom"][0]
    script = [
        Reply(tool_calls=[("check_network_status", {})], entropies=[0.1]),
        Reply("No network. ###STOP###", entropies=[0.1]),
    ]
    agent = with_user(agent_of("Hm."), task, ScriptedChatModel([script]))
    with task.environment() as desk, in_environment(desk):
        agent.invoke(task.input)
    kinds = [(message.role, message.content is not None) for message in desk.said]
    assert kinds == [("assistant", True), ("user", False), ("tool", True), ("user", True)]


def test_the_agent_of_the_clone_talks_with_the_user(tasks):
    nodes = eval_agents.make_agent(tasks["airline"][0], scripted_user()).get_graph().nodes
    assert {"agent", "simulated_user"} <= set(nodes)


SUITE = """
folder = "runs"
[run]
n = 2
temperature = 0.7
greedy = false
[[models]]
name = "{model}"
base_url = "{agent}"
[[families]]
tasks = "tau2:retail"
limit = 1
options = {{ user = {{ name = "a-user", base_url = "{user}" }} }}
arguments = {{ top_logprobs = 20 }}
"""


@pytest.mark.whole_form("two runs by the command; evaluation/test_suite_command.py has suites in the short form")
def test_a_suite_with_a_user_at_an_endpoint_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = Answer(tool_calls=[("list_all_product_types", {})], entropies=[0.3, 0.2])
    agent = FakeOpenAI(otherwise=lambda body: first if body["messages"][-1]["role"] == "user" else Answer(text="Done."))
    says = lambda body: Answer(text="Hello." if len(body["messages"]) < 3 else "Bye. ###STOP###")  # noqa: E731
    user = FakeOpenAI(otherwise=says)
    try:
        (tmp_path / "a.toml").write_text(SUITE.format(model=MODEL, agent=agent.url, user=user.url))
        done = CliRunner().invoke(app, ["suite", "a.toml"], catch_exceptions=False)
    finally:
        agent.close()
        user.close()
    assert done.exit_code == 0, done.output
    (result,) = load_results(tmp_path / "runs" / f"tau2-{MODEL}.db")
    assert [len(candidate.trajectory.calls) for candidate in result.candidates] == [2, 2]  # a tool call, and an answer
    asked = [body for body in agent.bodies() if "tools" in body]
    assert {(body["temperature"], body["top_logprobs"]) for body in asked} == {(0.7, 20)}
    assert len({body["seed"] for body in asked}) == 2
    assert len(user.bodies()) == 4
    assert {(body["model"], body["temperature"], body.get("seed")) for body in user.bodies()} == {("a-user", 0.0, None)}


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="tau2 has no domain 'banking' here; write tau2:airline, tau2:retail"):
        load("tau2:banking")
    with pytest.raises(ConfigError, match="user has wrong fields"):
        load("tau2:airline", user={"colour": "red"})
    with pytest.raises(ConfigError, match="user is 'm'"):
        load("tau2:airline", user="m")
    task = load("tau2:airline", 1)[0]
    with pytest.raises(ConfigError, match="a compiled graph"):
        with_user(RunnableLambda(lambda state: state), task, scripted_user())
