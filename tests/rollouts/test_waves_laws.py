"""With ``stop=``, commits, questions to people, breakpoints and memory keep their laws."""

from __future__ import annotations

import asyncio
import threading
import time

import kit
import mailing
import pytest
import turns
from kit import THREAD
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.types import Command, interrupt
from plans_at_work import Started, Upto, answer
from questions import Asking, asked, texts

from ec_agent import Selection, best_of_n, read_only
from ec_agent.stopping import More, Stop

pytestmark = kit.SAME
GO = {"messages": "go"}


class Receipt(MessagesState, total=False):
    receipt: dict


def outer(node, **compiled):
    return kit.outer(node, Receipt, **compiled)


@pytest.mark.parametrize("wave", [1, 2])
def test_the_winner_of_the_waves_acts_once(run, post, form, saver, wave):
    agent = mailing.agent(form, mailing.sending(*"abcdef"), post.tools)
    plan = Upto(wave, 4)
    node = best_of_n(agent, n=6, stop=plan, commit=[post.send], on_commit="execute", selection_key="receipt")
    done = run.invoke(outer(node, checkpointer=saver), GO, THREAD)
    assert post.done == ["d"]  # of the four that were started the surest
    assert Selection.from_dict(done["receipt"]).started == 4
    assert sorted(index for _, index in post.searched) == [0, 1, 2, 3]
    assert saver is None or list(saver.storage) == ["t"]


def relay(rounds):
    """Each round ends with a mail, the last with an answer; rollout 0 is the least sure."""

    def script(messages, index):
        number = sum(isinstance(message, ToolMessage) for message in messages)
        calls = [("send", {"to": f"{number} by {index}"})] if number < rounds else ()
        return mailing.Reply("" if calls else f"answer {index}", tool_calls=calls, entropies=kit.peak(19 - index))

    return mailing.ScriptedChatModel(script)


def test_each_round_begins_with_a_first_wave(run, post, form, saver):
    agent = mailing.agent(form, relay(2), post.tools)
    plan = Upto(2, 4)
    node = best_of_n(
        agent,
        n=8,
        stop=plan,
        commit=[post.send],
        on_commit="execute",
        continue_after_commit=True,
        selection_key="receipt",
    )
    done = run.invoke(outer(node, checkpointer=saver), GO, THREAD)
    assert post.done == ["0 by 3", "1 by 3"]
    selection = Selection.from_dict(done["receipt"])
    assert [each.waves for each in (*selection.earlier, selection)] == [(2, 2)] * 3
    assert [each[0] for each in plan.asked] == [[], [0, 1], [0, 1, 2, 3]] * 3
    assert answer(done) == "answer 3"


def test_a_question_of_the_winner_is_asked_once_and_the_answer_resumes_it(run):
    agent, plan = Asking(indices=range(8)), Upto(2, 4)
    graph = outer(best_of_n(agent.graph, n=8, stop=plan, selection_key="receipt"), checkpointer=InMemorySaver())
    stopped = run.invoke(graph, GO, THREAD)
    (question,) = asked(stopped)
    assert sorted(agent.calls) == [0, 1, 2, 3]
    done = run.invoke(graph, Command(resume="yes"), THREAD)
    assert f"{question['ask']} was told 'yes'" in texts(done)
    assert sorted(agent.calls) == sorted([0, 1, 2, 3, question["ask"]])
    assert Selection.from_dict(done["receipt"]).waves == (2, 2)


def test_where_all_ask_before_a_model_the_answer_begins_a_first_wave(run):
    started = Started()

    def ask(state):
        interrupt("name?")
        return {}

    agent = kit.graph(MessagesState, ask=ask, say=(started.say, started.asay))
    graph = outer(best_of_n(agent, n=8, stop=Upto(2, 4), selection_key="receipt"), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, GO, THREAD)) == ["name?"]
    assert started.indices == []
    done = run.invoke(graph, Command(resume="ann"), THREAD)
    assert sorted(started.indices) == [0, 1, 2, 3]
    assert answer(done) == "answer 3"


def test_a_breakpoint_pauses_the_winner_of_the_waves(run):
    started = Started()
    agent = kit.graph(MessagesState, say=(started.say, started.asay), after=lambda s: {"messages": [("ai", "after")]})
    paused = agent.builder.compile(interrupt_before=["after"])
    graph = kit.outer(best_of_n(paused, n=8, stop=Upto(2, 4)), checkpointer=InMemorySaver())
    run.invoke(graph, GO, THREAD)
    assert sorted(started.indices) == [0, 1, 2, 3]
    done = run.invoke(graph, None, THREAD)
    assert answer(done) == "after"
    assert sorted(started.indices) == [0, 1, 2, 3]


