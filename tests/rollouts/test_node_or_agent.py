"""Inside a graph ``invoke`` returns writes, outside one the agent's output; mixing them up fails loudly."""

from __future__ import annotations

import copy
import json
import operator
from collections import ChainMap

import kit
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command

from ec_agent import AgentError, Writes, best_of_n

PEAKS = (15, 3, 9)  # rollout 1 wins


def test_a_function_node_returns_the_writes_as_they_are(run):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3)

    def call(state):
        return node.invoke(state)

    async def acall(state):
        return await node.ainvoke(state)

    done = run.invoke(kit.graph(MessagesState, solve=(call, acall)), {"messages": "go"})
    assert kit.gist(done["messages"]) == [("human", "go", []), ("ai", "answer 1", [])]


def writes():
    seen = []
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3)
    kit.outer(lambda state: seen.append(node.invoke(state)) or seen[0]).invoke({"messages": "go"})
    return seen[0]


def test_writes_are_a_list_of_commands():
    found = writes()
    assert isinstance(found, Writes)
    assert isinstance(found, list)
    assert all(isinstance(command, Command) for command in found)
    assert found[0] is found[0:1][0]
    assert list(found) == [found[0]]


@pytest.mark.members(10)
@pytest.mark.parametrize(
    "mistake",
    [
        lambda w: w["messages"],
        lambda w: w.get("messages"),
        lambda w: w.get("messages", []),
        lambda w: w.keys(),
        lambda w: w.values(),
        lambda w: w.items(),
        lambda w: dict(w),
        lambda w: {**w},
        lambda w: {"messages": w["messages"][-1:]},
        lambda w: "messages" in w,
        lambda w: "messages" not in w,
        lambda w: (lambda **state: state)(**w),
        lambda w: {"messages": []} | w,
        lambda w: w | {"messages": []},
        lambda w: {}.update(w),
        lambda w: [w[key] for key in w],
        lambda w: {key: w[key] for key in w},
        lambda w: w.pop("messages"),
        lambda w: w.pop("messages", None),
        lambda w: w.setdefault("messages", []),
        lambda w: w.update(messages=[]),
        lambda w: w.__setitem__("messages", []),
        lambda w: w.__delitem__("messages"),
        lambda w: w.copy()["messages"],
        lambda w: copy.deepcopy(w)["messages"],
        lambda w: ChainMap(w, {})["messages"],
        lambda w: ChatPromptTemplate([("user", "{messages}")]).format(**w),
        lambda w: operator.itemgetter("messages")(w),
    ],
)
def test_reading_writes_as_a_state_is_refused(mistake):
    with pytest.raises(AgentError, match=r"\.as_agent\(\)"):
        mistake(writes())


def test_list_operations_work():
    found = writes()
    assert found[0] in found
    assert len(found.copy()) == len(found) == len([*found])
    assert isinstance(copy.copy(found), Writes)
    more = Command(goto="x")
    found[len(found) :] = [more]
    found[-1] = more
    assert found.pop() is more
    del found[1:]
    assert found.pop(0).update
    assert not found


def test_commands_may_be_added_in_a_node(run):
    """LangGraph takes the writes, and more commands behind them, for what they are."""
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3)

    def solve(state):
        found = node.invoke(state)
        found.append(Command(update={"plain": "more"}))
        return found

    async def asolve(state):
        return [*await node.ainvoke(state), Command(update={"plain": "more"})]

    class Both(MessagesState):
        plain: str

    graph = kit.graph(Both, solve=(solve, asolve))
    for mode in ("values", "updates", "messages", "debug"):
        assert run.stream(graph, {"messages": "go"}, stream_mode=mode)
    done = run.invoke(graph, {"messages": "go"})
    assert (kit.answers(done["messages"]), done["plain"]) == (["answer 1"], "more")


def test_the_error_reaches_the_user_of_the_outer_graph():
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3)
    graph = kit.outer(lambda state: {"messages": node.invoke(state)["messages"]})
    with pytest.raises(AgentError, match=r"\.as_agent\(\)"):
        graph.invoke({"messages": "go"})


@pytest.mark.parametrize("mistake", [lambda w: {"messages": w}, lambda w: {"messages": list(w)}])
def test_returning_writes_under_a_key_is_refused(mistake):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3)
    with pytest.raises(Exception, match="Command"):
        kit.outer(lambda state: mistake(node.invoke(state))).invoke({"messages": "go"})


def test_as_agent_inside_a_graph_returns_the_full_state(run):
    agent = best_of_n(kit.chat(kit.say(*PEAKS)), n=3).as_agent()

    def call(state):
        done = agent.invoke(state)
        return {"messages": done["messages"][-1:]}

    async def acall(state):
        done = await agent.ainvoke(state)
        return {"messages": done["messages"][-1:]}

    graph = kit.graph(MessagesState, solve=(call, acall))
    done = run.invoke(graph, {"messages": "go"})
    assert kit.answers(done["messages"]) == ["answer 1"]


