"""How sure choices are, in the report: terminal, files, figures; and nothing of it where nobody asked."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_parts import FAST, family
from rich.console import Console

from ec_agent.evaluation.report import certainty_shown
from ec_agent.evaluation.report.certainty_rows import CertaintyRow, certainty_of
from ec_agent.evaluation.report.html import to_html
from ec_agent.evaluation.report.json_csv import COLUMNS, to_csv, to_json
from ec_agent.evaluation.report.terminal import print_report
from ec_agent.evaluation.statistics.reliability import reliability
from ec_agent.evaluation.tuning_probability import ProbabilityTuning
from ec_agent.selectors import MajorityVote

sys.path.append(str(Path(__file__).parents[1] / "probability"))
from calibrated import platt


def tuning(seed=0, left_out=0, knows=True):
    """A fitted probability as it might come out, without fitting one."""
    rng = np.random.default_rng(seed)
    true = rng.beta(1.2, 0.8, 200)
    right = (rng.random(200) < true).astype(float)
    p = np.clip((true if knows else rng.permutation(true)) + rng.normal(0, 0.05, (2, 200)), 0.01, 0.99)
    found = reliability(p, np.full_like(p, right.mean()), right, FAST)
    return ProbabilityTuning(platt(), found, (("platt (agreement)", 10),), 5, left_out, 5, 2)


@pytest.fixture(scope="module")
def report():
    rows = (CertaintyRow("majority_vote", tuning()), CertaintyRow("<lowest>", tuning(1, 3, knows=False)))
    return replace(bare(), certainty=rows)


def bare():
    return family(tasks=20, selectors="lowest_centroid,majority_vote")


def text_of(report):
    console = Console(width=80, file=io.StringIO(), color_system=None)
    print_report(report, console)
    return console.file.getvalue()


def test_the_terminal_has_it_within_80_columns(report):
    text = text_of(report)
    assert max(map(len, text.splitlines())) <= 80
    found = report.certainty[0].tuning.reliability
    line = next(line for line in text.splitlines() if line.strip().startswith("difference of the two"))
    gain = found.brier_minus_constant
    assert line.split()[-3:] == [f"{gain.value:.3f}", f"[{gain.low:.3f},", f"{gain.high:.3f}]"]
    assert f"accuracy of the surest {found.at(0.5).share:.0%}" in text


def test_the_words_follow_the_numbers(report):
    good, bad = (certainty_shown.sentences(row.tuning) for row in report.certainty)
    assert "knows more than the base rate does" in good[0]
    assert "worse than the base rate" in bad[0] or "is not shown" in bad[0]
    assert all("A constant is well calibrated" in lines[1] for lines in (good, bad))
    assert len(good) == 2
    assert bad[2] == "3 tasks left out: no score there, or no answer to compare."


def test_csv_and_json_have_a_row_each(report):
    rows = [row for row in csv.DictReader(io.StringIO(to_csv(report))) if row["group"] == "probability"]
    tree = json.loads(to_json(report))["probability"]
    assert len(rows) == len(tree) == 2
    assert tuple(rows[0]) == COLUMNS
    for row, plain, ours in zip(rows, tree, report.certainty, strict=True):
        found = ours.tuning.reliability
        assert row["name"] == plain["selector"] == ours.selector
        assert float(row["brier"]) == plain["brier"]["value"] == found.brier.value
        assert float(row["brier_minus_constant_low"]) == plain["brier_minus_constant"]["low"]
        assert float(row["ece"]) == plain["ece"]["value"] == found.ece.value
        assert plain["ece_constant"]["value"] == found.ece_constant.value
        assert [point["share"] for point in plain["answered"]] == [each.share for each in found.answered]
        assert [each["probability"] for each in plain["bins"]] == [each.probability for each in found.bins]


def test_the_page_has_tables_and_two_drawings_for_each_selector(report):
    page = to_html(report)
    assert certainty_shown.TITLE in page
    assert len(re.findall(r"<svg[^>]*>", page)) - len(re.findall(r"<svg[^>]*>", to_html(bare()))) == 4
    said = re.search(r'id="reliability-said">(.*?)</p>', page)[1]
    found = report.certainty[0].tuning.reliability
    for each in found.bins:
        assert f"{each.probability:.2f} is right in {each.right.value:.3f}" in said
    assert f"of {found.at(0.5).share:.0%}" in re.search(r'id="abstention-said">(.*?)</p>', page)[1]
    assert "&lt;lowest&gt;" in page
    assert "<lowest>" not in page
    head, *rows = [
        len(re.findall(r"<t[hd][ >]", line))
        for line in re.findall(r"<tr>.*?</tr>", page[page.index('aria-label="Probabilities"') :].split("</table>")[0])
    ]
    assert rows == [head, head]


def test_nothing_of_it_where_nobody_asked():
    for text in (text_of(bare()), to_html(bare())):
        assert "How sure" not in text
    assert json.loads(to_json(bare()))["probability"] == []


def test_it_is_fitted_for_each_selector():
    pytest.importorskip("sklearn", reason="ec-agent[calibrate] is not installed")
    (row,) = certainty_of(family(tasks=40).results, {"vote": MajorityVote()}, FAST)
    assert (row.selector, row.tuning.repeats, row.tuning.reliability.tasks) == ("vote", 4, 40)