def test_the_next_turn_remembers_the_winner_of_the_waves(run):
    graph = best_of_n(turns.subgraph(InMemorySaver()), n=6, stop=Upto(1, 2)).as_agent()
    replies = [run.invoke(graph, {"text": text}, THREAD)["reply"] for text in ("a", "b")]
    assert replies == ["a/1", "a/1 b/1"]


# cancel=True


def waiting(waits):
    """A node, sync and async, that goes on once ``waits()`` is false."""

    def wait(state):
        while waits():
            time.sleep(0.005)
        return {}

    async def await_(state):
        while waits():
            await asyncio.sleep(0.005)
        return {}

    return wait, await_


class Posting:
    """Rollout 0 sends at once; the others look round until they are told to stop, and would send then."""

    def __init__(self, n):
        self.begun, self.n, self.enough, self.sent = set(), n, threading.Event(), []
        lock = threading.Lock()

        def wait():
            index = kit.rollout_index()
            self.begun.add(index)
            return len(self.begun) < self.n or (index and not self.enough.is_set())

        @mailing.tool
        def send(to: str) -> str:
            """Send."""
            with lock:
                self.sent.append(to)
            return f"sent {to}"

        self.send = send
        model = mailing.ScriptedChatModel(
            lambda messages, index: mailing.Reply(
                "" if len(messages) < 2 else "done",
                tool_calls=[("send", {"to": str(index)})] if len(messages) < 2 else (),
                entropies=kit.peak(10),
            )
        )
        inner = mailing.by_hand(model, mailing.ToolNode([send]))
        self.graph = kit.graph(MessagesState, look=waiting(wait), inner=inner)

    def plan_enough(self, candidates, running, n):
        if not candidates:
            return More(n)
        self.enough.set()
        return Stop("one is there")


class PlanOf:
    def __init__(self, agent):
        self.enough = agent.plan_enough


@pytest.mark.parametrize("continued", [False, True], ids=["once", "continued"])
def test_a_cancelled_rollout_never_commits(run, saver, continued):
    agent = Posting(4)

    node = best_of_n(
        agent.graph,
        n=4,
        stop=PlanOf(agent),
        cancel=True,
        commit=[agent.send],
        on_commit="execute",
        continue_after_commit=continued,
        selection_key="receipt",
    )
    done = run.invoke(outer(node, checkpointer=saver), GO, THREAD)
    assert agent.sent == ["0"]
    selection = Selection.from_dict(done["receipt"])
    first = (*selection.earlier, selection)[0]
    assert (first.ended, first.cancelled, first.winner) == (1, 3, 0)
    assert saver is None or list(saver.storage) == ["t"]


def test_a_question_of_the_one_that_ended_is_asked(run):
    n, begun, enough = 3, set(), threading.Event()

    def waits():
        begun.add(kit.rollout_index())
        return len(begun) < n or (kit.rollout_index() and not enough.is_set())

    class First:
        def enough(self, candidates, running, n):
            if not candidates:
                return More(n)
            enough.set()
            return Stop("one asks")

    asking = Asking()
    agent = kit.graph(MessagesState, wait=waiting(waits), asks=asking.graph)
    graph = outer(
        best_of_n(agent, n=n, stop=First(), cancel=True, selection_key="receipt"), checkpointer=InMemorySaver()
    )
    assert asked(run.invoke(graph, GO, THREAD)) == [{"ask": 0}]
    done = run.invoke(graph, Command(resume="yes"), THREAD)
    assert "0 was told 'yes'" in texts(done)
    assert Selection.from_dict(done["receipt"]).cancelled == 2


def test_undeclared_tools_of_cancelled_rollouts_are_told_of(run):
    """They did run; a cancelled rollout's tools are in the receipt as those of any other."""

    @mailing.tool
    def poke(q: str) -> str:
        """Poke."""
        return q

    @read_only
    @mailing.tool
    def look(q: str) -> str:
        """Look."""
        return q

    agent = Posting(3)
    before = mailing.by_hand(
        mailing.ScriptedChatModel(
            lambda messages, index: mailing.Reply(
                "x", tool_calls=[("poke", {"q": "1"})] if len(messages) < 2 else (), entropies=kit.peak(3)
            )
        ),
        mailing.ToolNode([poke, look]),
    )
    graph = kit.graph(MessagesState, before=before, after=agent.graph)
    with pytest.warns(match="poke"):
        result = run.run(best_of_n(graph, n=3, stop=PlanOf(agent), cancel=True, commit=[agent.send]), GO)
    assert result.selection.cancelled == 2
    assert result.selection.undeclared_tools == ("poke",)
