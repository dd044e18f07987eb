"""What the demo shows while it runs: first what it loads, then each rollout's calls, in a pipe as on a terminal."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console

from ec_agent import best_of_n
from ec_agent.cli import demo
from ec_agent.cli.app import app
from ec_agent.cli.demo_progress import progress
from ec_agent.testing import Reply, ScriptedChatModel


class Written(io.StringIO):
    """What was written before each flush, as who reads a pipe sees it."""

    def __init__(self, terminal=False):
        super().__init__()
        self.terminal, self.seen = terminal, ""

    def isatty(self):
        return self.terminal

    def flush(self):
        self.seen = self.getvalue()


def run_in(file, scripts):
    seen_in_between = []
    model = ScriptedChatModel(scripts)

    def agent(state):
        first = model.invoke(state["messages"])
        seen_in_between.append(file.seen)
        return {"messages": [model.invoke([*state["messages"], first])]}

    console = Console(file=file, width=100, force_terminal=file.terminal or None)
    with progress(console, len(scripts)) as shown:
        best_of_n(agent, n=len(scripts)).run({"messages": [("user", "?")]}, on_event=shown.hear)
    return seen_in_between


def test_in_a_pipe_each_call_is_a_line_as_it_ends():
    file = Written()
    seen = run_in(
        file,
        [
            [Reply(f"one [bold] {each}", entropies=[0.1, each]), Reply(f"two {each}", entropies=[0.3])]
            for each in (0.2, 0.4)
        ],
    )
    assert any("rollout 0  call 1: 2 tokens" in text for text in seen)
    lines = file.seen.splitlines()
    assert sorted(line[:17] for line in lines if "call 2" in line) == ["rollout 0  call 2", "rollout 1  call 2"]
    assert sum("ended: 2 calls, 3 tokens" in line for line in lines) == 2
    assert len(lines) == 6


def test_in_a_pipe_a_failed_rollout_is_told_in_its_own_words():
    file = Written()
    run_in(
        file, [[Reply("a", entropies=[0.1]), Reply("b", entropies=[0.2])], [Reply(error=RuntimeError("no [red] luck"))]]
    )
    (line,) = [line for line in file.seen.splitlines() if "failed" in line]
    assert "rollout 1  failed" in line
    assert "no [red] luck" in line


def test_on_a_terminal_a_bar_says_which_rollouts_run_and_how_far_they_are():
    file = Written(terminal=True)
    run_in(
        file,
        [[Reply(f"one {each}", entropies=[0.1, each]), Reply(f"two {each}", entropies=[0.3])] for each in (0.2, 0.4)],
    )
    assert "rollouts: 4 calls, 6 tokens" in file.getvalue()
    assert "2/2" in file.getvalue()


class Graphs:
    DEMO_QUESTION = "?"

    @staticmethod
    def default_model():
        return ScriptedChatModel([[Reply("a", entropies=[0.1, 0.2])], [Reply("b", entropies=[0.2, 0.1])]])

    @staticmethod
    def make_agent(model):
        return lambda state: {"messages": [model.invoke(state["messages"])]}


@pytest.mark.parametrize("words", [["demo", "-n", "2"], ["demo", "-n", "2", "--json"], ["demo", "-n", "2", "--live"]])
def test_it_says_what_it_is_doing_before_the_first_rollout(monkeypatch, words):
    monkeypatch.setattr(demo, "_application", lambda: Graphs)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    told = done.stderr if "--json" in words else done.stdout
    lines = told.splitlines()
    assert lines[0] == "loading ec_agent, LangGraph and LangChain ..."
    assert lines[1] == "question  ?"
    assert lines[2].startswith("2 rollouts of several LLM calls each")
    assert any("call 1: 2 tokens" in line for line in lines[3:])
    assert "--json" not in words or done.stdout.startswith("{")


def test_the_first_line_comes_before_anything_heavy_is_loaded():
    probe = """
import sys
from ec_agent.cli import main
class Stop(Exception): pass
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numpy", "langgraph", "langchain_core", "openai", "pydantic", "rich"):
            sys.__stdout__.flush(); import os; os._exit(7)
sys.meta_path.insert(0, Finder())
sys.argv = ["ec-agent", "demo"]
main()
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 7
    assert done.stdout == "loading ec_agent, LangGraph and LangChain ...\n"
