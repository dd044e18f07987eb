from __future__ import annotations

import csv
import io
import json

import pytest
from report_parts import facts, family, small, task
from rich.console import Console

from ec_agent.evaluation.report.json_csv import COLUMNS, to_csv, to_json
from ec_agent.evaluation.report.terminal import print_report
from ec_agent.evaluation.statistics.confounds import PANEL


@pytest.fixture(scope="module")
def report():
    return family(tasks=20, selectors="lowest_centroid,majority_vote,deepconf_bottom_window:window=16")


def test_json_has_the_summary_and_the_sentences(report):
    tree = json.loads(to_json(report))
    assert tree["summary"] == report.summary.to_dict()
    assert tree["config"] == {"top_percent": 1.0, "bottom_percent": 80.0, "consecutive_low": 2}
    assert tree["run"] is None
    assert all(tree[part] for part in ("what_was_run", "may_be_concluded", "may_not_be_concluded", "notes"))
    assert tree["summary"]["selectors"][0]["verdict"]["sentence"].startswith("lowest_centroid: ")


def test_the_json_says_which_run_it_is_of():
    tree = json.loads(to_json(small([task("a", [-1.0], [1])], run=facts(models=("m",)))))
    assert (tree["run"]["file"], tree["run"]["models"]) == ("run.db", ["m"])


def test_csv_has_a_row_each(report):
    rows = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["name"] for row in rows] == [
        *("pass@1", "oracle@8", "lowest_centroid", "majority_vote", "deepconf_bottom_window(window=16)"),
        *PANEL,
    ]
    found = report.summary.selectors[1]
    row = rows[3]
    assert float(row["difference"]) == found.difference.value
    assert float(row["corrected_p"]) == found.corrected_p
    assert (row["verdict"], row["sentence"]) == (found.verdict.kind, found.verdict.sentence)
    assert row["auroc_common_prefix"] == ""  # votes read no signal: there is none, and not 0
    assert rows[-1]["group"] == "confound"
    assert rows[-1]["corrected_p"] == ""


def test_csv_has_greedy_where_there_is_one():
    report = small([task(name, [-1.0, -2.0], [1, 0], greedy=greedy) for name, greedy in (("a", 1.0), ("b", 0.0))])
    greedy = next(row for row in csv.DictReader(io.StringIO(to_csv(report))) if row["name"] == "greedy")
    assert (float(greedy["accuracy"]), float(greedy["difference"])) == (0.5, 0.0)


def shown(report, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_report(report, console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_all_of_it_within_its_width(report, width):
    text = shown(report, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    lines = text.splitlines()
    for row in report.summary.selectors:
        found = f"{row.difference.value:+.3f} [{row.difference.low:+.2f}, {row.difference.high:+.2f}]"
        assert any(f"{row.accuracy.value:.3f}  {found}" in " ".join(line.split(" ")) for line in lines)
        assert row.name.partition("(")[0] in text
    assert any(line.split()[:2] == ["Pass@1", f"{report.summary.pass_1.value:.3f}"] for line in lines)
    assert any(line.split()[:2] == ["oracle@8", f"{report.summary.oracle.value:.3f}"] for line in lines)
    for name, curve in (("(pass@k)", report.summary.pass_at_k), ("(pass^k)", report.summary.pass_hat_k)):
        assert f"{name} {' '.join(f'{curve[n - 1]:.3f}' for n in (1, 2, 4, 8))}" in " ".join(text.split())
    curve = report.summary.selectors[0].curve.accuracy
    assert f"lowest_centroid {' '.join(f'{curve[n - 1]:.3f}' for n in (1, 2, 4, 8))}" in " ".join(text.split())
    assert ("  verdict" in text) == (width == 120)
    for title in ("What may be concluded", "What may not be concluded", "Confound panel", "Notes"):
        assert title in text
    assert "smallest detectable" in " ".join(text.split())
    assert "no selector could gain more than" in " ".join(text.split())


@pytest.mark.parametrize(("n", "columns"), [(1, None), (2, "from 1 2"), (6, "from 1 2 4 6")])
def test_the_terminal_shows_curves_where_there_are_some(n, columns):
    text = shown(small([task(name, [-1.0 - i for i in range(n)], [1] + [0] * (n - 1)) for name in "ab"]), 80)
    assert ("Accuracy by number of rollouts" in text) == (columns is not None)
    assert columns is None or columns in " ".join(text.split())


def test_the_terminal_shows_what_was_said_as_it_was_said():
    run = facts(failures={"ValueError: [red]no[/red] [/bold]": 3}, settings={"agent": "[bold]mine"})
    text = shown(small([task("a", [-1.0, -2.0], [1, 0], errors={1: "E: x"})], run=run), 100)
    assert "3 x ValueError: [red]no[/red] [/bold]" in text
    assert "Agent [bold]mine on" in text
