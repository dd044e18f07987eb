"""The one command of docs/evaluation.md that measures the method on a model of the user's own, on a real server.

The embedded model, served as an ordinary OpenAI endpoint with one slot of 8,192 tokens, stands in for theirs.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from ec_agent.cli.app import app
from ec_agent.evaluation.stored_results import load_results
from ec_agent.local import LocalServer
from ec_agent.traces.sql.store import TraceStore

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")

# Natively this model is not told of its tools, so that its prompts are short. In the text they are: three of BFCL's,
# for all 31 make 4,500 tokens, which take this model a minute to read.
FEW_TOOLS = """
from ec_agent.evaluation.adapters import load

def tasks():
    (task,) = load("bfcl:multi_turn", 1)
    task.tools = task.tools[:3]
    return [task]
"""


@pytest.fixture(scope="module")
def endpoint():
    with LocalServer(n_parallel=1, n_ctx=8192) as server:
        yield server


def command_of_the_page():
    """The words of the command, continuation lines joined."""
    (block,) = [block for block in re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL) if "--base-url" in block]
    command = block.replace("\\\n", " ").splitlines()[0]
    words = shlex.split(command)
    assert words[:3] == ["ec-agent", "eval", "bfcl:multi_turn"]
    return words[1:]


def run(words, folder):
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "EC_AGENT_MODEL"))}
    surroundings = {**bare, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "COLUMNS": "200"}
    command = [sys.executable, "-m", "ec_agent.cli", *words]
    done = subprocess.run(
        command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def put(words, **options):
    """The words with other values for some of the options, and some added."""
    words = list(words)
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if flag in words:
            words[words.index(flag) + 1] = value
        else:
            words += [flag, value]
    return words


def check(path, turns):
    with TraceStore(path) as store:
        settings, (task,) = store.settings(), store.totals()
    assert (task.rollouts, task.failed, task.unsampled_calls) == (2, 0, 0)
    assert settings["agent_about"]["model"] == "SmolLM2-135M-Instruct"
    (result,) = load_results(path)
    for candidate in result.candidates:
        assert len(candidate.trajectory.calls) >= turns
        assert candidate.trajectory.coverage == 1.0
        assert all(call.capability == "full" for call in candidate.trajectory.calls)
    return task


def test_a_slot_has_the_whole_context(endpoint):
    props = httpx2.get(f"{endpoint.base_url.removesuffix('/v1')}/props").json()
    assert props["default_generation_settings"]["n_ctx"] == 8192


def test_the_command_of_the_page(endpoint, tmp_path, monkeypatch):
    words = put(command_of_the_page(), model=endpoint.model, base_url=endpoint.base_url, n="2", limit="1", out="a.db")
    words = [*words, "--no-greedy"]
    words[words.index("--model-arg") + 1] = "max_tokens=8"
    said = run(words, tmp_path)
    assert "prompt tokens, if rollouts go the way of the known solutions" in said
    assert "tool descriptions alone make up to 4,500 tokens of a prompt" in said
    assert "1 task, 2 rollouts each -> a.db" in said
    check(tmp_path / "a.db", turns=4)
    # What is stored is shown without asking anybody.
    endpoint.stop()
    monkeypatch.chdir(tmp_path)
    assert "2 of 2 rollouts are there already" in CliRunner().invoke(app, words).output
    endpoint.start()


@pytest.mark.whole_form("the command of the page is run in the short form")
def test_the_command_runs_with_tools_in_the_text(endpoint, tmp_path):
    (tmp_path / "few_tools.py").write_text(FEW_TOOLS)
    words = put(command_of_the_page(), model=endpoint.model, base_url=endpoint.base_url, n="2", tools="hermes")
    words[1] = "few_tools:tasks"
    words[words.index("--model-arg") + 1] = "max_tokens=8"
    run([*words, "--no-greedy", "--out", "a.db"], tmp_path)
    task = check(tmp_path / "a.db", turns=4)
    assert task.prompt_tokens > 250 * task.model_calls  # the descriptions were read
