"""Choosing a stopping plan by nested cross-validation, and the settings file that carries it."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pytest
from stored_families import stored

from ec_agent import Candidate, ConfigError, Trajectory, best_of_n, load_settings
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Resampling
from ec_agent.evaluation.statistics.plan_comparison import ALL, share
from ec_agent.evaluation.statistics.plan_replays import Replayer
from ec_agent.evaluation.tuning import drawn_folds
from ec_agent.evaluation.tuning_stops import plan_grid, tune_stop
from ec_agent.rollouts.settings_files import Setting, save_settings
from ec_agent.selectors import DeepConfTail, MajorityVote, MeanLogprob
from ec_agent.stopping import Agreement, Beta, More, OutOfReach, ScoreThreshold
from ec_agent.testing import Reply, ScriptedChatModel

FAST = Resampling(resamples=199)
VOTE = Setting("majority_vote")
BOLD = Agreement([1, 1], 0.1)  # two rollouts, whatever they say


def tasks(answers, correct="a"):
    """A task an entry, its rollouts' answers the letters of it; each rollout of ten tokens."""
    made = []
    for number, letters in enumerate(answers):
        group = [Candidate(i, Trajectory.from_entropies([0.5] * 10), each) for i, each in enumerate(letters)]
        made.append(TaskResult(f"t{number}", group, [float(each in correct) for each in letters]))
    return made


def test_the_cheapest_plan_within_the_loss_is_chosen():
    results = tasks(["aaaa", "aaaa", "bbbb", "aaab"] * 3)
    plans = [Agreement(), OutOfReach(), BOLD]
    # Of a, a, a, b half of the pairs disagree: the first of two is then b in one order of four.
    found = tune_stop(results, VOTE, plans, max_loss=0.0, folds=3, repeats=2, resampling=FAST)
    assert found.chosen in (Agreement(), OutOfReach())
    assert found.naive_difference == 0.0
    assert found.expected_difference.value == 0.0
    bold = tune_stop(results, VOTE, plans, max_loss=0.5, folds=3, repeats=2, resampling=FAST)
    assert bold.chosen == BOLD
    assert bold.naive_difference == pytest.approx(-0.25 * 0.25)
    assert bold.expected_tokens.value == pytest.approx(0.5)
    assert bold.votes == (("agreement:1,1:threshold=0.1", 6),)


def test_where_every_plan_loses_all_n_are_kept():
    kept = tune_stop(tasks(["aaab", "aaba"] * 3), VOTE, [BOLD], max_loss=0.0, folds=2, repeats=1, resampling=FAST)
    assert kept.chosen is None
    assert kept.votes == ((ALL, 2),)
    assert kept.expected_tokens.value == 1.0
    assert kept.plans == 2


@pytest.mark.parametrize("errors", [0, 1, 2.5])
def test_the_outer_estimate_equals_a_slow_restatement(errors):
    results = stored("red2")[:20]
    plans = [Agreement(), Agreement([2, 2, 4], 0.75), Beta()]
    found = tune_stop(results, VOTE, plans, standard_errors=errors, folds=4, repeats=2, seed=3, resampling=FAST)
    replayer = Replayer(results, MajorityVote(), seed=3)
    played = [replayer.play(plan) for plan in (None, *plans)]
    lost, taken = [], []
    for test in drawn_folds(20, 4, 2, np.random.default_rng(3)):
        train = [task for task in range(20) if task not in test]
        losses = [[float(played[0].accuracy[task] - each.accuracy[task]) for task in train] for each in played]
        bounds = [statistics.mean(loss) + errors * statistics.stdev(loss) / len(loss) ** 0.5 for loss in losses]
        may = [each for each, bound in zip(played, bounds, strict=True) if bound <= 0.005 + 1e-12]
        best = min(may, key=lambda each: share(each.tokens, played[0].tokens)[train].mean())
        lost += (best.accuracy - played[0].accuracy)[test].tolist()
        taken += share(best.tokens, played[0].tokens)[test].tolist()
    assert found.expected_difference.value == pytest.approx(np.mean(lost))
    assert found.expected_tokens.value == pytest.approx(np.mean(taken))


def test_the_choice_for_a_task_does_not_see_its_outcomes():
    """Where the plan is right on one task alone, it is not chosen for that task, and its worth there is not claimed."""
    results = [*tasks(["aaab"] * 9), *tasks(["bbba"], "a")]
    found = tune_stop(results, VOTE, [BOLD], max_loss=0.0, folds=10, repeats=1, resampling=FAST)
    assert found.expected_difference.value <= 0.0
    assert found.chosen is None


def test_a_plan_that_may_have_been_lucky_is_left_out():
    """It loses nothing on average, but on single tasks much both ways; the other one never loses anything."""
    results = [*tasks(["aaab"] * 8), *tasks(["bbba"] * 8)]
    plans = [Agreement(), BOLD]
    lucky = tune_stop(results, VOTE, plans, max_loss=0.0, standard_errors=0, folds=4, repeats=1, resampling=FAST)
    assert lucky.chosen == BOLD
    safe = tune_stop(results, VOTE, plans, max_loss=0.0, folds=4, repeats=1, resampling=FAST)
    assert safe.chosen != BOLD
    assert safe.naive_difference == 0.0
    assert safe.about()["stop_standard_errors"] == 1.0


