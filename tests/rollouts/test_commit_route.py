"""A rollout ends at the first message that commits; what it would do is left to the graph around."""

from __future__ import annotations

import logging
import operator
from typing import Annotated

import kit
import mailing
import pytest
from kit import THREAD
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy
from naming import named
from typing_extensions import TypedDict

from ec_agent import ConfigError, MemoryJournal, SQLiteJournal, best_of_n, commit_tool


def test_nothing_is_sent_and_the_winners_message_is_last(run, post, form):
    node = best_of_n(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), n=2, commit=[post.send])
    result = run.run(node, {"messages": "go"})
    assert post.sent == []
    assert sorted(post.searched) == [("ann", 0), ("bob", 1)]
    assert result.selection.winner == 1
    assert mailing.calls_of(result.output["messages"]) == [("send", {"to": "bob"})]
    assert [action.tool_calls[0]["args"]["to"] for action in result.final_actions] == ["ann", "bob"]
    assert result.selection.commits == ()


def test_a_tool_node_after_it_sends_once(run, post, form):
    node = best_of_n(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), n=2, commit=[post.send])
    done = run.invoke(mailing.then_tools(node, post.tools), {"messages": "go"})
    assert post.done == ["bob"]
    assert done["messages"][-1].content == "sent bob"
    assert len({m.id for m in done["messages"]}) == len(done["messages"])


@pytest.mark.parametrize("named", ["name", "object", "mark", "unknown"])
def test_a_tool_may_be_named_in_four_ways(run, post, form, named):
    commit = {"name": ["send"], "object": [post.send], "mark": None, "unknown": "unknown"}[named]
    if named == "mark":
        commit_tool(post.send)
    node = best_of_n(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), n=2, commit=commit)
    result = run.run(node, {"messages": "go"})
    assert post.sent == []
    assert sorted(post.searched) == [("ann", 0), ("bob", 1)]
    assert mailing.calls_of(result.output["messages"]) == [("send", {"to": "bob"})]


def test_tools_may_be_given_by_a_generator(run, post):
    commit = (each for each in post.tools if each.name == "send")
    node = best_of_n(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), n=2, commit=commit)
    run.invoke(node, {"messages": "go"})
    assert post.sent == []


BESIDE = [
    [("search", {"q": "x"}), ("send", {"to": "ann"})],
    [("send", {"to": "ann"}), ("search", {"q": "x"})],
    [("send", {"to": "ann"}), ("pay", {"amount": 3})],
]


@pytest.mark.parametrize("calls", BESIDE)
@pytest.mark.parametrize("named", ["list", "marks"])
def test_if_one_call_commits_none_runs(run, post, form, calls, named):
    if (form, named, calls) == ("loop", "marks", BESIDE[0]):
        pytest.skip("a tool in no ToolNode is known to be marked only when it is called")
    if named == "marks":
        commit_tool(post.send)
        commit_tool(post.pay)
    commit = [post.send, post.pay] if named == "list" else None
    model = mailing.script([calls, "end"], [[("search", {"q": "first"})], calls, "end"])
    node = best_of_n(mailing.agent(form, model, post.tools), n=2, commit=commit)
    result = run.run(node, {"messages": "go"})
    assert post.sent == []
    assert post.searched == [("first", 1)]
    assert mailing.calls_of(result.output["messages"]) == calls


def test_a_commit_inside_a_tool_stops_at_its_message(run, post, form):
    @tool
    def secretary(to: str) -> str:
        """Have a letter sent."""
        return post.send.invoke({"to": to})

    calls = [[("secretary", {"to": name})] for name in ("ann", "bob")]
    agent = mailing.agent(form, mailing.script(*([each, "end"] for each in calls)), [secretary])
    result = run.run(best_of_n(agent, n=2, commit=[post.send]), {"messages": "go"})
    assert post.sent == []
    assert mailing.calls_of(result.output["messages"]) == [("secretary", {"to": "bob"})]


def calling_by_itself(post, model):
    """An agent whose node sends without being asked to by a model."""

    def act(state):
        return {"messages": [HumanMessage(post.send.invoke({"to": state["messages"][-1].content}))]}

    def ask(state):
        return {"messages": [model.invoke(state["messages"])]}

    return kit.graph(MessagesState, ask=ask, act=act)


def test_a_call_without_a_model_becomes_a_message(run, post):
    node = best_of_n(calling_by_itself(post, mailing.script(["ann"], ["bob"])), n=2, commit=[post.send])
    result = run.run(node, {"messages": "go"})
    assert post.sent == []
    assert mailing.calls_of(result.output["messages"]) == [("send", {"to": "bob"})]


