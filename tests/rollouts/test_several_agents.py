"""A list of agents: rollout i runs agent i, in turn; the same one after a kill; and the receipt names it."""

from __future__ import annotations

import operator
from typing import Annotated

import kit
import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from ec_agent import Agreement, best_of_n, commit_tool, read_only
from ec_agent.errors import AgentError, ConfigError
from ec_agent.selectors import MajorityVote
from ec_agent.testing import Reply, ScriptedChatModel

pytestmark = [pytest.mark.filterwarnings("error"), kit.SAME]
ASK = {"messages": [("user", "?")]}


def saying(name, place=9, **compiled):
    """An agent with a name, which says it and the rollout's index, unsure at ``place - index``."""
    model = ScriptedChatModel(lambda messages, index: Reply(f"{name} {index}", entropies=kit.peak(place - index)))
    return kit.chat(model, name=name, **compiled)


def ran(result):
    """Which agent each rollout says that it ran, and which the receipt says."""
    said = [action.content for action in result.final_actions]
    assert [f"{c.agent} {c.index}" for c in result.selection.candidates] == said
    return [c.agent for c in result.selection.candidates]


@pytest.mark.parametrize(
    ("names", "n", "expected"),
    [("ab", 5, "ababa"), ("abc", 3, "abc"), ("aab", 3, "aab"), ("abc", 7, "abcabca")],
    ids=["two", "each-its-own", "one-twice", "three"],
)
def test_they_take_turns(run, names, n, expected):
    made = {name: saying(name) for name in names}
    result = run.run(best_of_n([made[name] for name in names], n=n), ASK)
    said = [action.content.split()[0] for action in result.final_actions]
    assert said == list(expected)
    # The centroid is lowest in the last rollout, whichever agent it ran.
    assert result.selection.winner == n - 1
    assert result.output["messages"][-1].content == f"{expected[-1]} {n - 1}"


def test_the_receipt_names_them(run):
    result = run.run(best_of_n([saying("quick"), saying("slow")], n=4), ASK)
    assert ran(result) == ["quick", "slow", "quick", "slow"]
    assert type(result.selection).from_dict(result.selection.to_dict()) == result.selection
    table = str(result.selection).splitlines()
    assert "agent" in table[1]
    assert [line.removeprefix("*").split()[:2] for line in table[2:6]] == [
        ["3", "slow"],
        ["2", "quick"],
        ["1", "slow"],
        ["0", "quick"],
    ]
    alone = run.run(best_of_n(saying("quick"), n=2), ASK).selection
    assert [c.agent for c in alone.candidates] == [None, None]
    assert "agent" not in str(alone).splitlines()[1]


def test_agents_of_one_name_are_told_apart(run):
    result = run.run(best_of_n([saying("x"), saying("x"), saying("y")], n=3), ASK)
    assert [c.agent for c in result.selection.candidates] == ["x#0", "x#1", "y"]


def test_one_in_a_list_is_the_agent_alone(run):
    result = run.run(best_of_n([saying("x")], n=2), ASK)
    assert [c.agent for c in result.selection.candidates] == [None, None]


def test_functions_take_turns_too(run):
    def first(state):
        return {"messages": [AIMessage(f"first {kit.rollout_index()}")]}

    def second(state):
        return {"messages": [AIMessage(f"second {kit.rollout_index()}")]}

    node = best_of_n([first, second], n=4, selector=MajorityVote(normalize=lambda m: m.content.split()[0]))
    result = run.run(node, ASK)
    assert ran(result) == ["first", "second"] * 2


async def test_a_coroutine_function_among_them_needs_an_async_run():
    def first(state):
        return {"messages": [AIMessage("first")]}

    async def second(state):
        return {"messages": [AIMessage("second")]}

    node = best_of_n([first, second], n=2, selector=MajorityVote())
    with pytest.raises(AgentError, match=r"'first\+second' is an async function"):
        node.invoke(ASK)
    assert (await node.arun(ASK)).selection.candidates[1].agent == "second"


def test_as_a_node(run):
    graph = kit.outer(best_of_n((saying("a"), saying("b")), n=4, selection_key="receipt"), schema=Receipted)
    state = run.invoke(graph, ASK)
    assert state["messages"][-1].content == "b 3"
    assert [c["agent"] for c in state["receipt"]["candidates"]] == list("abab")


class Receipted(MessagesState):
    receipt: dict


