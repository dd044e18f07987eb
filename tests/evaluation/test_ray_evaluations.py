"""Evaluations on a Ray cluster of this machine: what is stored is what one process stores, whoever dies meanwhile."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import ray_agents
from click.testing import CliRunner
from eval_fakes import contents, rollouts, tasks
from pages_kit import blocks_of
from ray_questions_killed import told

from ec_agent.cli.app import app
from ec_agent.engines import RayEngine
from ec_agent.engines.ray import _Connection
from ec_agent.errors import ConfigError, EvaluationError, UndeclaredToolWarning
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import evaluate
from ec_agent.stopping import Agreement
from ec_agent.traces.sql.store import TraceStore
from ec_agent.traces.stored import Key

HERE = Path(__file__).parent
SETTINGS = RunSettings(n=4, seed=5)


@pytest.fixture
def engine(ray_cluster):
    """One worker of four rollouts, which is quick to start."""
    return RayEngine(address=ray_cluster, workers=1, per_worker=4)


def seeds(task, numbers, settings=SETTINGS):
    return [settings.seed_of(Key(task, "sample", number)) for number in numbers]


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_a_worker_that_is_killed_changes_no_bit_and_doubles_nothing(ray_cluster, tmp_path):
    deadly = [ray_agents.Deadly(f"task {place}", once=str(tmp_path)) for place in range(5)]
    deadly[2].kills = seeds("task 2", [1])
    told, events = [], []
    report = evaluate(
        deadly,
        "ray_agents:killing",
        tmp_path / "ray.db",
        SETTINGS,
        engine=RayEngine(address=ray_cluster, workers=2, per_worker=4),
        on_progress=told.append,
        on_event=lambda key, event: events.append((key, event["type"])),
    )
    evaluate(deadly, "ray_agents:killing", tmp_path / "here.db", SETTINGS)  # it has killed once, and does not again
    assert contents(tmp_path / "ray.db") == contents(tmp_path / "here.db")
    assert report.stored == report.total == 25
    assert [progress.stored for progress in told] == list(range(26))
    assert report.lost.workers == 1
    assert 1 <= report.lost.rollouts <= 4
    assert told[-1].lost == report.lost
    assert {key for key, kind in events if kind == "ec_agent.rollout.finished"} == {row[0] for row in told_keys(told)}


def told_keys(told):
    return [(progress.last.key,) for progress in told if progress.last is not None]


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_budgets_and_stopping_plans_are_as_on_one_machine(engine, tmp_path):
    plan = {"n": 6, "seed": 5, "stop": Agreement(waves=(2, 2), threshold=0.6), "concurrency": 4}
    report = evaluate(
        tasks(4), "ray_agents:agent", tmp_path / "ray.db", RunSettings(**plan, call_budget=12), engine=engine
    )
    assert not report.finished
    assert 12 <= report.costs["model_calls"] <= 12 + 2 * 4
    before = {rollout.seed: rollout.started for rollout in rollouts(tmp_path / "ray.db")}
    report = evaluate(tasks(4), "ray_agents:agent", tmp_path / "ray.db", RunSettings(**plan), engine=engine)
    here = evaluate(tasks(4), "ray_agents:agent", tmp_path / "here.db", RunSettings(**plan))
    assert contents(tmp_path / "ray.db") == contents(tmp_path / "here.db")
    assert report.finished
    assert report.total == here.total < 4 * 7
    after = {rollout.seed: rollout.started for rollout in rollouts(tmp_path / "ray.db")}
    assert before.items() <= after.items()


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_a_rollout_that_kills_its_workers_fails_and_no_other_does(engine, tmp_path):
    deadly = [ray_agents.Deadly(f"task {place}") for place in range(3)]
    deadly[1].kills = seeds("task 1", [2])
    report = evaluate(deadly, "ray_agents:killing", tmp_path / "ray.db", SETTINGS, engine=engine)
    assert report.finished
    assert report.lost.workers == 3
    harmless = [ray_agents.Deadly(f"task {place}") for place in range(3)]
    evaluate(harmless, "ray_agents:killing", tmp_path / "here.db", SETTINGS)
    (failed,) = [row for row in contents(tmp_path / "ray.db") if "WorkerLostError" in (row[4] or "")]
    assert failed[0] == Key("task 1", "sample", 2)
    assert "died each of the 3 times that it ran, the last time with nothing else on that worker" in failed[4]
    rest = [row for row in contents(tmp_path / "ray.db") if row[0] != failed[0]]
    assert rest == [row for row in contents(tmp_path / "here.db") if row[0] != failed[0]]


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_what_tasks_and_agents_raise_on_workers_is_said_as_here(engine, tmp_path):
    for agent, asked in (("ray_agents:agent", [ray_agents.Failing("task 0")]), ("ray_agents:ending", tasks(1))):
        said = []
        for where, place in ((None, "here.db"), (engine, "ray.db")):
            with pytest.raises(EvaluationError) as caught:
                evaluate(asked, agent, tmp_path / f"{agent[-1]}-{place}", RunSettings(n=1, greedy=False), engine=where)
            said.append(str(caught.value))
        assert said[0] == said[1]


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_warnings_of_workers_reach_the_caller(engine, tmp_path):
    with pytest.warns(UndeclaredToolWarning, match="undeclared tools ran in several rollouts: undeclared") as given:
        evaluate(tasks(1), "ray_agents:using_tools", tmp_path / "ray.db", RunSettings(n=3), engine=engine)
    assert len([each for each in given if each.category is UndeclaredToolWarning]) == 1


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_workers_with_another_model_are_refused_before_any_rollout(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("EC_AGENT_MODEL", "another")
    with pytest.raises(ConfigError, match="EC_AGENT_MODEL is not there there, and another here"):
        evaluate(tasks(1), "ray_agents:agent", tmp_path / "ray.db", engine=engine)
    with TraceStore(tmp_path / "ray.db") as store:
        assert not store.keys()


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_what_cannot_be_sent_or_has_no_room_is_refused(ray_cluster, tmp_path):
    class Held(ray_agents.Right):
        lock = None

    held = Held("a")
    held.lock = threading.Lock()
    engine = RayEngine(address=ray_cluster, workers=1)
    with pytest.raises(ConfigError, match=r"cannot be sent to the workers .TypeError: .*lock.*; keep open files"):
        evaluate([held], "ray_agents:agent", tmp_path / "ray.db", engine=engine)
    engine = RayEngine(address=ray_cluster, workers=1, resources={"no such thing": 1}, wait=1)
    with pytest.raises(ConfigError, match="0 of 1 workers had started after 1 s; the cluster has 4 CPU"):
        evaluate(tasks(1), "ray_agents:agent", tmp_path / "other.db", engine=engine)


class Driver:
    """`ec-agent eval --engine ray` in a process of its own.

    It is ended in the middle of a run, and the same command goes on.
    """

    def __init__(self, home, address, *words):
        self.home, self.out = home, home / "ray.db"
        self.words = [
            sys.executable,
            "-m",
            "ec_agent.cli",
            "eval",
            *words,
            "--n",
            "4",
            "--seed",
            "5",
            "--out",
            "ray.db",
        ]
        self.words += ["--engine", "ray", "--workers", "1", "--per-worker", "4"]
        self.words += ["--address", address] if address else []
        paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
        self.env = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"}

    def start(self):
        pipe = subprocess.PIPE
        return subprocess.Popen(self.words, cwd=self.home, env=self.env, stdout=pipe, stderr=pipe, text=True)

    def ended_by(self, number):
        """The exit status, what was printed, and the rollouts that were stored, of a run that is ended by a signal."""
        process, until = self.start(), time.monotonic() + 200
        while len(self.keys()) < 4 and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        out, errors = process.communicate(timeout=60)
        return process.returncode, out + errors, self.keys()

    def to_its_end(self):
        out, errors = (process := self.start()).communicate(timeout=400)
        if "a local Ray cluster cannot be started" in errors:
            pytest.skip(errors)
        assert process.returncode == 0, errors
        return out

    def keys(self):
        if not self.out.exists() or not self.out.stat().st_size:
            return set()
        with TraceStore(self.out, create=True) as store:
            return store.keys()


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_a_driver_that_is_killed_or_stopped_goes_on_where_it_was(ray_cluster, tmp_path):
    driver = Driver(tmp_path, ray_cluster, "ray_agents:worlds", "--agent", "ray_agents:slow")
    status, _, killed = driver.ended_by(signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert 4 <= len(killed) < 20
    started = {rollout.key: rollout.started for rollout in rollouts(driver.out)}
    for mark in tmp_path.glob("*.world"):  # nobody could leave these
        mark.unlink()
    said = driver.to_its_end()
    assert f"{len(killed)} of 20 rollouts are there already" in said
    assert f"on Ray ({ray_cluster}), 1 worker of 4 rollouts at once" in said
    assert started.items() <= {rollout.key: rollout.started for rollout in rollouts(driver.out)}.items()
    evaluate(ray_agents.worlds, "ray_agents:slow", tmp_path / "here.db", SETTINGS)
    assert contents(driver.out) == contents(tmp_path / "here.db")


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_ctrl_c_leaves_the_worlds_on_the_workers(ray_cluster, tmp_path):
    driver = Driver(tmp_path, ray_cluster, "ray_agents:worlds", "--agent", "ray_agents:slow")
    status, said, stored = driver.ended_by(signal.SIGINT)
    assert status == 130, said
    assert f"stopped; {len(stored)} rollouts are in ray.db, and the same command goes on from there" in said
    assert not list(tmp_path.glob("*.world"))


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_one_command_starts_a_cluster_and_ends_it(ray_cluster, tmp_path, monkeypatch):
    driver = Driver(tmp_path, None, "ray_agents:worlds", "--agent", "ray_agents:agent", "--limit", "1")
    assert "on Ray (here)" in driver.to_its_end()
    assert len(driver.keys()) == 5


@pytest.mark.whole_form("questions on Ray are in the short form, and the pool's kills; it takes seconds to start")
def test_what_the_page_says_runs(ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("my_module.py").write_text("from ray_agents import agent")
    Path("tasks.jsonl").write_text('{"id": "a", "input": "?", "expected": "right", "match": "contains"}\n')
    shell, python = (
        next(each.text for each in blocks_of("docs/scale.md") if each.language == language and "engine" in each.text)
        for language in ("bash", "python")
    )
    (command,) = [line for line in shell.splitlines() if line.startswith("ec-agent")]
    words = shlex.split(command.replace("--n 16", "--n 2").replace("--workers 4", "--workers 1"))
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, done.output
    with TraceStore("runs/tasks-my_module-agent.db") as store:
        assert len(store.keys()) == 3
    exec(python.replace("n=16", "n=2").replace("workers=4", "workers=1"), {"tasks": tasks(1)})
    with TraceStore("results.db") as store:
        assert len(store.keys()) == 3


def test_a_cluster_that_wants_a_token_is_told_from_one_that_is_not_there():
    refused = ConnectionError("Failed to connect")
    refused.__cause__ = RuntimeError("No GCS. Traceback:\n ...\nray.exceptions.AuthenticationError: InvalidAuthToken")
    said = str(_Connection(RayEngine(address="10.0.0.1:6379"))._refused(refused))
    assert said.startswith("the Ray cluster 10.0.0.1:6379 wants a token (Failed to connect: ray.exceptions.Auth")
    assert "Set RAY_AUTH_MODE=token" in said


def test_a_cluster_that_cannot_be_had_is_named_with_its_cause():
    gone = ConnectionError("Failed to connect")
    gone.__cause__ = TimeoutError("no answer in 5 s")
    said = str(_Connection(RayEngine(address="10.0.0.1:6379"))._refused(gone))
    assert said.startswith("the Ray cluster 10.0.0.1:6379 cannot be used (Failed to connect: no answer in 5 s); see")


QUESTION = ["did 0 send 0", "did 0 pay 1", "answered 0 answer 2"]
ANOTHER = ["call 1 2 0 node 7", "did 1 send 0", "call 1 2 0 node 8", "uncertain 1"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([*QUESTION, "did 0 pay 1", *ANOTHER], "committed twice: .*'0', 'pay 1'"),
        (QUESTION, "1 of 2 questions have an end"),
        (["did 0 send 0", "answered 0 answer 2", *ANOTHER], "question 0: .*send 0"),
        ([*QUESTION[:2], "answered 0 answer 1", *ANOTHER], "question 0: .*answer 1"),
        ([*QUESTION, "did 1 send 2", *ANOTHER[2:], "answered 1 answer 2"], "question 1: .*send 2"),
    ],
)
def test_the_long_form_sees_what_questions_on_killed_workers_did_wrong(lines, said):
    right = told([line.split() for line in [*QUESTION, *ANOTHER]], 2)
    assert right == {"questions answered": 1, "left uncertain": 1, "commits": 3, "begun again": 1}
    with pytest.raises(AssertionError, match=said):
        told([line.split() for line in lines], 2)
