"""What docs/evaluation.md shows works as it stands there."""

from __future__ import annotations

import re
import sqlite3
import sys
import types
from pathlib import Path

import pytest
from click.testing import CliRunner
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from ec_agent.cli.app import app
from ec_agent.evaluation import Outcome, RunSettings, evaluate, load_results
from ec_agent.evaluation.loading import load_tasks
from ec_agent.testing import Reply, ScriptedChatModel

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def checks(monkeypatch):
    module = types.ModuleType("my_checks")
    exec(blocks("python")[0], vars(module))
    monkeypatch.setitem(sys.modules, "my_checks", module)


def test_the_task_file_of_the_page(tmp_path, checks):
    path = tmp_path / "tasks.jsonl"
    path.write_text(blocks("json")[0])
    tasks = {task.id: task for task in load_tasks(str(path))}
    answers = {
        "sum": ("391", "392"),
        "capital": ("It is Canberra.", "Sydney"),
        "weight": ("about 2.315 pounds", "2.4 pounds"),
        "essay": ("one\ntwo\nthree", "one"),
    }
    for name, (right, wrong) in answers.items():
        assert tasks[name].verdict(Outcome(AIMessage(right))) is True
        assert tasks[name].verdict(Outcome(AIMessage(wrong))) is False
    call = {"name": "order", "args": {"mugs": 3}, "id": "c"}
    assert tasks["order"].verdict(Outcome(AIMessage("", tool_calls=[call]))) is True
    assert set(tasks) == {*answers, "order"}


def test_the_worlds_of_the_page(tmp_path):
    space = {}
    exec(next(block for block in blocks("python") if "class Shipping" in block), space)
    tools = ToolNode([space["ship"]])

    def script(messages, index):
        shipped = sum(isinstance(message, ToolMessage) for message in messages)
        asked = next(message for message in messages if isinstance(message, HumanMessage)).content
        if shipped == 0 or ("apart" in asked and shipped == 1):
            return Reply(tool_calls=[("ship", {"parcel": "p"})], entropies=[0.1])
        return Reply("done", entropies=[0.1])

    model = ScriptedChatModel(script)
    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", tools)
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    builder.add_edge("tools", "ask")
    tasks = space["tasks"]()
    tasks[0].parcels = 2  # this one is then not done
    evaluate(tasks, builder.compile(), tmp_path / "a.db", RunSettings(n=2))
    assert [result.correct.tolist() for result in load_results(tmp_path / "a.db")] == [[0, 0], [1, 1]]


def test_the_options_of_the_page_are_those_of_the_command():
    shown = CliRunner().invoke(app, ["eval", "--help"]).output
    offered = set(re.findall(r"--[a-z-]+", shown)) - {"--help"}
    named = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert offered == named


def test_the_tables_of_the_page_are_those_of_a_file(tmp_path):
    query = blocks("bash")[-1]
    statement = re.search(r'"(SELECT .*?)"', query)[1]
    evaluate(load_tasks_of_one(tmp_path), lambda state: {"messages": [AIMessage("x")]}, tmp_path / "a.db")
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert len(connection.execute(statement).fetchall()) == 9


def load_tasks_of_one(home):
    (home / "one.jsonl").write_text('{"input": "a", "expected": "x"}')
    return load_tasks(str(home / "one.jsonl"))
