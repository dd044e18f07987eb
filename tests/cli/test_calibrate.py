"""``ec-agent calibrate`` as a user runs it."""

from __future__ import annotations

import re
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console
from stored_runs import TASKS, stored_run

from ec_agent import best_of_n
from ec_agent.cli.app import app
from ec_agent.cli.calibrate import show, show_stop
from ec_agent.errors import ConfigError, TraceError
from ec_agent.evaluation.statistics import Estimate
from ec_agent.evaluation.tuning import Tuning
from ec_agent.evaluation.tuning_probability import FitSource, source_of
from ec_agent.evaluation.tuning_stops import StopTuning
from ec_agent.rollouts.settings_files import Setting, load_settings
from ec_agent.stopping import Agreement
from ec_agent.stopping.spelling import spelled
from ec_agent.support.extras import installing
from ec_agent.traces.sql.store import TraceStore

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
        "what this choice is worth on other tasks",
        "tuned on the test set: not a result",
        "6 tasks, 3 folds drawn 2 times",
    ):
        assert part in said
    assert "a random rollout that did not fail" in said  # one in seven failed
    node = best_of_n(lambda state: state, **load_settings(out))
    assert type(node).__name__ == "BestOfN"


def test_what_was_found_is_shown_though_the_file_cannot_be_written(tmp_path):
    words = ["calibrate", str(stored_run(tmp_path / "run.db")), "--out", str(tmp_path / "no folder" / "s.json"), *FEW]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ConfigError)
    assert "tuned on the test set" in done.output
    assert "written to" not in done.output


@pytest.mark.parametrize("words", [["--seed", "-1"], ["--folds", "7"], ["--selectors", ","]])
def test_wrong_arguments_are_refused_before_a_file_is_written(tmp_path, words):
    out = tmp_path / "settings.json"
    with pytest.raises(ConfigError):
        calibrate(stored_run(tmp_path / "run.db"), out, *words)
    assert not out.exists()


def test_a_run_that_is_not_finished(tmp_path):
    half, out = stored_run(tmp_path / "half.db", skip=TASKS[4:]), tmp_path / "settings.json"
    with pytest.raises(TraceError, match=r"2 of 6 tasks lack rollouts.*--partial"):
        calibrate(half, out)
    assert not out.exists()
    assert " 4 tasks, 3 folds" in calibrate(half, out, "--partial")
    assert out.exists()


def test_the_same_gain_on_every_task_is_not_called_no_difference():
    gain = Estimate(0.5, None, None, 20)
    tuning = Tuning(Setting(), gain, gain, 1.0, 0.5, gain, Estimate(0.0, None, None, 20), 0.5, (), 1, 2, 1, 0)
    console = Console(record=True, width=200)
    show(tuning, console)
    said = console.export_text()
    assert "The difference is the same on each of the 20 tasks" in said
    assert "No difference" not in said


def test_a_stopping_plan_is_chosen_and_written(tmp_path):
    run, out = stored_run(tmp_path / "run.db"), tmp_path / "settings.json"
    said = " ".join(calibrate(run, out, "--stop", "--max-loss", "1").split())
    assert "at most 1 lost where chosen, by 1 standard error" in said
    plain = " ".join(calibrate(run, out, "--stop", "--max-loss", "1", "--standard-errors", "0").split())
    assert "at most 1 lost where chosen" in plain
    assert "standard error" not in plain
    assert "expected of plans chosen so" in said
    assert " plans, 6 tasks, 3 folds drawn 2 times" in said
    settings = load_settings(out)
    assert f"with {spelled(settings['stop'])} written to" in said
    node = best_of_n(lambda state: state, n=3, **settings)
    assert type(node).__name__ == "BestOfN"
    assert "stop" not in load_settings_of(run, out)


def load_settings_of(run, out):
    calibrate(run, out)
    return load_settings(out)


