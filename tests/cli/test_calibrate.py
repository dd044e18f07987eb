"""``ec-agent calibrate`` as a user runs it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from stored_runs import TASKS, stored_run

from ec_agent import best_of_n
from ec_agent.cli.app import app
from ec_agent.errors import TraceError
from ec_agent.selectors.settings import load_settings

FEW = ["--folds", "3", "--repeats", "2", "--selectors", "lowest_centroid,mean_entropy"]


def calibrate(path, out, *words):
    done = CliRunner().invoke(app, ["calibrate", str(path), "--out", str(out), *FEW, *words], env={"COLUMNS": "100"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_what_a_choice_is_worth_stands_beside_what_the_leak_would_claim(tmp_path):
    out = tmp_path / "settings.json"
    said = calibrate(stored_run(tmp_path / "run.db"), out)
    for part in (
        "expected of settings chosen so",
        "tuned on the test set: not a result",
        "6 tasks, 3 folds dealt 2 times",
    ):
        assert part in said
    node = best_of_n(lambda state: state, **load_settings(out))
    assert type(node).__name__ == "BestOfN"


def test_a_run_that_is_not_finished(tmp_path):
    half, out = stored_run(tmp_path / "half.db", skip=TASKS[4:]), tmp_path / "settings.json"
    with pytest.raises(TraceError, match=r"2 of 6 tasks lack rollouts.*--partial"):
        calibrate(half, out)
    assert not out.exists()
    assert " 4 tasks, 3 folds" in calibrate(half, out, "--partial")
    assert out.exists()
