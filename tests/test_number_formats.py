"""How numbers are written; and wherever a share is shown, one that is not whole is not shown as all or nothing."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from ec_agent import Call, Candidate, CentroidEvaluator, LowestCentroid, Trajectory
from ec_agent.evaluation.statistics import Estimate
from ec_agent.selectors.validity import validity
from ec_agent.support.number_formats import interval, many, number, p_value, percent
from ec_agent.visual.chosen_anew import selection_of
from ec_agent.visual.page import page_of
from ec_agent.visual.table import text_of
from ec_agent.visual.views import view_of


def test_numbers_that_do_not_exist_are_dashes():
    nothing = Estimate(None, None, None, 0)
    assert [number(None), interval(nothing), p_value(None), percent(None)] == ["-"] * 4
    assert interval(Estimate(0.5, None, None, 1)) == "0.500"
    assert interval(Estimate(-0.05, -0.1, 0.0, 9), signed=True) == "-0.050 [-0.10, +0.00]"
    assert [p_value(0.0004), p_value(0.0123)] == ["< .001", "0.012"]
    assert [many(1, "task"), many(1200, "task")] == ["1 task", "1,200 tasks"]


@pytest.mark.parametrize(
    ("share", "written"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (2.0, "200%"),
        (0.35, "35%"),
        (0.994, "99%"),
        (0.995, "99.5%"),
        (0.996, "99.6%"),
        (0.9996, "99.96%"),
        (1 - 1e-6, "99.9999%"),
        (0.005, "0.5%"),
        (0.002, "0.2%"),
        (0.00004, "0.004%"),
        (1.004, "100.4%"),
        (-0.003, "-0.3%"),
        (sum([0.1] * 10), "100%"),  # a rounding error is none of ours
        (math.nan, "nan%"),
        (math.inf, "inf%"),
    ],
)
def test_only_a_whole_share_is_written_as_whole(share, written):
    assert percent(share) == written


def test_more_decimals_hold_for_every_share_but_what_is_whole_says_so():
    assert [percent(share, decimals=1) for share in (0.5, 0.9996, 0.0004)] == ["50.0%", "99.96%", "0.04%"]


def test_no_share_of_whole_tokens_is_written_as_all_or_nothing_unless_it_is():
    for tokens in (*range(1, 300), 1000, 9999, 1_000_000):
        texts = [percent(known / tokens) for known in (0, 1, tokens - 1, tokens)]
        assert texts[0] == "0%"
        assert texts[3] == "100%"
        if tokens > 1:
            assert {"0%", "100%"}.isdisjoint(texts[1:3])


ALMOST = Trajectory([Call(np.r_[2.0, np.full(499, 0.1), np.nan])])  # 500 of 501 tokens have an entropy
HARDLY = Trajectory([Call(np.r_[2.0, np.full(500, np.nan)])])  # 1 of 501


def chosen():
    group = [Candidate(0, ALMOST, final_action="a"), Candidate(1, HARDLY, final_action="b")]
    return selection_of(group, LowestCentroid())


def table():
    return text_of(chosen())


def page():
    html = page_of(view_of(chosen()))
    return " ".join(
        [*re.findall(r"<td>([\d.]+%)</td>", html), *re.findall(r"[\d.]+% of the tokens came without", html)]
    )


def comments():
    scored = CentroidEvaluator()
    return " ".join(scored(outputs=each)["comment"] for each in (ALMOST, HARDLY))


def warnings():
    return " ".join(validity([Candidate(0, ALMOST), Candidate(1, HARDLY)]))


@pytest.mark.parametrize("shown", [table, page, comments, warnings])
def test_a_token_without_logprobs_and_a_token_with_them_are_seen(shown):
    text = shown()
    assert re.search(r"\b99\.8%", text)
    assert re.search(r"\b0\.2%", text)
    assert not re.search(r"(?<![.\d])(100|0)%", text)
