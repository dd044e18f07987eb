"""Where the winner leads: ordinary edges, tools_condition, its own goto, ``route=``."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import kit
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, Send

from ec_agent import AgentError, ConfigError, best_of_n, read_only
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9, 12)  # rollout 1 wins


class Mailbox:
    """A tool that must not run n times, and what it did."""

    def __init__(self):
        self.sent = sent = []

        @tool
        def send_mail(to: str) -> str:
            """Send a mail."""
            sent.append(to)
            return "sent"

        @read_only
        @tool
        def look_up(q: str) -> str:
            """Look something up."""
            return f"found {q}"

        self.tools = [send_mail, look_up]


def mailer():
    """Looks something up, then wants to send a mail: each rollout to another address."""
    return ScriptedChatModel(
        [
            [
                Reply(tool_calls=[("look_up", {"q": f"q{i}"})], entropies=kit.peak(at)),
                Reply(tool_calls=[("send_mail", {"to": f"to{i}"})], entropies=kit.peak(5)),
                Reply(f"done {i}", entropies=kit.peak(5)),
            ]
            for i, at in enumerate(PEAKS)
        ]
    )


def with_outer_tools(node, tools):
    builder = StateGraph(MessagesState)
    builder.add_node("solve", node)
    builder.add_node("tools", ToolNode(tools))
    builder.add_edge(START, "solve")
    builder.add_conditional_edges("solve", tools_condition)
    builder.add_edge("tools", END)
    return builder.compile()


def wants_mail():
    """A hand-written agent without a tools node: it ends at its tool call."""
    model = ScriptedChatModel(
        [[Reply(tool_calls=[("send_mail", {"to": f"to{i}"})], entropies=kit.peak(at))] for i, at in enumerate(PEAKS)]
    )
    return kit.chat(model)


def test_tools_condition_executes_the_winners_call_once(run):
    box = Mailbox()
    done = run.invoke(with_outer_tools(best_of_n(wants_mail(), n=4), box.tools), {"messages": "go"})
    assert box.sent == ["to1"]
    assert [m.type for m in done["messages"]] == ["human", "ai", "tool"]


def test_an_agent_that_stops_before_tools_hands_over(run):
    from langchain.agents import create_agent

    box = Mailbox()
    agent = create_agent(mailer(), box.tools, interrupt_before=["tools"])
    with pytest.raises(AgentError, match="breakpoints"):  # a state half-way is no answer, unless calls are done outside
        run.invoke(with_outer_tools(best_of_n(agent, n=4), box.tools), {"messages": "go"})
    node = best_of_n(agent, n=4, commit=["look_up", "send_mail"])
    done = run.invoke(with_outer_tools(node, box.tools), {"messages": "go"})
    assert box.sent == []  # the first call is the harmless one
    assert done["messages"][-1].content == "found q1"
    assert [m.type for m in done["messages"]] == ["human", "ai", "tool"]


def test_an_answer_goes_past_the_tools(run):
    box = Mailbox()
    done = run.invoke(with_outer_tools(best_of_n(kit.chat(kit.say(*PEAKS)), n=4), box.tools), {"messages": "x"})
    assert box.sent == []
    assert kit.answers(done["messages"]) == ["answer 1"]


def destinations(node, *names, schema=kit.Items, **kwargs):
    """An outer graph whose destination nodes write their names."""
    builder = StateGraph(schema)
    builder.add_node("solve", node, destinations=names, **kwargs)
    for name in names:
        builder.add_node(name, lambda s, name=name: {"items": [name]})
    builder.add_edge(START, "solve")
    return builder.compile()


def test_a_function_agents_goto_is_followed_and_no_others(run):
    node = best_of_n(kit.spoken(lambda i: Command(update={"items": [i]}, goto=f"to{i}"), lambda i: PEAKS[i]), n=4)
    done = run.invoke(destinations(node, "to0", "to1", "to2", "to3"), {"items": []})
    assert done["items"] == [1, "to1"]


def test_a_goto_without_an_update_is_enough(run):
    node = best_of_n(kit.spoken(lambda i: Command(goto=f"to{i}"), lambda i: PEAKS[i]), n=2)
    assert run.invoke(destinations(node, "to0", "to1"), {"items": []})["items"] == ["to1"]


def test_several_gotos_and_sends_are_followed(run):
    def go(index):
        return Command(update={"items": [index]}, goto=["to0", Send("to1", {"plain": index})])

    node = best_of_n(kit.spoken(go, lambda i: PEAKS[i]), n=2)
    assert run.invoke(destinations(node, "to0", "to1"), {"items": []})["items"] == [1, "to0", "to1"]


def test_goto_end(run):
    node = best_of_n(kit.spoken(lambda i: Command(update={"items": [i]}, goto=END)), n=1)
    assert run.invoke(destinations(node, "to0"), {"items": []})["items"] == [0]


def handing_over(update):
    """A compiled agent that hands over to the graph around it."""

    def one(state):
        model = kit.say(*PEAKS)
        model.invoke("?")
        return {"items": ["inside"], "plain": "inside"}

    def two(state):
        index = kit.rollout_index() or 0
        return Command(graph=Command.PARENT, goto=f"to{index}", update=update(index))

    return kit.graph(kit.Items, one=one, two=two)


def test_a_parent_command_is_followed_with_its_update(run):
    agent = handing_over(lambda i: {"items": [i], "plain": f"handed {i}"})
    done = run.invoke(destinations(best_of_n(agent, n=4), "to0", "to1", "to2", "to3"), {"items": ["in"]})
    assert done == {"items": ["in", 1, "to1"], "plain": "handed 1"}


def test_a_parent_command_works_as_alone(run):
    agent = handing_over(lambda i: {"items": [i], "plain": f"handed {i}"})
    names = ("to0", "to1")
    alone = run.invoke(destinations(agent, *names), {"items": ["in"]})
    assert run.invoke(destinations(best_of_n(agent, n=1), *names), {"items": ["in"]}) == alone


class Wider(kit.Items):
    handover: Annotated[list[Any], operator.add]


@pytest.mark.parametrize("wrap", [best_of_n, lambda a, **k: best_of_n(a, **k).as_agent()])
def test_a_parent_command_may_write_other_keys(run, wrap):
    agent = handing_over(lambda i: {"handover": [i]})
    graph = destinations(wrap(agent, n=4), "to0", "to1", "to2", "to3", schema=Wider)
    done = run.invoke(graph, {"items": ["in"], "handover": []})
    assert (done["handover"], done["items"][-1]) == ([1], "to1")


def test_a_parent_command_is_not_mapped(run):
    node = best_of_n(handing_over(lambda i: {"items": [i]}), n=2, output=lambda final: {"items": ["mapped"]})
    assert run.invoke(destinations(node, "to0", "to1"), {"items": []})["items"] == [1, "to1"]


def test_as_agent_as_a_subgraph_hands_over_too(run):
    agent = handing_over(lambda i: {"items": [i], "plain": f"handed {i}"})
    graph = destinations(best_of_n(agent, n=4).as_agent(), "to0", "to1", "to2", "to3")
    done = run.invoke(graph, {"items": ["in"]})
    assert (done["items"][-2:], done["plain"]) == ([1, "to1"], "handed 1")


def test_alone_a_handover_has_nowhere_to_go(run):
    done = run.invoke(best_of_n(handing_over(lambda i: {"plain": f"handed {i}"}), n=4), {"items": ["in"]})
    assert done["plain"] == "handed 1"


def test_route_replaces_the_winners_goto(run):
    seen = []

    def route(winner):
        seen.append(winner)
        return "other"

    agent = kit.spoken(lambda i: Command(update={"plain": i}, goto="to0"), lambda i: PEAKS[i])
    done = run.invoke(destinations(best_of_n(agent, n=2, route=route), "to0", "other"), {"items": []})
    assert done == {"items": ["other"], "plain": 1}
    assert [(c.index, c.final_action) for c in seen] == [(1, {"plain": 1})]


@pytest.mark.parametrize(
    ("chosen", "items"),
    [
        (["to0", "to1"], ["to0", "to1"]),
        (("to0", "to1"), ["to0", "to1"]),
        (Send("to1", {"plain": 1}), ["to1"]),
        ([Send("to1", {}), Send("to1", {})], ["to1", "to1"]),
        (END, []),
        ([], []),
    ],
)
def test_route_may_return_a_list_or_sends(run, chosen, items):
    node = best_of_n(kit.spoken(lambda i: {"plain": i}), n=1, route=lambda winner: chosen)
    assert run.invoke(destinations(node, "to0", "to1"), {"items": []})["items"] == items


@pytest.mark.parametrize("chosen", [None, 3, {"to": 0}, [None], Command(goto="to0")])
def test_a_route_to_nowhere_is_an_error_of_ours(run, chosen):
    node = best_of_n(kit.spoken(lambda i: {"plain": i}), n=1, route=lambda winner: chosen)
    with pytest.raises(ConfigError, match="route"):
        run.invoke(destinations(node, "to0"), {"items": []})


def test_an_error_of_route_is_raised(run):
    def route(winner):
        raise LookupError("no way")

    node = best_of_n(kit.spoken(lambda i: {"plain": i}), n=1, route=route)
    with pytest.raises(LookupError, match="no way"):
        run.invoke(destinations(node, "to0"), {"items": []})


def test_an_ordinary_conditional_edge_sees_the_winners_message(run):
    builder = StateGraph(MessagesState)
    builder.add_node("solve", best_of_n(kit.chat(kit.say(*PEAKS)), n=4))
    builder.add_node("good", lambda s: {"messages": [AIMessage("good")]})
    builder.add_node("bad", lambda s: {"messages": [AIMessage("bad")]})
    builder.add_edge(START, "solve")
    builder.add_conditional_edges(
        "solve", lambda s: "good" if s["messages"][-1].content == "answer 1" else "bad", ["good", "bad"]
    )
    done = run.invoke(builder.compile(), {"messages": [HumanMessage("x")]})
    assert kit.answers(done["messages"]) == ["answer 1", "good"]


def test_a_loop_through_the_node_starts_anew(run):
    """Tools node and back: each visit is a new question, and earlier turns are history."""
    box = Mailbox()
    builder = StateGraph(MessagesState)
    builder.add_node("solve", best_of_n(kit.chat(mailer()), n=4))
    builder.add_node("tools", ToolNode(box.tools))
    builder.add_edge(START, "solve")
    builder.add_conditional_edges("solve", tools_condition)
    builder.add_edge("tools", "solve")
    done = run.invoke(builder.compile(), {"messages": "go"})
    assert [m.type for m in done["messages"]] == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert len(box.sent) == 1


@pytest.mark.parametrize("chosen", ["to00", ["to0", "nowhere"], Send("nowhere", {})])
def test_a_route_to_a_missing_node_is_refused(run, chosen):
    node = best_of_n(kit.spoken(lambda i: {"plain": i}), n=1, route=lambda winner: chosen)
    with pytest.raises(ConfigError, match="does not have"):
        run.invoke(destinations(node, "to0"), {"items": []})
