from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_parts import COSTS, facts, family, small, task

from ec_agent.evaluation.agent_identity import CHANGED
from ec_agent.evaluation.report import wording
from ec_agent.evaluation.report.columns import COMPARED
from ec_agent.evaluation.results import TaskResult


def said(lines):
    return "\n".join(lines)


def many(correct, count=30):
    """Tasks in which the rollout with the highest logprob is the first."""
    return [task(f"t{place}", [-1.0, -2.0, -3.0], correct) for place in range(count)]


def varied(best_right, count=30):
    tasks = many([1, 0, 0] if best_right else [0, 1, 1], count)
    return [*tasks, task("other", [-1.0, -2.0, -3.0], [1, 1, 0])]


@pytest.mark.parametrize(("best_right", "words"), [(True, "Better"), (False, "Worse")])
def test_a_difference_is_named_with_its_interval(best_right, words):
    report = small(varied(best_right))
    (row,) = report.summary.selectors
    text = said(wording.conclusions(report))
    assert f"{words} than Pass@1 on these tasks, after correction for 1 selector compared: mean_logprob" in text
    assert f"{row.difference.value:+.3f} [{row.difference.low:+.2f}, {row.difference.high:+.2f}]" in text
    assert "No difference" not in text


def test_no_difference_found_comes_with_what_could_have_been_found():
    tasks = [*varied(True, 2), *varied(False, 3)]
    tasks = [task(f"t{place}", [-1.0, -2.0, -3.0], one.correct) for place, one in enumerate(tasks)]
    report = small(tasks)
    (row,) = report.summary.selectors
    text = said(wording.conclusions(report))
    assert "No difference from Pass@1 found: mean_logprob." in text
    assert f"A true difference of {row.detectable:.2f} is found in four of five runs with 7 tasks" in text
    assert "is as good, or as bad, as Pass@1" in said(wording.cautions(report))


@pytest.mark.parametrize("name", ["corrected p", "smallest detectable"])
def test_a_figure_has_the_same_name_in_the_table_the_verdict_and_the_notes(name):
    rights = [one.correct for one in (*varied(True, 2), *varied(False, 3))]
    report = small([task(f"t{place}", [-1.0, -2.0, -3.0], correct) for place, correct in enumerate(rights)])
    (row,) = report.summary.selectors
    assert name in [column.name for column in COMPARED]
    assert name in row.verdict.sentence
    assert name in said(wording.notes(report)).lower()


def test_confounded_is_said_and_what_it_leaves_open():
    report = family(tasks=100, selectors="lowest_centroid")
    assert report.summary.selectors[0].verdict.kind == "confounded"
    text = said(wording.conclusions(report))
    assert "Different from Pass@1, but confounded: lowest_centroid -0.136" in text
    assert "is not shown" in text


def test_so_few_tasks_that_nothing_could_be_found():
    report = small([task(f"t{place}", [-1.0, -2.0], right) for place, right in enumerate([[1, 0], [1, 0], [0, 1]])])
    text = said(wording.conclusions(report))
    assert "No difference from Pass@1 found: mean_logprob. With 3 tasks like these no difference can be found" in text
    assert "four of five" not in text


def test_the_same_gain_on_every_task_is_found():
    report = small([task(f"t{place}", [-1.0, -2.0], [1, 0]) for place in range(20)])
    (row,) = report.summary.selectors
    assert (row.difference.low, row.verdict.kind) == (None, "better")
    assert "Better than Pass@1 on these tasks" in said(wording.conclusions(report))


def test_so_few_mixed_tasks_that_intervals_are_too_narrow():
    results = [*many([1, 0, 0], 9), *(replace(one, task=f"same {one.task}") for one in many([1, 1, 1], 5))]
    assert "In 9 of 14 tasks some rollouts are right and others wrong; on the other tasks" in said(
        wording.notes(small(results))
    )
    assert "different verdicts" not in said(wording.notes(small(many([1, 0, 0], wording.FEW_MIXED))))


def test_one_task_tells_nothing():
    text = said(wording.conclusions(small([task("a", [-1.0, -2.0], [1, 0])])))
    assert "Cannot be told from 1 task: mean_logprob" in text


@pytest.mark.parametrize(
    ("correct", "room"),
    [([1, 0], "oracle@2 1.000: no selector could gain more than +0.500"), ([1, 1], "equally right")],
)
def test_it_says_how_much_any_selector_could_gain(correct, room):
    tasks = [task(name, [-1.0, -2.0], correct) for name in "abc"]
    assert room in wording.conclusions(small(tasks))[-1]


