"""Callback handlers hear the tasks of the fan-out graph; where none does, nothing is made for them, and all else stays.

``question.heard`` decides. Handlers come from the config, from a context variable that LangChain knows, and from its
settings; each must be found, however the graph is run and whatever the agent is.
"""

from __future__ import annotations

import functools
import threading
from contextlib import contextmanager
from contextvars import ContextVar

import kit
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_debug
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import collect_runs, register_configure_hook
from langgraph.checkpoint.memory import InMemorySaver

from ec_agent import best_of_n
from ec_agent.rollouts import fanout

AGENTS = {
    "graph": lambda: kit.chat(kit.say(9, 3)),
    "create_agent": lambda: create_agent(kit.say(9, 3)),
    "function": lambda: kit.spoken(lambda i: {"messages": [("ai", f"answer {i}")]}, at_of=lambda i: (9, 3)[i]),
    "Runnable": lambda: RunnableLambda(
        kit.spoken(lambda i: {"messages": [("ai", f"answer {i}")]}, at_of=lambda i: (9, 3)[i])
    ),
}
agents = pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS.keys())
_hook: ContextVar[BaseCallbackHandler | None] = ContextVar("test_heard_hook", default=None)
register_configure_hook(_hook, inheritable=False)


class Listener(BaseCallbackHandler):
    """Notes the paths of runs, and the custom events."""

    def __init__(self):
        self.paths, self.events = {}, []

    def on_chain_start(self, serialized, inputs, *, run_id, parent_run_id=None, name=None, **kwargs):
        self.paths[run_id] = [*self.paths.get(parent_run_id, []), name]

    def on_custom_event(self, name, data, **kwargs):
        self.events.append((name, data["winner"]))

    def count(self, *path):
        return sum(each[-len(path) :] == list(path) for each in self.paths.values())


@pytest.fixture
def questions(monkeypatch):
    """The questions that the fan-out graph is asked."""
    found, told = [], fanout._question

    def noted(config):
        found.append(question := told(config))
        return question

    monkeypatch.setattr(fanout, "_question", noted)
    return found


@contextmanager
def hooked(listener):
    token = _hook.set(listener)
    try:
        yield
    finally:
        _hook.reset(token)


@agents
@pytest.mark.parametrize("saved", [False, True], ids=["bare", "saved"])
def test_a_handler_of_the_config_hears_each_task_and_the_choice(run, agent, saved, questions):
    listener = Listener()
    graph = kit.outer(best_of_n(agent(), n=2), checkpointer=InMemorySaver() if saved else None)
    run.invoke(graph, {"messages": "go"}, {**kit.THREAD, "callbacks": [listener]})
    assert all(question.heard for question in questions)
    assert listener.count("best_of_n", "rollout") == listener.count("rollout", "rollout") == 2
    assert listener.count("best_of_n", "select") == listener.count("select", "select") == 1
    assert listener.count("_sends") == listener.count("_after_select") == 1
    assert listener.events == [("ec_agent.selection", 1)]


@agents
def test_a_handler_of_a_context_variable_hears_the_same(run, agent, questions):
    listener = Listener()
    with hooked(listener):
        run.invoke(best_of_n(agent(), n=2), {"messages": "go"})
    assert all(question.heard for question in questions)
    assert listener.count("rollout") == 2  # LangGraph tells only those that it inherits, so these runs are ours alone
    assert listener.count("select") == 1
    assert listener.events == [("ec_agent.selection", 1)]


def test_collected_runs_and_debug_output_are_heard(run, questions, capsys):
    with collect_runs() as collected:
        run.invoke(best_of_n(kit.chat(kit.say(9, 3)), n=2), {"messages": "go"})
    assert collected.traced_runs
    assert all(question.heard for question in questions)
    questions.clear()
    set_debug(True)
    try:
        run.invoke(best_of_n(kit.chat(kit.say(9, 3)), n=2), {"messages": "go"})
    finally:
        set_debug(False)
    assert all(question.heard for question in questions)
    assert "rollout" in capsys.readouterr().out


@agents
@pytest.mark.parametrize("saved", [False, True], ids=["bare", "saved"])
def test_without_a_handler_the_functions_alone_are_called(run, agent, saved, questions, monkeypatch):
    made = []
    for name in ("_call_with_config", "_acall_with_config"):  # where LangChain makes a run
        making = getattr(RunnableLambda, name)
        monkeypatch.setattr(
            fanout._Node, name, lambda self, *a, m=making, **k: made.append(self.name) or m(self, *a, **k)
        )
    graph = kit.outer(best_of_n(agent(), n=2), checkpointer=InMemorySaver() if saved else None)
    done = run.invoke(graph, {"messages": "go"}, kit.THREAD)
    assert kit.answers(done["messages"]) == ["answer 1"]
    assert {question.heard for question in questions} == {False}
    assert made == []
    run.invoke(graph, {"messages": "go"}, {"configurable": {"thread_id": "u"}, "callbacks": [Listener()]})
    assert sorted(made) == ["rollout", "rollout", "select"]


def test_edges_run_on_the_event_loop(monkeypatch):
    where = []
    for name in ("_sends", "_after_select"):
        edge = getattr(fanout, name)
        noted = functools.wraps(edge)(
            lambda *args, e=edge, **kw: where.append(threading.current_thread()) or e(*args, **kw)
        )
        monkeypatch.setattr(fanout, name, noted)
    kit.Async().invoke(best_of_n(kit.chat(kit.say(9, 3)), n=2), {"messages": "go"})
    assert where == [threading.main_thread()] * 2
