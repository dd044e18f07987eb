"""Tasks of a JSONL file: what a line may say, how an answer is compared, and what is said of a wrong line."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from ec_agent.errors import ConfigError
from ec_agent.evaluation.jsonl import MATCHES, read_jsonl
from ec_agent.evaluation.loading import load_tasks
from ec_agent.evaluation.runner import task_fingerprint
from ec_agent.evaluation.tasks import Outcome


class Weight(BaseModel):
    grams: int


CALL = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "x"}])


@pytest.mark.parametrize(
    ("match", "action", "expected", "right"),
    [
        ("exact", AIMessage(" 4\n"), "4", True),
        ("exact", AIMessage("4."), "4", False),
        ("exact", AIMessage("4"), 4, True),
        ("exact", "yes", ["no", "yes"], True),
        ("exact", "Yes", "yes", False),
        ("exact", AIMessage([{"type": "text", "text": "4"}]), "4", True),
        ("exact", CALL, '[{"name": "add", "args": {"a": 1}}]', True),
        ("contains", AIMessage("it is 14.84 pounds"), "14.84", True),
        ("contains", AIMessage("it is 14.8 pounds"), "14.84", False),
        ("contains", "a b", ["x", "b"], True),
        ("number", AIMessage("3 mugs weigh 1,050.50 grams."), 1050.5, True),
        ("number", AIMessage("1,050.50 grams are 3 mugs"), 1050.5, False),
        ("number", AIMessage("it is -2."), -2, True),
        ("number", AIMessage("5-3"), 3, True),
        ("number", AIMessage("1e3"), 1000, True),
        ("number", AIMessage("0.3333333"), 1 / 3, True),
        ("number", AIMessage("7 mugs"), "7.0", True),
        ("number", AIMessage("none"), 0, False),
        ("number", AIMessage("They are 1,2,3"), 3, True),
        ("number", AIMessage("[4,5,6]"), 456, False),
        ("number", AIMessage("12,345,678"), 12345678, True),
        ("number", AIMessage("1,00,000 rupees"), 100000, True),
        ("number", AIMessage("x = \u22125"), -5, True),
        ("number", AIMessage("5\u22123"), 3, True),
        ("number", AIMessage("it is .5"), 0.5, True),
        ("json", AIMessage('{"b": [1, 2.0], "a": 1}'), {"a": 1, "b": [1, 2]}, True),
        ("json", AIMessage('Here:\n```json\n{"a": 1}\n```'), {"a": 1}, True),
        ("json", AIMessage('{"a": 1'), {"a": 1}, False),
        ("json", Weight(grams=3), {"grams": 3}, True),
        ("json", {"grams": 3}, {"grams": 4}, False),
        ("json", CALL, [{"name": "add", "args": {"a": 1}}], True),
        ("json", CALL.model_copy(update={"content": "Adding."}), [{"name": "add", "args": {"a": 1}}], True),
        ("json", CALL, [{"name": "add", "args": {"a": 2}}], False),
        ("json", AIMessage("true"), 1, False),
        ("json", AIMessage('{"a": [1]}'), {"a": [True]}, False),
        ("json", AIMessage('{"a": [true, null, "x"]}'), {"a": [True, None, "x"]}, True),
        pytest.param("json", AIMessage("[" * 100_000), 1, False, id="brackets for ever"),
    ],
)
def test_each_match_compares_as_the_page_says(match, action, expected, right):
    assert MATCHES[match](Outcome(action), expected) is right


def write(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return str(path)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tasks.jsonl"


def test_a_file_is_read_as_its_tasks(file):
    source = write(
        file,
        {"id": "sum", "input": "2 + 2", "expected": "4"},
        "",
        {"input": {"messages": [{"role": "user", "content": "hi"}], "mood": 1}, "expected": ["x", "y"]},
        {"id": 7, "input": "3", "expected": 3, "match": "number"},
    )
    first, second, third = load_tasks(source)
    assert [task.id for task in (first, second, third)] == ["sum", "3", "7"]
    assert first.input == {"messages": [("user", "2 + 2")]}
    assert second.input["mood"] == 1
    assert first.verdict(Outcome(AIMessage("4"))) is True
    assert third.verdict(Outcome(AIMessage("It is 3"))) is True
    assert [task.id for task in load_tasks(source, limit=2)] == ["sum", "3"]


def test_a_number_within_a_tolerance(file):
    (task,) = load_tasks(write(file, {"input": "a", "expected": 2.31, "match": "number", "tolerance": 0.01}))
    assert task.verdict(Outcome("2.315 pounds")) is True
    assert task.verdict(Outcome("2.33 pounds")) is False


def test_a_file_with_a_byte_order_mark(file):
    file.write_text('\ufeff{"input": "a", "expected": "b"}\r\n')
    assert load_tasks(str(file))[0].id == "1"


def test_a_function_of_ones_own_judges(file, tmp_path, monkeypatch):
    (tmp_path / "own_checks.py").write_text("def close(outcome, expected):\n    return expected['least'] / 2\n")
    monkeypatch.chdir(tmp_path)
    (task,) = load_tasks(write(file, {"input": "a", "expected": {"least": 1}, "match": "own_checks:close"}))
    assert task.verdict(Outcome("a")) == 0.5
    with pytest.raises(ConfigError, match="line 1: own_checks:far: own_checks has no far"):
        load_tasks(write(file, {"input": "a", "match": "own_checks:far"}))


def test_a_line_that_says_something_else_is_another_task(file):
    marks = set()
    for line in (
        {"id": "a", "input": "q", "expected": "1"},
        {"id": "a", "input": "q", "expected": "2"},
        {"id": "a", "input": "q", "expected": "1", "match": "contains"},
    ):
        (task,) = read_jsonl(write(file, line), lambda place: None)
        marks.add(task_fingerprint(task))
    assert len(marks) == 3


GOOD = {"id": "a", "input": "q", "expected": "1"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "b", ', "no JSON"),
        pytest.param('{"input": ' + "[" * 100_000, "no JSON", id="brackets"),
        pytest.param('{"input": "q", "match": "number", "expected": 1' + "0" * 400 + "}", "expected is 1", id="huge"),
        ("[1]", "a list; write an object"),
        ({"id": "a", "input": "q", "expected": "1"}, "the id 'a' is that of line 1 too"),
        (
            {"input": "q", "expectd": "1"},
            r"unknown keys \['expectd'\]; the keys are id, input, expected, match, tolerance",
        ),
        ({"expected": "1"}, "input is None"),
        ({"input": "", "expected": "1"}, "input is ''"),
        ({"input": 3, "expected": "1"}, "input is 3"),
        ({"input": "q"}, "expected is missing"),
        ({"input": "q", "expected": ""}, "expected is ''"),
        ({"input": "q", "expected": []}, r"expected is \[\]"),
        ({"input": "q", "expected": {"a": 1}}, "with match exact give a text"),
        ({"input": "q", "expected": True}, "expected is True"),
        ({"input": "q", "expected": "four", "match": "number"}, "with match number give a number"),
        ({"input": "q", "expected": "4", "match": "fuzzy"}, "match is 'fuzzy'; give exact, contains, number, json, or"),
        ({"input": "q", "expected": 4, "match": "number", "tolerance": -1}, "tolerance is -1; give a number of at"),
        ({"input": "q", "expected": "4", "tolerance": 1}, "with match number"),
        ({"input": "q", "expected": "4", "match": 3}, "match is 3"),
        ({"input": "q", "match": "math:pi"}, "match: math:pi is no function"),
        ({"input": "q", "match": "no_such_module_here:f"}, "there is no module no_such_module_here"),
        ({"id": True, "input": "q", "expected": "1"}, "the id is True"),
    ],
)
def test_a_wrong_line_is_named(file, line, words):
    with pytest.raises(ConfigError, match=rf"tasks\.jsonl, line 3: .*{words}"):
        load_tasks(write(file, GOOD, "", line))


def test_a_file_without_tasks_is_refused(file):
    with pytest.raises(ConfigError, match=r"tasks\.jsonl holds no task; write one a line"):
        load_tasks(write(file, "", " "))
    with pytest.raises(ConfigError, match=r"^cannot read none\.jsonl \(No such file or directory\); give a JSONL file"):
        load_tasks("none.jsonl")
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match="give a JSONL file in UTF-8"):
        load_tasks(str(file))
