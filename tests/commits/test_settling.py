"""Commits whose end nobody knows: every one is named, and each can be settled as done or as not done."""

from __future__ import annotations

import asyncio
import threading

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import (
    CommitError,
    CommitToolNode,
    CommitUncertain,
    ConfigError,
    MemoryJournal,
    SaverJournal,
    SQLiteJournal,
    asettle_commit,
    best_of_n,
    commit_tool,
    get_idempotency_key,
    settle_commit,
)
from ec_agent.testing import Reply, ScriptedChatModel

THREAD = {"configurable": {"thread_id": "t"}}
INTENT = {"tool": "send", "args": "{'to': 'ann'}", "at": 1.0, "by": "me"}


class Office:
    """Three tools that commit; while ``dying``, all that run side by side break off together, done or not."""

    def __init__(self, together):
        self.done, self.keys, self.dying = [], [], True
        self.line = threading.Barrier(together)

        def made(name, acts_first):
            def act(to: str) -> str:
                """Act."""
                if not self.dying or acts_first:
                    self.done.append(name)
                    self.keys.append(get_idempotency_key())
                if self.dying:
                    self.line.wait(20)
                    raise KeyboardInterrupt
                return f"{name} for {to}"

            return commit_tool(tool(name)(act))

        self.charge, self.mail, self.book = made("charge", False), made("mail", True), made("book", False)
        self.tools = [self.charge, self.mail, self.book]


def executed(office, names):
    def script(messages, index):
        if messages[-1].type == "tool":
            return Reply("end", entropies=[0.1] * 4)
        calls = [(name, {"to": "ann"}) for name in names] if index else []
        return Reply("r", calls, [2.0, 0.1, 0.1, 0.1] if index else [0.1, 0.1, 0.1, 2.0])

    builder = StateGraph(MessagesState)
    agent = create_agent(ScriptedChatModel(script), office.tools)
    builder.add_node("solve", best_of_n(agent, n=2, on_commit="execute"))
    builder.add_edge(START, "solve")
    return builder, {"messages": "q"}


def routed(office, names):
    calls = [{"name": name, "args": {"to": "ann"}, "id": f"c{i}", "type": "tool_call"} for i, name in enumerate(names)]
    builder = StateGraph(MessagesState)
    builder.add_node("tools", CommitToolNode(office.tools))
    builder.add_edge(START, "tools")
    return builder, {"messages": [AIMessage("", id="m", tool_calls=calls)]}


def beside(office, names):
    """Each in a node of its own, in one step of the run."""
    builder = StateGraph(MessagesState)
    for place, name in enumerate(names):
        call = {"name": name, "args": {"to": "ann"}, "id": f"c{place}", "type": "tool_call"}
        inner = CommitToolNode(office.tools)

        def work(state, config, call=call, inner=inner):
            return {"messages": inner.invoke([AIMessage("", id=f"m{call['id']}", tool_calls=[call])], config)}

        builder.add_node(name, work)
        builder.add_edge(START, name)
    return builder, {"messages": "q"}


def broken_off(form, names):
    office = Office(len(names))
    builder, given = form(office, names)
    saver = InMemorySaver()
    graph = builder.compile(checkpointer=saver)
    with pytest.raises(KeyboardInterrupt):
        graph.invoke(given, THREAD)
    office.dying = False
    return office, graph, SaverJournal(saver, "t")


def uncertain(graph):
    with pytest.raises(CommitUncertain) as caught:
        graph.invoke(None, THREAD)
    return caught.value


FORMS = pytest.mark.parametrize("form", [executed, routed, beside])
NAMES = pytest.mark.parametrize("names", [["charge", "mail"], ["charge", "mail", "book"]], ids=len)


