"""The desk that hands over, without a model: a scripted agent, and a calibration made by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from ec_agent.rollouts.settings_files import Setting, save_settings
from ec_agent.selectors import MajorityVote
from ec_agent.testing import Reply, ScriptedChatModel

sys.path.append(str(Path(__file__).parents[1] / "probability"))
from calibrated import platt

from graphs.sure_desk import make_desk

ROOT = Path(__file__).parents[2]
ASK = {"messages": [("user", "What is it?")]}
THREAD = {"configurable": {"thread_id": "t"}}
SETTINGS = {"selector": MajorityVote(), "probability": platt()}
pytestmark = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")


def saying(answers):
    model = ScriptedChatModel(lambda messages, index: Reply(answers[index or 0], entropies=[0.5] * 8))
    return one_node(lambda state: {"messages": [model.invoke(state["messages"])]})


def one_node(node):
    builder = StateGraph(MessagesState)
    builder.add_node("ask", node)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    return builder.compile()


def texts(state):
    return [message.text for message in state["messages"] if isinstance(message, AIMessage)]


def test_a_sure_winner_answers():
    state = make_desk(saying("aaaa"), settings=SETTINGS, n=4).invoke(ASK)
    assert texts(state) == ["a"]
    assert state["receipt"]["probability"] == pytest.approx(0.9526, abs=1e-4)


@pytest.mark.parametrize(("said", "final"), [("it is b", ["a", "it is b"]), ("", ["a"])], ids=["other", "agreed"])
def test_an_unsure_one_is_shown_to_a_person(said, final):
    desk = make_desk(saying("abcd"), settings=SETTINGS, n=4, checkpointer=InMemorySaver())
    (asked,) = desk.invoke(ASK, THREAD)["__interrupt__"]
    assert asked.value["proposal"] == "a"
    assert asked.value["probability"] == pytest.approx(0.1824, abs=1e-4)
    assert texts(desk.invoke(Command(resume=said), THREAD)) == final


def test_an_unsure_one_is_taken_over_by_a_stronger_agent():
    stronger = one_node(lambda state: {"messages": [AIMessage("b, surely")]})
    assert texts(make_desk(saying("abcd"), settings=SETTINGS, n=4, stronger=stronger).invoke(ASK)) == ["a", "b, surely"]
    assert texts(make_desk(saying("aaaa"), settings=SETTINGS, n=4, stronger=stronger).invoke(ASK)) == ["a"]


@pytest.mark.parametrize("settings", [None, {**SETTINGS, "probability": platt(n=8)}], ids=["none", "another n"])
def test_without_a_probability_a_person_decides(settings):
    desk = make_desk(saying("aaaa"), settings=settings, n=4, checkpointer=InMemorySaver())
    (asked,) = desk.invoke(ASK, THREAD)["__interrupt__"]
    assert asked.value["probability"] is None
    assert bool(asked.value["why_none"]) == (settings is not None)


@pytest.mark.whole_form("a process of its own, to import one module")
def test_the_served_graph_reads_the_settings_that_the_environment_names(tmp_path, monkeypatch):
    path = tmp_path / "settings.json"
    save_settings(path, Setting("majority_vote"), probability=platt())
    monkeypatch.setenv("EC_AGENT_SETTINGS", str(path))
    code = "from graphs.sure_desk import graph; print(sorted(graph.get_graph().nodes))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['__end__', '__start__', 'person', 'solve']", done.stderr
