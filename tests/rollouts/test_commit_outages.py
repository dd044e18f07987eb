"""What was carried out before something failed is on record, and nobody has to choose it again."""

from __future__ import annotations

import time
from typing import Any

import kit
import mailing
import pytest
from kit import THREAD
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy
from mailing import executing, said

from ec_agent import AllRolloutsFailedError, CommitError, CommitWarning, Limits
from ec_agent.testing import ScriptedChatModel


class State(MessagesState):
    receipt: dict[str, Any]


class Outage:
    """An agent that sends, whose model is down after that, and is of another mind when asked again."""

    def __init__(self, post, *later):
        self.down, self._post, self._later = True, post, later

    def _reply(self, messages, index):
        step, at = sum(message.type == "ai" for message in messages), 9 - 3 * index
        if step == 0:
            return mailing.reply([("send", {"to": f"ann {index}"})] if self.down else self._later[0], at)
        if self.down:
            raise LookupError("the model is down")
        return mailing.reply(f"done {index}", at)

    def node(self, **more):
        agent = mailing.agent("tool_node", ScriptedChatModel(self._reply), self._post.tools)
        return executing(agent, self._post.send, continue_after_commit=True, selection_key="receipt", **more)


def committed(state):
    return [each["args"]["to"] for each in state["receipt"]["commits"]]


MINDS = [[("send", {"to": "bob"})], "no mail"]


@pytest.mark.parametrize("later", MINDS, ids=["sends to another", "answers"])
def test_a_resumed_run_goes_on_after_what_was_done(run, post, later):
    outage, saver = Outage(post, later), InMemorySaver()
    graph = kit.outer(outage.node(), State, checkpointer=saver)
    with pytest.raises(AllRolloutsFailedError, match=r"carried out: send\(\{'to': 'ann 1'\}\)") as failed:
        run.invoke(graph, {"messages": "go"}, THREAD)
    assert [each["args"] for each in failed.value.commits] == [{"to": "ann 1"}]
    outage.down = False
    done = run.invoke(graph, None, THREAD)
    assert post.done == committed(done) == ["ann 1"]
    assert said(done["messages"])[1:] == [("ai", ""), ("tool", "sent ann 1"), ("ai", "done 1")]
    assert set(saver.storage) == {"t"}  # no rollout stays parked


@pytest.mark.parametrize("later", MINDS, ids=["sends to another", "answers"])
def test_it_goes_on_in_another_process_too(post, tmp_path, later):
    outage = Outage(post, later)
    for down in (True, True, False):
        outage.down = down
        with SqliteSaver.from_conn_string(str(tmp_path / "runs.sqlite")) as saver:
            graph = kit.outer(outage.node(), State, checkpointer=saver)
            given = {"messages": "go"} if not post.done else None
            if down:
                with pytest.raises(AllRolloutsFailedError, match="carried out: send"):
                    graph.invoke(given, THREAD)
            else:
                assert committed(graph.invoke(given, THREAD)) == ["ann 1"]
    assert post.done == ["ann 1"]


@pytest.mark.parametrize("later", MINDS, ids=["sends to another", "answers"])
def test_a_retried_node_goes_on_too(run, post, saver, later):
    outage = Outage(post, later)

    def mended(error):
        outage.down = False
        return isinstance(error, AllRolloutsFailedError)

    builder = StateGraph(State)
    builder.add_node("solve", outage.node(), retry_policy=RetryPolicy(retry_on=mended, initial_interval=0.01))
    builder.add_edge(START, "solve")
    done = run.invoke(builder.compile(checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.done == committed(done) == ["ann 1"]
    assert said(done["messages"])[1:] == [("ai", ""), ("tool", "sent ann 1"), ("ai", "done 1")]


def test_a_spent_budget_ends_it_after_the_action(run, post):
    model = mailing.sending("ann", "bob")
    node = executing(
        mailing.agent("tool_node", model, post.tools),
        post.send,
        continue_after_commit=True,
        limits=Limits(token_budget=80),
    )
    with pytest.warns(CommitWarning, match="ended after token_budget=80 was spent"):
        result = run.run(node, {"messages": "go"})
    assert post.done == ["bob"]
    assert [each["args"] for each in result.selection.commits] == [{"to": "bob"}]
    assert said(result.output["messages"]) == mailing.SENT


def test_an_error_after_the_action_names_it(run, post):
    """The branch that acted is done; the one beside it then asks and acts in one step, from where none can go on."""
    model = mailing.script(*[[[("pay", {"amount": i})]] for i in range(2)])

    def act(state):
        return {"messages": [post.send.invoke({"to": "ann"})]}

    def ask_and_act(state):
        time.sleep(0.1)
        return {"messages": [post.pay.invoke(call) for call in model.invoke("?").tool_calls]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda state: {"messages": [kit.say(3, 9).invoke("?")]})
    builder.add_node("a", act)
    builder.add_node("b", ask_and_act)
    builder.add_edge(START, "ask")
    for name in "ab":
        builder.add_edge("ask", name)
    node = executing(builder.compile(), post.send, post.pay, continue_after_commit=True)
    with pytest.raises((CommitError, AllRolloutsFailedError)) as failed:
        run.run(node, {"messages": "go"})
    assert post.done == ["ann"]
    assert "send({'to': 'ann'})" in "".join([str(failed.value), *failed.value.__notes__])
