"""``ec-agent score`` names the signal it goes by, and the one that would do where candidates are missing."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ec_agent.cli.app import app
from ec_agent.numbers.coverage import MIN_COVERAGE

ENTRY = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "answers.jsonl"
    choices = [{"index": 0, "message": {"content": "aaa"}, "logprobs": {"content": [ENTRY] * 3}}]
    lines = [json.dumps({"id": f"c{n}", "object": "chat.completion", "choices": choices}) for n in range(2)]
    path.write_text("\n".join(lines))
    return str(path)


def test_where_only_sampled_logprobs_are_there_the_option_is_named(saved):
    done = CliRunner().invoke(app, ["score", saved])
    assert done.exit_code != 0
    assert "--signal surprisal" in " ".join((str(done.exception) + done.output).split())


def test_the_heading_names_the_signal(saved):
    done = CliRunner().invoke(app, ["score", "--signal", "surprisal", saved])
    assert done.exit_code == 0
    assert "lowest surprisal centroid" in done.output
    assert "coverage" in done.output


def test_the_default_coverage_is_the_one_of_everything_else():
    (option,) = (each for each in app.commands["score"].params if each.name == "min_coverage")
    assert option.default == MIN_COVERAGE
