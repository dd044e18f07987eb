"""BigCodeBench: made functions in the published form, their canonical solutions accepted, other code not."""

from __future__ import annotations

import pytest
from published import jsonl, needs, needs_sandbox, said

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import load

needs("bigcodebench")
needs_sandbox()

ROWS = [
    {
        "task_id": "BigCodeBench/0",
        "instruct_prompt": "Write task_func(xs), the mean of xs.",
        "complete_prompt": 'import statistics\n\ndef task_func(xs):\n    """The mean."""\n',
        "code_prompt": "import statistics\ndef task_func(xs):\n",
        "canonical_solution": "    return statistics.mean(xs)\n",
        "test": "import unittest\nclass TestCases(unittest.TestCase):\n    def test_a(self):\n"
        "        self.assertEqual(task_func([1, 2, 3]), 2)\n    def test_b(self):\n"
        "        with self.assertRaises(Exception):\n            task_func([])\n",
        "entry_point": "task_func",
    },
    {
        "task_id": "BigCodeBench/1",
        "instruct_prompt": "Write task_func(), which writes a file and reads it.",
        "complete_prompt": "def task_func():\n",
        "code_prompt": "def task_func():\n",
        "canonical_solution": "    open('a.txt', 'w').write('x')\n    return open('a.txt').read()\n",
        "test": "import unittest\nclass TestCases(unittest.TestCase):\n    def test_a(self):\n"
        "        self.assertEqual(task_func(), 'x')\n",
        "entry_point": "task_func",
    },
]
WRONG = ["def task_func(xs):\n    return None", "import os\nos._exit(0)"]


def read(folder, rows=ROWS, **options):
    return load(f"bigcodebench:{jsonl(folder / 'bcb.jsonl', rows)}", **options)


def verdict(task, code):
    return task.verdict(said(f"```python\n{code}\n```"))


@pytest.mark.whole_form("code in a sandbox; test_livecodebench.py runs such in the short form")
def test_canonical_solutions_are_accepted(tmp_path):
    assert [task.verdict(said(task.gold)) for task in read(tmp_path)] == [True, True]


@pytest.mark.whole_form("its head imports eight large packages, which takes minutes")
def test_what_the_head_imports_is_there_and_what_is_wrong_is_not_accepted(tmp_path):
    task = read(tmp_path)[0]
    assert verdict(task, "def task_func(xs):\n    return statistics.mean(xs)")
    assert [verdict(task, code) for code in WRONG] == [False, False]


def test_what_is_asked(tmp_path):
    task = read(tmp_path, limit=1)[0]
    assert (task.id, task.model_calls) == ("BigCodeBench/0", 1)
    assert task.input == {"messages": [("user", ROWS[0]["instruct_prompt"])]}
    ((_, text),) = read(tmp_path, split="complete")[0].input["messages"]
    assert text.startswith("Complete this Python code.")
    assert '    """The mean."""' in text


def test_files_that_are_not_as_published(tmp_path):
    with pytest.raises(ConfigError, match="download the data set bigcode/bigcodebench"):
        load("bigcodebench")
    with pytest.raises(ConfigError, match="row 2 has nothing in test"):
        read(tmp_path, [ROWS[0], {**ROWS[1], "test": ""}])
    with pytest.raises(ConfigError, match="split"):
        read(tmp_path, split="hard")