def test_waves_go_on_in_turn(run):
    node = best_of_n([saying("a"), saying("b"), saying("c")], n=6, stop=Agreement([2, 2, 2]))
    result = run.run(node, ASK)
    assert result.selection.waves == (2, 2, 2)
    assert ran(result) == list("abcabc")


def test_a_resumed_run_gives_each_rollout_the_same_agent(run):
    """Two of four rollouts end, then the process is gone; the other two run when it is resumed."""
    ran_of, broken = {"a": [], "b": []}, [True]

    def agent(name):
        model = ScriptedChatModel(lambda messages, index: Reply(f"{name} {index}", entropies=kit.peak(9 - index)))

        def begin(state):
            index = kit.rollout_index()
            ran_of[name].append(index)
            if broken[0] and index >= 2:
                raise KeyboardInterrupt
            return {}

        return kit.graph(
            MessagesState, begin=begin, model=lambda s: {"messages": [model.invoke(s["messages"])]}, name=name
        )

    node = best_of_n([agent("a"), agent("b")], n=4, stop=Agreement([2, 2]))
    graph = kit.outer(node, checkpointer=InMemorySaver())
    with pytest.raises(KeyboardInterrupt):
        run.invoke(graph, ASK, kit.THREAD)
    assert sorted(ran_of["a"])[:1] == sorted(ran_of["b"])[:1] == [0] or sorted(ran_of["b"])[:1] == [1]
    broken[0] = False
    state = run.invoke(graph, None, kit.THREAD)
    assert set(ran_of["a"]) == {0, 2}
    assert set(ran_of["b"]) == {1, 3}
    assert (ran_of["a"].count(0), ran_of["b"].count(1)) == (1, 1)
    assert state["messages"][-1].content == "b 3"


def actor(name, sent, *, place=9, rest=0):
    """Calls ``send`` with its name, a tool of its own that notes whose it is; then says goodbye."""

    @commit_tool
    @tool
    def send(text: str) -> str:
        """Send it."""
        sent.append((name, text))
        return f"{name} has sent {text}"

    def reply(messages, index):
        done = sum(isinstance(message, ToolMessage) for message in messages)
        calls = [] if done > rest else [("send", {"text": f"{index}"})]
        return Reply(f"{name} {index}", entropies=kit.peak(place - index), tool_calls=calls)

    model = ScriptedChatModel(reply)
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", ToolNode([send]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile(name=name)


@pytest.mark.parametrize("n", [3, 4])
def test_the_winners_own_tool_acts(run, n):
    sent = []
    result = run.run(best_of_n([actor("a", sent), actor("b", sent)], n=n, on_commit="execute"), ASK)
    winner = "ab"[(n - 1) % 2]
    assert sent == [(winner, str(n - 1))]
    assert result.selection.candidates[result.selection.winner].agent == winner


def test_after_a_commit_all_rollouts_go_on_as_the_winners_agent(run):
    sent = []
    agents = [actor("a", sent, rest=1), actor("b", sent, rest=1)]
    node = best_of_n(agents, n=4, on_commit="execute", continue_after_commit=True)
    result = run.run(node, ASK)
    assert [name for name, _ in sent] == ["b", "b"]
    rounds = [*result.selection.earlier, result.selection]
    assert [[c.agent for c in each.candidates] for each in rounds] == [list("abab"), ["b"] * 4, ["b"] * 4]


def test_a_winner_that_asks_a_person_goes_on_as_its_own_agent(run):
    def agent(name):
        model = ScriptedChatModel(lambda messages, index: Reply(f"{name} {index}", entropies=kit.peak(9 - index)))

        def confirm(state):
            return {"messages": [AIMessage(f"{name} heard {interrupt(f'{name}?')}")]}

        return kit.graph(
            MessagesState, model=lambda s: {"messages": [model.invoke(s["messages"])]}, confirm=confirm, name=name
        )

    graph = kit.outer(best_of_n([agent("a"), agent("b")], n=4), checkpointer=InMemorySaver())
    state = run.invoke(graph, ASK, kit.THREAD)
    assert [each.value for each in state["__interrupt__"]] == ["b?"]
    assert run.invoke(graph, Command(resume="yes"), kit.THREAD)["messages"][-1].content == "b heard yes"


