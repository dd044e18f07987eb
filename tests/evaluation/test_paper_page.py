"""The commands of docs/paper.md, on small made files in place of the data sets."""

from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner
from pages_kit import ROOT, blocks_of, commands_in
from published import jsonl

from ec_agent.cli.app import app
from ec_agent.evaluation.adapters import SOURCES
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
