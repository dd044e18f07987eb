"""Tuning by nested cross-validation, and the leak that tuning on the test set would be."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from stored_families import stored

from ec_agent import Candidate, ConfigError, HEPConfig, LowestCentroid, Trajectory, best_of_n, load_settings
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Resampling
from ec_agent.evaluation.tuning import SWEEP, _best, _outer, default_grid, picked, tune
from ec_agent.rollouts.settings_files import Setting, save_settings
from ec_agent.selectors.registry import CONFOUNDS, SELECTORS
from ec_agent.testing import Reply, ScriptedChatModel

FAST = Resampling(resamples=500)
CENTROIDS = default_grid(["lowest_centroid"])


def random_results(tasks=40, n=8, seed=0, informed=0.0, length=120):
    """Rollouts whose outcomes have nothing to do with their timelines, but for a share of them."""
    rng = np.random.default_rng(seed)
    results = []
    for task in range(tasks):
        timelines = [Trajectory.from_entropies(rng.gamma(0.5, 1.0, length)) for _ in range(n)]
        correct = (rng.random(n) < 0.4).astype(float)
        if rng.random() < informed:
            best = int(np.argmin([timeline.centroid() for timeline in timelines]))
            correct = (np.arange(n) == best).astype(float)
        candidates = tuple(Candidate(index, timeline) for index, timeline in enumerate(timelines))
        results.append(TaskResult(f"t{task}", candidates, correct))
    return results


def test_the_grid_is_the_authors_sweep_and_the_default_comes_first():
    assert len(SWEEP) == len(set(SWEEP)) == 27
    assert HEPConfig() in SWEEP
    grid = default_grid()
    assert grid[0] == Setting()
    assert len(set(map(str, grid))) == len(grid)
    assert {setting.selector for setting in grid} == set(SELECTORS) - set(CONFOUNDS)
    with pytest.raises(ConfigError, match="unknown selector 'nonsense'"):
        default_grid(["nonsense"])
    assert default_grid(["shortest", "shortest"]) == (Setting("shortest"),)


def test_the_leak_where_there_is_nothing_to_find():
    """Of 27 settings that know nothing, the best is well above chance on the tasks it was chosen on; not on others.

    The outer folds lean a little low: what is best on the other tasks is, of a fixed whole, a little worse on these.
    """
    rng = np.random.default_rng(0)
    worlds = [(rng.random((27, 60)) < 0.4).astype(float) for _ in range(200)]
    naive = np.mean([world.mean(axis=1).max() for world in worlds])
    honest = np.mean([_outer(world, 5, 2, rng)[0].mean() for world in worlds])
    assert naive - 0.4 > 0.1
    assert -0.05 < honest - 0.4 < 0.01


def test_the_leak_is_shown_beside_the_estimate():
    tuning = tune(random_results(tasks=24, n=5, length=60), CENTROIDS, repeats=3, resampling=FAST)
    assert tuning.naive == picked(random_results(tasks=24, n=5, length=60), CENTROIDS).mean(axis=1).max()
    assert tuning.leak == tuning.naive - tuning.expected.value >= 0


@pytest.mark.parametrize("verdict", [0.1, 1.0])
def test_rounding_is_no_gain(verdict):
    """Twenty dealings are twenty additions; where every rollout is as right there is nothing to be better at."""
    results = random_results(tasks=10, n=3, length=30)
    results = [replace(each, correct=np.full(3, verdict if place % 2 else 0.7)) for place, each in enumerate(results)]
    tuning = tune(results, CENTROIDS[:3], repeats=20, resampling=FAST)
    assert (tuning.expected_difference.value, tuning.expected_difference.low) == (0.0, None)
    assert (tuning.naive_difference, tuning.default_difference.value, tuning.leak) == (0.0, 0.0, 0.0)


def test_of_equally_good_settings_the_first_is_chosen_whatever_rounding_says():
    good = np.array([1 / 3, 2 / 3, 0.1, 0.7, 1 / 6, 1.0, 0.9])
    orders = [np.random.default_rng(seed).permutation(good) for seed in range(200)]
    assert len({order.mean() for order in orders}) > 1, "no order of the same numbers has another mean"
    assert {_best(np.array([first, later])) for first in orders[:10] for later in orders} == {0}
    assert _best(np.array([good, good + 1e-9])) == 1


def test_passing_over_failures_is_told_apart():
    results = random_results(tasks=6, n=4)
    for result in results[:3]:
        result.correct[:2] = 0.0
    failed = [
        replace(each, candidates=tuple(replace(c, error="E: x") if c.index < 2 else c for c in each.candidates))
        for each in results[:3]
    ]
    tuning = tune([*failed, *results[3:]], CENTROIDS[:1], repeats=1, resampling=FAST)
    ended = [*(each.correct[2:].mean() for each in failed), *(each.correct.mean() for each in results[3:])]
    assert tuning.ended_difference.value == pytest.approx(np.mean(ended) - tuning.pass_1)
    assert tuning.ended_difference.value > 0


def test_what_is_there_is_found():
    tuning = tune(random_results(informed=0.9), CENTROIDS, repeats=3, resampling=FAST)
    assert tuning.chosen == Setting()
    assert tuning.expected_difference.excludes(0.0) == 1
    assert tuning.votes[0][0] == "lowest_centroid 1/80/2"


def test_the_outer_estimate_equals_a_slow_restatement():
    results = random_results(tasks=11, seed=3)
    tuning = tune(results, CENTROIDS, folds=4, repeats=2, seed=5, resampling=FAST)
    accuracies = picked(results, CENTROIDS)
    rng, outer = np.random.default_rng(5), []
    for _ in range(2):
        order = rng.permutation(11).tolist()
        sizes = [11 // 4 + (place < 11 % 4) for place in range(4)]
        edges = np.cumsum([0, *sizes]).tolist()
        for start, end in pairwise(edges):
            test = order[start:end]
            train = [task for task in range(11) if task not in test]
            means = [sum(row[task] for task in train) / len(train) for row in accuracies]
            best = max(range(len(means)), key=lambda place: (round(means[place], 12), -place))
            outer += [accuracies[best][task] for task in test]
    assert tuning.expected.value == pytest.approx(sum(outer) / len(outer))
    assert tuning.naive == pytest.approx(max(row.mean() for row in accuracies))


def test_the_choice_for_a_task_does_not_see_its_outcomes():
    """Whatever each of its settings makes of one task, the one that picks in it stays the same."""
    accuracies = picked(random_results(tasks=8), CENTROIDS)
    names = np.arange(len(CENTROIDS)) / len(CENTROIDS)  # as the accuracies in task 3: which was chosen can be read off
    chosen = []
    for order in (names, names[::-1], np.roll(names, 9)):
        accuracies[:, 3] = order
        outer, _ = _outer(accuracies, 8, 1, np.random.default_rng(0))
        chosen.append(order.tolist().index(outer[3]))
    assert len(set(chosen)) == 1


def test_picks_follow_the_settings_config():
    results = random_results(tasks=4)
    for row, setting in zip(picked(results, CENTROIDS), CENTROIDS, strict=True):
        for value, result in zip(row, results, strict=True):
            centroids = [candidate.trajectory.centroid(setting.config) for candidate in result.candidates]
            ties = [place for place, c in enumerate(centroids) if c == min(centroids)]
            assert value == pytest.approx(np.mean([result.correct[place] for place in ties]))


def test_on_the_stored_families_tuned_centroids_do_not_beat_a_rollout_at_random():
    tuning = tune(stored("red2")[:40], CENTROIDS, repeats=4, resampling=FAST)
    assert tuning.expected_difference.excludes(0.0) <= 0
    assert tuning.leak > 0


def test_one_task_leaves_none_to_measure_on():
    with pytest.raises(ConfigError, match="run two tasks or more"):
        tune(random_results(tasks=1), CENTROIDS)


@pytest.mark.parametrize("change", [{"folds": 1}, {"folds": 9}, {"repeats": 0}, {"seed": -1}])
def test_folds_that_the_tasks_cannot_fill_are_refused(change):
    with pytest.raises(ConfigError, match="8 tasks"):
        tune(random_results(tasks=8), CENTROIDS, **{"folds": 4, "repeats": 1, **change})


# settings files


def test_a_settings_file_is_read_back(tmp_path):
    path = tmp_path / "settings.json"
    save_settings(path, Setting("lowest_centroid", {"signal": "surprisal"}, HEPConfig(5, 50, 3)), {"tasks": 10})
    settings = load_settings(path)
    assert settings == {"selector": LowestCentroid("surprisal"), "config": HEPConfig(5, 50, 3)}
    save_settings(path, Setting("deepconf_tail", {"window": 16}))
    assert load_settings(str(path))["selector"].name == "deepconf_tail(window=16)"


def test_best_of_n_takes_it(tmp_path):
    path = tmp_path / "settings.json"
    save_settings(path, Setting("mean_entropy"))
    model = ScriptedChatModel([[Reply("sure", entropies=[0.1, 0.1])], [Reply("unsure", entropies=[2.0, 2.0])]])
    node = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=2, **load_settings(path))
    assert node.run({"messages": [("user", "x")]}).selection.selector == "mean_entropy"


DAMAGED = {
    "no JSON": "nonsense",
    "another JSON": "[1]",
    "another version": '{"ec_agent_settings": 99}',
    "no selector": '{"ec_agent_settings": 1, "config": {}}',
    "unknown selector": '{"ec_agent_settings": 1, "selector": {"name": "x"}, "config": {}}',
    "unknown argument": '{"ec_agent_settings": 1, "selector": {"name": "shortest", "x": 1}, "config": {}}',
    "no name": '{"ec_agent_settings": 1, "selector": {"name": ["shortest"]}, "config": {}}',
    "unknown plan": '{"ec_agent_settings": 1, "selector": {"name": "shortest"}, "config": {}, "stop": {"name": "x"}}',
    "no plan": '{"ec_agent_settings": 1, "selector": {"name": "shortest"}, "config": {}, "stop": null}',
    "a plan's odd value": """{"ec_agent_settings": 1, "selector": {"name": "shortest"}, "config": {},
        "stop": {"name": "agreement", "waves": [0]}}""",
    "bad config": '{"ec_agent_settings": 1, "selector": {"name": "shortest"}, "config": {"top_percent": 300}}',
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_settings_file_is_refused_by_name(case, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(DAMAGED[case])
    with pytest.raises(ConfigError, match=r"settings\.json"):
        load_settings(path)


def test_a_file_edited_by_hand(tmp_path):
    path = tmp_path / "settings.json"
    save_settings(path, Setting("mean_entropy"))
    text = path.read_text()
    path.write_text(f"\ufeff{text}", encoding="utf-8")  # as some editors save it
    assert load_settings(path)["selector"].name == "mean_entropy"
    path.write_text(text.replace('"config"', '"n": 16,\n"config"'))
    with pytest.raises(
        ConfigError, match="has n besides selector, config, stop and probability; give it to best_of_n itself"
    ):
        load_settings(path)


@pytest.mark.parametrize("setting", default_grid()[::7], ids=str)
def test_best_of_n_takes_whatever_calibration_can_choose(setting, tmp_path):
    path = tmp_path / "settings.json"
    save_settings(path, setting)
    assert load_settings(path) == {"selector": setting.build(), "config": setting.config}
    model = ScriptedChatModel([[Reply("a", entropies=[0.1, 2.0, 0.2])], [Reply("b", entropies=[2.0, 0.1, 0.3])]])
    node = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=2, **load_settings(path))
    assert node.run({"messages": [("user", "x")]}).selection.selector == setting.build().name


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(ConfigError, match="name a file in a folder that exists"):
        save_settings(tmp_path / "no folder" / "settings.json", Setting())


def test_a_missing_settings_file_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(ConfigError, match="ec-agent calibrate"):
        load_settings(tmp_path / "none.json")


def test_the_file_says_what_to_expect(tmp_path):
    tuning = tune(random_results(tasks=10), CENTROIDS, repeats=1, resampling=FAST)
    save_settings(tmp_path / "s.json", tuning.chosen, tuning.about())
    about = json.loads((tmp_path / "s.json").read_text())["about"]
    assert about["tasks"] == 10
    assert about["expected_minus_pass_1"][0] == tuning.expected_difference.value
    assert about["not_a_result_naive_minus_pass_1"] >= about["expected_minus_pass_1"][0]
