"""BFCL: its checkers are live, which its own gold solutions prove."""

from __future__ import annotations

import ast

import pytest
from gold import EVERY, outcome_of
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from ec_agent import best_of_n
from ec_agent.environments.worlds import in_environment
from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import bfcl_package, load
from ec_agent.evaluation.adapters.turns import in_turns
from ec_agent.evaluation.tasks import Outcome, Task
from ec_agent.testing import Reply, ScriptedChatModel


@pytest.fixture(scope="module")
def simple():
    return load("bfcl:simple_python")


@pytest.fixture(scope="module")
def conversations():
    return load("bfcl:multi_turn")


def played(task, turns):
    """The verdict on calls in BFCL's own words, by turn."""
    with task.environment() as session:
        for number, calls in enumerate(turns):
            for call in calls:
                session.execute(call)
            assert (session.next_turn() is None) == (number == len(turns) - 1)
        return task.verdict(Outcome(AIMessage("done"), None, session))


def one_less(turns, which):
    """The turns without one of all their calls."""
    places = [(turn, index) for turn, calls in enumerate(turns) for index in range(len(calls))]
    left_out = places[which]
    return [[c for index, c in enumerate(calls) if (turn, index) != left_out] for turn, calls in enumerate(turns)]


def parsed(call):
    """A gold call in keywords as a tool call."""
    tree = ast.parse(call, mode="eval").body
    return tree.func.id, {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords}


def test_simple_gold_is_accepted(simple):
    assert len(simple) == 400
    assert all(isinstance(task, Task) for task in simple)
    assert len({task.id for task in simple}) == 400
    assert [task.id for task in simple if not task.verdict(outcome_of(task.gold))] == []


def test_simple_anything_else_is_refused(simple):
    for task in simple:
        ((name, args),) = task.gold
        wrong = [
            [],
            [(name, args)] * 2,
            [("other", args)],
            [(name, {**args, "surplus": 1})],
            [(name, {})],
        ]
        wrong += [[(name, {**args, key: "certainly wrong"})] for key in args]
        assert [calls for calls in wrong if task.verdict(outcome_of(calls))] == []


def test_a_question_and_its_tool(simple):
    task = load("bfcl:simple_python", limit=2)[1]
    assert task.id == simple[1].id == "simple_python_1"
    assert task.input["messages"] == [("user", "Calculate the factorial of 5 using math functions.")]
    assert task.tools[0].name == "math_factorial"
    assert task.gold == [("math_factorial", {"number": 5})]


def test_types_are_those_of_json():
    described = {
        "type": "dict",
        "properties": {"a": {"type": "tuple", "items": {"type": "float"}}, "b": {"type": "any", "optional": True}},
        "required": ["a"],
    }
    assert bfcl_package.json_schema(described) == {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "number"}}, "b": {"type": "string"}},
        "required": ["a"],
    }


def test_an_agent_on_a_simple_task(simple):
    script = [Reply(tool_calls=simple[1].gold, entropies=[0.1] * 4)]
    agent = create_agent(ScriptedChatModel([script]), list(simple[1].tools))
    result = best_of_n(agent, n=1).run(simple[1].input)
    assert simple[1].verdict(Outcome(result.final_actions[0], result.output))


def test_conversations_gold_is_accepted(conversations):
    assert len(conversations) == 800
    assert [task.id for task in conversations[::EVERY] if not played(task, task.gold)] == []


@pytest.mark.parametrize("which", [0, -1])
def test_conversations_without_one_call_are_refused(conversations, which):
    assert [task.id for task in conversations[::EVERY] if played(task, one_less(task.gold, which))] == []


def test_a_conversation_broken_off_is_refused(conversations):
    task = conversations[0]
    with task.environment() as session:
        for call in task.gold[0]:
            session.execute(call)
        assert not task.verdict(Outcome(AIMessage("done"), None, session))


def test_sessions_share_nothing_and_leave_nothing(conversations):
    task = conversations[0]
    kept = vars(bfcl_package.module("eval_checker.multi_turn_eval.multi_turn_utils"))
    before = set(kept)
    with task.environment() as one, task.environment() as other:
        one.execute("mkdir(dir_name='mine')")
        assert "mine" in one.execute("ls()")
        assert "mine" not in other.execute("ls()")
        assert set(kept) > before
    assert set(kept) == before


def test_only_known_arguments_reach_the_services(conversations):
    tools = {tool.name: tool for tool in conversations[0].tools}
    assert "cp" not in tools  # excluded
    with conversations[0].environment() as session, in_environment(session):
        refused = tools["ls"].invoke({"a=__import__('os').getcwd() or True, **dict": {}})
        assert refused.startswith("Error: ls has no argument")
        assert session.turns == [[]]
        assert "document" in tools["ls"].invoke({"a": True})
        assert session.turns == [[["ls(a=True)"]]]


def test_missing_tools_come_in_their_turn(conversations):
    task = next(task for task in conversations if task.id.startswith("multi_turn_miss_func"))
    ((turn, (name, *_)),) = task._missing.items()
    tool = next(tool for tool in task.tools if tool.name == name)
    arguments = next(parsed(call)[1] for calls in task.gold for call in calls if call.startswith(f"{name}("))
    with task.environment() as session, in_environment(session):
        for _ in range(turn):
            assert tool.invoke(arguments) == f"Error: {name} is not available."
            said = session.next_turn()
        assert said.startswith("I have updated some more functions")
        tool.invoke(arguments)
        assert session.turns[-1][0][0].startswith(f"{name}(")


def follower(script, tools):
    """An agent that says the messages of a script, whatever it is asked, and carries their calls out."""

    def say(state):
        said = script[sum(message.type == "ai" for message in state["messages"])]
        return {"messages": [said.model_copy(update={"id": None})]}

    builder = StateGraph(MessagesState)
    builder.add_node("say", say)
    builder.add_node("tools", ToolNode(tools))
    builder.add_edge(START, "say")
    builder.add_conditional_edges("say", tools_condition)
    builder.add_edge("tools", "say")
    return builder.compile()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_agent_in_turns(asynchronous):
    task = load("bfcl:multi_turn_base", limit=2)[1]
    script = []
    for calls in task.gold:
        script += [outcome_of([parsed(call)]).final_action for call in calls] + [AIMessage("ok")]
    agent = in_turns(follower(script, task.tools))
    with task.environment() as session, in_environment(session):
        output = await agent.ainvoke(task.input) if asynchronous else agent.invoke(task.input)
        assert task.verdict(Outcome(output["messages"][-1], output, session))
    assert [m.text for m in output["messages"] if m.type == "human"][1].startswith("Go to workspace directory")


def test_outside_a_rollout(conversations):
    with pytest.raises(ConfigError, match=r"task.environment\(\)"):
        conversations[0].tools[0].func()


@pytest.mark.parametrize("name", ["bfcl", "bfcl:simple", "bfcl:multi_turn_none"])
def test_no_such_part(name):
    with pytest.raises(ConfigError, match="write bfcl:simple_python or one of multi_turn, multi_turn_base"):
        load(name)
