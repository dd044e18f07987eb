"""Whoever calls a committing tool, and however many do: what the winner chose is done, and nothing besides."""

from __future__ import annotations

import kit
import mailing
from langchain_core.tools import tool
from langgraph.graph import MessagesState
from langgraph.prebuilt import ToolNode
from mailing import executing, said

from ec_agent import CommitError, commit_tool, read_only


def test_a_function_agents_tools_are_called(run, post):
    def assistant(state):
        asked = mailing.script([[("send", {"to": "ann"})]], [[("send", {"to": "bob"})]]).invoke(state["messages"])
        return {"messages": [asked, *(post.send.invoke(call) for call in asked.tool_calls)]}

    done = run.invoke(kit.outer(executing(assistant, post.send)), {"messages": "go"})
    assert post.done == ["bob"]
    assert said(done["messages"]) == [("human", "go"), ("ai", ""), ("tool", "sent bob")]


def test_a_node_that_asks_and_acts_asks_once(run, post):
    model = mailing.script([[("send", {"to": "ann"})]], [[("send", {"to": "bob"})]])
    asked = []

    def both(state):
        reply = model.invoke(state["messages"])
        asked.append(kit.rollout_index())
        return {"messages": [reply, *(post.send.invoke(call) for call in reply.tool_calls)]}

    done = run.invoke(kit.outer(executing(kit.graph(MessagesState, both=both), post.send)), {"messages": "go"})
    assert sorted(asked) == [0, 1]
    assert post.done == ["bob"]
    assert said(done["messages"]) == [("human", "go"), ("ai", ""), ("tool", "sent bob")]


def test_a_commit_without_a_model_is_carried_out(run, post):
    def act(state):
        return {"messages": [("human", post.send.invoke({"to": state["messages"][-1].content}))]}

    model = mailing.script(["ann"], ["bob"])
    agent = kit.graph(MessagesState, ask=lambda s: {"messages": [model.invoke(s["messages"])]}, act=act)
    result = run.run(executing(agent, post.send), {"messages": "go"})
    assert post.done == ["bob"]
    assert [c["args"] for c in result.selection.commits] == [{"to": "bob"}]
    assert result.output["messages"][-1].content == "sent bob"


def test_a_harmless_tool_that_commits_is_run_once(run, post, form):
    @read_only
    @tool
    def secretary(to: str) -> str:
        """Have a letter sent."""
        return post.send.invoke({"to": to})

    model = mailing.script(*[[[("secretary", {"to": name})], "end"] for name in ("ann", "bob")])
    done = run.invoke(kit.outer(executing(mailing.agent(form, model, [secretary]), post.send)), {"messages": "go"})
    assert post.done == ["bob"]
    assert done["messages"][-1].content == "sent bob"


def test_two_commits_in_one_tool_have_two_keys(run, post):
    @read_only
    @tool
    def secretary(to: str) -> str:
        """Have two letters sent."""
        return post.send.invoke({"to": to}) + post.send.invoke({"to": f"{to}'s boss"})

    model = mailing.script(*[[[("secretary", {"to": name})], "end"] for name in ("ann", "bob")])
    run.invoke(kit.outer(executing(mailing.agent("tool_node", model, [secretary]), post.send)), {"messages": "go"})
    assert post.done == ["bob", "bob's boss"]
    assert len(set(post.keys)) == 2  # else a receiver that leaves a repeated key undone leaves the second one out


def test_a_best_of_n_after_the_commit_waits(run, post):
    """After its action a winner stops at the next model, also at one in rollouts of its own."""
    inner_model = mailing.script(*[[[("pay", {"amount": i})], "end"] for i in range(2)])
    inner = executing(mailing.agent("tool_node", inner_model, post.tools), post.pay)
    model = mailing.script(*[[[("send", {"to": name})]] for name in ("ann", "bob")])
    agent = kit.graph(
        MessagesState,
        model=lambda s: {"messages": [model.invoke(s["messages"])]},
        tools=ToolNode(post.tools),
        refine=inner,
    )
    result = run.run(executing(agent, post.send, post.pay), {"messages": "go"})
    assert post.done == ["bob"]
    assert [c["tool"] for c in result.selection.commits] == ["send"]


def test_a_marked_tool_may_be_in_any_node(run, post):
    def assistant(state):
        asked = mailing.script([[("send", {"to": "ann"})]], [[("send", {"to": "bob"})]]).invoke(state["messages"])
        return {"messages": [asked, *(post.send.invoke(call) for call in asked.tool_calls)]}

    commit_tool(post.send)
    run.invoke(kit.outer(executing(assistant)), {"messages": "go"})
    assert post.done == ["bob"]


class Numbering(mailing.ScriptedChatModel):
    """A model behind a server that gives every call of a message the same id."""

    def _message(self, reply, messages):
        message = super()._message(reply, messages)
        return message.model_copy(update={"tool_calls": [{**call, "id": "call"} for call in message.tool_calls]})


def test_equal_ids_in_one_message_are_told_apart(run, post):
    calls = [("send", {"to": "ann"}), ("send", {"to": "bob"})]
    model = Numbering([[mailing.reply("no", 15)], [mailing.reply(calls), mailing.reply("end")]])
    node = executing(mailing.agent("tool_node", model, post.tools), post.send)
    try:
        result = run.run(node, {"messages": "go"})
    except CommitError:
        assert post.sent == []  # refused, before anything was done
    else:
        assert [c["args"]["to"] for c in result.selection.commits] == post.done
        assert post.done in ([], ["ann", "bob"])