@pytest.mark.parametrize("loss", ["-1", "2"])
def test_a_loss_that_cannot_be(tmp_path, loss):
    out = tmp_path / "settings.json"
    with pytest.raises(ConfigError, match="max_loss is"):
        calibrate(stored_run(tmp_path / "run.db"), out, "--stop", "--max-loss", loss)
    assert not out.exists()


def judged(lost, low, tokens, chosen=Agreement()):  # noqa: B008  # it is frozen
    found = Estimate(lost, low, 0.01, 50)
    return StopTuning(chosen, found, Estimate(tokens, 0.5, 0.9, 50), found, found, 0.0, 0.6, (), 3, 0.005, 1.0, 5, 1)


@pytest.mark.parametrize(
    ("stops", "words"),
    [
        (judged(0.0, -0.004, 0.7), "save 30% of the tokens of a question, on tasks like these, within the loss"),
        (judged(-0.002, -0.02, 0.7), "a loss of up to 0.020 is not ruled out"),
        (judged(0.0, 0.0, 1.0, None), "all N are kept, and no plan is written"),
    ],
)
def test_what_is_said_of_the_choice(stops, words):
    console = Console(record=True, width=200)
    show_stop(stops, Setting(), console)
    assert words in console.export_text()


MANY = tuple(f"task {place}" for place in range(30))


def test_a_probability_is_fitted_and_written(tmp_path):
    pytest.importorskip("sklearn", reason="ec-agent[calibrate] is not installed")
    out = tmp_path / "settings.json"
    said = calibrate(stored_run(tmp_path / "run.db", MANY), out, "--probability", "--selectors", "majority_vote")
    for part in (
        "How likely the choice of majority_vote is right (n=3), on other tasks (outer folds)",
        "Brier score of a constant, the base rate",
        "expected calibration error",
        "If the least sure questions are handed over",
        "3 folds drawn 2 times",
        "by chance",
    ):
        assert part in said
    fitted = load_settings(out)["probability"]
    assert (fitted.basis.run, fitted.basis.agent, fitted.basis.n) == ("run.db", "mine:graph", 3)
    assert (fitted.basis.models, fitted.basis.temperature) == (("tiny-model",), 0.8)
    assert fitted.basis.fitted.endswith("+00:00")
    assert set(fitted.basis.expected) >= {"brier", "brier_minus_constant", "ece", "ece_constant"}
    node = best_of_n(lambda state: state, **load_settings(out))
    assert node._node.options.probability == fitted


def test_a_probability_with_a_stopping_plan_is_fitted_for_that_plan(tmp_path):
    pytest.importorskip("sklearn", reason="ec-agent[calibrate] is not installed")
    out = tmp_path / "settings.json"
    calibrate(
        stored_run(tmp_path / "run.db", MANY),
        out,
        "--probability",
        "--stop",
        "--max-loss",
        "1",
        "--selectors",
        "shortest",
    )
    settings = load_settings(out)
    assert spelled(settings["stop"]).startswith(settings["probability"].basis.stop["name"])


def test_a_probability_of_too_few_tasks_is_refused_before_a_file_is_written(tmp_path):
    pytest.importorskip("sklearn", reason="ec-agent[calibrate] is not installed")
    out = tmp_path / "settings.json"
    with pytest.raises(ConfigError, match="needs 20 or more"):
        calibrate(stored_run(tmp_path / "run.db"), out, "--probability")
    assert not out.exists()


def test_without_scikit_learn_it_says_so_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ConfigError, match=re.escape(installing("ec-agent[calibrate]"))):
        calibrate(stored_run(tmp_path / "run.db"), tmp_path / "settings.json", "--probability")


def test_the_source_of_a_run(tmp_path):
    path = stored_run(tmp_path / "run.db")
    assert source_of(path) == FitSource("run.db", "mine:graph", 0.8)
    with TraceStore(path) as store:
        store.amend({"stop": {"name": "agreement"}})
    with pytest.raises(ConfigError, match="run with a stopping plan"):
        source_of(path)
