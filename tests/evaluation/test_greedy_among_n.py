"""The greedy rollout in place of the first sampled one: what each selector makes of it, and where it is shown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from eval_fakes import Calls, agent_of, tasks
from report_parts import FAST, small, task
from rich.console import Console

from ec_agent import Call, Candidate, Trajectory
from ec_agent.errors import ConfigError
from ec_agent.evaluation.report.content import report_of
from ec_agent.evaluation.report.html import to_html
from ec_agent.evaluation.report.json_csv import to_csv, to_json
from ec_agent.evaluation.report.terminal import print_report
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import evaluate
from ec_agent.evaluation.statistics.greedy_among import greedy_among, with_greedy
from ec_agent.evaluation.stored_results import load_results
from ec_agent.selectors import MajorityVote, MeanLogprob

BOTH = {"mean_logprob": MeanLogprob(), "majority_vote": MajorityVote()}


def greedy(logprob, answer, error=None):
    """A rollout at temperature 0 of one call."""
    calls = [Call(np.full(10, 0.1), signals={"logprob": np.full(10, logprob)})]
    return Candidate(0, Trajectory(calls), answer, error=error)


def results():
    said = {0: "x", 1: "y", 2: "y"}
    return [
        # The greedy rollout is the surest and right; its answer is new.
        replace(task("a", [-3, -2, -2.5], [0, 0, 1], greedy=1.0, texts=said), greedy_rollout=greedy(-1, "z")),
        # It is unsure and wrong, and takes the place of the only right one.
        replace(task("b", [-1, -2, -2.5], [1, 0, 0], greedy=0.0, texts=said), greedy_rollout=greedy(-9, "y")),
        # It failed.
        replace(task("c", [-1, -2, -3], [0, 1, 1], greedy=0.0, texts=said), greedy_rollout=greedy(-1, None, "broke")),
        task("d", [-1, -2], [1, 1], greedy=1.0),  # its rollout is not at hand
    ]


def test_each_selector_with_and_without_it():
    by_score, by_vote = greedy_among(results(), BOTH, FAST)
    assert (by_score.selector, by_vote.selector) == tuple(BOTH)
    assert by_score.accuracy.tasks == 3
    # Picks by logprob: the greedy one (1), then -2 (0), then -2 (1); sampled alone: -2 (0), -1 (1), -1 (0).
    assert by_score.accuracy.value == pytest.approx((1 + 0 + 1) / 3)
    assert by_score.minus_greedy.value == pytest.approx((0 + 0 + 1) / 3)
    assert by_score.minus_sampled.value == pytest.approx((1 - 1 + 1) / 3)
    # By votes: y of a (mean of 0 and 1), all y of b (0), y of c (1); sampled alone y in all: 0.5, 0, 1.
    assert by_vote.accuracy.value == pytest.approx((0.5 + 0 + 1) / 3)
    assert by_vote.minus_sampled.value == 0


def test_the_number_of_rollouts_stays_and_indices_too():
    for result in results()[:3]:
        mixed = with_greedy(result)
        assert [c.index for c in mixed.candidates] == [0, 1, 2]
        assert mixed.candidates[1:] == result.candidates[1:]
        assert mixed.correct.tolist() == [result.greedy, *result.correct[1:]]
    assert with_greedy(results()[3]).correct.tolist() == [1, 1]


def test_without_greedy_rollouts_there_is_no_table():
    report = small(results()[3:])
    assert report.greedy == ()
    assert "greedy among n" not in to_csv(report)
    assert "With the greedy rollout" not in printed(report)
    with pytest.raises(ConfigError, match="greedy_rollout is 3; give a Candidate"):
        replace(results()[0], greedy_rollout=3)


def printed(report):
    console = Console(file=io.StringIO(), width=140)
    print_report(report, console)
    return console.file.getvalue()


def test_where_it_is_shown():
    report = small(results(), "mean_logprob,majority_vote")
    (row, _) = json.loads(to_json(report))["greedy_among"]
    assert (row["selector"], row["accuracy"]["value"]) == ("mean_logprob", pytest.approx(2 / 3))
    rows = [row for row in csv.DictReader(io.StringIO(to_csv(report))) if row["group"] == "greedy among n"]
    assert [row["name"] for row in rows] == ["mean_logprob", "majority_vote"]
    assert float(rows[0]["difference"]) == pytest.approx(1 / 3)
    told = printed(report)
    assert "With the greedy rollout as one of the n" in told
    assert "minus greedy alone" in told
    page = to_html(report)
    assert page.count("With the greedy rollout as one of the n") >= 2


def test_a_stored_run_has_them(path):
    evaluate(tasks(3), agent_of(Calls()), path, RunSettings(n=3, seed=1))
    found = load_results(path)
    assert all(result.greedy_rollout is not None for result in found)
    report = report_of(path, selectors=BOTH, resampling=FAST)
    assert [row.selector for row in report.greedy] == list(BOTH)
    slow = [np.mean(with_greedy(result).correct) for result in found]
    assert 0 <= report.greedy[0].accuracy.value <= 1
    assert len(slow) == report.greedy[0].accuracy.tasks