@pytest.mark.whole_form("it tunes twice, by four repeats each; the others do so once")
def test_with_a_margin_less_is_lost_on_other_tasks():
    """A threshold on the score seems harmless on some training folds of BFCL, and is not on the others."""
    plans, losses = [OutOfReach(), Agreement([2, 1], 0.6), ScoreThreshold(-0.213563, MeanLogprob())], []
    for errors in (0, 1):
        found = tune_stop(stored("bfcl"), VOTE, plans, standard_errors=errors, repeats=4, resampling=FAST)
        losses.append(found.expected_difference.value)
    assert losses[0] < -0.005 < losses[1] < 0.0


@pytest.mark.whole_form("it tunes over all stored rollouts; others here do so over some")
def test_on_stored_rollouts_a_vote_needs_fewer_tokens():
    found = tune_stop(stored("red2"), VOTE, [OutOfReach(), Agreement(), Beta(), Beta(0.9)], repeats=2, resampling=FAST)
    assert found.expected_tokens.value < 0.8
    assert found.expected_difference.value > -0.02
    assert found.expected_bill.value > found.expected_tokens.value - 0.1
    assert found.expected_length.value > 1  # waves wait


def test_the_grid_goes_with_n_and_with_what_was_stored():
    named = [plan.name for plan in plan_grid(stored("bfcl")[:5])]
    assert len(named) == len(set(named)) > 20
    assert sum(isinstance(plan, ScoreThreshold) for plan in plan_grid(stored("bfcl")[:5])) == 7
    for n in range(1, 18):
        plans = plan_grid(tasks(["a" * n]))
        assert bool(plans) == (n > 1)
        assert not any(isinstance(plan, ScoreThreshold) for plan in plans)  # no logprobs there
        assert all(plan.waves is None or sum(plan.waves) <= max(n, 4) for plan in plans)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_loss": -0.1}, "max_loss"),
        ({"max_loss": 2}, "max_loss"),
        ({"max_loss": "half"}, "max_loss"),
        ({"standard_errors": -1}, "standard_errors"),
        ({"standard_errors": float("nan")}, "standard_errors"),
        ({"plans": [Agreement]}, "plans"),
        ({"plans": "agreement"}, "plans"),
        ({"folds": 7}, "folds"),
        ({"results": []}, "results is empty"),
    ],
)
def test_arguments_it_cannot_have_are_refused_by_name(change, said):
    given = {"results": tasks(["ab", "aa", "bb"]), "setting": VOTE, "folds": 2, "repeats": 1, **change}
    with pytest.raises(ConfigError, match=said):
        tune_stop(**given)


@pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
@pytest.mark.parametrize(
    "plan",
    [
        None,
        Agreement([1, 1]),
        OutOfReach(),
        Beta(0.9),
        ScoreThreshold(-0.25, waves=[2]),
        ScoreThreshold(1.0, DeepConfTail(16)),
    ],
    ids=["none", "agreement", "out_of_reach", "beta", "score_threshold", "deepconf"],
)
def test_a_settings_file_carries_the_plan(plan, tmp_path):
    path = tmp_path / "settings.json"
    save_settings(path, VOTE, {"tasks": 3}, plan)
    settings = load_settings(path)
    assert settings.get("stop") == plan
    assert ("stop" in settings) == (plan is not None)
    model = ScriptedChatModel([[Reply("same", entropies=[0.5, 0.4])]])
    node = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=4, **settings)
    receipt = node.run({"messages": [("user", "x")]}).selection
    expected = {type(None): 4, Agreement: 2, OutOfReach: 2, Beta: 3}
    assert (receipt.started, receipt.planned) == (expected.get(type(plan), receipt.started), 4)


class Own:
    name = "mine"

    def enough(self, candidates, running, n):
        return More(n)


@pytest.mark.parametrize("plan", [Own(), Agreement(normalize=str.lower)], ids=["own", "normalize"])
def test_a_plan_that_no_file_holds_is_refused_before_anything_is_written(plan, tmp_path):
    with pytest.raises(ConfigError, match="a file cannot hold"):
        save_settings(tmp_path / "s.json", VOTE, stop=plan)
    assert list(tmp_path.iterdir()) == []


def test_the_file_says_what_to_expect(tmp_path):
    found = tune_stop(tasks(["aaaa", "abab", "aaab"]), VOTE, [Agreement()], folds=3, repeats=1, resampling=FAST)
    save_settings(tmp_path / "s.json", VOTE, found.about(), found.chosen)
    about = json.loads((tmp_path / "s.json").read_text())["about"]
    assert about["stop_expected_minus_all_n"][0] == found.expected_difference.value
    assert about["stop_expected_share_of_tokens"][0] == found.expected_tokens.value