def test_a_function_agent_is_stopped_too(run, post):
    def assistant(state):
        said = mailing.script([[("send", {"to": "ann"})]], [[("send", {"to": "bob"})]]).invoke(state["messages"])
        return {"messages": [said, *(post.send.invoke(call) for call in said.tool_calls)]}

    done = run.invoke(kit.outer(best_of_n(assistant, n=2, commit=[post.send])), {"messages": "go"})
    assert post.sent == []
    assert mailing.calls_of(done["messages"]) == [("send", {"to": "bob"})]


def test_a_call_belongs_to_the_latest_message(run, post):
    """Some servers number the calls of each message from 0."""
    model = mailing.sending("ann", "bob")

    def both(state):
        said = model.invoke(state["messages"])
        said = said.model_copy(update={"tool_calls": [{**call, "id": "call_0"} for call in said.tool_calls]})
        tools = {"search": post.search, "send": post.send}
        return {"messages": [said, *(tools[call["name"]].invoke(call) for call in said.tool_calls)]}

    builder = StateGraph(MessagesState)
    builder.add_node("both", both)
    builder.add_edge(START, "both")
    builder.add_conditional_edges("both", lambda s: "both" if s["messages"][-1].type == "tool" else "__end__")
    result = run.run(best_of_n(builder.compile(), n=2, commit=[post.send]), {"messages": "go"})
    assert post.sent == []
    assert mailing.calls_of(result.output["messages"]) == [("send", {"to": "bob"})]


@pytest.mark.parametrize("middleware", [mailing.retrying, mailing.Catching])
def test_catching_middleware_does_not_hide_the_stop(run, post, middleware):
    agent = create_agent(mailing.sending("ann", "bob"), post.tools, middleware=[middleware()])
    result = run.run(best_of_n(agent, n=2, commit=[post.send]), {"messages": "go"})
    assert post.sent == []
    assert mailing.calls_of(result.output["messages"]) == [("send", {"to": "bob"})]
    assert [len(t.calls) for t in result.trajectories] == [2, 2]  # the model was not asked again


def test_a_catching_tool_node_does_not_hide_it(run, post):
    def tools(state):
        said = []
        for call in state["messages"][-1].tool_calls:
            try:
                said.append({"search": post.search, "send": post.send}[call["name"]].invoke(call))
            except Exception as error:
                said.append(ToolMessage(repr(error), tool_call_id=call["id"]))
        return {"messages": said}

    agent = mailing.by_hand(mailing.sending("ann", "bob"), tools)
    result = run.run(best_of_n(agent, n=2, commit=[post.send]), {"messages": "go"})
    assert post.sent == []
    assert mailing.calls_of(result.output["messages"]) == [("send", {"to": "bob"})]


class Log(TypedDict):
    messages: Annotated[list, add_messages]
    log: Annotated[list, operator.add]


def test_writes_before_the_stop_come_once(run, post):
    model = mailing.sending("ann", "bob")
    builder = StateGraph(Log)
    builder.add_node("model", lambda s: {"messages": [model.invoke(s["messages"])], "log": ["model"]})
    builder.add_node("tools", ToolNode(post.tools))
    builder.add_node("side", lambda s: {"log": ["side"]})
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_conditional_edges("model", lambda s: "side", ["side"])
    builder.add_edge("tools", "model")
    agent = builder.compile()
    done = run.invoke(kit.outer(best_of_n(agent, n=2, commit=[post.send]), Log), {"messages": "go", "log": ["start"]})
    assert done["log"][:3] == ["start", "model", "side"]
    assert done["log"].count("model") == 2
    assert mailing.calls_of(done["messages"]) == [("send", {"to": "bob"})]
    assert post.sent == []


def test_an_answer_may_win_over_an_action(run, post):
    model = mailing.script([[("send", {"to": "ann"})], "end"], ["no need"])
    result = run.run(best_of_n(mailing.agent("tool_node", model, post.tools), n=2, commit=["send"]), {"messages": "go"})
    assert result.output["messages"][-1].content == "no need"
    assert post.sent == []


def test_a_stop_logs_nothing(run, post, form, caplog):
    caplog.set_level(logging.WARNING)
    for mode in ({}, {"on_commit": "execute"}):
        node = best_of_n(
            mailing.agent(form, mailing.sending("ann", "bob"), post.tools), n=2, commit=[post.send], **mode
        )
        run.run(node, {"messages": "go"})
    assert [record.getMessage() for record in caplog.records] == []


