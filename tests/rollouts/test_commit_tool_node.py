"""CommitToolNode: a ToolNode of the graph around whose calls are each done at most once."""

from __future__ import annotations

import operator
import time
from typing import Annotated, Any

import kit
import mailing
import pytest
from kit import THREAD
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.types import Command, RetryPolicy, Send, interrupt
from typing_extensions import TypedDict

from ec_agent import (
    CommitError,
    CommitToolNode,
    CommitUncertain,
    ConfigError,
    MemoryJournal,
    SQLiteJournal,
    best_of_n,
    get_idempotency_key,
    read_only,
)


@pytest.fixture(params=["saver", "memory", "sqlite", "bare"])
def kept(request, tmp_path):
    """Where commits are written down: a journal, and the run's checkpointer."""
    journal = {"memory": MemoryJournal(), "sqlite": SQLiteJournal(tmp_path / "c.sqlite")}.get(request.param)
    return journal, None if request.param == "bare" else InMemorySaver()


def asking(*calls, id="m"):
    return AIMessage(
        "",
        id=id,
        tool_calls=[{"name": n, "args": a, "id": f"c{i}", "type": "tool_call"} for i, (n, a) in enumerate(calls)],
    )


def test_it_answers_as_a_tool_node_does(run, post):
    calls = asking(("search", {"q": "x"}), ("send", {"to": "ann"}), ("send", {"wrong": 1}), ("nope", {}))
    ours = run.invoke(kit.graph(MessagesState, tools=CommitToolNode(post.tools)), {"messages": [calls]})
    theirs = run.invoke(kit.graph(MessagesState, tools=ToolNode(post.tools)), {"messages": [calls]})
    assert [(m.content, m.status) for m in ours["messages"][1:]] == [
        (m.content, m.status) for m in theirs["messages"][1:]
    ]
    assert post.done == ["ann", "ann"]
    assert sum(key is not None for key in post.keys) == 1


def test_calls_have_keys_and_read_only_ones_have_none(run, post):
    seen = []

    @tool
    def look(q: str) -> str:
        """Look."""
        seen.append(get_idempotency_key())
        return q

    node = CommitToolNode([post.send, read_only(look)])
    calls = asking(("send", {"to": "ann"}), ("look", {"q": "x"}), ("send", {"to": "ann"}))
    run.invoke(kit.graph(MessagesState, tools=node), {"messages": [calls]})
    assert seen == [None]
    assert len(set(post.keys)) == 2
    assert None not in post.keys


