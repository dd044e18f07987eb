"""Stopping plans in the report: rows, files, figure; and nothing of them where there is nothing to compare."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
from report_parts import FAST, family, task
from rich.console import Console
from stored_families import stored

from ec_agent.errors import ConfigError
from ec_agent.evaluation.report.content import compare, selectors_in
from ec_agent.evaluation.report.html import to_html
from ec_agent.evaluation.report.json_csv import COLUMNS, to_csv, to_json
from ec_agent.evaluation.report.stopping_rows import usual_plans
from ec_agent.evaluation.report.stopping_shown import NOTHING, notes
from ec_agent.evaluation.report.terminal import print_report
from ec_agent.evaluation.statistics.plan_comparison import compare_plans
from ec_agent.selectors import MajorityVote
from ec_agent.stopping import Agreement, Beta, OutOfReach, ScoreThreshold

PLANS = (OutOfReach(), Agreement([2, 2, 4], 0.75))


@pytest.fixture(scope="module")
def report():
    return family(tasks=20, selectors="lowest_centroid,majority_vote", stops=PLANS)


def test_each_plan_beside_each_selector(report):
    assert [(row.selector, row.plan) for row in report.stops] == [
        (selector, plan)
        for selector in ("lowest_centroid", "majority_vote")
        for plan in ("out_of_reach", "agreement:2,2,4:threshold=0.75")
    ]
    beside_votes = compare_plans(report.results, PLANS, MajorityVote(), resampling=FAST)
    for row, found in zip(report.stops[2:], beside_votes, strict=True):
        assert (row.found.accuracy, row.found.tokens) == (found.accuracy, found.tokens)
    certain = report.stops[2].found
    assert (certain.same_winner, certain.difference.value) == (1.0, 0.0)
    # All N are the row of the selectors above.
    whole = certain.accuracy.value - certain.difference.value
    assert whole == pytest.approx(report.summary.selectors[1].accuracy.value, abs=0.02)


def test_the_usual_plans_are_beside_the_vote_and_the_centroid():
    found = family(tasks=6, stops=None)
    assert {row.selector for row in found.stops} == {"lowest_centroid", "majority_vote"}
    assert len({row.plan for row in found.stops}) == len(usual_plans(8)) == 4
    assert [len(usual_plans(n)) for n in (0, 1, 2, 3, 7, 8, 16)] == [0, 0, 0, 3, 3, 4, 4]
    for n in range(3, 20):
        assert all(sum(plan.waves or [n]) == n for plan in usual_plans(n))


def text_of(report, width=80):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_report(report, console)
    return console.file.getvalue()


def test_the_terminal_has_them_within_80_columns(report):
    text = text_of(report)
    assert max(map(len, text.splitlines())) <= 80
    found = report.stops[2].found
    line = [line for line in text.splitlines() if line.split()[:1] == ["out_of_reach"]][1]  # beside the second selector
    assert line.split()[1:] == [
        f"{found.accuracy.value:.3f}",
        "+0.000",
        f"{found.tokens.value:.0%}",
        f"{found.length.value:.0%}",
        "100%",
    ]


def test_csv_and_json_have_a_row_each(report):
    rows = [row for row in csv.DictReader(io.StringIO(to_csv(report))) if row["group"] == "stopping"]
    tree = json.loads(to_json(report))["stopping"]
    assert len(rows) == len(tree) == 4
    assert tuple(rows[0]) == COLUMNS
    for row, plain, ours in zip(rows, tree, report.stops, strict=True):
        assert (row["name"], row["plan"]) == (plain["selector"], plain["plan"]) == (ours.selector, ours.plan)
        assert float(row["tokens"]) == plain["tokens"]["value"] == ours.found.tokens.value
        assert float(row["minus_all"]) == plain["minus_all"]["value"] == ours.found.difference.value
        assert row["tokens_low"] == str(ours.found.tokens.low)
        assert row["difference"] == ""  # that is against Pass@1
        assert float(row["same_winner"]) == plain["same_winner"]


def test_the_page_has_a_table_and_a_drawing_for_each_selector(report):
    text = to_html(report)
    assert "What stopping early saves" in text
    assert len(re.findall(r"<svg[^>]*>", text)) - len(re.findall(r"<svg[^>]*>", to_html(bare()))) == 2
    said = re.search(r'id="stops-said">(.*?)</p>', text)[1]
    for row in report.stops:
        assert f"{row.selector} with {row.plan}: {row.found.accuracy.value:.3f}" in said
    head, *rows = [
        len(re.findall(r"<t[hd][ >]", line))
        for line in re.findall(r"<tr>.*?</tr>", text[text.index('aria-label="Stopping plans"') :].split("</table>")[0])
    ]
    assert [cells for cells in rows if cells > 1] == [head] * 4


def bare():
    return family(tasks=20, selectors="lowest_centroid,majority_vote")


@pytest.mark.parametrize(
    "results",
    [
        [task("a", [-1.0, -2.0], [1, 0]), task("b", [-1.0, -2.0], [0, 1])],
        [task("a", [-1.0], [1])],
    ],
    ids=["two rollouts", "one"],
)
def test_nothing_of_it_where_there_is_nothing_to_compare(results):
    found = compare(results, selectors=selectors_in("majority_vote"), resampling=FAST, stops=None)
    assert found.stops == ()
    assert "stopping early" not in text_of(found)
    assert "stopping early" not in to_html(found)
    assert json.loads(to_json(found))["stopping"] == []


def test_answers_that_are_never_the_same_are_told():
    results = [task(name, [-1.0, -2.0, -3.0, -4.0], [1, 0, 0, 0]) for name in "ab"]
    found = compare(results, selectors=selectors_in("majority_vote"), resampling=FAST, stops=None)
    assert NOTHING in notes(found.stops)
    assert NOTHING not in notes(family(tasks=6, stops=None).stops)


def test_a_named_plan_that_cannot_be_replayed_is_refused():
    results = stored("red2")[:3]
    threshold = [ScoreThreshold(-1.0), Agreement(normalize=lambda action: np.zeros(2))]
    with pytest.raises(ConfigError, match="normalize"):
        compare(results, selectors=selectors_in("majority_vote"), resampling=FAST, stops=threshold)


def test_the_same_report_twice_is_the_same():
    first, second = (family(tasks=5, stops=(Beta(),)) for _ in range(2))
    assert first.stops == second.stops
    assert to_html(first) == to_html(second)
