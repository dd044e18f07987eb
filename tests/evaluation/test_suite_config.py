"""The file of a suite: what it says, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ec_agent.errors import ConfigError
from ec_agent.evaluation.suite.config import DEFAULT_AGENT, read_suite

WHOLE = """
folder = "{folder}/runs"
agent = "my_agents:make"

[run]
n = 2
temperature = 0.7
greedy = false

[[models]]
name = "org/small"
base_url = "http://127.0.0.1:1/v1"
arguments = {{ top_p = 0.95, top_logprobs = 10 }}

[[models]]
name = "large"
base_url = "http://127.0.0.1:2/v1"
tools = "hermes"

[[families]]
tasks = "sums"
limit = 3
options = {{ steps = 2 }}
reported = 0.05

[[families]]
tasks = "long"
name = "weights"
arguments = {{ top_logprobs = 20 }}
run = {{ temperature = 1.0 }}
"""


def read(folder, text):
    (folder / "suite.toml").write_text(text.format(folder=folder.as_posix()), encoding="utf-8")
    return read_suite(folder / "suite.toml")


def test_every_family_with_every_model(tmp_path):
    suite = read(tmp_path, WHOLE)
    assert (suite.agent, suite.page) == ("my_agents:make", tmp_path / "runs" / "page.html")
    assert [(cell.family.name, cell.model.name, cell.out.name) for cell in suite.cells] == [
        ("sums", "org/small", "sums-org-small.db"),
        ("weights", "org/small", "weights-org-small.db"),
        ("sums", "large", "sums-large.db"),
        ("weights", "large", "weights-large.db"),
    ]
    sums, weights, large, _ = suite.cells
    assert (sums.settings.n, sums.settings.temperature, sums.settings.greedy) == (2, 0.7, False)
    assert weights.settings.temperature == 1.0
    assert sums.model.arguments == {"top_p": 0.95, "top_logprobs": 10}
    assert weights.model.arguments == {"top_p": 0.95, "top_logprobs": 20}
    assert (large.model.tools, large.model.arguments) == ("hermes", {})
    assert (sums.family.limit, sums.family.options, sums.family.reported) == (3, {"steps": 2}, 0.05)


def test_what_may_be_left_out(tmp_path):
    text = '[[models]]\nname = "m"\nbase_url = "http://127.0.0.1:1/v1"\n[[families]]\ntasks = "sums"\n'
    suite = read(tmp_path, text)
    assert (suite.agent, suite.page) == (DEFAULT_AGENT, Path("runs/suite/page.html"))
    assert [cell.settings.n for cell in suite.cells] == [8]


MODELS = '[[models]]\nname = "m"\nbase_url = "http://127.0.0.1:1/v1"\n'
FAMILIES = '[[families]]\ntasks = "sums"\n'


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("n = ", "cannot read .*suite.toml"),
        ("", r"there are no models; write one \[\[models\]\] or more"),
        (MODELS, r"there are no families; write one \[\[families\]\] or more"),
        ("models = 3\n" + FAMILIES, "there are no models"),
        ('models = ["m"]\n' + FAMILIES, "models, number 1 is 'm'; write a table"),
        ("speed = 1\n" + MODELS + FAMILIES, "the file has an unknown 'speed'; it may have folder, agent"),
        ("[run]\nspeed = 1\n" + MODELS + FAMILIES, "run has an unknown 'speed'"),
        ("[run]\nn = 0\n" + MODELS + FAMILIES, "n is 0"),
        (MODELS + "speed = 1\n" + FAMILIES, "models, number 1 has an unknown 'speed'"),
        ("[[models]]\nbase_url = 'http://127.0.0.1:1'\n" + FAMILIES, "models, number 1 has no name"),
        (MODELS + "arguments = 1\n" + FAMILIES, "arguments of models, number 1 is 1"),
        (MODELS + "arguments = {{temperature = 1.0}}\n" + FAMILIES, "temperature is set by --temperature"),
        (MODELS + "[[families]]\nname = 'a'\n", "families, number 1 has no tasks"),
        (MODELS + FAMILIES + "speed = 1\n", "families, number 1 has an unknown 'speed'"),
        (MODELS + FAMILIES + "limit = 0\n", "limit is 0"),
        (MODELS + FAMILIES + "options = 3\n", "options of families, number 1 is 3"),
        (MODELS + FAMILIES + "run = {{speed = 1}}\n", "run of families, number 1 has an unknown 'speed'"),
        (MODELS + FAMILIES + "reported = 'much'\n", "reported"),
        (MODELS + FAMILIES + "reported = 5.3\n", "reported"),
        (MODELS + FAMILIES + FAMILIES, "two runs would be stored in .*sums-m.db"),
        ("agent = 3\n" + MODELS + FAMILIES, "agent is 3"),
    ],
)
def test_a_wrong_file(tmp_path, text, match):
    with pytest.raises(ConfigError, match=match) as told:
        read(tmp_path, text)
    assert "suite.toml" in str(told.value)


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.toml"):
        read_suite(tmp_path / "nowhere.toml")
