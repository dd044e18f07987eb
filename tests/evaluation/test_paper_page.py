"""The commands of docs/paper.md, on small made files in place of the data sets."""

from __future__ import annotations

import itertools
import shlex

import pytest
from click.testing import CliRunner
from fake_openai import MODEL, Answer, FakeOpenAI
from pages_kit import ROOT, blocks_of, commands_in
from published import jsonl

from ec_agent.cli.app import app
from ec_agent.evaluation.adapters import SOURCES
from ec_agent.evaluation.stored_results import load_results
from ec_agent.evaluation.suite.comparison import rows_of
from ec_agent.evaluation.suite.config import read_suite
from ec_agent.evaluation.suite.reported import FAMILIES

QUESTIONS = [{"problem": f"What is {n} + {n}?", "answer": str(2 * n), "id": str(n)} for n in (3, 5)]


def commands(start):
    found = [command for block in blocks_of("docs/paper.md") for command in commands_in(block)]
    return [shlex.split(command)[1:] for command in found if command.startswith(start)]


def test_the_file_of_the_papers_setting():
    suite = read_suite(ROOT / "examples" / "paper.toml")
    assert {cell.family.tasks.partition(":")[0] for cell in suite.cells} == set(FAMILIES)
    assert set(FAMILIES) <= SOURCES.keys()
    for cell in suite.cells:
        assert 4 <= cell.settings.n <= 64
        assert 0.7 <= cell.settings.temperature <= 1.0
        assert cell.model.arguments["top_p"] == 0.95
        assert cell.model.arguments["top_logprobs"] == (20 if cell.family.tasks.startswith("tau2") else 10)
        assert cell.family.reported is None


def test_the_costs_are_told_before(tmp_path, monkeypatch):
    pytest.importorskip("math_verify")
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "aime25.jsonl", QUESTIONS)
    (words,) = commands("ec-agent eval aime2025:")
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "2 tasks, 8 rollouts each and one at temperature 0" in done.output
    assert "about 18 model calls with" in done.output  # 2 questions, 9 rollouts, a call each
    assert list(tmp_path.iterdir()) == [tmp_path / "aime25.jsonl"]


SUITE = """
folder = "runs"

[run]
n = 4
temperature = 0.7

[[models]]
name = "{model}"
base_url = "{url}"
arguments = {{ top_p = 0.95, top_logprobs = 10, max_tokens = 50 }}

[[families]]
tasks = "aime2025:aime25.jsonl"

[[families]]
tasks = "minerva:minerva.jsonl"
reported = 0.04
"""


def test_the_mathematical_families_from_the_file_to_the_page(tmp_path, monkeypatch):
    pytest.importorskip("math_verify")
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "aime25.jsonl", QUESTIONS)
    jsonl(tmp_path / "minerva.jsonl", [{"question": "A half of 1?", "answer": "\\frac{1}{2}"}])
    numbers = itertools.count()

    def answer(body):
        number, asked = next(numbers), str(body["messages"][-1]["content"])
        right = "0.5" if "half" in asked else "6" if "3 + 3" in asked else "10"
        said = f"<think>{right}?</think>It is $\\boxed{{{right if number % 3 else -1}}}$."
        return Answer(text=said, entropies=[0.1 * ((number * 7 + k * k) % 11) for k in range(30)])

    fake = FakeOpenAI(otherwise=answer)
    try:
        (tmp_path / "paper.toml").write_text(SUITE.format(model=MODEL, url=fake.url))
        done = CliRunner().invoke(app, ["suite", "paper.toml"], catch_exceptions=False)
    finally:
        fake.close()
    assert done.exit_code == 0, done.output
    rows = rows_of(read_suite("paper.toml"))
    solved = [result.correct.tolist() for row in rows for result in load_results(row.cell.out)]
    assert [len(verdicts) for verdicts in solved] == [4, 4, 4]
    assert {verdict for verdicts in solved for verdict in verdicts} == {0.0, 1.0}
    page = (tmp_path / "runs" / "page.html").read_text(encoding="utf-8")
    assert "+0.040" in page
    assert "Families of the paper without figures here: bigcodebench, livecodebench, synlogic, tau2." in page
