"""At a breakpoint of the agent the graph around pauses, as with the agent alone, and then goes on with the winner."""

from __future__ import annotations

import operator
import sqlite3
from typing import Annotated, Any

import kit
import mailing
import pytest
from kit import PEAKS, SAME, THREAD
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from ec_agent import AgentError, AllRolloutsFailedError, ConfigError, best_of_n, read_only
from ec_agent.testing import Reply, ScriptedChatModel

WINNER = 1  # whose script the model follows outside a rollout, too


@read_only
@tool
def search(q: str) -> str:
    """Search."""
    return f"found {q}"


def model(calls=None):
    def script(messages, index):
        index = WINNER if kit.rollout_index() is None else index
        if calls is not None:
            calls.append(index)
        if isinstance(messages[-1], HumanMessage):
            return Reply(tool_calls=[("search", {"q": f"r{index}"})], entropies=kit.peak(PEAKS[index]))
        return Reply(f"answer {index}", entropies=kit.peak(10))

    return ScriptedChatModel(script)


def created(**compiled):
    return create_agent(model(), [search], **compiled)


def within(saver=None, **compiled):
    """The breakpoint is in a subgraph."""
    return kit.graph(MessagesState, inner=created(**compiled), checkpointer=saver)


def called(saver=None, **compiled):
    """The breakpoint is in a graph that a node calls."""
    inner = created(**compiled)

    def call(state):
        return {"messages": inner.invoke(state)["messages"]}

    async def acall(state):
        return {"messages": (await inner.ainvoke(state))["messages"]}

    return kit.graph(MessagesState, call=(call, acall), checkpointer=saver)


def plain(saver=None, **compiled):
    return created(checkpointer=saver, **compiled)


BEFORE_TOOLS, AFTER_MODEL = {"interrupt_before": ["tools"]}, {"interrupt_after": ["model"]}
AFTER_TOOLS, EVERYWHERE = {"interrupt_after": ["tools"]}, {"interrupt_before": "*"}
AFTER_ALL = {"interrupt_after": "*"}
POINTS = [BEFORE_TOOLS, AFTER_MODEL, AFTER_TOOLS, EVERYWHERE, AFTER_ALL]
every_point = pytest.mark.parametrize("points", POINTS, ids=lambda p: "-".join([*p, *next(iter(p.values()))]))


def driven(run, graph, said, **given):
    """How often a graph pauses until its end, and what it then says."""
    done = run.invoke(graph, said, THREAD, **given)
    for pauses in range(10):
        if not graph.get_state(THREAD).next:
            return pauses, kit.gist(done["messages"] if isinstance(done, dict) else done)
        done = run.invoke(graph, None, THREAD, **given)
    raise AssertionError("it does not come to its end")


@SAME
@every_point
@pytest.mark.parametrize("form", [plain, within, called])
def test_as_a_node_it_pauses_as_often_as_alone(run, form, points):
    alone = driven(run, kit.outer(form(**points), checkpointer=InMemorySaver()), {"messages": "go"})
    saver = InMemorySaver()
    graph = kit.outer(best_of_n(form(**points), n=3), checkpointer=saver)
    assert driven(run, graph, {"messages": "go"}) == alone
    assert alone[0] > 0
    assert list(saver.storage) == ["t"]


@SAME
@every_point
@pytest.mark.parametrize("form", [plain, within, called])
def test_as_an_agent(run, form, points):
    alone = driven(run, form(InMemorySaver(), **points), {"messages": "go"})
    graph = best_of_n(form(InMemorySaver(), **points), n=3).as_agent()
    assert driven(run, graph, {"messages": "go"}) == alone


@SAME
@every_point
def test_breakpoints_given_at_run_time(run, points):
    alone = driven(run, plain(InMemorySaver()), {"messages": "go"}, **points)
    graph = best_of_n(plain(InMemorySaver()), n=3).as_agent()
    assert driven(run, graph, {"messages": "go"}, **points) == alone
    assert alone[0] > 0


def test_breakpoints_given_to_a_node_called_in_a_function(run):
    def nodes(agent):
        def call(state):
            return agent.invoke(state, interrupt_before=["tools"])

        async def acall(state):
            return await agent.ainvoke(state, interrupt_before=["tools"])

        return call, acall

    alone = driven(run, kit.outer(nodes(plain()), checkpointer=InMemorySaver()), {"messages": "go"})
    graph = kit.outer(nodes(best_of_n(plain(), n=3)), checkpointer=InMemorySaver())
    assert driven(run, graph, {"messages": "go"}) == alone
    assert alone[0] == 1


