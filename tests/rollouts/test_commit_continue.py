"""After a commit the winner goes on, again as the best of n, to the next commit or to an answer."""

from __future__ import annotations

import operator
from typing import Annotated

import kit
import mailing
import pytest
from kit import THREAD
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt
from mailing import said
from typing_extensions import TypedDict

from ec_agent import AllRolloutsFailedError, CommitWarning, best_of_n
from ec_agent.testing import Reply


def going_on(agent, *commit, n=3, **more):
    return best_of_n(agent, n=n, commit=list(commit), on_commit="execute", continue_after_commit=True, **more)


# Which rollout is surest in which round: a different one each time.
PEAKS = ((3, 9, 15), (15, 3, 9), (9, 15, 3))


def relay():
    """Each round is won by another rollout: 0 sends, 1 pays, 2 answers."""

    def script(messages, index):
        number = sum(isinstance(m, ToolMessage) for m in messages)
        calls = [[("send", {"to": f"by {index}"})], [("pay", {"amount": index})], []][number]
        text = "" if calls else f"answer {index}"
        return Reply(text, tool_calls=calls, entropies=kit.peak(PEAKS[number][index]))

    return mailing.ScriptedChatModel(script)


RELAY = [("human", "go"), ("ai", ""), ("tool", "sent by 0"), ("ai", ""), ("tool", "sent 1"), ("ai", "answer 2")]