def test_no_routed_rollout_stays_in_the_checkpointer(run, post, form):
    saver = InMemorySaver()
    node = best_of_n(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), n=2, commit=[post.send])
    run.invoke(kit.outer(node, checkpointer=saver), {"messages": "go"}, THREAD)
    assert list(saver.storage) == ["t"]


SAME = pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")  # each makes the same choice


def executing(post, **more):
    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools)
    return best_of_n(agent, n=2, commit=[post.send], on_commit="execute", **more)


@SAME
def test_inside_a_rollout_execute_only_routes(run, post):
    node = best_of_n(kit.graph(MessagesState, inner=executing(post)), n=2)
    done = run.invoke(kit.outer(node), {"messages": "go"})
    assert post.sent == []
    assert mailing.calls_of(done["messages"]) == [("send", {"to": "bob"})]
    outermost = best_of_n(kit.graph(MessagesState, inner=executing(post)), n=2, on_commit="execute")
    run.invoke(kit.outer(outermost), {"messages": "go"})
    assert len(post.sent) == 1  # it does for its winner what the inner ones may not


@SAME
def test_an_inner_route_is_not_sent_by_rollouts(run, post):
    node = best_of_n(mailing.then_tools(executing(post), post.tools), n=2)
    run.invoke(kit.outer(node), {"messages": "go"})
    assert post.sent == []


@SAME
def test_an_executing_outer_one_sends_it_once(run, post):
    agent = mailing.then_tools(executing(post), post.tools)
    node = best_of_n(agent, n=2, commit=[post.send], on_commit="execute")
    run.invoke(kit.outer(node), {"messages": "go"})
    assert post.done == ["bob"]


@pytest.mark.parametrize("name", ["sned", "Send", "send_email"])
def test_a_mistyped_tool_name_is_an_error(post, name):
    for form in ("create_agent", "tool_node", "nested"):
        agent = mailing.agent(form, mailing.sending("ann", "bob"), post.tools)
        with pytest.raises(ConfigError, match=rf"{name!r}, which is none of the agent's tools \(pay, search, send\)"):
            best_of_n(agent, n=2, commit=[name])


WRONG = {
    "commit": ["send", 3, True, {"send": 1}, [None], [len], [""]],
    "on_commit": ["x", "Route", None, True],
    "on_uncertain": ["x", None, "ignore"],
    "max_rounds": [0, -1, True, 1.5, "8", None],
    "continue_after_commit": ["yes", None, 3],
    "journal": [SQLiteJournal, MemoryJournal, "commits.sqlite", {}, 3],
    "environment": ["x", 3],
    "promote": ["x", 3],
    "retry": ["x", 3, [RetryPolicy(), "x"], RetryPolicy],
    "limits": ["x", {"timeout": 3}],
}


@pytest.mark.parametrize(("option", "value"), [(o, v) for o, values in WRONG.items() for v in values], ids=named)
def test_a_wrong_argument_says_what_is_right(post, option, value):
    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools)
    beside = {"promote": {"environment": print}, "continue_after_commit": {"on_commit": "execute"}}.get(option, {})
    with pytest.raises(ConfigError, match=rf"^{option} .*give"):
        best_of_n(agent, n=2, **beside, **{option: value})


TOGETHER = [
    ({"continue_after_commit": True}, 'continue_after_commit=True needs .*on_commit="execute"'),
    ({"promote": print}, "promote= is given, but no environment="),
    (
        {"continue_after_commit": True, "on_commit": "execute", "environment": print},
        "continue_after_commit=True with environment= needs promote=",
    ),
]


@pytest.mark.parametrize(("options", "message"), TOGETHER)
def test_options_that_contradict_are_refused(post, options, message):
    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools)
    with pytest.raises(ConfigError, match=message):
        best_of_n(agent, n=2, commit=["send"], **options)


def test_an_executing_function_agent_needs_tool_objects(post):
    with pytest.raises(ConfigError, match=r"only the names of \['send'\].*give the tools themselves"):
        best_of_n(lambda state: {}, n=2, commit=["send"], on_commit="execute")
    best_of_n(lambda state: {}, n=2, commit=["send"])
    best_of_n(lambda state: {}, n=2, commit=[post.send], on_commit="execute")


def test_a_mistyped_option_lists_the_right_ones():
    with pytest.raises(ConfigError, match=r"on_comit.*the options of best_of_n are .*on_commit"):
        best_of_n(lambda state: {}, n=2, on_comit="execute")
