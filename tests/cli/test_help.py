"""The command line answers quickly: asking for help loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cli_here import ran_here

from ec_agent.cli.demo import DemoUnavailableError, run_demo

HEAVY = ("numpy", "pydantic", "langgraph", "langchain_core", "openai", "xllamacpp")

PROBE = """
import sys
from ec_agent.cli import main
try:
    main()
except SystemExit as stop:
    code = stop.code
loaded = sorted({m.split('.')[0] for m in sys.modules} & set(%r))
print('LOADED', loaded, 'EXIT', code)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["demo", "--help"],
        ["score", "--help"],
        ["watch", "--help"],
        ["suite", "--help"],
        ["fetch", "--help"],
        ["traces", "prune", "--help"],
        ["commits", "settle", "--help"],
        [],
    ],
)
def test_help_loads_nothing_heavy(words):
    done = subprocess.run(
        [sys.executable, "-c", PROBE % (HEAVY,), *words], capture_output=True, text=True, timeout=300, check=False
    )
    assert "LOADED []" in done.stdout, done.stdout + done.stderr
    assert "Usage: ec-agent" in done.stdout + done.stderr


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "ec_agent.cli", *words], capture_output=True, text=True, timeout=300, check=False
    )


def test_an_error_of_ours_is_one_line_and_exit_1(tmp_path):
    done = run("score", str(tmp_path / "nothing.json"))
    assert done.returncode == 1
    assert done.stderr.startswith("ec-agent: cannot read")
    assert "Traceback" not in done.stderr


def test_an_unknown_option_is_a_usage_error():
    done = run("score", "--nonsense", "x")
    assert done.returncode == 2
    assert "--nonsense" in done.stderr


@pytest.mark.parametrize(
    ("missing", "words"), [("graphs", "clone the repository"), ("langchain", "demo needs langchain")]
)
def test_the_demo_alone_says_what_it_needs(monkeypatch, missing, words):
    def nothing_there(name):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr("ec_agent.cli.demo.import_module", nothing_there)
    with pytest.raises(DemoUnavailableError, match=words):
        run_demo(None, n=2, temperature=0.8, seed=0, as_json=False)


@pytest.mark.parametrize("n", ["0", "-3"])
def test_demo_refuses_an_impossible_number_of_rollouts(n):
    done = ran_here("demo", "--n", n)
    assert done.returncode == 1
    assert f"--n is {n}" in done.stderr