def test_to_ask_before_any_model_is_refused(run):
    """All rollouts would go on from where one has stopped, so that one agent would run in all."""

    def agent(name):
        return kit.graph(MessagesState, ask=lambda state: {"messages": [AIMessage(interrupt("?"))]}, name=name)

    graph = kit.outer(best_of_n([agent("a"), agent("b")], n=2), checkpointer=InMemorySaver())
    with pytest.raises(AgentError, match=r"ask a person before any model was called.*outer graph, before best_of_n"):
        run.invoke(graph, ASK, kit.THREAD)


class Plain(TypedDict):
    messages: list


class Added(TypedDict):
    messages: Annotated[list, operator.add]


class More(MessagesState):
    extra: str


def of(schema, **compiled):
    return kit.graph(schema, model=lambda state: {"messages": []}, **compiled)


@read_only
@tool("send")
def harmless(text: str) -> str:
    """Look only."""
    return text


@entrypoint()
def entry(state):
    return {"messages": []}


REFUSED = {
    "too many": (
        lambda: [saying("a"), saying("b"), saying("c")],
        2,
        r"3 agents are given for n=2 .* 'c' would never run",
    ),
    "function and graph": (lambda: [saying("a"), lambda state: state], 2, "are a function and a graph"),
    "another key": (lambda: [of(MessagesState), of(More)], 2, r"only one of them has the state keys \['extra'\]"),
    "another reducer": (lambda: [of(MessagesState), of(Added)], 2, r"the keys \['messages'\] have other types"),
    "no reducer": (lambda: [of(Plain), of(Added)], 2, r"the keys \['messages'\] have other types"),
    "memories": (lambda: [saying("a"), of(MessagesState, checkpointer=True)], 2, "remembers over turns by itself"),
    "entrypoints": (lambda: [lambda state: state, entry], 2, "remembers over turns by itself"),
    "two savers": (
        lambda: [saying("a", checkpointer=InMemorySaver()), saying("b", checkpointer=InMemorySaver())],
        2,
        "different objects as checkpointer=",
    ),
    "two marks": (
        lambda: [actor("a", []), kit.graph(MessagesState, tools=ToolNode([harmless]))],
        2,
        "the tool 'send' of the agent 'LangGraph' is marked 'read_only', and that of another agent 'commit'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_stand_for_one_another_is_refused_before_anything_runs(case):
    agents, n, said = REFUSED[case]
    with pytest.raises(ConfigError, match=said):
        best_of_n(agents(), n=n)


def test_what_is_no_agent_is_refused_as_ever():
    with pytest.raises(AgentError, match="the list of agents is empty; pass a compiled graph"):
        best_of_n([])
    with pytest.raises(AgentError, match="the agent is 'b', which names no place"):
        best_of_n([saying("a"), "b"], n=2)


def test_the_runs_context_cannot_leave_an_agent_out(run):
    graph = kit.outer(best_of_n([saying("a"), saying("b")], n=2))
    with pytest.raises(ConfigError, match="2 agents are given for n=1"):
        run.invoke(graph, ASK, context={"n": 1})


def test_live_events_and_the_board_name_them(run):
    from ec_agent.live.board import Board

    board, events = Board(), []

    def hear(event):
        events.append(event)
        board.hear(event)

    run.run(best_of_n([saying("a"), saying("b")], n=2), ASK, on_event=hear)
    started = [event for event in events if event["type"] == "ec_agent.rollout.started"]
    assert sorted((event["index"], event["agent"]) for event in started) == [(0, "a"), (1, "b")]
    assert [board.name(row) for row in board.rows()] == ["0 a", "1 b"]
    run.run(best_of_n(saying("a"), n=1), ASK, on_event=events.append)
    assert "agent" not in next(event for event in reversed(events) if "started" in event["type"])


def test_an_agent_of_several_is_one_agent(run):
    graph = best_of_n([saying("a", checkpointer=(saver := InMemorySaver())), saying("b")], n=2).as_agent()
    assert (graph.name, graph.checkpointer) == ("a+b", saver)
    first = run.invoke(graph, ASK, kit.THREAD)
    second = run.invoke(graph, ASK, kit.THREAD)
    assert [len(kit.answers(state["messages"])) for state in (first, second)] == [1, 2]
    nested = run.run(best_of_n([best_of_n([saying("a"), saying("b")], n=2), saying("c")], n=2), ASK)
    assert [c.agent for c in nested.selection.candidates] == ["a+b", "c"]
    assert best_of_n([saying("a"), saying("b")], n=2).as_agent().nodes["best_of_n"] is not None