def test_each_round_has_a_winner_of_its_own(run, post, form, saver):
    node = going_on(mailing.agent(form, relay(), post.tools), post.send, post.pay)
    done = run.invoke(kit.outer(node, checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.sent == [("by 0", 0), (1, 1)]
    assert said(done["messages"]) == RELAY
    assert len({m.id for m in done["messages"]}) == len(RELAY)
    assert saver is None or list(saver.storage) == ["t"]


def test_the_receipts_of_all_rounds_are_kept(run, post, form):
    selection = run.run(
        going_on(mailing.agent(form, relay(), post.tools), post.send, post.pay), {"messages": "go"}
    ).selection
    assert selection.winner == 2
    assert [each.winner for each in selection.earlier] == [0, 1]
    assert [(c["tool"], c["args"]) for c in selection.commits] == [("send", {"to": "by 0"}), ("pay", {"amount": 1})]
    assert [c["key"] for c in selection.commits] == post.keys
    assert len(set(post.keys)) == 2
    # Three rounds of three calls of twenty tokens.
    assert selection.usage["generated_tokens"] == 180
    assert [each.usage["generated_tokens"] for each in selection.earlier] == [60, 60]
    assert [len(each.candidates) for each in (selection, *selection.earlier)] == [3, 3, 3]
    assert type(selection).from_dict(selection.to_dict()) == selection


class Log(TypedDict):
    messages: Annotated[list, add_messages]
    log: Annotated[list, operator.add]
    plain: str


def test_sums_are_not_doubled_over_rounds(run, post, saver):
    model = relay()

    def ask(state):
        reply = model.invoke(state["messages"])
        return {"messages": [reply], "log": [f"asked {kit.rollout_index()}"], "plain": f"by {kit.rollout_index()}"}

    builder = StateGraph(Log)
    builder.add_node("model", ask)
    builder.add_node("tools", ToolNode(post.tools))
    builder.add_node("note", lambda s: {"log": ["noted"]})
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "note")
    builder.add_edge("note", "model")
    graph = kit.outer(going_on(builder.compile(), post.send, post.pay), Log, checkpointer=saver)
    done = run.invoke(graph, {"messages": "go", "log": ["start"], "plain": "none"}, THREAD)
    assert done["log"] == ["start", "asked 0", "noted", "asked 1", "noted", "asked 2"]
    assert done["plain"] == "by 2"
    assert said(done["messages"]) == RELAY


@pytest.mark.parametrize("rounds", [1, 2])
def test_max_rounds_ends_it_with_a_warning(run, post, form, saver, rounds):
    node = going_on(mailing.agent(form, relay(), post.tools), post.send, post.pay, max_rounds=rounds)
    with pytest.warns(CommitWarning, match=rf"max_rounds={rounds} .*allow more"):
        done = run.invoke(kit.outer(node, checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.sent == [("by 0", 0), (1, 1)][:rounds]
    assert said(done["messages"]) == RELAY[: 1 + 2 * rounds]
    assert saver is None or list(saver.storage) == ["t"]


def test_enough_rounds_give_no_warning(run, post):
    node = going_on(mailing.agent("tool_node", relay(), post.tools), post.send, post.pay, max_rounds=3)
    assert run.run(node, {"messages": "go"}).output["messages"][-1].content == "answer 2"


def test_a_second_turn_starts_anew(run, post, form):
    def script(messages, index):
        last = messages[-1]
        if isinstance(last, ToolMessage):
            return mailing.reply(f"done {index}", 3 + index)
        return mailing.reply([("send", {"to": f"{last.content} {index}"})], 3 + index)

    agent = mailing.agent(form, mailing.ScriptedChatModel(script), post.tools)
    node = going_on(agent, post.send, n=2)
    saver = InMemorySaver()
    graph = kit.outer(node, checkpointer=saver)
    for turn in ("first", "second"):
        done = run.invoke(graph, {"messages": turn}, THREAD)
    assert post.done == ["first 0", "second 0"]
    assert [m.content for m in done["messages"] if m.type == "human"] == ["first", "second"]
    assert list(saver.storage) == ["t"]


def test_harmless_calls_between_commits_run_per_rollout(run, post, form):
    searching = [("search", {"q": "x"})]
    model = mailing.script(
        *[[[("send", {"to": str(i)})], searching, [("pay", {"amount": i})], f"end {i}"] for i in range(2)]
    )
    result = run.run(going_on(mailing.agent(form, model, post.tools), post.send, post.pay, n=2), {"messages": "go"})
    assert post.sent == [("1", 1), (1, 1)]
    assert sorted(post.searched) == [("x", 0), ("x", 1)]
    assert [m.content for m in result.output["messages"] if m.type == "tool"] == ["sent 1", "found x", "sent 1"]


def test_a_commit_after_a_commit_is_the_next_round(run, post):
    def forward(state):
        return {"messages": [("system", post.pay.invoke({"amount": len(state["messages"])}))]}

    model = mailing.script(*[[[("send", {"to": str(i)})], f"end {i}"] for i in range(2)])
    agent = kit.graph(
        kit.MessagesState,
        model=lambda s: {"messages": [model.invoke(s["messages"])]},
        tools=ToolNode(post.tools),
        forward=forward,
        close=lambda s: {"messages": [model.invoke(s["messages"])]},
    )
    result = run.run(going_on(agent, post.send, post.pay, n=2), {"messages": "go"})
    assert [what for what, _ in post.sent] == ["1", 3]
    assert [c["tool"] for c in result.selection.commits] == ["send", "pay"]
    assert said(result.output["messages"])[-2:] == [("system", "sent 3"), ("ai", "end 1")]


@pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")  # both would send the same
def test_a_failed_round_undoes_nothing(run, post):
    broken = [True]

    def script(messages, index):
        if not isinstance(messages[-1], ToolMessage):
            return mailing.reply([("send", {"to": "ann"})], 3 + index)
        if broken:
            raise LookupError("the model is down")
        return mailing.reply(f"done {index}", 3 + index)

    node = going_on(mailing.agent("tool_node", mailing.ScriptedChatModel(script), post.tools), post.send, n=2)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    with pytest.raises(AllRolloutsFailedError, match="the model is down"):
        run.invoke(graph, {"messages": "go"}, THREAD)
    assert post.done == ["ann"]
    broken.clear()
    done = run.invoke(graph, None, THREAD)
    assert post.done == ["ann"]
    assert said(done["messages"])[1:] == [("ai", ""), ("tool", "sent ann"), ("ai", "done 0")]


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_a_question_in_the_second_round(run, post, form, answer):
    @tool
    def pay(amount: int) -> str:
        """Pay, if somebody agrees."""
        return post.deliver(amount) if interrupt(f"pay {amount}?") == "yes" else "left undone"

    saver = InMemorySaver()
    node = going_on(mailing.agent(form, relay(), [post.send, pay]), post.send, pay)
    graph = kit.outer(node, checkpointer=saver)
    stopped = run.invoke(graph, {"messages": "go"}, THREAD)
    assert [each.value for each in stopped["__interrupt__"]] == ["pay 1?"]
    assert post.done == ["by 0"]
    done = run.invoke(graph, Command(resume=answer), THREAD)
    assert post.sent == [("by 0", 0), (1, 1)][: 2 if answer == "yes" else 1]
    expected = [*RELAY]
    expected[4] = ("tool", "sent 1" if answer == "yes" else "left undone")
    assert said(done["messages"]) == expected
    assert list(saver.storage) == ["t"]


def test_middleware_that_reraises_lets_it_go_on(run, post):
    node = going_on(create_agent(relay(), post.tools, middleware=[mailing.retrying()]), post.send, post.pay)
    assert said(run.run(node, {"messages": "go"}).output["messages"]) == RELAY
    assert post.done == [1, "by 0"]


def test_middleware_that_catches_everything_fails_without_acting(run, post):
    node = going_on(create_agent(relay(), post.tools, middleware=[mailing.Catching()]), post.send, post.pay)
    with pytest.raises(AllRolloutsFailedError, match="let middleware raise GraphBubbleUp again"):
        run.run(node, {"messages": "go"})
    assert post.done == []


@pytest.mark.parametrize("more", [{}, {"continue_after_commit": True}], ids=["ends", "goes on"])
@pytest.mark.parametrize("args", [{"amount": "much"}, {}], ids=["wrong", "missing"])
def test_a_call_with_bad_arguments_is_no_action(run, post, args, more):
    script = mailing.script(["no"], [[("pay", args)], [("pay", {"amount": 3})], "end"])
    node = best_of_n(mailing.agent("create_agent", script, [post.pay]), 2, commit=["pay"], on_commit="execute", **more)
    result = run.run(node, {"messages": "go"})
    texts = [m.content for m in result.output["messages"] if m.type == "tool"]
    assert "Error invoking tool 'pay'" in texts[0]
    assert texts[1:] == (["sent 3"] if more else [])
    assert post.done == ([3] if more else [])
    assert [each["args"] for each in result.selection.commits] == ([{"amount": 3}] if more else [])
