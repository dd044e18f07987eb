"""Fitting how likely a choice is right: what is there is found, what is not is not, and nothing looks ahead."""

from __future__ import annotations

import re
import sys
import warnings

import numpy as np
import pytest
from stored_families import stored

from ec_agent import Candidate, ConfigError, Trajectory, load_settings
from ec_agent.evaluation import tuning_probability
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Resampling
from ec_agent.evaluation.statistics.reliability import reliability
from ec_agent.evaluation.tuning import drawn_folds
from ec_agent.evaluation.tuning_probability import (
    LEAST_TASKS,
    ProbabilityForm,
    check_scikit_learn,
    fit_probability,
    ways_of,
)
from ec_agent.probability.evidence import replayed_evidence
from ec_agent.rollouts.settings_files import Setting, save_settings
from ec_agent.selectors import MajorityVote, MeanEntropy
from ec_agent.stopping import Agreement
from ec_agent.support.extras import installing

FAST = Resampling(resamples=199)
VOTE = Setting("majority_vote")


@pytest.fixture
def scikit_learn():
    pytest.importorskip("sklearn", reason="ec-agent[calibrate] is not installed")


def tasks(count=40, n=6, seed=0, informed=True, tokens=10):
    """Questions of which some are easy: there the rollouts agree and are right; or agreeing says nothing."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        ease = rng.random()
        letters = ["a" if rng.random() < ease else "bcde"[rng.integers(4)] for _ in range(n)]
        timelines = [Trajectory.from_entropies(rng.gamma(0.5, 1.0, tokens)) for _ in range(n)]
        group = [Candidate(i, timelines[i], letter) for i, letter in enumerate(letters)]
        right = "a" if informed else rng.choice(["a", "x"])
        made.append(TaskResult(f"t{number}", group, [float(letter == right) for letter in letters]))
    return made


@pytest.mark.members(1)
@pytest.mark.usefixtures("scikit_learn")
@pytest.mark.parametrize("setting", [VOTE, Setting("mean_entropy"), Setting("shortest")], ids=str)
def test_what_is_there_is_found(setting):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing that scikit-learn has to say
        found = fit_probability(tasks(60), setting, repeats=2, resampling=FAST)
    assert found.reliability.brier_minus_constant.excludes(0) < 0
    assert found.reliability.at(0.5).accuracy.value > found.reliability.right.value + 0.1
    assert found.reliability.tasks == found.fitted.basis.tasks == 60
    assert sum(count for _, count in found.votes) == 10


@pytest.mark.usefixtures("scikit_learn")
def test_what_is_not_there_is_not():
    worth = [
        fit_probability(tasks(40, seed=seed, informed=False), VOTE, repeats=1, resampling=FAST).reliability
        for seed in range(3)
    ]
    assert np.mean([each.brier_minus_constant.value for each in worth]) > -0.01
    assert sum(each.brier_minus_constant.excludes(0) < 0 for each in worth) <= 1


@pytest.mark.usefixtures("scikit_learn")
def test_a_tasks_probability_does_not_see_its_verdict(monkeypatch):
    """Had the winner of one task been wrong, its own probabilities would have been the same, and others not."""
    results = tasks(25, seed=3)
    flipped = [*results[:-1], TaskResult(results[-1].task, results[-1].candidates, 1.0 - results[-1].correct)]
    told = []
    monkeypatch.setattr(
        tuning_probability,
        "reliability",
        lambda p, c, right, how: told.append((p, c, right)) or reliability(p, c, right, how),
    )
    for each in (results, flipped):
        fit_probability(each, VOTE, repeats=2, resampling=FAST)
    (first, constant, right), (second, other, changed) = told
    assert right[-1] != changed[-1]
    assert (first[:, -1] == second[:, -1]).all()
    assert (constant[:, -1] == other[:, -1]).all()
    assert (first[:, :-1] != second[:, :-1]).any()


@pytest.mark.usefixtures("scikit_learn")
def test_platt_scaling_equals_a_slow_fit_of_its_own():
    """The penalised log loss that scikit-learn minimises, minimised once more by plain gradient steps."""
    results = tasks(30, seed=5)
    fitted = fit_probability(results, MeanEntropy(), repeats=1, resampling=FAST).fitted
    from ec_agent.evaluation.tuning_probability import _platt

    found = [replayed_evidence(result.candidates, MeanEntropy()) for result in results]
    values = {name: np.array([getattr(each, name) for each, _ in found]) for name in ("score", "agreement")}
    right = np.array([result.correct[at] for result, (_, at) in zip(results, found, strict=True)])
    right[:3] = 0.25  # shares count with their weights
    weights, intercept = _platt(values, right)
    columns = np.column_stack(list(values.values()))
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    slopes, offset = np.zeros(2), 0.0
    for _ in range(20_000):
        p = 1 / (1 + np.exp(-(scaled @ slopes + offset)))
        slopes -= 0.01 * (scaled.T @ (p - right) + slopes)
        offset -= 0.01 * (p - right).sum()
    ours = columns @ np.array(list(weights.values())) + intercept
    assert ours == pytest.approx(scaled @ slopes + offset, abs=1e-3)
    assert fitted.basis.right == pytest.approx(
        np.mean([r.correct[at] for r, (_, at) in zip(results, found, strict=True)])
    )


@pytest.mark.usefixtures("scikit_learn")
def test_isotonic_regression_pools_what_falls():
    from ec_agent.evaluation.tuning_probability import _isotonic

    values, right = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 1.0, 0.0, 1.0])
    assert np.array(_isotonic(values, right)) == pytest.approx(
        np.array([(0.1, 1 / 6), (0.2, 0.5), (0.3, 0.5), (0.4, 5 / 6)])
    )
    falling = _isotonic(values, right[::-1].copy())
    assert [y for _, y in falling] == pytest.approx([5 / 6, 0.5, 0.5, 1 / 6])


@pytest.mark.usefixtures("scikit_learn")
def test_the_outer_estimate_equals_a_slow_restatement():
    results = tasks(24, seed=8)
    found = fit_probability(results, VOTE, folds=4, repeats=2, seed=5, resampling=FAST)
    from ec_agent.evaluation.tuning_probability import _choices, _Fits, _read

    read, selector = _read(results, VOTE)
    seen, right, _ = _choices(read, selector, None)
    fits, rng, squares = _Fits(seen, right, ways_of(seen), found.fitted.basis), np.random.default_rng(5), []
    for test in drawn_folds(24, 4, 2, rng):
        train = np.array([task for task in range(24) if task not in test])
        fitted = fits.fit(fits.best(train, rng), train)
        squares += [(fitted.probability(seen[task]) - right[task]) ** 2 for task in test]
    assert found.reliability.brier.value == pytest.approx(np.mean(squares))


def test_the_ways_go_with_what_is_known():
    with_signal = [replayed_evidence(result.candidates, MeanEntropy())[0] for result in tasks(5)]
    votes = [replayed_evidence(result.candidates, MajorityVote())[0] for result in tasks(5)]
    assert ways_of(with_signal)[0] == ProbabilityForm("platt", ("score", "margin", "agreement", "coverage", "length"))
    assert ways_of(votes)[0] == ProbabilityForm("platt", ("score", "margin", "agreement", "length"))
    alone = [replayed_evidence(result.candidates[:1], MajorityVote())[0] for result in tasks(5)]
    assert "margin" not in ways_of(alone)[0].names  # no rollout has a rival


@pytest.mark.usefixtures("scikit_learn")
def test_with_a_plan_the_tasks_are_replayed_with_it(tmp_path):
    plan = Agreement([2, 4])
    with_plan = fit_probability(tasks(30), VOTE, plan, repeats=1, resampling=FAST).fitted
    assert with_plan.basis.stop == {"name": "agreement", "waves": [2, 4]}
    assert with_plan.basis.scored == 2
    save_settings(tmp_path / "s.json", VOTE, None, plan, with_plan)
    assert load_settings(tmp_path / "s.json")["probability"] == with_plan


@pytest.mark.usefixtures("scikit_learn")
def test_tasks_without_a_score_are_left_out_and_told():
    mute = [TaskResult(f"m{i}", [Candidate(k, Trajectory(), " ") for k in range(6)], [0.0] * 6) for i in range(3)]
    found = fit_probability([*tasks(30), *mute], VOTE, repeats=1, resampling=FAST)
    assert (found.left_out, found.fitted.basis.tasks) == (3, 30)


@pytest.mark.usefixtures("scikit_learn")
@pytest.mark.parametrize(
    ("results", "said"),
    [
        (lambda: tasks(LEAST_TASKS - 1), "19 tasks have a choice to judge"),
        (lambda: [TaskResult(t.task, t.candidates, np.ones(6)) for t in tasks(30)], "30 are right and 0 wrong"),
        (lambda: [*tasks(20), *tasks(3, n=4)], "different numbers"),
        (lambda: [TaskResult(f"t{i}", [], []) for i in range(30)], "no rollouts"),
    ],
)
def test_too_little_to_fit_is_refused(results, said):
    with pytest.raises(ConfigError, match=said):
        fit_probability(results(), VOTE, repeats=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"results": []}, "results is empty"),
        ({"setting": "majority_vote"}, "setting"),
        ({"setting": MajorityVote}, "setting"),
        ({"stop": Agreement(normalize=str.lower)}, "a file cannot hold"),
        ({"stop": Agreement}, "stop"),
        ({"source": "run.db"}, "source"),
        ({"folds": 1}, "folds"),
        ({"repeats": 0}, "repeats"),
        ({"seed": -1}, "seed"),
        ({"resampling": 100}, "resampling"),
    ],
)
def test_arguments_it_cannot_have_are_refused_by_name(change, said):
    with pytest.raises(ConfigError, match=said):
        fit_probability(**{"results": tasks(22), "setting": VOTE, "repeats": 1, **change})


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ConfigError, match=re.escape(f"run: {installing('ec-agent[calibrate]')}")):
        check_scikit_learn()
    with pytest.raises(ConfigError, match="scikit-learn"):
        fit_probability(tasks(22), VOTE, repeats=1)


@pytest.mark.whole_form("a page's figures anew; what is there is found in made ones in the short form")
@pytest.mark.usefixtures("scikit_learn")
def test_the_stored_families_as_the_page_has_them():
    """On both families the vote's probability knows more than the base rate; docs/results.md has the figures."""
    for family in ("red2", "bfcl"):
        found = fit_probability(stored(family), VOTE, repeats=3, resampling=FAST).reliability
        assert found.brier_minus_constant.excludes(0) < 0
        assert found.at(0.5).accuracy.value > found.right.value + 0.1
        assert found.ece.value < 0.15
