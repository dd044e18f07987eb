"""The winner's calls are carried out, each once; the outer state has what they wrote, each once."""

from __future__ import annotations

import operator
import time
from typing import Annotated, Any

import kit
import mailing
import pytest
from kit import THREAD
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from mailing import SENT, executing, said
from typing_extensions import TypedDict

from ec_agent import Limits, get_idempotency_key


def test_the_winner_sends_once_and_nobody_else_does(run, post, form, saver):
    node = executing(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), post.send)
    done = run.invoke(kit.outer(node, checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.sent == [("bob", 1)]
    assert said(done["messages"]) == SENT
    assert len({m.id for m in done["messages"]}) == len(SENT)
    assert get_idempotency_key() is None


def test_as_an_agent_it_does_the_same(run, post, form):
    result = run.run(
        executing(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), post.send), {"messages": "go"}
    )
    assert post.sent == [("bob", 1)]
    assert said(result.output["messages"]) == SENT


def test_the_receipt_names_the_action_and_its_key(run, post):
    model = mailing.script(
        *[[[("send", {"to": name}), ("search", {"q": "x"}), ("pay", {"amount": 3})]] for name in "ab"]
    )
    node = executing(mailing.agent("tool_node", model, post.tools), post.send, post.pay)
    selection = run.run(node, {"messages": "go"}).selection
    assert [(c["tool"], c["args"]) for c in selection.commits] == [("send", {"to": "b"}), ("pay", {"amount": 3})]
    assert sorted(c["key"] for c in selection.commits) == sorted(post.keys)
    assert len(set(post.keys)) == 2
    assert type(selection).from_dict(selection.to_dict()) == selection
    assert selection.earlier == ()


@pytest.mark.parametrize("place", [0, 1])
def test_a_harmless_call_beside_it_runs_once(run, post, form, place):
    calls = [("search", {"q": "x"})]
    calls.insert(place, ("send", {"to": "ann"}))
    model = mailing.script([["send"], "end"][1:], [calls, "end"])
    node = executing(mailing.agent(form, model, post.tools), post.send)
    done = run.invoke(kit.outer(node), {"messages": "go"})
    assert (post.done, post.searched) == (["ann"], [("x", 1)])
    texts = ["found x"]
    texts.insert(place, "sent ann")
    assert [m.content for m in done["messages"]] == ["go", "", *texts]


def test_two_commits_of_one_message_are_both_done(run, post, form):
    calls = [("send", {"to": "ann"}), ("send", {"to": "ann"})]
    node = executing(mailing.agent(form, mailing.script(["no"], [calls, "end"]), post.tools), post.send)
    run.invoke(kit.outer(node), {"messages": "go"})
    assert post.done == ["ann", "ann"]
    assert len(set(post.keys)) == 2


def test_a_winner_that_only_answers_sends_nothing(run, post, form, saver):
    model = mailing.script([[("send", {"to": "ann"})], "end"], ["no need"])
    node = executing(mailing.agent(form, model, post.tools), post.send)
    done = run.invoke(kit.outer(node, checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.sent == []
    assert done["messages"][-1].content == "no need"
    assert saver is None or list(saver.storage) == ["t"]


def test_no_parked_rollout_stays_in_the_checkpointer(run, post, form):
    saver = InMemorySaver()
    node = executing(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), post.send)
    graph = kit.outer(node, checkpointer=saver)
    for turn in range(2):
        run.invoke(graph, {"messages": f"go {turn}"}, THREAD)
    assert list(saver.storage) == ["t"]
    assert post.done == ["bob", "bob"]  # a new turn is a new question
    assert len(set(post.keys)) == 2


class Log(TypedDict):
    messages: Annotated[list, add_messages]
    log: Annotated[list, operator.add]


@pytest.mark.parametrize("goes_on", [False, True])
def test_sums_are_not_doubled(run, post, saver, goes_on):
    model = mailing.script(*[[[("send", {"to": name})], "end"] for name in ("ann", "bob")])

    def ask(state):
        return {"messages": [model.invoke(state["messages"])], "log": ["model"]}

    builder = StateGraph(Log)
    builder.add_node("model", ask)
    builder.add_node("tools", ToolNode(post.tools))
    builder.add_node("beside", lambda s: {"log": ["beside"]})
    builder.add_node("end", lambda s: {"log": ["end"]})
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_edge("model", "beside")
    builder.add_edge("tools", "end")
    node = executing(builder.compile(), post.send, continue_after_commit=goes_on)
    graph = kit.outer(node, Log, checkpointer=saver)
    done = run.invoke(graph, {"messages": "go", "log": ["start"]}, THREAD)
    assert done["log"] == ["start", "model", "beside", "end"]
    assert said(done["messages"]) == [("human", "go"), ("ai", ""), ("tool", "sent bob")]
    assert post.done == ["bob"]


def test_a_tools_arguments_and_results_are_kept(run, post, saver):
    store = InMemoryStore()

    @tool(response_format="content_and_artifact")
    def send(
        to: str, state: Annotated[dict, InjectedState], shelf: Annotated[Any, InjectedStore], runtime: ToolRuntime
    ) -> Any:
        """Send."""
        shelf.put(("sent",), to, {"messages": len(state["messages"])})
        return post.deliver(to), {"call": runtime.tool_call_id}

    agent = create_agent(mailing.sending("ann", "bob"), [send, post.search], store=store)
    done = run.invoke(kit.outer(executing(agent, send), checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    answer = done["messages"][-1]
    assert (answer.content, answer.artifact) == ("sent bob", {"call": answer.tool_call_id})
    assert [(item.key, item.value) for item in store.search(("sent",))] == [("bob", {"messages": 4})]


@pytest.mark.parametrize("form", ["create_agent", "tool_node", "nested"])
def test_a_tool_may_answer_with_a_command(run, post, form, saver):
    @tool
    def send(to: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Send."""
        return Command(update={"messages": [ToolMessage(post.deliver(to), tool_call_id=tool_call_id)]})

    node = executing(mailing.agent(form, mailing.sending("ann", "bob"), [send, post.search]), send)
    done = run.invoke(kit.outer(node, checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


def test_a_spent_budget_does_not_prevent_the_action(run, post):
    for over in ("finish", "cut"):
        post.sent.clear()
        limits = Limits(token_budget=80, over_budget=over)
        agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools)
        run.invoke(kit.outer(executing(agent, post.send, limits=limits)), {"messages": "go"})
        assert post.done == ["bob"]


def test_a_slow_action_is_no_failure():
    post = mailing.Post()

    @tool
    def send(to: str) -> str:
        """Send."""
        time.sleep(0.6)
        return post.deliver(to)

    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), [send, post.search])
    done = kit.outer(executing(agent, send, limits=Limits(timeout=0.4))).invoke({"messages": "go"})
    assert said(done["messages"]) == SENT
