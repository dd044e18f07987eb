from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import HERE, PAGES
from benchmarks.costs import COSTS
from benchmarks.harness import Case, at_least, at_most, run, value
from benchmarks.report import TABLES, lines, marks, write_json, write_tables


def counting(**amounts):
    seen = []

    def arm(name):
        def measured():
            seen.append(name)
            return amounts[name]

        return measured

    return seen, {name: arm(name) for name in amounts}


def test_arms_run_in_turns_and_give_ratios():
    seen, arms = counting(slow=80.0, fast=2.0)
    case = Case("x", arms, [at_least("slow", "fast", 40), at_most("slow", "fast", 39)], gauge=value, rounds=3)
    result = run(case)
    assert seen == ["slow", "fast", "slow", "fast", "fast", "slow", "slow", "fast"]  # once each to warm up
    assert [outcome.ratio.median for outcome in result.outcomes] == [40, 40]
    assert [outcome.reached for outcome in result.outcomes] == [True, False]
    assert "MISSED by 3%" in "\n".join(lines(result))


def test_a_part_of_the_work_counts_for_the_whole():
    _, arms = counting(part=2.0, whole=10.0)
    result = run(Case("x", arms, [at_least("part", "whole", 4)], gauge=value, times={"part": 20}, rounds=1))
    assert result.outcomes[0].ratio.median == 4


def test_a_page_has_the_table_and_keeps_other_rows(tmp_path):
    _, arms = counting(a=1.0, b=2.0)
    page, file = tmp_path / "speed.md", tmp_path / "results.json"
    page.write_text("before\n" + "".join("{}\nold\n{}\n".format(*marks(name)) for name in TABLES) + "after\n")
    for name in ("one", "two", "one"):
        write_json(file, {"cores": "2"}, [run(Case(name, arms, [at_most("b", "a", 3)], gauge=value, rounds=1))])
    assert [row["name"] for row in json.loads(file.read_text())["rows"]] == ["one", "two"]
    write_tables(page, file)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| one | b / a | 2 (2 to 2) | <= 3 | reached |" in text
    page.write_text("{}\n{}".format(*marks("costs")))
    with pytest.raises(ValueError, match="bench"):
        write_tables(page, file)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_has_what_was_measured(tmp_path, name):
    """Its figures are those of the results, none by hand, and no row that a figure names is gone."""
    page = tmp_path / "page.md"
    page.write_text(PAGES[name].read_text())
    write_tables(page, HERE / "results.json", [name])
    assert page.read_text() == PAGES[name].read_text()
    rows = {row["name"]: row["arms"] for row in json.loads((HERE / "results.json").read_text())["rows"]}
    assert all(figure.arm in rows[figure.row] for figures in COSTS.values() for figure in figures)
