"""``ec-agent report`` as a user runs it, and what ``ec-agent eval`` shows at its end."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_here import ran_here
from click.testing import CliRunner
from rich.console import Console
from stored_runs import TASKS, stored_run

from ec_agent import best_of_n
from ec_agent.cli.app import app
from ec_agent.cli.eval import compare_selectors
from ec_agent.errors import ConfigError, EcAgentError
from ec_agent.evaluation.stored_results import load_results
from ec_agent.support.extras import installing
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.traces.sql.store import TraceStore

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    return stored_run(tmp_path_factory.mktemp("runs") / "run.db")


def report(*words, width="100"):
    done = CliRunner().invoke(app, ["report", *map(str, words), "--resamples", "199"], env={"COLUMNS": width})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_the_terminal_says_what_was_run_and_found(run_file):
    said = " ".join(report(run_file).split())
    results = load_results(run_file)
    pass_1 = np.mean([result.correct.mean() for result in results])
    assert "6 tasks, 3 rollouts each: 18 rollouts." in said
    assert "Agent mine:graph on tiny-model; temperature 0.8, seed 0; stored in run.db." in said
    assert "Cost: 48 model calls, 240 prompt and 840 generated tokens, 12 s of rollouts." in said
    assert f"Pass@1 {pass_1:.3f} oracle@3" in said
    failed = sum(candidate.error is not None for result in results for candidate in result.candidates)
    assert f"{failed} of 18 rollouts failed and count as wrong" in said
    assert "x ValueError: <b>down</b>" in said
    for name in ("lowest_centroid", "self_certainty", "majority_vote", "greedy", "fewest_calls"):
        assert name in said
    assert "written" not in said


def test_every_file_asked_for_is_written_and_named(run_file, tmp_path):
    page, numbers, rows = tmp_path / "r.html", tmp_path / "r.json", tmp_path / "r.csv"
    said = report(run_file, "--html", page, "--json", numbers, "--csv", rows, "--selectors", "mean_logprob,shortest")
    assert all(f"written: {file}" in said.replace("\n", "") for file in (page, numbers, rows))
    tree = json.loads(numbers.read_text())
    assert [row["name"] for row in tree["summary"]["selectors"]] == ["mean_logprob", "shortest"]
    assert tree["summary"]["resampling"]["resamples"] == 199
    named = [row["name"] for row in csv.DictReader(rows.open())]
    selectors = ["mean_logprob", "shortest"]
    beside = [*tree_names(tree["summary"]["panel"]), *selectors]  # the last are those with the greedy one among the n
    assert named == ["pass@1", "oracle@3", "greedy", *selectors, *beside]
    text = page.read_text()
    assert "&lt;b&gt;down" in text
    assert "<b>down" not in text


def tree_names(rows):
    return [row["name"] for row in rows]


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_a_dash_prints_that_and_nothing_else(run_file, option):
    said = report(run_file, option, "-", "--selectors", "lowest_centroid", "--config", "5,50,3")
    if option == "--json":
        assert json.loads(said)["config"] == {"top_percent": 5.0, "bottom_percent": 50.0, "consecutive_low": 3}
    else:
        assert [row["name"] for row in csv.DictReader(io.StringIO(said))][3] == "lowest_centroid"


def test_a_run_that_is_not_finished_is_reported_where_that_is_asked_for(tmp_path):
    path = stored_run(tmp_path / "half.db", skip=TASKS[4:])
    with pytest.raises(EcAgentError, match="2 of 6 tasks lack rollouts"):
        report(path)
    said = " ".join(report(path, "--partial", "--selectors", "mean_logprob").split())
    assert "2 tasks left out for lack of rollouts" in said
    nothing = stored_run(tmp_path / "none.db", skip=TASKS)
    with pytest.raises(ConfigError, match="repeat the command that began the run"):
        report(nothing, "--partial")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--selectors", "best"], "unknown selector 'best'"),
        (["--config", "1"], "config is '1'"),
        (["--resamples", "3"], "at least 100 resamples"),
        (["--html", "no/such/folder/r.html"], "cannot write no/such/folder/r.html"),
        (["--json", "-", "--csv", "-"], "give each its own file"),
    ],
)
def test_errors_are_ours_and_exit_with_1(run_file, words, said):
    done = ran_here("report", run_file, "--selectors", "mean_logprob", *words, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.startswith("ec-agent: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_none():
    with pytest.raises(EcAgentError, match="there is no file"):
        report("nowhere.db")


def test_help_loads_nothing_heavy():
    probe = (
        "import sys\nfrom ec_agent.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = ('numpy', 'pydantic', 'langgraph', 'scipy', 'matplotlib', 'jinja2')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    words = [sys.executable, "-c", probe, "report", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout.endswith("[]\n")
    assert "--html" in done.stdout


@pytest.mark.whole_form("a process of its own, to see what it imports; test_help.py does so for help")
def test_the_table_alone_needs_neither_jinja_nor_matplotlib(run_file):
    probe = (
        "import sys\nfrom ec_agent.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('matplotlib', 'jinja2') if m in sys.modules])"
    )
    words = [sys.executable, "-c", probe, "report", str(run_file), "--selectors", "mean_logprob", "--resamples", "100"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "mean_logprob" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_eval_ends_with_the_table(run_file):
    console = Console(width=100, file=io.StringIO())
    compare_selectors(run_file, console)
    said = console.file.getvalue()
    for words in ("lowest_centroid", "What may be concluded", "not measured again here", "next: ec-agent report"):
        assert words in said
    assert "Confound panel" not in said


def test_eval_goes_on_where_selectors_cannot_be_compared(run_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    console = Console(width=200, file=io.StringIO())
    compare_selectors(run_file, console)
    said = console.file.getvalue()
    assert f"selectors are not compared: the statistics need scipy; run: {installing('ec-agent[eval]')}" in said
    assert "next: ec-agent report" in said


def test_a_page_of_one_task_has_its_rollouts_alone(run_file, tmp_path):
    page = tmp_path / "task.html"
    done = CliRunner().invoke(app, ["report", str(run_file), "--task", TASKS[2], "--html", str(page)])
    assert done.output == f"written: {page}\n"
    text = page.read_text(encoding="utf-8")
    assert f"<h1><bdi>{TASKS[2]}</bdi></h1>" in text
    assert text.count('<details class="rollout') == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "task 2"], "name a file with --html FILE"),
        (["--task", "nope", "--html", "x.html"], "has no task 'nope'"),
    ],
    ids=["no file", "no task"],
)
def test_a_task_that_cannot_be_drawn(run_file, words, said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["report", str(run_file), *words])
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)


def test_recorded_selections_are_drawn(tmp_path):
    model = ScriptedChatModel([[Reply("late", entropies=[0.1, 0.1, 2.0])], [Reply("early", entropies=[2.0, 0.1, 0.1])]])
    node = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=2, keep_candidates=2)
    with TraceStore(tmp_path / "a.db", create=True) as store:
        store.record(node.run({"messages": [("user", "?")]}), name="first question")
        store.record(node.run({"messages": [("user", "?")]}), name="second question")
        kept = [rollout.trajectory.calls[0].candidates for rollout in store.rollouts(selection=1)]
    assert [len(rows) for rows in kept] == [3, 3]
    page = tmp_path / "a.html"
    for words, pictures in (([], 2), (["--task", "second question"], 0)):
        done = CliRunner().invoke(app, ["report", str(tmp_path / "a.db"), "--html", str(page), *words])
        assert done.output == f"written: {page}\n"
        text = page.read_text(encoding="utf-8")
        assert text.count('<details class="picture"') == pictures
        assert "Rollout 1 won" in text
        assert "second question" in text
    done = CliRunner().invoke(app, ["report", str(tmp_path / "a.db"), "--html", str(page), "--task", "third"])
    assert "has no selection 'third'" in str(done.exception)


def test_stopping_plans_are_replayed(run_file):
    said = report(run_file, "--selectors", "majority_vote,mean_logprob", "--stop", "agreement:2,1", "--stop", "beta")
    assert "What stopping early saves" in said
    assert said.count("agreement:2,1") == said.count("beta ") == 2
    assert "What stopping early saves" not in report(run_file, "--selectors", "mean_logprob")


@pytest.mark.parametrize(
    ("plan", "words"), [("later", "unknown stopping plan"), ("agreement:0", "a wave in waves is 0")]
)
def test_a_stopping_plan_that_there_is_not(run_file, plan, words):
    with pytest.raises(ConfigError, match=words):
        report(run_file, "--stop", plan)
