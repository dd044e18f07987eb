"""``ec-agent suite`` from its costs to its page, on a server that answers as told; stopped and continued."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_openai import MODEL, Answer, FakeOpenAI
from published import COMPILED, needs

from ec_agent.cli.app import app
from ec_agent.evaluation.stored_results import load_results
from ec_agent.evaluation.suite import reported
from ec_agent.evaluation.suite.comparison import mean_of, rows_of
from ec_agent.evaluation.suite.config import read_suite

needs("reasoning_gym", why=COMPILED)

ROOT = Path(__file__).parents[2]
TASKS = [{"id": str(n), "input": f"What is {n} + {n}?", "expected": str(2 * n)} for n in range(1, 4)]
SUITE = """
folder = "runs"
agent = "my_suite_agents:make"

[run]
n = 3
temperature = 0.7
max_tokens = 100

[[models]]
name = "{model}"
base_url = "{url}"
arguments = {{ top_p = 0.95, top_logprobs = 10 }}

[[families]]
tasks = "tasks.jsonl"
name = "doubles"
reported = 0.02

[[families]]
tasks = "reasoning_gym:chain_sum"
limit = 2
options = {{ min_terms = 2, max_terms = 2 }}
run = {{ greedy = false }}
"""
AGENTS = """
def make(model):
    return lambda state: {"messages": [model.invoke(state["messages"])]}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_suite_agents.py").write_text(AGENTS)
    (tmp_path / "tasks.jsonl").write_text("".join(f"{json.dumps(task)}\n" for task in TASKS))
    return tmp_path


@pytest.fixture
def server(home):
    """Right in every other answer; the surer the later it comes."""
    numbers = itertools.count()

    def answer(body):
        number, text = next(numbers), str(body["messages"][-1]["content"])
        n = re.search(r"What is (\d+) \+ \1\?", text)
        right = str(2 * int(n[1])) if n else "7"
        return Answer(
            text=right if number % 2 else "no", entropies=[0.1 * ((number * 7 + k * k) % 11) for k in range(9)]
        )

    fake = FakeOpenAI(otherwise=answer)
    (home / "suite.toml").write_text(SUITE.format(model=MODEL, url=fake.url))
    yield fake
    fake.close()


def run(*words):
    return CliRunner().invoke(app, ["suite", *words], catch_exceptions=False, env={"COLUMNS": "140"})


def flat(text):
    return re.sub(r"\s+", " ", text)


def test_costs_first_and_nothing_else(home, server):
    done = run("suite.toml", "--dry-run")
    assert done.exit_code == 0, done.output
    said = flat(done.output)
    assert re.search(rf"doubles {MODEL} 3 12 >= 12 >= \d+ 1,200 ", said)  # 3 rollouts and a greedy one, a call each
    assert re.search(rf"reasoning_gym {MODEL} 2 6 >= 6 >= \d+ 600 ", said)
    assert re.search(r"all 18 >= 18 >= \d+ 1,800 ", said)  # at most 100 tokens a rollout
    assert server.asked == []
    assert not (home / "runs").exists()


def test_from_the_costs_to_the_page_and_nothing_twice(home, server):
    done = run("suite.toml")
    assert done.exit_code == 0, done.output
    assert done.output.index("generated, at most") < done.output.index("rollouts each")
    page = (home / "runs" / "page.html").read_text(encoding="utf-8")
    for text in (
        "Beside the paper",
        "+0.053",
        "+0.101",
        "+0.020",
        "<td>not stated</td>",
        "we know no figure of the authors",
    ):
        assert text in page
    assert "Families of the paper without figures here: aime2025, minerva, bigcodebench" in page
    bodies = server.bodies()
    asked = [body for body in bodies if body.get("max_tokens") != 16 and "Say yes." not in str(body)]
    assert len(asked) == 12 + 6
    assert {body["top_logprobs"] for body in asked} == {10}
    assert {body["top_p"] for body in asked} == {0.95}
    assert sorted({body["temperature"] for body in asked}) == [0, 0.7]
    again = run("suite.toml")
    assert again.exit_code == 0
    assert "12 of 12 rollouts are there already" in again.output
    assert len(server.bodies()) == len(bodies)


@pytest.mark.whole_form("it runs the suite once more")
def test_what_was_stopped_goes_on(home, server):
    (home / "suite.toml").write_text(
        (home / "suite.toml")
        .read_text()
        .replace("max_tokens = 100", "max_tokens = 100\ncall_budget = 5\nconcurrency = 1")
    )
    done = run("suite.toml")
    assert done.exit_code == 3, done.output
    rows = rows_of(read_suite("suite.toml"))
    assert [row.cell.family.name for row in rows] == ["doubles", "reasoning_gym"]
    assert rows[0].unfinished == 2
    (home / "suite.toml").write_text((home / "suite.toml").read_text().replace("call_budget = 5\n", ""))
    done = run("suite.toml")
    assert done.exit_code == 0, done.output
    assert [len(load_results(row.cell.out)) for row in rows] == [3, 2]


def test_the_page_alone(home, server):
    done = run("suite.toml", "--page-only")
    assert done.exit_code == 0, done.output
    assert server.asked == []
    page = (home / "runs" / "page.html").read_text(encoding="utf-8")
    assert "No run has figures yet." in page
    assert page.count("not run yet") == 2


@pytest.mark.whole_form("it runs the suite once more")
def test_the_mean_is_over_runs(home, server):
    assert run("suite.toml").exit_code == 0
    rows = rows_of(read_suite("suite.toml"))
    mean = mean_of(rows)
    gains = [row.gain.value for row in rows]
    assert mean.gain.value == pytest.approx(sum(gains) / 2)
    assert (mean.most, mean.runs) == (max(gains), 2)
    assert mean_of(rows[:1]).gain.value == pytest.approx(gains[0])
    assert mean_of([]) is None


@pytest.mark.parametrize(
    ("written", "instead", "match"),
    [
        ("my_suite_agents:make", "my_suite_agents:nobody", "nobody"),
        ("reasoning_gym:chain_sum", "reasoning_gym:no_such", "has no data set 'no_such'"),
        ("min_terms", "colour", "takes other settings"),
        ("tasks.jsonl", "livecodebench", "comes in no package"),
        ("n = 3", "n = 0", "n is 0"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(home, server, written, instead, match):
    (home / "suite.toml").write_text((home / "suite.toml").read_text().replace(written, instead))
    done = CliRunner().invoke(app, ["suite", "suite.toml"])
    assert done.exit_code == 1
    assert match in flat(f"{done.output} {done.exception}")
    assert server.asked == []


def test_the_papers_figures_are_those_that_pages_state():
    def page(name: str) -> str:
        return " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split())  # wherever its lines are broken

    gain = f"report {100 * reported.MEAN_GAIN:+.1f} points over Pass@1 on average"
    assert gain in page("results.md")
    assert f"{gain} and {100 * reported.MOST_GAIN:+.1f} at most" in page("paper.md")


def test_a_suite_that_should_run_nothing_in_two_ways_is_asked_which():
    done = CliRunner().invoke(app, ["suite", "suite.toml", "--dry-run", "--page-only"])
    assert done.exit_code == 2
    assert "give one of them" in done.stderr
