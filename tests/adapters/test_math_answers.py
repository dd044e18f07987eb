"""AIME 2025 and Minerva: made questions in the published form, gold answers accepted, others not."""

from __future__ import annotations

import re
import time

import pytest
from published import jsonl, needs, said

from ec_agent.errors import ConfigError, EvaluationError
from ec_agent.evaluation.adapters import load, math_answers, math_worker
from ec_agent.evaluation.adapters.math_answers import Comparer, last_boxed
from ec_agent.evaluation.tasks import Task
from ec_agent.support.extras import installing

needs("math_verify")

AIME = [
    {"problem": "What is $17 + 53$?", "answer": "70", "id": "0"},
    {"problem": "What is $600 - 12$?", "answer": 588, "id": "1"},
    {"problem": "How many primes are below 20?", "answer": "008", "id": "2"},
]
MINERVA = [
    {"question": "Integrate $x$ from 0 to 1.", "answer": "\\frac{1}{2}"},
    {
        "question": "Which force?",
        "solution": "No $\\boxed{1}$ is wrong: $\\boxed{\\frac{G m_{1} m_{2}}{r^{2}}}$.",
    },
    {"problem": "How far, in cm?", "answer": "4.5 \\times 10^{33}"},
    {"question": "Which set?", "answer": "$\\{1, 2\\}$"},
]
RIGHT = {  # each is another writing of the gold answer
    "aime2025": [["\\boxed{070}", "so it is 70."], ["The answer is $\\boxed{588}$"], ["\\boxed{8}"]],
    "minerva": [
        ["It is $0.5$.", "\\boxed{2^{-1}}"],
        ["\\boxed{G \\frac{m_1 m_2}{r^2}}"],
        ["\\boxed{45 \\cdot 10^{32}}", "So $45 \\times 10^{32}$."],
        ["\\boxed{\\{2, 1\\}}"],
    ],
}
WRONG = ["", "\\boxed{}", "I do not know.", "\\boxed{71}", "<think>\\boxed{70}</think> \\boxed{7}", "70 \\boxed{7}"]


@pytest.fixture
def sets(tmp_path):
    return {
        "aime2025": load(f"aime2025:{jsonl(tmp_path / 'aime.jsonl', AIME)}"),
        "minerva": load(f"minerva:{jsonl(tmp_path / 'minerva.jsonl', MINERVA)}"),
    }


@pytest.mark.parametrize("source", RIGHT)
def test_gold_is_accepted_in_every_writing_and_nothing_else(sets, source):
    tasks = sets[source]
    assert all(isinstance(task, Task) for task in tasks)
    assert [task.verdict(said(task.gold)) for task in tasks] == [True] * len(tasks)
    for task, writings in zip(tasks, RIGHT[source], strict=True):
        assert [task.verdict(said(writing)) for writing in writings] == [True] * len(writings)
        assert not any(task.verdict(said(wrong)) for wrong in WRONG)


def test_what_is_asked(sets):
    task, *_ = sets["aime2025"]
    assert [each.id for each in sets["aime2025"]] == ["aime2025-0", "aime2025-1", "aime2025-2"]
    assert [each.id for each in sets["minerva"]] == ["minerva-1", "minerva-2", "minerva-3", "minerva-4"]
    ((role, text),) = task.input["messages"]
    assert role == "user"
    assert text.startswith("What is $17 + 53$?")
    assert "\\boxed" in text
    assert (task.expected, task.model_calls, task.tools) == ("70", 1, ())
    assert len({each.fingerprint for each in sets["aime2025"]}) == 3


def test_thoughts_are_no_answer(sets):
    task = sets["aime2025"][0]
    assert task.verdict(said("<think>Is it \\boxed{7}? No.</think>\nIt is \\boxed{70}."))
    assert not task.verdict(said("<think>It is \\boxed{70}.</think>"))


def test_an_answer_that_never_ends_is_wrong_and_the_next_is_compared(monkeypatch, tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text(
        f"import sys; sys.path.append({str(tmp_path)!r}); import time\n"
        "print('true', flush=True)\n"
        "for line in sys.stdin:\n    time.sleep(60 if 'slow' in line else 0); print('true', flush=True)\n"
    )
    monkeypatch.setattr(math_worker, "__file__", str(slow))
    comparer, begun = Comparer(), time.monotonic()
    assert comparer.same("1", "1")
    assert not comparer.same("1", "slow", seconds=0.3)
    assert comparer.same("1", "1")
    assert time.monotonic() - begun < 30
    comparer._stop()


TOWER = pytest.param(
    "10^{10^{10^{10}}}", marks=pytest.mark.whole_form("it computes for five seconds, until its time is over")
)


@pytest.mark.members(2)
@pytest.mark.parametrize("answer", [TOWER, "9" * 5000, "\\frac{" * 500, "\x00\ud800"])
def test_hostile_answers_are_wrong(sets, answer):
    assert not sets["aime2025"][0].verdict(said(f"\\boxed{{{answer}}}"))


@pytest.mark.parametrize("program", ["print('false')", "raise SystemExit(1)", "print()"])
def test_a_math_verify_that_does_not_work_is_no_wrong_answer(monkeypatch, tmp_path, program):
    broken = tmp_path / "broken.py"
    broken.write_text(program)
    monkeypatch.setattr(math_worker, "__file__", str(broken))
    with pytest.raises(EvaluationError, match="pip install 'math-verify"):
        Comparer().same("1", "1")


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "math_verify", None)
    with pytest.raises(ConfigError, match=re.escape(f"need math_verify; run: {installing('ec-agent[tasks]')}")):
        load(f"aime2025:{jsonl(tmp_path / 'a.jsonl', AIME)}")


@pytest.mark.parametrize("source", ["aime2025", "minerva"])
def test_files_that_are_not_as_published(tmp_path, source):
    with pytest.raises(ConfigError, match=rf"{source} comes in no package; download the data set math-ai/"):
        load(source)
    with pytest.raises(ConfigError, match="row 1 has no column problem or question; it has text"):
        load(f"{source}:{jsonl(tmp_path / 'a.jsonl', [{'text': 'x'}])}")
    with pytest.raises(ConfigError, match="row 1 has no column answer or solution"):
        load(f"{source}:{jsonl(tmp_path / 'b.jsonl', [{'problem': 'x'}])}")
    with pytest.raises(ConfigError, match="nothing in"):
        load(f"{source}:{jsonl(tmp_path / 'c.jsonl', [{'problem': 'x', 'solution': 'y'}])}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\\boxed{1} and \\boxed {a{b}c} end", "a{b}c"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{1} then \\boxed{never closed", "1"),
        ("nothing", None),
    ],
)
def test_the_last_box(text, found):
    assert last_boxed(text) == found


def test_the_process_is_one_for_all(sets):
    sets["aime2025"][0].verdict(said("70"))
    process = math_answers._comparer._process
    sets["minerva"][0].verdict(said("70"))
    assert math_answers._comparer._process is process
