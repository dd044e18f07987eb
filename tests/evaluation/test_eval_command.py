"""``ec-agent eval`` as a user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_here import ran_here
from click.testing import CliRunner
from eval_fakes import contents
from rich.console import Console

from ec_agent.cli.app import app
from ec_agent.cli.eval import default_path, remove
from ec_agent.cli.eval_progress import showing
from ec_agent.errors import EvaluationError, TraceError
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import Progress, evaluate
from ec_agent.evaluation.stored_results import load_results
from ec_agent.evaluation.tasks import BaseTask
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.traces.sql.store import TraceStore

ROOT = Path(__file__).parents[2]

AGENTS = """
import contextlib, pathlib, time, uuid
from eval_fakes import Calls, agent_of, Right

graph = agent_of(Calls())
slow = agent_of(Calls(delay=1.0))

def stuck(state):
    print("asked", flush=True)
    time.sleep(600)

class Wrong(Right):
    def verdict(self, outcome):
        raise RuntimeError("no gold")

wrong = [Wrong("w")]

class Left(Right):
    @contextlib.contextmanager
    def environment(self):
        mark = pathlib.Path(f"{uuid.uuid4()}.world")
        mark.touch()
        yield
        mark.unlink()

worlds = [Left(f"t{place}") for place in range(3)]
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "my_agents.py").write_text(AGENTS)
    lines = [{"id": f"t{place}", "input": f"Question {place}", "expected": "right"} for place in range(3)]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def command(*words):
    return [sys.executable, "-m", "ec_agent.cli", "eval", *words]


def surroundings():
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]), "COLUMNS": "120"}


def run(home, *words, timeout=120):
    return subprocess.run(
        command(*words), cwd=home, env=surroundings(), capture_output=True, text=True, timeout=timeout, check=False
    )


def test_a_run_and_its_repetition(home):
    words = ["questions.jsonl", "--agent", "my_agents:graph", "--n", "4", "--seed", "3"]
    done = run(home, *words)
    assert done.returncode == 0, done.stderr
    assert "3 tasks, 4 rollouts each and one at temperature 0 -> runs/questions-my_agents-graph.db" in done.stdout
    assert "15/15 rollouts" in done.stdout
    path = home / "runs" / "questions-my_agents-graph.db"
    results = load_results(path)
    mean = sum(result.correct.mean() for result in results) / 3
    oracle = sum(result.correct.max() for result in results) / 3
    greedy = sum(result.greedy for result in results) / 3
    assert f"Pass@1 {mean:.3f}; oracle@4 {oracle:.3f}; greedy {greedy:.3f}; 3 tasks" in done.stdout
    failed = sum(row[4] is not None for row in contents(path))
    assert len(re.findall(r"^failed  t\d, ", done.stdout, re.MULTILINE)) == failed
    assert (
        f"{failed} of 15 rollouts failed, and count as not solved (where it was an outage" in done.stdout or not failed
    )
    assert "next: ec-agent report runs/questions-my_agents-graph.db" in done.stdout

    again = ran_here("eval", *words, cwd=home, COLUMNS="120")
    assert again.returncode == 0
    assert "15 of 15 rollouts are there already" in again.stdout
    assert again.stdout.partition("cost:")[2] == done.stdout.partition("cost:")[2]

    other = ran_here("eval", *words[:-2], "--seed", "4", cwd=home)
    assert other.returncode == 1
    assert "seed was 3, and is 4 now" in other.stderr
    fresh = ran_here("eval", *words[:-2], "--seed", "4", "--fresh", "--no-greedy", cwd=home)
    assert fresh.returncode == 0, fresh.stderr
    with TraceStore(path) as store:
        assert (store.settings()["seed"], len(store.keys())) == (4, 12)