@FORMS
@NAMES
def test_every_open_action_is_named(form, names):
    office, graph, _ = broken_off(form, names)
    for _ in range(2):
        error = uncertain(graph)
        assert sorted(each["tool"] for each in error.actions) == sorted(names)
        for each in error.actions:
            assert f"{each['tool']}({each['args']}) was begun at 20" in str(error)
            assert f"settle_commit(journal, '{each['key']}', ...)" in str(error)
        assert error.key in [each["key"] for each in error.actions]
        assert "all of them again: look at each of them first" in str(error)
    assert office.done == ["mail"]


@FORMS
@NAMES
def test_settled_as_not_done_it_is_done_once(form, names):
    office, graph, journal = broken_off(form, names)
    keys = {}
    for left in range(len(names), 0, -1):
        error = uncertain(graph)
        assert len(error.actions) == left
        action = error.actions[0]
        keys[action["tool"]] = action["key"]
        settle_commit(journal, action["key"], "it had arrived" if action["tool"] == "mail" else None)
    if form is not beside:  # where each is a step of its own, it is done as soon as it may be
        assert office.done == ["mail"]
    done = graph.invoke(None, THREAD)
    assert sorted(office.done) == sorted(names)
    assert dict(zip(office.done, office.keys, strict=True)) == keys
    told = {m.content for m in done["messages"] if m.type == "tool"}
    assert told == {"it had arrived" if name == "mail" else f"{name} for ann" for name in names}
    graph.invoke(None, THREAD)
    assert sorted(office.done) == sorted(names)


@pytest.fixture(params=["memory", "sqlite", "saver"])
def journal(request, tmp_path):
    made = {"memory": MemoryJournal, "sqlite": lambda: SQLiteJournal(tmp_path / "c"), "saver": None}[request.param]
    return made() if made is not None else SaverJournal(InMemorySaver(), "t")


def settle(api, *args):
    return settle_commit(*args) if api == "sync" else asyncio.run(asettle_commit(*args))


APIS = pytest.mark.parametrize("api", ["sync", "async"])


@APIS
@pytest.mark.parametrize(
    ("first", "others", "said"),
    [("sent", [None, "sent after all"], "done, with the result 'sent'"), (None, ["sent", ""], "not done")],
    ids=["done", "not done"],
)
def test_a_settled_commit_cannot_be_settled_otherwise(journal, api, first, others, said):
    journal.claim("k", 0, INTENT)
    settle(api, journal, "k", first)
    before = journal.read("k")
    for result in others:
        with pytest.raises(CommitError, match="settled by hand before, as ") as caught:
            settle(api, journal, "k", result)
        assert f"send({INTENT['args']}) was settled by hand before, as {said}." in str(caught.value)
        settle(api, journal, "k", first)  # the same again is harmless
    assert journal.read("k") == before


@APIS
def test_a_commit_that_breaks_again_is_settled_again(journal, api):
    journal.claim("k", 0, INTENT)
    settle(api, journal, "k", None)
    journal.claim("k", 2, INTENT)
    settle(api, journal, "k", "sent")
    assert journal.read("k")[-1].outcome == {"status": "done", "value": "sent", "by hand": True}


@APIS
def test_a_commit_that_is_certain_is_not_settled(journal, api):
    with pytest.raises(ConfigError, match="no commit with the key 'k' was begun"):
        settle(api, journal, "k", "sent")
    journal.claim("k", 0, INTENT)
    journal.note("k", 0, {"status": "paused"})
    with pytest.raises(ConfigError, match="nothing was done under the key 'k'"):
        settle(api, journal, "k", None)
    journal.claim("k", 1, INTENT)
    journal.note("k", 1, {"status": "done", "value": "sent"})
    for result in (None, "sent"):
        with pytest.raises(ConfigError, match="the outcome of 'k' is known"):
            settle(api, journal, "k", result)


@APIS
@pytest.mark.parametrize("result", [3, True, ["sent"], b"sent"], ids=repr)
def test_a_result_that_is_no_text_is_refused(journal, api, result):
    journal.claim("k", 0, INTENT)
    with pytest.raises(ConfigError, match="give what the tool returned"):
        settle(api, journal, "k", result)