def test_what_may_never_be_concluded():
    text = said(wording.cautions(family(tasks=8)))
    assert "That one selector beats another" in text
    assert "That it holds elsewhere" in text
    assert "lowest_centroid gave validity warnings on 8 of 8 tasks" in text
    assert "not measured again here" in text
    alone = said(wording.cautions(small(varied(True))))
    assert "beats another" not in alone
    assert "validity warnings" not in alone


def test_selectors_that_rank_alike_are_no_two_findings():
    text = said(wording.cautions(family(tasks=4, selectors="deepconf_mean,mean_logprob,deepconf_tail")))
    assert (
        "That deepconf_mean, deepconf_tail are 2 findings: they rank the rollouts of every task in the same way" in text
    )
    assert "alike" not in said(wording.cautions(family(tasks=4)))


def test_it_says_what_was_run_and_what_it_cost():
    report = small([task(name, [-1.0, -2.0], [1, 0]) for name in "ab"], run=facts())
    text = said(wording.what_was_run(report))
    assert "2 tasks, 2 rollouts each: 4 rollouts." in text
    assert "Agent mine:graph on small-model; temperature 0.8, seed 3; stored in run.db." in text
    assert "generated 10 tokens (5 to 95 %: 10 to 10) in 1.0 LLM calls" in text
    assert "100% of a task's rollouts were distinct." in text
    assert "Cost: 9 model calls, 1,234 prompt and 567 generated tokens, 9 s of rollouts." in text


def test_an_agent_that_changed_while_it_ran_is_told():
    settings = {**facts().settings, CHANGED: ["file mine.py has changed"]}
    report = small([task(name, [-1.0, -2.0], [1, 0]) for name in "ab"], run=facts(settings=settings))
    assert "The agent changed while it ran, and the run went on (--same-agent): file mine.py has changed." in said(
        wording.what_was_run(report)
    )


def test_failures_and_what_is_missing():
    run = facts(tasks=5, costs={**COSTS, "unsampled_calls": 4})
    report = small([task("a", [-1.0, -2.0], [1, 0], errors={1: "E: x"}), task("b", [-1.0, -2.0], [1, 0])], run=run)
    text = said(wording.failures(report))
    assert "1 of 4 rollouts failed and count as wrong. Among those that ended Pass@1 is 0.750, not 0.500" in text
    assert "3 tasks left out for lack of rollouts" in text
    assert "could not be set on 4 model calls" in text
    assert wording.failures(small([task("a", [-1.0, -2.0], [1, 0])], run=facts(tasks=1))) == []


def test_selectors_that_ranked_nothing_are_named():
    blind = [replace(each, unscored="coverage") for each in task("b", [-1.0, -2.0], [1, 0]).candidates]
    results = [task("a", [-1.0, -2.0], [1, 0]), TaskResult("b", tuple(blind), np.array([1.0, 0.0]))]
    text = said(wording.failures(small(results, "mean_logprob,majority_vote,mean_entropy")))
    assert "Too few tokens have an entropy in 2 rollouts (coverage)" in text
    assert (
        "In 1 of 2 tasks no rollout could be ranked by mean_logprob, mean_entropy. There its figure is that of a"
        in text
    )
    assert "could be ranked" not in said(wording.failures(small(results[:1])))


def test_windows_are_not_said_to_be_means_where_nothing_was_read():
    blind = task("b", [-1.0, -2.0], [1, 0]).candidates  # of logprobs alone
    results = [TaskResult("b", tuple(replace(each, error="E: x") for each in blind), np.zeros(2))]
    assert "mean of the whole rollout" not in said(wording.notes(small(results, "deepconf_tail")))


def test_curves_that_are_drawn_are_said_to_be():
    results = [task("a", [-1.0] * 17, [1, 0] * 8 + [1])]
    assert "rest on a seeded draw" in said(wording.notes(small(results, "majority_vote")))
    assert "rest on a seeded draw" not in said(wording.notes(small(results)))


def test_notes_name_the_settings_and_what_means_little():
    text = said(wording.notes(family(tasks=4, selectors="deepconf_mean,deepconf_tail")))
    assert "phases 1 / 80 / 2" in text
    assert "none was fitted" in text
    assert "So the score is the mean of the whole rollout" in text
    assert "199 resamples, seed 0" in text
