"""Each example, run as a reader runs it, on the real embedded model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SAYS = {
    "any_model": (r"doctor: usable with.*tools \+ stream", r"rollout 2: centroid 0\.\d+, .*'full': [1-8]", r"answer: "),
    "evaluate_my_agent": (r"2 lamps: verdicts \[[01]\.0, ", r"lowest centroid [01]\.\d+", r"failed: \d of 6 rollouts"),
    "hand_over": (r"12 \+ 30: probability ", r"a person is asked about \d+", r"answer: 406"),  # it needs no model
    "node_in_graph": (r"rollout 2: centroid 0\.\d+", r"winner: rollout [0-2] of 3", r"answer: \S"),
    "raw_openai_client": (r"rollout 3: centroid 0\.\d+, 2 calls", r"winner: rollout [0-3]", r"answer: \S"),
    # At most one label leaves the house, whatever the model says.
    "safe_actions": (r"rollout 3: centroid 0\.\d+, would ship", r"winner: rollout [0-3]", r"labels: \[('[^']*')?\]\n"),
    "score_logprobs": (r"seed 2: \d+ tokens, phases start at \[", r"centroid 0\.\d+", r"'score': 0\.\d+"),
    "wrap_agent": (r"rollout 2: centroid 0\.\d+, \d+ calls", r"winner: rollout [0-2], margin \d", r"answer: \S"),
}

# The others take half a minute each; `hand_over` has a file of tests of its own.
SHORT = "score_logprobs"
LONG = pytest.mark.whole_form("half a minute of the real model, as other examples are")
CASES = [pytest.param(name, marks=() if name == SHORT else LONG) for name in SAYS]


def test_every_example_is_run():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} - {"__init__"} == set(SAYS)


@pytest.mark.model
@pytest.mark.parametrize("name", CASES)
def test_an_example_runs_and_prints_what_it_should(name):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:ec_agent", "-m", f"examples.{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for pattern in SAYS[name]:
        assert re.search(pattern, done.stdout), (pattern, done.stdout)
