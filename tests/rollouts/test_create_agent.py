"""Agents made by ``create_agent``: tools, structured output, middleware."""

from __future__ import annotations

from typing import Annotated, Any

import kit
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware, after_model, before_model
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState
from langgraph.types import Command
from pydantic import BaseModel

from ec_agent import best_of_n, read_only
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)  # of the first call; rollout 1 wins


@read_only
@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def adder(*, parallel=1, thought=""):
    calls = [("add", {"a": 1, "b": i}) for i in range(parallel)]
    return ScriptedChatModel(
        [
            [
                Reply(thought and f"{thought} {i}", tool_calls=calls, entropies=kit.peak(at)),
                Reply(f"answer {i}", entropies=[0.1] * 20),
            ]
            for i, at in enumerate(PEAKS)
        ]
    )


def test_the_whole_loop_is_one_timeline(run):
    result = run.run(best_of_n(create_agent(adder(), [add]), n=3), {"messages": "1 + 0?"})
    assert [m.type for m in result.output["messages"]] == ["human", "ai", "tool", "ai"]
    assert result.output["messages"][-1].content == "answer 1"
    assert [len(t.calls) for t in result.trajectories] == [2, 2, 2]
    assert [c.node for c in result.trajectories[1].calls] == ["model", "model"]
    assert [c.tokens for c in result.selection.candidates] == [40, 40, 40]
    assert result.selection.candidates[1].centroid == kit.centroid(3, 40)


@pytest.mark.parametrize("parallel", [1, 3])
def test_as_a_node_it_leaves_the_agents_state(run, parallel):
    agent = create_agent(adder(parallel=parallel), [add])
    state = {"messages": [HumanMessage("go", id="g")]}
    alone = run.invoke(agent, state)  # outside a rollout the script of rollout 0 is followed
    done = run.invoke(kit.outer(best_of_n(agent, n=3)), state)
    gist = kit.gist(done["messages"])
    assert gist[:-1] == kit.gist(alone["messages"])[:-1]
    assert gist[-1] == ("ai", "answer 1", [])
    assert [m.content for m in done["messages"] if isinstance(m, ToolMessage)] == ["1", "2", "3"][:parallel]
    assert all(m.id for m in done["messages"])
    assert len({m.id for m in done["messages"]}) == len(done["messages"])


class Verdict(BaseModel):
    city: str


def judge():
    return ScriptedChatModel(
        [[Reply(tool_calls=[("Verdict", {"city": f"city {i}"})], entropies=kit.peak(at))] for i, at in enumerate(PEAKS)]
    )


def test_a_structured_response_is_the_final_action(run):
    agent = create_agent(judge(), [], response_format=ToolStrategy(Verdict))
    result = run.run(best_of_n(agent, n=3), {"messages": "where?"})
    assert result.output["structured_response"] == Verdict(city="city 1")
    assert result.final_actions == tuple(Verdict(city=f"city {i}") for i in range(3))


def test_a_structured_response_reaches_the_outer_state(run):
    class Outer(MessagesState):
        structured_response: Verdict

    agent = create_agent(judge(), [], response_format=ToolStrategy(Verdict))
    done = run.invoke(kit.outer(best_of_n(agent, n=3), Outer), {"messages": "where?"})
    assert done["structured_response"] == Verdict(city="city 1")


def test_an_old_structured_response_does_not_count(run):
    class Outer(MessagesState):
        structured_response: Verdict

    class State(MessagesState):
        structured_response: Verdict

    model = kit.say(*PEAKS)
    agent = kit.graph(State, one=lambda s: {"messages": [model.invoke("?")], "structured_response": None})
    seen = []
    node = best_of_n(agent, n=2, route=lambda winner: seen.append(winner.final_action) or [])
    run.invoke(kit.outer(node, Outer), {"messages": "?", "structured_response": Verdict(city="old")})
    assert [action.content for action in seen] == ["answer 1"]


def test_middleware_runs_in_each_rollout(run):
    seen = []

    @before_model
    def note(state, runtime):
        seen.append(kit.rollout_index())

    @after_model(can_jump_to=["end"])
    def stop_at_tools(state, runtime):
        return {"jump_to": "end"} if state["messages"][-1].tool_calls else None

    agent = create_agent(adder(thought="so"), [add], middleware=[note, stop_at_tools])
    done = run.invoke(kit.outer(best_of_n(agent, n=3)), {"messages": "go"})
    assert sorted(seen) == [0, 1, 2]
    assert [m.type for m in done["messages"]] == ["human", "ai"]
    assert done["messages"][-1].tool_calls


def test_middleware_with_private_state(run):
    agent = create_agent(adder(thought="so"), [add], middleware=[ModelCallLimitMiddleware(run_limit=1)])
    done = run.invoke(best_of_n(agent, n=3), {"messages": "go"})
    assert "limit" in done["messages"][-1].content
    assert set(done) == {"messages"}


def test_a_tool_may_return_a_command(run):
    @read_only
    @tool
    def conclude(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Conclude."""
        return Command(update={"messages": [ToolMessage("concluded", tool_call_id=tool_call_id)]})

    model = ScriptedChatModel(
        [
            [Reply(tool_calls=[("conclude", {})], entropies=kit.peak(at)), Reply(f"answer {i}", entropies=[0.1] * 9)]
            for i, at in enumerate(PEAKS)
        ]
    )
    done = run.invoke(kit.outer(best_of_n(create_agent(model, [conclude]), n=3)), {"messages": "go"})
    assert [m.content for m in done["messages"]] == ["go", "", "concluded", "answer 1"]


def test_a_handoff_tool_hands_over_once(run):
    """The usual handoff: a tool that sends its messages and a destination to the graph around the agent."""

    @read_only
    @tool
    def to_billing(state: Annotated[Any, InjectedState], tool_call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Hand over to billing."""
        answer = ToolMessage("over to billing", tool_call_id=tool_call_id, name="to_billing")
        update = {"messages": [*state["messages"], answer]}
        return Command(graph=Command.PARENT, goto="billing", update=update)

    model = ScriptedChatModel(
        [[Reply(f"call {i}", tool_calls=[("to_billing", {})], entropies=kit.peak(at))] for i, at in enumerate(PEAKS)]
    )
    builder = StateGraph(MessagesState)
    builder.add_node("front", best_of_n(create_agent(model, [to_billing]), n=3), destinations=("billing",))
    builder.add_node("billing", lambda s: {"messages": [AIMessage("billed")]})
    builder.add_edge(START, "front")
    done = run.invoke(builder.compile(), {"messages": "go"})
    assert [m.content for m in done["messages"]] == ["go", "call 1", "over to billing", "billed"]


def test_a_named_agent_keeps_its_name():
    agent = create_agent(adder(), [add], name="adder")
    assert best_of_n(agent).as_agent().name == "adder"
