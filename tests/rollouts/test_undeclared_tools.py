"""Tools that nobody declared and that ran in several rollouts: the first run warns, every receipt lists them."""

from __future__ import annotations

import asyncio
import json
import warnings

import kit
import mailing
import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.types import RetryPolicy, interrupt

from ec_agent import (
    AllRolloutsFailedError,
    Selection,
    UndeclaredToolWarning,
    best_of_n,
    commit_tool,
    read_only,
)
from ec_agent.evaluation.runner import RunSettings, evaluate
from ec_agent.evaluation.tasks import BaseTask
from ec_agent.testing import Reply, ScriptedChatModel


@pytest.fixture(autouse=True)
def heard():
    """The warnings of this kind, in order; others are errors, as everywhere."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UndeclaredToolWarning)
        yield caught


def told(heard):
    return [str(each.message) for each in heard if each.category is UndeclaredToolWarning]


def names(heard):
    """The tools that each warning names."""
    return [said.split("rollouts: ")[1].split(". What")[0].split(", ") for said in told(heard)]


def both(post, **options):
    """Two rollouts, each of which searches and sends."""
    return best_of_n(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), n=2, **options)


GO = {"messages": "go"}


def test_the_first_run_warns_and_says_what_to_do(run, post, form, heard):
    node = best_of_n(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), n=2)
    selection = run.run(node, GO).selection
    assert post.done == ["ann", "bob"]  # which is what the warning is about
    (said,) = told(heard)
    assert names(heard) == [["send"]]  # ``search`` is marked
    assert "commit=[...]" in said
    assert "@read_only" in said
    assert "give commit=[] if none of them acts" in said
    assert selection.undeclared_tools == ("send",)
    assert said in selection.warnings
    again = run.run(node, GO).selection
    run.invoke(kit.outer(node), GO)  # the same object as a node
    assert len(told(heard)) == 1
    assert again.undeclared_tools == ("send",)
    plain = json.loads(json.dumps(again.to_dict()))
    assert plain["undeclared_tools"] == ["send"]
    assert Selection.from_dict(plain) == again


@pytest.mark.parametrize("how", ["run", "node", "async"])
def test_it_points_at_the_users_line(post, heard, how):
    node = both(post)
    graph = kit.outer(node)
    {"run": node.run, "node": graph.invoke, "async": lambda given: asyncio.run(graph.ainvoke(given))}[how](GO)
    (warned,) = (each for each in heard if each.category is UndeclaredToolWarning)
    assert warned.filename == __file__


def test_as_a_node_and_in_a_batch_it_warns_once(run, post, heard):
    node = both(post)
    run.invoke(kit.outer(node), GO)
    run.batch(node, [GO, GO])
    assert names(heard) == [["send"]]


def test_an_older_receipt_is_read(post):
    plain = both(post).run(GO).selection.to_dict()
    del plain["undeclared_tools"]
    assert Selection.from_dict(plain).undeclared_tools == ()


@pytest.mark.parametrize("how", ["named", "tool", "marked", "read only", "unknown", "none", "no tuple"])
def test_declaring_a_tool_ends_the_warning(run, post, heard, how):
    options = {
        "named": {"commit": ["send"]},
        "tool": {"commit": [post.send]},
        "unknown": {"commit": "unknown"},
        "none": {"commit": []},
        "no tuple": {"commit": iter(())},
    }.get(how, {})
    if how in ("marked", "read only"):
        (commit_tool if how == "marked" else read_only)(post.send)
    selection = run.run(both(post, **options), GO).selection
    assert told(heard) == []
    assert selection.undeclared_tools == ()


def test_naming_one_tool_declares_no_other(run, post, heard):
    script = mailing.script(*([[("pay", {"amount": i})], [("send", {"to": "ann"})]] for i in (1, 2)))
    run.run(best_of_n(mailing.agent("create_agent", script, post.tools), n=2, commit=["send"]), GO)
    assert names(heard) == [["pay"]]
    assert post.done == [1, 2]


def test_a_tool_in_one_rollout_gives_no_warning(run, post, heard):
    script = mailing.script([[("send", {"to": "ann"})], [("send", {"to": "ann"})], "done"], ["nothing to do"])
    node = best_of_n(mailing.agent("loop", script, post.tools), n=2)
    assert run.run(node, GO).selection.undeclared_tools == ()
    assert run.run(best_of_n(mailing.agent("loop", script, post.tools), n=1), GO).selection.undeclared_tools == ()
    assert told(heard) == []


def test_a_later_repeated_tool_warns_then(run, post, heard):
    def script(messages, index):
        if len(messages) > 1:
            return Reply(f"done by {index}", entropies=kit.peak(3))
        call = ("send", {"to": "ann"}) if messages[0].content == "go" else ("pay", {"amount": 1})
        return Reply("", tool_calls=[call], entropies=kit.peak(3 + index))

    node = best_of_n(mailing.agent("tool_node", ScriptedChatModel(script), post.tools), n=2)
    for question in ("go", "pay", "go"):
        run.run(node, {"messages": question})
    assert names(heard) == [["send"], ["pay"]]


def test_called_by_hand_in_a_function(run, post, heard):
    model = kit.say(15, 3)

    def function(state):
        post.send.invoke({"to": "ann"})
        return {"messages": [model.invoke(state["messages"])]}

    async def afunction(state):
        await post.send.ainvoke({"to": "ann"})
        return {"messages": [await model.ainvoke(state["messages"])]}

    run.run(best_of_n(function if run.name == "sync" else afunction, n=2), GO)
    assert names(heard) == [["send"]]


def test_a_tool_called_by_a_tool_counts(run, post, heard):
    @tool
    def secretary(to: str) -> str:
        """Have a letter sent."""
        return post.send.invoke({"to": to})

    model = mailing.script(*([[("secretary", {"to": name})], "done"] for name in ("ann", "bob")))
    run.run(best_of_n(mailing.agent("create_agent", model, [secretary]), n=2), GO)
    assert names(heard) == [["secretary", "send"]]


def test_failed_rollouts_count(run, heard):
    @tool
    def send(to: str) -> str:
        """Send, and fall over."""
        raise LookupError("lost")

    model = mailing.sending("ann", "bob")
    graph = mailing.by_hand(model, mailing.loop([send, read_only(mailing.Post().search)]))
    with pytest.raises(AllRolloutsFailedError):
        run.run(best_of_n(graph, n=2), GO)
    assert names(heard) == [["send"]]


def test_failed_attempts_count(run, post, heard):
    tries = []

    def function(state):
        index = kit.rollout_index()
        tries.append(index)
        if index == 1 or tries.count(0) == 1:  # the second attempt of rollout 0 does not send
            post.send.invoke({"to": "ann"})
        if index == 0 and tries.count(0) == 1:
            raise LookupError("again")
        return {"messages": [kit.say(15, 3).invoke("?")]}

    retry = RetryPolicy(max_attempts=2, initial_interval=0.01, retry_on=LookupError)
    selection = run.run(best_of_n(function, n=2, retry=retry), GO).selection
    assert selection.undeclared_tools == ("send",)
    assert names(heard) == [["send"]]


def test_attempts_of_a_rollout_count_once(run, post, heard):
    def function(state):
        post.send.invoke({"to": "ann"})
        if len(post.sent) == 1:
            raise LookupError("again")
        return {"messages": [kit.say(15).invoke("?")]}

    retry = RetryPolicy(max_attempts=2, initial_interval=0.01, retry_on=LookupError)
    run.run(best_of_n(function, n=1, retry=retry), GO)
    assert post.done == ["ann", "ann"]
    assert told(heard) == []


def test_a_tool_that_asks_before_it_acts_has_not_run(run, heard):
    sent = []

    @tool
    def send(to: str) -> str:
        """Send, if somebody agrees."""
        sent.append(interrupt(f"send to {to}?"))
        return "sent"

    model = mailing.script(*([[("send", {"to": name})], "done"] for name in ("ann", "bob")))
    node = best_of_n(mailing.agent("create_agent", model, [send]), n=2)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    assert "__interrupt__" in run.invoke(graph, GO, kit.THREAD)
    assert sent == []
    assert told(heard) == []


@kit.SAME
@pytest.mark.parametrize(("outer", "inner"), [(2, 2), (2, 1), (1, 2)])
def test_nested_it_warns_once(run, post, heard, outer, inner):
    within = best_of_n(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), n=inner)
    around = best_of_n(kit.graph(MessagesState, inner=within), n=outer)
    selection = run.run(around, GO).selection
    assert len(post.sent) == outer * inner
    assert names(heard) == [["send"]]
    assert selection.undeclared_tools == ("send",)


@kit.SAME
@pytest.mark.parametrize("level", ["outer", "inner"])
def test_nested_either_may_declare_it(run, post, heard, level):
    inner, outer = ({"commit": []}, {}) if level == "inner" else ({}, {"commit": []})
    model = mailing.sending("ann", "bob")
    within = best_of_n(mailing.agent("tool_node", model, post.tools), n=2, selection_key="receipt", **inner)

    class Receipt(MessagesState):
        receipt: dict

    result = run.run(best_of_n(kit.graph(Receipt, inner=within), n=2, **outer), GO)
    assert told(heard) == []
    assert result.selection.undeclared_tools == ()
    assert result.output["receipt"]["undeclared_tools"] == []


def test_each_round_lists_its_own_tools(run, post, heard):
    def steps(name):
        return [[("pay", {"amount": 1})], [("send", {"to": name})], [("pay", {"amount": 2})], f"done by {name}"]

    node = best_of_n(
        mailing.agent("create_agent", mailing.script(steps("ann"), steps("bob")), post.tools),
        n=2,
        commit=["send"],
        on_commit="execute",
        continue_after_commit=True,
    )
    selection = run.run(node, GO).selection
    assert names(heard) == [["pay"]]
    assert [each.undeclared_tools for each in (*selection.earlier, selection)] == [("pay",), ("pay",)]


class Question(BaseTask):
    def verdict(self, outcome):
        return True


@pytest.mark.parametrize(("n", "tasks", "warned"), [(2, 3, [["send"]]), (1, 3, [])])
def test_an_evaluation_warns_once(tmp_path, post, heard, n, tasks, warned):
    """Once for all of its tasks; where each is asked once, a tool runs as often as in the agent alone."""
    agent = mailing.agent("tool_node", mailing.sending("ann"), post.tools)
    asked = [Question(f"task {i}", "go") for i in range(tasks)]
    evaluate(asked, agent, tmp_path / "run.db", RunSettings(n=n, greedy=False))
    assert len(post.sent) == n * tasks
    assert names(heard) == warned