@pytest.fixture
def within(home, monkeypatch):
    """The command in this process, which has imported what it needs."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return lambda *words: CliRunner().invoke(app, ["eval", *words])


def test_an_agent_that_changed_under_its_name_is_noticed(home, within):
    (home / "my_prompts.py").write_text("PROMPT = 'one'")
    (home / "my_agents.py").write_text(f"import my_prompts\n{AGENTS}")
    words = ["questions.jsonl", "--agent", "my_agents:graph", "--n", "1", "--out", "a.db", "--no-greedy"]
    assert within(*words).exit_code == 0
    (home / "my_prompts.py").write_text("PROMPT = 'two'")
    refused = within(*words).exception
    assert isinstance(refused, TraceError)
    assert str(refused).startswith("a.db was begun with another agent:\n  file my_prompts.py has changed\n")
    assert "--out" in str(refused)
    assert within(*words, "--same-agent").exit_code == 0
    with TraceStore(home / "a.db") as store:
        assert store.settings()["agent_changes"] == ["file my_prompts.py has changed"]
    assert isinstance(within(*words).exception, TraceError)  # let pass once is not let pass for ever
    (home / "my_prompts.py").write_text("PROMPT = 'one'")
    assert within(*words).exit_code == 0


def test_a_dry_run_runs_nothing(home, within):
    done = within("questions.jsonl", "--agent", "my_agents:stuck", "--n", "4", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "3 tasks, 4 rollouts each and one at temperature 0" in done.output
    one = within("questions.jsonl", "--agent", "my_agents:stuck", "--n", "1", "--limit", "1", "--dry-run")
    assert "1 task, 1 rollout each and one at temperature 0" in one.output
    assert "at least 15 model calls, one a rollout" in done.output
    assert not (home / "runs").exists()


def test_an_endpoint_that_is_not_there_makes_no_file(home, within):
    (home / "my_agents.py").write_text("def make(model):\n    return model")
    words = ["--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--model-arg", "max_retries=0", "--out", "a.db"]
    done = within("questions.jsonl", "--agent", "my_agents:make", *words)
    assert isinstance(done.exception, EvaluationError)
    assert "m at http://127.0.0.1:9/v1 does not answer" in str(done.exception)
    assert not (home / "a.db").exists()


@pytest.mark.parametrize("name", ["token", "call"])
def test_a_budget_has_an_exit_code_of_its_own(within, name):
    words = ["questions.jsonl", "--agent", "my_agents:graph", "--n", "2", "--concurrency", "1", "--out", "a.db"]
    done = within(*words, f"--{name}-budget", "5")
    assert done.exit_code == 3
    said = f"{name} budget 5 is spent; the same command with a larger --{name}-budget goes on from here"
    assert said in " ".join(done.output.split())
    assert within(*words, f"--{name}-budget", "100000").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.jsonl", "--agent", "my_agents:graph"], "cannot read none.jsonl"),
        (["questions.jsonl", "--agent", "my_agents:none"], "my_agents has no none"),
        (["questions.jsonl", "--agent", "my_agents:graph", "--n", "0"], "n is 0"),
        (["questions.jsonl", "--agent", "my_agents:graph", "--tools", "hermes"], "are about the model of --model"),
        (["my_agents:wrong", "--agent", "my_agents:graph"], "task 'w', rollout [0-7]: the task's verdict failed"),
        (["questions.jsonl", "--agent", "my_agents:graph", "--out", "my_agents.py"], "my_agents.py .*trace"),
        (["questions.jsonl", "--agent", "my_agents:graph", "--fresh", "--out", "my_agents.py"], "my_agents.py .*trace"),
    ],
)
def test_errors_are_ours_and_exit_with_1(home, words, said):
    done = ran_here("eval", *words, cwd=home)
    assert done.returncode == 1
    assert re.search(rf"^ec-agent: .*{said}", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback" not in done.stderr
    assert (home / "my_agents.py").read_text() == AGENTS


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.02)


def count(path):
    try:
        with TraceStore(path) as store:
            return len(store.keys())
    except TraceError:  # not made yet
        return 0


def started(home, *words):
    return subprocess.Popen(
        command(*words), cwd=home, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.whole_form("a slow agent in a process; rollouts/test_ctrl_c.py stops an evaluation that goes on")
@pytest.mark.members(1)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_stop_keeps_what_is_stored_leaves_the_worlds_and_the_same_command_goes_on(home, number, code):
    words = ["my_agents:worlds", "--agent", "my_agents:slow", "--n", "3", "--out", "a.db", "--no-greedy"]
    process = started(home, *words)
    wait_for(lambda: count(home / "a.db") >= 3)
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    stored = count(home / "a.db")
    assert process.returncode == code, errors
    assert list(home.glob("*.world")) == []
    assert f"stopped; {stored} rollouts are in a.db, and the same command goes on from there" in out
    assert 3 <= stored < 9
    done = ran_here("eval", *words, cwd=home, COLUMNS="120")
    assert f"{stored} of 9 rollouts are there already" in done.stdout
    assert count(home / "a.db") == 9


@pytest.mark.whole_form("test_live_commands.py has an agent that blocks, too")
def test_ctrl_c_does_not_wait_for_an_agent_that_blocks(home):
    process = started(home, "questions.jsonl", "--agent", "my_agents:stuck", "--n", "1", "--out", "a.db")
    assert any("asked" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


@pytest.mark.whole_form("test_live_commands.py has an agent that blocks, too")
def test_a_call_that_blocks_for_ever_does_not_keep_the_command(home):
    words = ["--agent", "my_agents:stuck", "--n", "2", "--limit", "2", "--timeout", "0.5", "--out", "a.db"]
    done = run(home, "questions.jsonl", *words, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "6 x RolloutTimeoutError: the rollout took longer than 0.5 s" in done.stdout
    assert re.search(r"[1-6] calls of rollouts over their time still ran, and were left", done.stdout)


def test_a_terminal_shows_a_bar_with_the_time_left(capsys):
    console = Console(force_terminal=True, width=100)
    with showing(console) as show:
        show(Progress(0, 4, 0))
        show(Progress(4, 4, 90))
    said = capsys.readouterr().out
    assert "4/4" in said
    assert "90 tokens" in said
    assert "left" in said


SAMPLED = {"content": [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}]}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply("right", tokens=3), "the model returned no logprobs"),
        (Reply("right", tokens=1, logprobs=SAMPLED), "logprobs of the sampled tokens came alone"),
        (None, "no LLM call was seen"),
        (Reply("right", entropies=[0.1]), None),
    ],
)
def test_missing_logprobs_are_told_at_the_first_rollout_and_once(tmp_path, capsys, reply, words):
    model = ScriptedChatModel(lambda messages, index: reply)

    def agent(state):
        return {"messages": [model.invoke(state["messages"])]} if reply else {"answer": "no model made this"}

    class Anything(BaseTask):
        def verdict(self, outcome):
            return True

    asked = [Anything(f"task {place}", "?") for place in range(2)]
    with showing(Console(width=400)) as show:
        evaluate(asked, agent, tmp_path / "a.db", RunSettings(n=2, concurrency=1), on_progress=show)
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note")]
    assert len(notes) == (words is not None)
    assert all(note.startswith(f"note  task 0, rollout 0: {words}") for note in notes)


def test_the_default_file_is_named_after_tasks_and_agent():
    assert str(default_path("data/q a.jsonl", "my.mod:graph")) == "runs/q-a-my.mod-graph.db"
    assert str(default_path("bfcl:simple", "m:g")) == "runs/bfcl-simple-m-g.db"


def test_nothing_but_a_trace_file_is_removed(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("mine")
    with pytest.raises(TraceError):
        remove(text)
    assert text.read_text() == "mine"
    remove(tmp_path / "none.db")
    TraceStore(tmp_path / "a.db", create=True).close()
    remove(tmp_path / "a.db")
    assert not (tmp_path / "a.db").exists()
    (tmp_path / "a.db").touch()
    remove(tmp_path / "a.db")
    assert not (tmp_path / "a.db").exists()


def test_help_loads_nothing_heavy():
    probe = (
        "import sys\nfrom ec_agent.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('numpy', 'pydantic', 'langgraph', 'openai') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, "eval", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")
    assert "--token-budget" in done.stdout


@pytest.mark.whole_form("the real model through the command; test_own_endpoint.py has one such run")
@pytest.mark.model
def test_a_run_on_the_real_model_is_seeded_and_seen(tmp_path):
    """Two tasks of two rollouts and a greedy one on the demo's agent: seeds reach the model, every call is seen."""
    lines = [
        {"id": "mugs", "input": "Parcel: 3 mugs", "expected": 2.31, "match": "number"},
        {"id": "lamps", "input": "Parcel: 2 lamps", "expected": "5.29", "match": "contains"},
    ]
    tasks = tmp_path / "parcels.jsonl"
    tasks.write_text("\n".join(map(json.dumps, lines)))
    path = tmp_path / "run.db"
    words = [str(tasks), "--agent", "graphs.agent:agent", "--n", "2", "--concurrency", "2", "--out", str(path)]
    done = run(ROOT, *words, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "could not be set on" not in done.stdout
    for result in load_results(path):
        for candidate in result.candidates:
            assert candidate.error is None
            assert candidate.trajectory.coverage == 1.0
            assert len(candidate.trajectory.calls) >= 2
