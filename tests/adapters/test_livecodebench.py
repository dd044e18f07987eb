"""LiveCodeBench: made questions in the published form, their solutions accepted, other programs not."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib

import pytest
from published import jsonl, needs, needs_sandbox, said

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import load

needs("livecodebench")
needs_sandbox()


def packed(tests):
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def case(given, answer, kind):
    return {"input": given, "output": answer, "testtype": kind}


STDIN = {
    "question_id": "made_a",
    "question_content": "Read two numbers, and write their sum.",
    "starter_code": "",
    "contest_date": "2024-09-01T00:00:00",
    "public_test_cases": json.dumps([case("1 2\n", "3\n", "stdin")]),
    "private_test_cases": packed([case("2 2\n", "4", "stdin"), case("-1 1\n", "0", "stdin")]),
    "metadata": "{}",
}
FUNCTION = {
    "question_id": "made_b",
    "question_content": "Reverse a list.",
    "starter_code": "class Solution:\n    def turn(self, xs: List[int]) -> List[int]:\n        ",
    "contest_date": "2025-01-05T00:00:00",
    "public_test_cases": [case("[1, 2, 3]", "[3, 2, 1]", "functional")],
    "private_test_cases": json.dumps([case("[]", "[]", "functional")]),
    "metadata": json.dumps({"func_name": "turn"}),
}
GOLD = {
    "made_a": "a, b = map(int, input().split())\nprint(a + b)",
    "made_b": "class Solution:\n    def turn(self, xs: List[int]) -> List[int]:\n        return xs[::-1]",
}
WRONG = {
    "made_a": [
        "a, b = map(int, input().split())\nprint(3)",
        "print(",
        "import sys; sys.exit(0)",
        "1 / 0",
        "",
        "input()",
    ],
    "made_b": [
        "class Solution:\n    def turn(self, xs):\n        return xs",
        "import os\nos._exit(0)",
        "class Solution:\n    def turn(self, xs):\n        while True: pass",
    ],
}


@pytest.fixture
def tasks(tmp_path):
    return {task.id.removeprefix("livecodebench-"): task for task in read(tmp_path, [STDIN, FUNCTION])}


def read(folder, rows, **options):
    return load(f"livecodebench:{jsonl(folder / 'test.jsonl', rows)}", **options)


def fenced(code):
    return said(f"<think>```python\nprint(0)\n```</think>So:\n```python\n{code}\n```\nDone.")


@pytest.mark.members(1)
@pytest.mark.parametrize("name", GOLD)
def test_a_solution_is_accepted_and_nothing_else(tasks, name):
    assert tasks[name].verdict(fenced(GOLD[name])) is True
    assert [tasks[name].verdict(fenced(code)) for code in WRONG[name]] == [False] * len(WRONG[name])
    assert tasks[name].verdict(said(GOLD[name])) is True  # without a fence
    assert tasks[name].verdict(said("I do not know.")) is False


def test_what_is_asked(tasks):
    ((_, stdin),) = tasks["made_a"].input["messages"]
    assert stdin.startswith("Read two numbers")
    assert "reads from standard input" in stdin
    ((_, function),) = tasks["made_b"].input["messages"]
    assert "```python\nclass Solution:\n    def turn" in function
    assert tasks["made_a"].model_calls == 1
    assert tasks["made_a"].fingerprint != tasks["made_b"].fingerprint


def test_days(tmp_path):
    ids = lambda **days: [task.id for task in read(tmp_path, [STDIN, FUNCTION], **days)]  # noqa: E731
    assert ids(since="2024-10-01") == ["livecodebench-made_b"]
    assert ids(until="2024-10-01") == ["livecodebench-made_a"]
    assert ids(since="2024-09-01", until="2025-01-05", limit=1) == ["livecodebench-made_a"]
    with pytest.raises(ConfigError, match="has no question from since='2026'"):
        ids(since="2026")


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize(
    "tests",
    [
        base64.b64encode(zlib.compress(pickle.dumps(Harmful()))).decode(),
        base64.b64encode(b"no zlib").decode(),
        base64.b64encode(zlib.compress(b"no pickle")).decode(),
        "no base 64 either",
        json.dumps([{"input": "1"}]),
        packed("no tests"),
    ],
    ids=["code", "zlib", "pickle", "base64", "keys", "text"],
)
def test_tests_that_are_no_tests_run_nothing(tmp_path, monkeypatch, tests):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="row 1 has test cases that cannot be read"):
        read(tmp_path, [{**STDIN, "private_test_cases": tests}])
    assert not (tmp_path / "harm").exists()


def test_a_row_without_tests(tmp_path):
    with pytest.raises(ConfigError, match="row 1 has no test cases"):
        read(tmp_path, [{**STDIN, "public_test_cases": "[]", "private_test_cases": []}])


def test_a_sandbox_whose_python_has_no_runner(tmp_path, monkeypatch):
    import ec_agent.evaluation.adapters.livecodebench as adapter

    monkeypatch.setattr(adapter, "NEEDS", {"no_livecodebench": "--no-deps nvidia-livecodebench==26.3"})
    with pytest.raises(ConfigError, match=r"install there: pip install --no-deps nvidia-livecodebench==26\.3"):
        read(tmp_path, [STDIN])