def test_after_best_of_n_the_winners_call_runs_once(run, post, kept):
    journal, saver = kept
    node = best_of_n(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), n=2, commit=["send"])
    graph = mailing.then_tools(node, CommitToolNode(post.tools, journal=journal), saver)
    done = run.invoke(graph, {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    assert done["messages"][-1].content == "sent bob"


def once_failing(post):
    """A tool node that fails once beside a call that was done."""
    failures = ["once"]

    @tool
    def sign(name: str) -> str:
        """Sign, failing the first time before anything is done."""
        if failures:
            raise LookupError(failures.pop())
        return f"signed {name}"

    return read_only(sign)


def test_a_retried_step_does_not_repeat_actions(run, post, kept):
    journal, saver = kept
    node = CommitToolNode([post.send, once_failing(post)], journal=journal)
    builder = StateGraph(MessagesState)
    policy = RetryPolicy(retry_on=LookupError, initial_interval=0.01, jitter=False)
    builder.add_node("tools", node, retry_policy=policy)
    builder.add_edge(START, "tools")
    calls = asking(("send", {"to": "ann"}), ("sign", {"name": "x"}))
    done = run.invoke(builder.compile(checkpointer=saver), {"messages": [calls]}, THREAD)
    assert post.done == ["ann"]
    assert [m.content for m in done["messages"][1:]] == ["sent ann", "signed x"]


def test_a_retry_waits_for_the_other_calls(run, post):
    @tool
    def send(to: str) -> str:
        """Send, in a while."""
        time.sleep(0.3)
        post.deliver(to)
        return f"sent {to}"

    builder = StateGraph(MessagesState)
    policy = RetryPolicy(retry_on=LookupError, initial_interval=0.01, jitter=False)
    builder.add_node("tools", CommitToolNode([send, once_failing(post)]), retry_policy=policy)
    builder.add_edge(START, "tools")
    calls = asking(("send", {"to": "ann"}), ("sign", {"name": "x"}))
    done = run.invoke(builder.compile(checkpointer=InMemorySaver()), {"messages": [calls]}, THREAD)
    assert post.done == ["ann"]
    assert [m.content for m in done["messages"][1:]] == ["sent ann", "signed x"]


def test_a_tool_that_raised_is_uncertain(run, post):
    @tool
    def send(to: str) -> str:
        """Send, and fall over."""
        post.deliver(to)
        raise LookupError("dead line")

    for mode, count in (("raise", 1), ("retry", 2)):
        post.sent.clear()
        post.keys.clear()
        graph = kit.graph(MessagesState, tools=CommitToolNode([send], on_uncertain=mode), checkpointer=InMemorySaver())
        with pytest.raises(LookupError):
            run.invoke(graph, {"messages": [asking(("send", {"to": "ann"}))]}, THREAD)
        with pytest.raises(CommitUncertain if mode == "raise" else LookupError):
            run.invoke(graph, None, THREAD)
        assert post.done == ["ann"] * count
        assert len(set(post.keys)) == 1


def test_handled_errors_do_not_hide_an_uncertain_commit(run, post):
    class Die(BaseException):
        pass

    class Fragile(MemoryJournal):
        dies = True

        def note(self, *args):
            if self.dies:
                self.dies = False
                raise Die
            super().note(*args)

    node = CommitToolNode(post.tools, journal=Fragile(), handle_tool_errors=True)
    graph = kit.graph(MessagesState, tools=node, checkpointer=InMemorySaver())
    with pytest.raises(Die):
        run.invoke(graph, {"messages": [asking(("send", {"to": "ann"}))]}, THREAD)
    with pytest.raises(CommitUncertain):
        run.invoke(graph, None, THREAD)
    assert post.done == ["ann"]


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_a_tool_may_ask_before_it_acts(run, post, answer):
    @tool
    def send(to: str) -> str:
        """Send, if somebody agrees."""
        return post.deliver(to) if interrupt("ok?") == "yes" else "left undone"

    graph = kit.graph(MessagesState, tools=CommitToolNode([send, post.pay]), checkpointer=InMemorySaver())
    calls = asking(("pay", {"amount": 3}), ("send", {"to": "ann"}))
    assert run.invoke(graph, {"messages": [calls]}, THREAD)["__interrupt__"][0].value == "ok?"
    assert post.done == [3]
    done = run.invoke(graph, Command(resume=answer), THREAD)
    assert post.done == ([3, "ann"] if answer == "yes" else [3])
    assert [m.content for m in done["messages"][1:]] == ["sent 3", "sent ann" if answer == "yes" else "left undone"]


def agreeing(post):
    @tool
    def send(to: str) -> str:
        """Send, if somebody agrees."""
        return post.deliver(to) if interrupt(f"send to {to}?") == f"yes, {to}" else f"{to} left undone"

    return send


TO_ANN, TO_BOB, PAY = ("send", {"to": "ann"}), ("send", {"to": "bob"}), ("pay", {"amount": 3})


@pytest.mark.parametrize("calls", [(TO_ANN, TO_BOB), (TO_ANN, PAY, TO_BOB), (TO_ANN, TO_ANN)])
@pytest.mark.parametrize("more", [{}, {"max_concurrency": 1}], ids=["at once", "one at a time"])
def test_questions_that_could_be_confused_are_refused(run, post, calls, more):
    graph = kit.graph(MessagesState, tools=CommitToolNode([agreeing(post), post.pay]), checkpointer=InMemorySaver())
    with pytest.raises(CommitError, match=r'Send\("tools"'):
        run.invoke(graph, {"messages": [asking(*calls)]}, {**THREAD, **more})
    assert not {"ann", "bob"} & set(post.done)


@pytest.mark.parametrize("first", [0, -1])
def test_calls_in_separate_tasks_may_all_ask(run, post, first):
    builder = StateGraph(MessagesState)
    builder.add_node("tools", CommitToolNode([agreeing(post), post.pay]))
    builder.add_conditional_edges(
        START, lambda s: [Send("tools", [c]) for c in s["messages"][-1].tool_calls], ["tools"]
    )
    graph = builder.compile(checkpointer=InMemorySaver())
    done = run.invoke(graph, {"messages": [asking(TO_ANN, PAY, TO_BOB)]}, THREAD)
    while questions := sorted(done.get("__interrupt__", ()), key=lambda each: each.value):
        answer = "yes, " + questions[first].value.removeprefix("send to ").rstrip("?")
        done = run.invoke(graph, Command(resume={questions[first].id: answer}), THREAD)
    assert [m.content for m in done["messages"][1:]] == ["sent ann", "sent 3", "sent bob"]
    assert sorted(map(str, post.done)) == ["3", "ann", "bob"]


@pytest.mark.parametrize("calls", [(TO_ANN, PAY), (PAY, TO_ANN)])
def test_one_call_may_ask_beside_another(run, post, calls):
    graph = kit.graph(MessagesState, tools=CommitToolNode([agreeing(post), post.pay]), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": [asking(*calls)]}, THREAD)
    done = run.invoke(graph, Command(resume="yes, ann"), THREAD)
    assert {m.content for m in done["messages"][1:]} == {"sent ann", "sent 3"}
    assert sorted(map(str, post.done)) == ["3", "ann"]


def test_its_tools_get_and_give_as_usual(run, post):
    @tool(response_format="content_and_artifact")
    def send(to: str, state: Annotated[dict, InjectedState]) -> Any:
        """Send."""
        return post.deliver(f"{to} {len(state['messages'])}"), {"a": 1}

    graph = kit.graph(MessagesState, tools=CommitToolNode([send]), checkpointer=InMemorySaver())
    answer = run.invoke(graph, {"messages": [asking(("send", {"to": "ann"}))]}, THREAD)["messages"][-1]
    assert (answer.content, answer.artifact) == ("sent ann 1", {"a": 1})


def test_a_tool_that_answers_with_a_command(run, post):
    @tool
    def send(to: str) -> Command:
        """Send."""
        return Command(update={"messages": [ToolMessage(post.deliver(to), tool_call_id="c0")]})

    graph = kit.graph(MessagesState, tools=CommitToolNode([send]), checkpointer=InMemorySaver())
    done = run.invoke(graph, {"messages": [asking(("send", {"to": "ann"}))]}, THREAD)
    assert done["messages"][-1].content == "sent ann"


def test_inside_a_rollout_it_stops_without_being_told_to(run, post):
    read_only(post.search)
    agent = mailing.by_hand(mailing.sending("ann", "bob"), CommitToolNode(post.tools))
    result = run.run(best_of_n(agent, n=2), {"messages": "go"})
    assert post.sent == []
    assert sorted(post.searched) == [("ann", 0), ("bob", 1)]
    assert mailing.calls_of(result.output["messages"]) == [("send", {"to": "bob"})]


@pytest.mark.parametrize("goes_on", [False, True])
def test_inside_an_executing_agent_each_call_is_chosen(run, post, goes_on):
    model = mailing.script(*[[[("send", {"to": str(i)})], [("pay", {"amount": i})], f"end {i}"] for i in range(2)])
    agent = mailing.by_hand(model, CommitToolNode(post.tools))
    node = best_of_n(agent, n=2, on_commit="execute", continue_after_commit=goes_on)
    result = run.run(node, {"messages": "go"})
    assert post.sent == ([("1", 1), (1, 1)] if goes_on else [("1", 1)])
    assert [c["tool"] for c in result.selection.commits] == (["send", "pay"] if goes_on else ["send"])
    assert len(result.selection.earlier) == (2 if goes_on else 0)


class Plain(TypedDict):
    messages: Annotated[list, operator.add]


def test_two_turns_are_two_actions_without_ids(run, post, kept):
    """Some servers number the calls of each message from 0; a plain list gives messages no ids."""
    journal, saver = kept
    graph = kit.graph(Plain, tools=CommitToolNode(post.tools, journal=journal), checkpointer=saver)
    for to in ("ann", "ann", "bob"):
        run.invoke(graph, {"messages": [asking(("send", {"to": to}), id=None)]}, THREAD)
    assert post.done == ["ann", "ann", "bob"]


def test_two_turns_of_sent_calls_are_two_actions(run, post):
    builder = StateGraph(MessagesState)
    builder.add_node("tools", CommitToolNode(post.tools))
    builder.add_conditional_edges(
        START, lambda s: [Send("tools", [c]) for c in s["messages"][-1].tool_calls], ["tools"]
    )
    graph = builder.compile(checkpointer=InMemorySaver())
    for turn in range(2):
        run.invoke(graph, {"messages": [asking(("send", {"to": "ann"}), id=f"m{turn}")]}, THREAD)
    assert post.done == ["ann", "ann"]


def test_threads_do_not_share_results(run, post):
    graph = kit.graph(MessagesState, tools=CommitToolNode(post.tools), checkpointer=InMemorySaver())
    for thread in ("one", "two"):
        said = {"messages": [asking(("send", {"to": "ann"}))]}
        run.invoke(graph, said, {"configurable": {"thread_id": thread}})
    assert post.done == ["ann", "ann"]
    assert len(set(post.keys)) == 2


def test_a_replay_answers_with_the_first_result(run, post):
    graph = kit.graph(MessagesState, tools=CommitToolNode(post.tools), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": [asking(("send", {"to": "ann"}))]}, THREAD)
    before = next(s for s in graph.get_state_history(THREAD) if s.next == ("tools",))
    done = run.invoke(graph, None, before.config)
    assert post.done == ["ann"]
    assert done["messages"][-1].content == "sent ann"


@pytest.mark.parametrize("journal", ["c.sqlite", SQLiteJournal, 3], ids=repr)
def test_a_wrong_journal_is_refused(post, journal):
    with pytest.raises(ConfigError, match=r"journal is .*give SQLiteJournal"):
        CommitToolNode(post.tools, journal=journal)


@pytest.mark.parametrize("value", ["x", None, True], ids=repr)
def test_a_wrong_on_uncertain_is_refused(post, value):
    with pytest.raises(ConfigError, match=r"on_uncertain is .*give 'raise' or 'retry'"):
        CommitToolNode(post.tools, on_uncertain=value)
