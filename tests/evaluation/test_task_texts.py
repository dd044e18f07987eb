"""What a task asks is stored with the run, as text, and read back with its results."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import pytest
from eval_fakes import Calls, agent_of
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from ec_agent.evaluation import BaseTask, RunSettings, evaluate, load_results
from ec_agent.evaluation.jsonl import read_jsonl
from ec_agent.evaluation.task_texts import MOST_LETTERS, asked_of, question_of
from ec_agent.traces.stored import Asked


@dataclass
class State:
    question: str
    depth: int


class Model(BaseModel):
    messages: list


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"messages": [("user", "How many?")]}, "How many?"),
        ({"messages": "How many?"}, "How many?"),
        ({"messages": HumanMessage("How many?")}, "How many?"),
        (Model(messages=[{"role": "user", "content": "How many?"}]), "How many?"),
        ({"messages": [("system", "Be short."), ("user", "How many?")]}, "system: Be short.\nhuman: How many?"),
        (
            {
                "messages": [
                    HumanMessage([{"type": "text", "text": "Whose?"}, {"type": "image_url", "image_url": "data:x"}])
                ]
            },
            "Whose? [image_url]",
        ),
        ({"question": "How many?"}, "How many?"),
        (State("How many?", 2), '{"question": "How many?", "depth": 2}'),
        ({"messages": [3], "depth": 2}, '{"messages": [3], "depth": 2}'),
        ("How many?", "How many?"),
        ({"messages": [], (1, 2): "odd"}, "{'messages': [], (1, 2): 'odd'}"),
    ],
    ids=range(11),
)
def test_an_input_is_a_question_in_plain_text(given, said):
    assert question_of(given) == said


@pytest.mark.parametrize(
    ("expected", "said"),
    [(None, None), ("391", "391"), (2.31, "2.31"), (["Bern", "Berne"], '["Bern", "Berne"]'), (0, "0"), ("é", "é")],
)
def test_an_expected_answer_is_plain_text(expected, said):
    task = BaseTask("a", "?")
    assert asked_of(task).expected is None
    task.expected = expected
    assert asked_of(task) == Asked("?", said)


def test_a_very_long_question_is_shortened():
    found = asked_of(BaseTask("a", "x" * (MOST_LETTERS + 1))).question
    assert found == "x" * MOST_LETTERS + " ..."


def a_file(home):
    path = home / "tasks.jsonl"
    path.write_text(
        '{"id": "one", "input": "Which word?", "expected": "right"}\n{"id": "two", "input": "And?", "expected": "x"}'
    )
    return read_jsonl(path, lambda place: None)


def test_a_run_keeps_its_questions_and_answers(tmp_path, path):
    evaluate(a_file(tmp_path), agent_of(Calls()), path, RunSettings(n=1))
    assert [result.asked for result in load_results(path)] == [Asked("Which word?", "right"), Asked("And?", "x")]


def test_a_file_without_them_is_read_and_the_same_command_fills_them_in(tmp_path, path):
    agent = agent_of(Calls())
    evaluate(a_file(tmp_path), agent, path, RunSettings(n=1))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE tasks SET question = NULL, expected = NULL")
    assert [result.asked for result in load_results(path)] == [Asked(), Asked()]
    evaluate(a_file(tmp_path), agent, path, RunSettings(n=1))
    assert [result.asked.expected for result in load_results(path)] == ["right", "x"]
