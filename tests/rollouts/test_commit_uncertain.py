"""What may have been done is not done again: the run says so, and what to do about it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import kit
import mailing
import pytest
from kit import THREAD
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import MessagesState
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt
from mailing import executing

from ec_agent import (
    CommitError,
    CommitUncertain,
    MemoryJournal,
    SQLiteJournal,
    get_idempotency_key,
    read_only,
    settle_commit,
)
from ec_agent.commits.at_most_once import Once
from ec_agent.commits.saver_journal import SaverJournal
from ec_agent.support.plans import Step, adrive, drive


class Pulled(BaseException):
    """The plug, pulled."""


class Fragile(MemoryJournal):
    """A journal whose process ends before the first outcome is written down."""

    def __init__(self):
        super().__init__()
        self.whole = False

    def note(self, key, attempt, outcome):
        if not self.whole:
            self.whole = True
            raise Pulled
        super().note(key, attempt, outcome)


def broken_off(run, post, journal, form="tool_node", **more):
    """A graph whose run ended between the action and its outcome."""
    agent = mailing.agent(form, mailing.sending("ann", "bob"), post.tools)
    graph = kit.outer(executing(agent, post.send, journal=journal, **more), checkpointer=InMemorySaver())
    with pytest.raises(Pulled):
        run.invoke(graph, {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    return graph


@pytest.mark.parametrize("form", mailing.FORMS)
def test_an_intent_without_an_outcome_is_not_repeated(run, post, form):
    graph = broken_off(run, post, Fragile(), form)
    for _ in range(2):
        with pytest.raises(CommitUncertain) as caught:
            run.invoke(graph, None, THREAD)
    assert post.done == ["bob"]
    assert isinstance(caught.value, CommitError)
    assert caught.value.key == post.keys[0]
    for part in (
        "send({'to': 'bob'}) was begun at 20",
        "the run ended before its outcome was known",
        "it may have taken effect",
        f"idempotency key {post.keys[0]}",
        "settle_commit(journal, ",
        'on_uncertain="retry"',
    ):
        assert part in str(caught.value)


def test_retry_sends_the_same_key_again(run, post):
    graph = broken_off(run, post, Fragile(), on_uncertain="retry")
    done = run.invoke(graph, None, THREAD)
    assert post.done == ["bob", "bob"]
    assert len(set(post.keys)) == 1
    assert done["messages"][-1].content == "sent bob"


def test_an_outcome_noted_by_hand_is_used(run, post):
    journal = Fragile()
    graph = broken_off(run, post, journal)
    with pytest.raises(CommitUncertain) as caught:
        run.invoke(graph, None, THREAD)
    answer = ToolMessage("it had arrived", tool_call_id="call_3_0", name="send")
    journal.note(caught.value.key, 0, {"status": "done", "value": answer})
    done = run.invoke(graph, None, THREAD)
    assert post.done == ["bob"]
    assert done["messages"][-1].content == "it had arrived"


def test_code_that_catches_errors_does_not_hide_it(run, post):
    agents = [
        mailing.by_hand(mailing.sending("ann", "bob"), ToolNode(post.tools, handle_tool_errors=True)),
        create_agent(mailing.sending("ann", "bob"), post.tools, middleware=[mailing.retrying()]),
    ]
    for agent in agents:
        post.sent.clear()
        node = executing(agent, post.send, journal=Fragile())
        graph = kit.outer(node, checkpointer=InMemorySaver())
        with pytest.raises(Pulled):
            run.invoke(graph, {"messages": "go"}, THREAD)
        with pytest.raises(CommitUncertain):
            run.invoke(graph, None, THREAD)
        assert post.done == ["bob"]


def failing(post):
    @tool
    def send(to: str) -> str:
        """Send, and fall over."""
        post.deliver(to)
        raise LookupError("the line went dead")

    return send


@pytest.mark.parametrize("form", mailing.FORMS)
@pytest.mark.parametrize("kind", ["saver", "sqlite", "memory"])
def test_a_tool_that_raises_may_have_acted(run, post, form, kind, tmp_path):
    journal = {"saver": None, "sqlite": SQLiteJournal(tmp_path / "c.sqlite"), "memory": MemoryJournal()}[kind]
    send = failing(post)
    agent = mailing.agent(form, mailing.sending("ann", "bob"), [send, post.search])
    graph = kit.outer(executing(agent, send, journal=journal), checkpointer=InMemorySaver())
    with pytest.raises(LookupError, match="the line went dead") as caught:
        run.invoke(graph, {"messages": "go"}, THREAD)
    (note,) = (said for said in caught.value.__notes__ if "taken effect" in said)
    for part in (
        "send({'to': 'bob'}) raised this",
        f"idempotency key {post.keys[0]}",
        "raises CommitUncertain",
        f"settle_commit(journal, '{post.keys[0]}', ...)",
        "`ec-agent commits settle`",
    ):
        assert part in note
    with pytest.raises(CommitUncertain, match=r"it raised LookupError.*the line went dead.*may have taken effect"):
        run.invoke(graph, None, THREAD)
    assert post.done == ["bob"]


def test_with_retry_a_raised_error_announces_it(run, post):
    send = failing(post)
    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), [send, post.search])
    graph = kit.outer(executing(agent, send, on_uncertain="retry"), checkpointer=InMemorySaver())
    for times in (1, 2):
        with pytest.raises(LookupError) as caught:
            run.invoke(graph, {"messages": "go"} if times == 1 else None, THREAD)
        assert post.done == ["bob"] * times
        said = "\n".join(caught.value.__notes__)
        assert "sends it again under the same key" in said
        assert "CommitUncertain" not in said


def test_the_errors_advice_works(run, post):
    send, saver = failing(post), InMemorySaver()
    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), [send, post.search])
    graph = kit.outer(executing(agent, send), checkpointer=saver)
    with pytest.raises(LookupError):
        run.invoke(graph, {"messages": "go"}, THREAD)
    with pytest.raises(CommitUncertain) as caught:
        run.invoke(graph, None, THREAD)
    settle_commit(SaverJournal(saver, "t"), caught.value.key, "it had arrived")
    assert run.invoke(graph, None, THREAD)["messages"][-1].content == "it had arrived"
    assert post.done == ["bob"]


def test_retrying_middleware_does_not_repeat_a_commit(run, post):
    send = failing(post)
    agent = create_agent(mailing.sending("ann", "bob"), [send, post.search], middleware=[mailing.retrying()])
    graph = kit.outer(executing(agent, send), checkpointer=InMemorySaver())
    with pytest.raises((CommitUncertain, LookupError)):
        run.invoke(graph, {"messages": "go"}, THREAD)
    assert post.done == ["bob"]


def test_a_harmless_error_beside_it_changes_nothing(run, post):
    failures = ["once"]

    @read_only
    @tool
    def look(q: str) -> str:
        """Look, and fail once."""
        if failures:
            raise LookupError(failures.pop())
        return f"saw {q}"

    calls = [("send", {"to": "bob"}), ("look", {"q": "x"})]
    agent = mailing.agent("loop", mailing.script(["no"], [calls, "end"]), [post.send, look])
    graph = kit.outer(executing(agent, post.send), checkpointer=InMemorySaver())
    with pytest.raises(LookupError):
        run.invoke(graph, {"messages": "go"}, THREAD)
    done = run.invoke(graph, None, THREAD)
    assert post.done == ["bob"]
    assert [m.content for m in done["messages"]] == ["go", "", "sent bob", "saw x"]


def test_it_is_kept_in_the_runs_own_checkpointer(tmp_path):
    post = mailing.Post()
    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools)
    failures = ["once"]

    def after(state):
        if failures:
            raise LookupError(failures.pop())

    for name in ("sync", "async"):
        post.sent.clear()
        failures[:] = ["once"]

        def build(saver):
            return kit.graph(MessagesState, solve=executing(agent, post.send), after=after, checkpointer=saver)

        if name == "sync":
            with SqliteSaver.from_conn_string(str(tmp_path / "s.sqlite")) as saver:
                with pytest.raises(LookupError):
                    build(saver).invoke({"messages": "go"}, THREAD)
                done = build(saver).invoke(None, THREAD)
                threads = {each.config["configurable"]["thread_id"] for each in saver.list(None)}
        else:

            async def both():
                async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "a.sqlite")) as saver:
                    with pytest.raises(LookupError):
                        await build(saver).ainvoke({"messages": "go"}, THREAD)
                    done = await build(saver).ainvoke(None, THREAD)
                    return done, {each.config["configurable"]["thread_id"] async for each in saver.alist(None)}

            done, threads = asyncio.run(both())
        assert post.done == ["bob"]
        assert done["messages"][-1].content == "sent bob"
        assert threads == {"t"}


class Asking:
    """Once.plan, driven sync or async."""

    def __init__(self, run, once):
        self._run, self._once = run, once

    def __call__(self, key, what, args, do):
        async def wait():
            return do()

        plan = self._once.plan(key, what, args, Step(do, wait))
        return drive(plan) if self._run.name == "sync" else asyncio.run(adrive(plan))


def test_once_is_once(run):
    done = []
    ask = Asking(run, Once(MemoryJournal()))
    for _ in range(3):
        assert ask("k", "send", {"to": "ann"}, lambda: done.append(get_idempotency_key()) or "sent") == "sent"
    assert done == ["k"]
    assert get_idempotency_key() is None


def test_another_action_under_the_same_key_is_refused(run):
    ask = Asking(run, Once(MemoryJournal(), "retry"))
    ask("k", "send", {"to": "ann"}, lambda: "sent")
    for what, args in (("send", {"to": "bob"}), ("pay", {"to": "ann"})):
        with pytest.raises(CommitUncertain, match=r"in its place; nothing was done. Begin a new turn"):
            ask("k", what, args, pytest.fail)


def test_a_question_before_the_action_leaves_it_undone(run):
    journal, done = MemoryJournal(), []
    ask = Asking(run, Once(journal))

    def first():
        raise GraphInterrupt(())

    with pytest.raises(GraphInterrupt):
        ask("k", "send", {}, first)
    assert journal.read("k")[0].outcome["status"] == "paused"
    assert ask("k", "send", {}, lambda: done.append(1) or "sent") == "sent"
    assert ask("k", "send", {}, pytest.fail) == "sent"
    assert len(done) == 1


@pytest.mark.parametrize("value", [ToolMessage("sent", tool_call_id="c", artifact=threading.Lock()), threading.Lock()])
def test_a_value_that_cannot_be_stored_counts_done(run, value, tmp_path):
    ask = Asking(run, Once(SQLiteJournal(tmp_path / "c.sqlite")))
    assert ask("k", "send", {}, lambda: value) is value
    again = ask("k", "send", {}, pytest.fail)
    assert (again.content, again.artifact) == ("sent", None) if isinstance(value, ToolMessage) else "lock" in again


def test_one_of_several_threads_commits(tmp_path):
    for journal in (MemoryJournal(), SQLiteJournal(tmp_path / "c.sqlite")):
        done, line = [], threading.Barrier(8)

        def commit(_, journal=journal, done=done, line=line):
            line.wait()
            try:
                return drive(Once(journal).plan("k", "send", {}, Step(lambda: done.append(1) or "sent", None)))
            except CommitUncertain as error:
                return error

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            ends = list(pool.map(commit, range(8)))
        assert len(done) == 1
        assert ends.count("sent") >= 1
        assert all(end == "sent" or isinstance(end, CommitUncertain) for end in ends)


def test_a_cancelled_commit_is_uncertain():
    post = mailing.Post()

    @tool
    async def send(to: str) -> str:
        """Send, and wait for an answer that does not come."""
        post.deliver(to)
        await asyncio.sleep(60)
        return to

    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), [send, post.search])
    graph = kit.outer(executing(agent, send), checkpointer=InMemorySaver())

    async def cancelled():
        task = asyncio.create_task(graph.ainvoke({"messages": "go"}, THREAD))
        while not post.sent:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(CommitUncertain, match="the run ended before its outcome was known"):
            await graph.ainvoke(None, THREAD)

    asyncio.run(cancelled())
    assert post.done == ["bob"]


def test_a_question_after_the_action_repeats_its_key(run, post):
    """A tool that acts and asks then is run again with the answer, under the same key."""

    @tool
    def send(to: str) -> str:
        """Send, then ask."""
        post.deliver(to)
        return str(interrupt("well?"))

    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), [send, post.search])
    graph = kit.outer(executing(agent, send), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    assert len(set(post.keys)) == 1