def test_run_inside_a_graph_returns_output_and_receipt():
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3)
    seen = []

    def call(state):
        result = node.run(state)
        seen.append(result)
        return {"messages": result.output["messages"][-1:]}

    done = kit.outer(call).invoke({"messages": "go"})
    assert kit.answers(done["messages"]) == ["answer 1"]
    assert (seen[0].selection.winner, len(seen[0].trajectories)) == (1, 3)


def test_two_nodes_called_in_one_function(run):
    first = best_of_n(kit.chat(kit.say(15, 3)), n=2)
    second = best_of_n(kit.chat(kit.say(15, 9, 3)), n=3)

    def call(state):
        return [*first.invoke(state), *second.invoke(state)]

    async def acall(state):
        return [*await first.ainvoke(state), *await second.ainvoke(state)]

    done = run.invoke(kit.graph(MessagesState, solve=(call, acall)), {"messages": "go"})
    assert kit.answers(done["messages"]) == ["answer 1", "answer 2"]


def test_outside_it_returns_what_the_agent_alone_returns(run):
    agent = kit.chat(kit.say(*PEAKS))
    state = {"messages": [HumanMessage("go", id="g")]}
    alone, done = run.invoke(agent, state), run.invoke(best_of_n(agent, n=1), state)
    assert type(done) is type(alone)
    assert kit.gist(done["messages"]) == kit.gist(alone["messages"])
    assert done["messages"][0].id == "g"


def test_as_agent_has_the_agents_schema():
    agent = kit.chat(kit.say(3))
    whole = best_of_n(agent, n=1).as_agent()
    assert json.dumps(whole.get_input_jsonschema()) == json.dumps(agent.get_input_jsonschema())
    assert json.dumps(whole.get_output_jsonschema()) == json.dumps(agent.get_output_jsonschema())
    assert whole.get_context_jsonschema() == agent.get_context_jsonschema()


def test_as_agent_is_one_graph():
    node = best_of_n(kit.chat(kit.say(3)), n=1)
    assert node.as_agent() is node.as_agent()


def test_as_agent_as_a_subgraph_node(run):
    """A graph used as a node gives its whole output: messages de-duplicate by their ids."""
    graph = kit.outer(best_of_n(kit.chat(kit.say(*PEAKS)), n=3).as_agent())
    done = run.invoke(graph, {"messages": "go"})
    assert kit.gist(done["messages"]) == [("human", "go", []), ("ai", "answer 1", [])]


def test_in_a_sequence_inside_a_node(run):
    """``node | something`` is a Runnable like any other; inside a graph it passes the writes on."""
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3)
    done = run.invoke(kit.outer(node | (lambda w: w)), {"messages": "go"})
    assert kit.answers(done["messages"]) == ["answer 1"]


def test_in_a_sequence_outside(run):
    chain = (lambda text: {"messages": text}) | best_of_n(kit.chat(kit.say(*PEAKS)), n=3)
    assert kit.answers(run.invoke(chain, "go")["messages"]) == ["answer 1"]


def test_in_a_streamed_sequence(run):
    chain = (lambda text: {"messages": text}) | best_of_n(kit.chat(kit.say(*PEAKS)), n=3)
    parts = run.stream(chain, "go")
    assert kit.answers(parts[-1]["messages"]) == ["answer 1"]


def test_bound_to_a_config(run):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3).with_config(tags=["mine"])
    assert kit.answers(run.invoke(node, {"messages": "go"})["messages"]) == ["answer 1"]
    assert kit.answers(run.invoke(kit.outer(node), {"messages": "go"})["messages"]) == ["answer 1"]


def test_as_a_nameless_node(run):
    builder = StateGraph(MessagesState)
    builder.add_node(best_of_n(kit.chat(kit.say(*PEAKS)), n=3))
    builder.add_edge(START, "best_of_n")
    assert kit.answers(run.invoke(builder.compile(), {"messages": "go"})["messages"]) == ["answer 1"]


def test_in_a_tool_it_is_refused(run):
    """A tool that reads the writes as a state: the tool's user learns of ``as_agent``."""
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3)

    @tool
    def ask(q: str) -> str:
        """Ask."""
        return node.invoke({"messages": q})["messages"][-1].content

    graph = kit.graph(MessagesState, tools=ToolNode([ask]))
    call = {"name": "ask", "args": {"q": "x"}, "id": "1", "type": "tool_call"}
    with pytest.raises(AgentError, match=r"\.as_agent\(\)"):
        run.invoke(graph, {"messages": [AIMessage("", tool_calls=[call])]})