def rooted(saver=None, **compiled):
    """A graph whose state has no keys."""
    said = model()
    builder = StateGraph(Annotated[list[AnyMessage], operator.add])
    builder.add_node("think", lambda messages: [said.invoke(messages)])
    builder.add_node("end", lambda messages: [AIMessage("the end")])
    builder.add_edge(START, "think")
    builder.add_edge("think", "end")
    return builder.compile(checkpointer=saver, **compiled)


def functional(saver=None):
    inner = created()

    @entrypoint(checkpointer=saver)
    def think(messages):
        return inner.invoke({"messages": messages})["messages"]

    return think


@pytest.mark.parametrize(
    ("form", "points"),
    [(rooted, {"interrupt_before": ["end"]}), (rooted, EVERYWHERE), (functional, EVERYWHERE)],
    ids=["before a node of a root state", "everywhere in a root state", "an entrypoint"],
)
@pytest.mark.parametrize("given", [False, True], ids=["compiled in", "at run time"])
@SAME
def test_an_agent_without_state_keys(run, form, points, given):
    if form is functional and not given:
        pytest.skip("an entrypoint is compiled without breakpoints")
    compiled, told = ({}, points) if given else (points, {})
    agent = best_of_n(form(**compiled), n=3).as_agent().copy({"checkpointer": InMemorySaver()})
    pauses, messages = driven(run, agent, [HumanMessage("go")], **told)
    alone = driven(run, form(InMemorySaver(), **compiled), [HumanMessage("go")], **told)
    assert (pauses, messages[-1]) == (alone[0], alone[1][-1])
    assert pauses > 0


@SAME
def test_before_any_model_call_all_go_on(run):
    graph = best_of_n(plain(InMemorySaver(), interrupt_before=["model"]), n=3).as_agent()
    run.invoke(graph, {"messages": "go"}, THREAD)
    assert graph.get_state(THREAD).next == ("best_of_n",)
    assert driven(run, graph, None)[1][-1] == ("ai", "answer 1", [])


