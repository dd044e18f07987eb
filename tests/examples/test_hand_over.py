"""The example that hands over, as a reader runs it: it needs no model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ec_agent import load_settings

ROOT = Path(__file__).parents[2]


def test_it_runs_and_prints_what_it_should():
    command = [sys.executable, "-m", "examples.hand_over"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for pattern in (
        r"12 \+ 30: probability (0\.9\d|1\.00), from 60 tasks\nanswer: 42",
        r"93: probability 0\.[0-7]\d, from 60 tasks\na person is asked about \d+\nanswer: 406",
    ):
        assert re.search(pattern, done.stdout), (pattern, done.stdout)


def test_its_calibration_says_where_it_comes_from():
    basis = load_settings(ROOT / "examples" / "hand_over.json")["probability"].basis
    assert (basis.agent, basis.n, basis.tasks) == ("examples.hand_over:clerk", 8, 60)
