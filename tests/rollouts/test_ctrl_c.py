"""Ctrl-C in synchronous code: the rollouts stop at their next call, and an action under way is brought to its end."""

from __future__ import annotations

import _thread
import contextlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import kit
import mailing
import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from walking import LEAVE_AT, STEPS, N, Walk

from ec_agent import Limits, best_of_n, read_only
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import evaluate
from ec_agent.evaluation.tasks import BaseTask
from ec_agent.testing import Reply

ASK = {"messages": "go"}


def pressed(walk=None):
    """Ctrl-C, as the main thread hears of it when it runs again: nothing wakes it."""
    if walk is not None:
        walk.leave()
    _thread.interrupt_main()


def pressed_for_real(walk=None):
    """Ctrl-C, as a terminal sends it."""
    if walk is not None:
        walk.leave()
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def interrupted(call, agent=Walk.graph, press=pressed_for_real, delay=0.1, **options):
    """The walk after ``call`` was interrupted at the ``LEAVE_AT``th model call."""
    walk = Walk(delay, {LEAVE_AT: lambda: press(walk)})
    node = best_of_n(agent(walk), **{"n": N, **options})
    with pytest.raises(KeyboardInterrupt):
        call(node)
    return walk


CALLS = {
    "invoke": lambda node: node.invoke(ASK),
    "run": lambda node: node.run(ASK),
    "batch": lambda node: node.batch([ASK, ASK]),
    "agent": lambda node: node.as_agent().invoke(ASK),
    "node": lambda node: kit.outer(node).invoke(ASK),
    "function node": lambda node: kit.graph(MessagesState, solve=node.invoke).invoke(ASK),
    "nested": lambda node: best_of_n(kit.outer(node), n=2).invoke(ASK),
    "two graphs up": lambda node: kit.outer(kit.outer(node)).invoke(ASK),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("agent", [Walk.graph, Walk.function], ids=["graph", "function"])
def test_the_rollouts_stop_at_their_next_call(call, agent):
    interrupted(call, agent).stopped(each=2 * N)


@pytest.mark.whole_form("its calls take a second each; others here stop shorter ones")
@pytest.mark.parametrize("call", [CALLS["invoke"], CALLS["batch"]], ids=["invoke", "batch"])
def test_they_stop_while_the_main_thread_sleeps(call):
    # The main thread looks up ten times a second; the calls are long, for a busy machine lets it look up later.
    interrupted(call, press=pressed, delay=1.0).stopped(each=2 * N)


@pytest.mark.members(1)
@pytest.mark.parametrize("agent", [Walk.graph, Walk.function], ids=["graph", "function"])
def test_a_single_rollout_stops_too(agent):
    interrupted(CALLS["node"], agent, n=1).stopped(each=1)


def test_waiting_rollouts_never_start():
    walk = interrupted(CALLS["run"], limits=Limits(max_concurrency=1))
    walk.stopped(each=1)
    assert set(walk.calls) == {0}


def beside(node):
    """LangGraph's own wait for two nodes is ended by a signal alone."""
    builder = StateGraph(MessagesState)
    builder.add_node("solve", node)
    builder.add_node("other", lambda s: {})
    builder.add_edge(START, "solve")
    builder.add_edge(START, "other")
    return builder.compile()


ABOVE = {
    "beside another": lambda node: beside(node).invoke(ASK),
    "streamed": lambda node: list(kit.outer(node).stream(ASK, stream_mode="custom")),
    "batch of a graph": lambda node: kit.outer(node).batch([ASK, ASK]),
    "batch of a sequence": lambda node: (RunnableLambda(lambda x: x) | node.as_agent()).batch([ASK, ASK]),
}


@pytest.mark.parametrize("call", ABOVE.values(), ids=ABOVE)
def test_they_stop_when_another_wait_is_interrupted(call):
    interrupted(call).stopped(each=2 * N)


def test_a_running_tool_is_waited_for():
    looked = []

    @tool
    def look(what: str) -> str:
        """Look."""
        looked.append("begun")
        if len(looked) == 1:
            pressed_for_real()
        time.sleep(0.2)
        looked.append("done")
        return "nothing"

    model = mailing.ScriptedChatModel(
        lambda messages, index: Reply(f"{index}", tool_calls=[("look", {"what": "x"})], entropies=kit.peak(3 + index))
    )
    with pytest.raises(KeyboardInterrupt):
        best_of_n(mailing.agent("create_agent", model, [look]), n=2).invoke(ASK)
    assert looked.count("begun") == looked.count("done") <= 2


def test_finished_rollouts_are_kept_for_resuming():
    walk = Walk(0.01, at={STEPS + 2: lambda: pressed_for_real(walk)})
    graph = kit.outer(best_of_n(walk.graph(), n=N, limits=Limits(max_concurrency=1)), checkpointer=InMemorySaver())
    with pytest.raises(KeyboardInterrupt):
        graph.invoke(ASK, kit.THREAD)
    walk.stopped(each=1)
    made = len(walk.calls)
    done = graph.invoke(None, kit.THREAD)
    assert len(walk.calls) == made + STEPS * (N - 1)
    assert len(done["messages"]) == STEPS + 1


# Actions.


@pytest.fixture
def sender():
    """A tool that commits, in the middle of which the run is left by ``leave``."""

    class Sender:
        leave = staticmethod(pressed)
        begun, done = 0, 0

    @tool
    def send(to: str) -> str:
        """Send."""
        Sender.begun += 1
        Sender.leave()
        for _ in range(20):  # each a step at which an exception could break in
            time.sleep(0.01)
        Sender.done += 1
        return f"sent {to}"

    @read_only
    @tool
    def search(q: str) -> str:
        """Search."""
        return f"found {q}"

    Sender.tools = [send, search]
    return Sender


def sending(sender, form, **more):
    agent = mailing.agent(form, mailing.sending("ann", "bob"), sender.tools)
    return best_of_n(agent, n=2, commit=["send"], on_commit="execute", **more)


@pytest.mark.parametrize("form", mailing.FORMS)
def test_ctrl_c_does_not_interrupt_an_action(sender, form):
    graph = kit.outer(sending(sender, form), checkpointer=InMemorySaver())
    with pytest.raises(KeyboardInterrupt):
        graph.invoke(ASK, kit.THREAD)
    assert (sender.begun, sender.done) == (1, 1)
    done = graph.invoke(None, kit.THREAD)
    assert (sender.begun, sender.done) == (1, 1)
    assert mailing.said(done["messages"]) == mailing.SENT


@kit.SAME
@pytest.mark.parametrize("form", mailing.FORMS)
def test_closing_a_stream_does_not_interrupt_an_action(sender, form):
    """And what would come after it does not come: another round, say."""
    entered = threading.Event()
    sender.leave = entered.set
    graph = kit.outer(sending(sender, form, continue_after_commit=form != "loop"), checkpointer=InMemorySaver())
    with contextlib.closing(graph.stream(ASK, kit.THREAD, stream_mode="custom")) as stream:
        for event in stream:
            if event["type"] == "ec_agent.commit":
                entered.wait(10)
                break
    assert (sender.begun, sender.done) == (1, 1)
    done = graph.invoke(None, kit.THREAD)
    assert (sender.begun, sender.done) == (1, 1)
    assert mailing.said(done["messages"])[: len(mailing.SENT)] == mailing.SENT


def test_after_ctrl_c_nothing_is_committed(sender):
    """The last call of a rollout is the one at which it is left: it ends, is not chosen, and nothing is sent."""
    model = mailing.sending("ann", "bob")
    asked = model.script

    def script(messages, index):
        if any(message.type == "tool" for message in messages):
            pressed()
            time.sleep(0.3)
        return asked[index][sum(message.type == "ai" for message in messages)]

    agent = mailing.agent("create_agent", mailing.ScriptedChatModel(script), sender.tools)
    graph = kit.outer(best_of_n(agent, n=2, commit=["send"], on_commit="execute"), checkpointer=InMemorySaver())
    with pytest.raises(KeyboardInterrupt):
        graph.invoke(ASK, kit.THREAD)
    assert sender.begun == 0


# Programs.

PROGRAM = """
import sys, threading, time
from ec_agent import best_of_n
from ec_agent.testing import Reply, ScriptedChatModel
from langgraph.graph import END, START, MessagesState, StateGraph

def script(messages, index):
    sys.stdout.write("call\\n")
    sys.stdout.flush()
    return Reply(f"{index}", entropies=[2.0] + [0.1] * (9 + index), delay=0.1)

model = ScriptedChatModel(script)
builder = StateGraph(MessagesState)
builder.add_node("step", lambda s: {"messages": [model.invoke(s["messages"])]})
builder.add_edge(START, "step")
builder.add_conditional_edges("step", lambda s: "step" if len(s["messages"]) < 200 else END)
best_of_n(builder.compile(), n=3).invoke({"messages": "go"})
"""


@pytest.mark.members(1)
@pytest.mark.parametrize("times", [1, 2])
def test_the_program_ends_as_interrupted_ones_do(times):
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for _ in range(4):
            assert process.stdout.readline() == "call\n"
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        calls, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert calls.count("call") <= 9


class Question(BaseTask):
    """Whatever is said is right."""

    def verdict(self, outcome):
        return True


@pytest.mark.members(1)
@pytest.mark.parametrize("agent", [Walk.graph, Walk.function], ids=["graph", "function"])
def test_an_evaluation_stops_and_goes_on(tmp_path, agent):
    walk = Walk(0.05, at={LEAVE_AT: lambda: pressed_for_real(walk)})
    settings = RunSettings(n=N, greedy=False, seed=1)
    with pytest.raises(KeyboardInterrupt):
        evaluate([Question("a", ASK["messages"])], agent(walk), tmp_path / "run.db", settings, agent_name="walk")
    walk.stopped()
    done = evaluate([Question("a", ASK["messages"])], agent(walk), tmp_path / "run.db", settings, agent_name="walk")
    assert done.finished
