"""The commands of docs/paper.md, on small made files in place of the data sets."""

from __future__ import annotations

import shlex

from click.testing import CliRunner
from pages_kit import blocks_of, commands_in
from published import jsonl, needs

from ec_agent.cli.app import app

needs("math_verify")

QUESTIONS = [{"problem": f"What is {n} + {n}?", "answer": str(2 * n), "id": str(n)} for n in (3, 5)]


def commands(start):
    found = [command for block in blocks_of("docs/paper.md") for command in commands_in(block)]
    return [shlex.split(command)[1:] for command in found if command.startswith(start)]


def test_the_costs_are_told_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "aime25.jsonl", QUESTIONS)
    (words,) = commands("ec-agent eval aime2025:")
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "2 tasks, 8 rollouts each and one at temperature 0" in done.output
    assert "about 18 model calls with" in done.output  # 2 questions, 9 rollouts, a call each
    assert list(tmp_path.iterdir()) == [tmp_path / "aime25.jsonl"]