def test_the_winner_alone_goes_on(run):
    calls = []
    agent = create_agent(model(calls), [search], interrupt_before=["tools"])
    graph = kit.outer(best_of_n(agent, n=3), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    assert sorted(calls) == [0, 1, 2]
    run.invoke(graph, None, THREAD)
    assert sorted(calls) == [0, 1, 1, 2]


def test_a_pause_shows_what_it_shows_alone(run):
    shown = []
    for node in (plain(**BEFORE_TOOLS), best_of_n(plain(**BEFORE_TOOLS), n=3)):
        graph = kit.outer(node, checkpointer=InMemorySaver())
        parts = run.stream(graph, {"messages": "go"}, THREAD, stream_mode="updates")
        state = graph.get_state(THREAD)
        shown.append((parts, state.next, state.interrupts, kit.gist(state.values["messages"])))
    assert shown[0] == shown[1]


def test_in_another_process(tmp_path):
    for said in ({"messages": "go"}, None):
        connection = sqlite3.connect(tmp_path / "saver.sqlite", check_same_thread=False)
        graph = kit.outer(best_of_n(plain(**BEFORE_TOOLS), n=3), checkpointer=SqliteSaver(connection))
        done = graph.invoke(said, THREAD)
        connection.close()
    assert kit.gist(done["messages"])[-1] == ("ai", "answer 1", [])


def test_a_breakpoint_and_a_question(run):
    def ask(state):
        return {"messages": [("human", f"told {interrupt('which?')}")]}

    inner = kit.graph(MessagesState, think=lambda s: {"messages": [kit.say(*PEAKS).invoke("?")]}, ask=ask)
    agent = inner.copy({"interrupt_before_nodes": ["ask"]})
    graph = kit.outer(best_of_n(agent, n=3), checkpointer=InMemorySaver())
    assert "__interrupt__" not in run.invoke(graph, {"messages": "go"}, THREAD)
    assert [each.value for each in run.invoke(graph, None, THREAD)["__interrupt__"]] == ["which?"]
    done = run.invoke(graph, Command(resume="this"), THREAD)
    assert [m.content for m in done["messages"]] == ["go", "answer 1", "told this"]


def beside(saver=None):
    """The breakpoint is in a graph beside branches that come to their end."""
    inner = kit.graph(kit.Items, x=lambda s: {"items": ["x"]}, y=lambda s: {"items": ["y"], "plain": "y"})
    said = model()
    builder = StateGraph(kit.Items)
    builder.add_node("say", lambda s: {"items": [said.invoke([HumanMessage("?")]).tool_calls[0]["args"]]})
    builder.add_node("b", inner.copy({"interrupt_before_nodes": ["y"]}), input_schema=Nothing)
    builder.add_edge(START, "say")
    builder.add_edge("say", "b")
    for name in "ac":
        builder.add_node(name, lambda s, name=name: {"items": [name]})
        builder.add_edge("say", name)
    builder.add_node("end", lambda s: {"items": ["end"]})
    builder.add_edge(["a", "b", "c"], "end")
    return builder.compile(checkpointer=saver)


class Nothing(TypedDict):
    plain: Any


def test_writes_beside_a_breakpoint_come_once_in_place(run):
    def drive(graph):
        run.invoke(graph, {"items": []}, THREAD)
        assert graph.get_state(THREAD).next
        return run.invoke(graph, None, THREAD)

    alone = drive(beside(InMemorySaver()))
    assert alone == {"items": [{"q": "r1"}, "a", "x", "y", "c", "end"], "plain": "y"}
    assert drive(best_of_n(beside(InMemorySaver()), n=3).as_agent()) == alone
    assert drive(kit.outer(best_of_n(beside(), n=3), kit.Items, checkpointer=InMemorySaver())) == alone


@SAME
def test_in_a_nested_best_of_n(run):
    inner = kit.graph(MessagesState, solve=best_of_n(plain(**BEFORE_TOOLS), n=3))
    graph = kit.outer(best_of_n(inner, n=2), checkpointer=InMemorySaver())
    pauses, messages = driven(run, graph, {"messages": "go"})
    assert (pauses, messages[-1]) == (1, ("ai", "answer 1", []))


@pytest.mark.parametrize("going_on", [False, True])
def test_around_a_commit(run, post, going_on):
    """Paused before the tools, the winner goes on to its call, which is carried out once; and pauses after it."""
    points = {"interrupt_before": ["tools"], "interrupt_after": ["tools"]}
    said = mailing.script(["no", "yes"], [[("send", {"to": "bob"})], "the end"])
    agent = create_agent(said, [post.send], **points)
    node = best_of_n(agent, n=2, commit=[post.send], on_commit="execute", continue_after_commit=going_on)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    pauses, messages = driven(run, graph, {"messages": "go"})
    assert post.sent == [("bob", 1)]
    assert (pauses, messages[-1][1]) == ((2, "the end") if going_on else (1, "sent bob"))


def test_routing_sees_the_winner_after_a_last_pause(run):
    routed = []

    def route(winner):
        routed.append(winner.final_action.content)
        return END

    agent = kit.chat(kit.say(*PEAKS)).copy({"interrupt_after_nodes": "*"})
    graph = kit.outer(best_of_n(agent, n=3, route=route), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    assert routed == []
    run.invoke(graph, None, THREAD)
    assert routed == ["answer 1"]


def test_without_a_checkpointer_the_agent_ends_before_its_action(run, post):
    def agent(*rollouts):
        return create_agent(mailing.script(*rollouts), post.tools, interrupt_before=["tools"])

    sent, searched = [("send", {"to": "bob"})], [("search", {"q": "bob"})]
    done = run.invoke(kit.outer(best_of_n(agent([searched], [sent]), n=2, commit=["send"])), {"messages": "go"})
    assert [call["name"] for call in done["messages"][-1].tool_calls] == ["send"]
    with pytest.raises(AllRolloutsFailedError, match=r"stopped at a breakpoint, not at a call that commits"):
        run.invoke(kit.outer(best_of_n(agent([searched]), n=1, commit=["send"])), {"messages": "go"})


@pytest.mark.parametrize("form", [plain, within])
def test_without_a_checkpointer_it_is_refused(run, form):
    for use in (best_of_n(form(**BEFORE_TOOLS), n=3), kit.outer(best_of_n(form(**BEFORE_TOOLS), n=3))):
        with pytest.raises(AgentError, match=r"interrupt_before=\['tools'\].*checkpointer"):
            run.invoke(use, {"messages": "go"})
    with pytest.raises(AgentError, match=r"interrupt_after='\*'.*checkpointer"):
        run.invoke(best_of_n(form(), n=3), {"messages": "go"}, interrupt_after="*")


def test_with_an_environment_it_is_refused(run):
    entered = []

    def environment(index, known):
        entered.append(index)
        raise AssertionError

    node = best_of_n(plain(**BEFORE_TOOLS), n=3, environment=environment)
    with pytest.raises(ConfigError, match=r"interrupt_before=\['tools'\].*environment"):
        run.invoke(kit.outer(node, checkpointer=InMemorySaver()), {"messages": "go"}, THREAD)
    assert entered == []


def test_a_breakpoint_at_the_node_itself_works(run):
    graph = best_of_n(plain(InMemorySaver()), n=3).as_agent()
    assert run.invoke(graph, {"messages": "go"}, THREAD, interrupt_before=["best_of_n"])["messages"][-1].content == "go"
    assert run.invoke(graph, None, THREAD)["messages"][-1].content == "answer 1"
