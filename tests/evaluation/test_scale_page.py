"""The job arrays of docs/scale.md are run as a scheduler runs them, but that `ec-agent` is started by the test."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import astuple
from uuid import uuid4

import pytest
import yaml
from click.testing import CliRunner
from pages_kit import blocks_of

from ec_agent import TraceStore
from ec_agent.cli.app import app

PAGE = "docs/scale.md"
MODULE = """
from langchain.agents import create_agent
from ec_agent.testing import Reply, ScriptedChatModel

agent = create_agent(ScriptedChatModel(lambda messages, index: Reply("391", entropies=[0.5, 0.1 * (index % 5)])), [])
"""
TASKS = [f"task {number}" for number in range(20)]  # more than there are shards

pytestmark = pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")


def block(language, holding):
    (found,) = [each.text for each in blocks_of(PAGE) if each.language == language and holding in each.text]
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the job is: the agent, the tasks, and an `ec-agent` that writes its words down."""
    (tmp_path / "my_module.py").write_text(MODULE)
    lines = [{"id": task, "input": "17 * 23?", "expected": "391", "match": "contains"} for task in TASKS]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, lines)))
    command = tmp_path / "bin" / "ec-agent"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done >> words\necho >> words\n')
    command.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def started(folder, command, **variables):
    """The words with which the command starts `ec-agent`, of which there must be one start."""
    paths = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command, env={**os.environ, **paths, **variables}, cwd=folder, check=True, timeout=60)
    (folder / "words").rename(folder / "read")
    (words, rest) = (folder / "read").read_text().split("\n\n")
    assert rest == ""
    return words.splitlines()


def run(*words):
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.output


def test_the_slurm_array(folder):
    script = folder / "eval.sbatch"
    script.write_text(block("sh", "#SBATCH"))
    (array,) = [
        line.partition("=")[2] for line in script.read_text().splitlines() if line.startswith("#SBATCH --array")
    ]
    assert array == "1-16"
    all_words = [
        started(folder, [shell, str(script)], SLURM_ARRAY_TASK_ID=str(number))
        for number, shell in [(number, "bash" if number % 2 else "sh") for number in range(1, 17)]
    ]
    assert len({words[words.index("--out") + 1] for words in all_words}) == 16
    shortened = [["2" if word == "16" else word for word in words] for words in all_words]  # --n 2, else as it is
    for words in shortened[:2]:
        assert f"of 20 (shard {words[words.index('--shard') + 1]})" in run(*words)
    merge = shlex.split(next(line for line in block("bash", "merge").splitlines() if "merge" in line))
    files = [str(path) for path in sorted((folder / "shards").glob("*.db"))]
    assert merge[3] == "shards/*.db"
    told = run(*merge[1:3], *files, *merge[4:])
    assert "rollouts and 0 selections of 2 stores added to results.db; 0 were there already" in told
    assert " of 20 tasks lack rollouts: 'task " in told
    with TraceStore("results.db") as store:
        assert list(store.tasks()) == TASKS
        tasks = {task for task, _, _ in map(astuple, store.keys())}
        assert len(tasks) * 3 == len(store.keys()) >= 6
    assert "0 rollouts and 0 selections" in run(*merge[1:3], *files, *merge[4:])


def test_the_kubernetes_job(folder, postgres):
    job = yaml.safe_load(block("yaml", "kind: Job"))
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert spec["template"]["spec"]["restartPolicy"] in ("Never", "OnFailure")
    (container,) = spec["template"]["spec"]["containers"]
    command = [*container["command"], *container["args"]]
    words = [started(folder, command, JOB_COMPLETION_INDEX=str(i)) for i in range(spec["completions"])]
    shards = [each[each.index("--shard") + 1] for each in words]
    assert shards == [f"{i}/{spec['completions']}" for i in range(1, spec["completions"] + 1)]
    url = f"{postgres}&schema=k_{uuid4().hex}"
    for each in words[:2]:
        out, n = each.index("--out") + 1, each.index("--n") + 1
        assert each[out].startswith("postgresql://")
        run(*each[:n], "2", *each[n + 1 : out], url, *each[out + 1 :])
    with TraceStore(url) as store:
        assert list(store.tasks()) == TASKS
        tasks = {task for task, _, _ in map(astuple, store.keys())}
        assert len(tasks) * 3 == len(store.keys()) >= 6
