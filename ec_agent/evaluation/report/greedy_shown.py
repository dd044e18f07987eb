"""The table of the greedy rollout among the n: its words and its rows."""

from __future__ import annotations

from typing import Any

from ec_agent.evaluation.report.columns import three
from ec_agent.evaluation.statistics.greedy_among import GreedyAmong
from ec_agent.support.number_formats import interval, number

TITLE = "With the greedy rollout as one of the n"
COLUMNS = ("accuracy", "minus greedy alone", "minus all sampled")
ABOUT = (
    "The rollout at temperature 0 in place of the first sampled one, as best_of_n(sampling=...) can have it. Minus "
    "greedy alone: what the other rollouts add to one that costs a single rollout. Not corrected for the number of "
    "selectors."
)


def cells(row: GreedyAmong) -> tuple[str, ...]:
    """One row under ``COLUMNS``."""
    return number(row.accuracy.value), interval(row.minus_greedy, signed=True), interval(row.minus_sampled, signed=True)


def flat(row: GreedyAmong) -> dict[str, Any]:
    """One row of the CSV; ``difference`` is to greedy alone."""
    return {
        "group": "greedy among n",
        "name": row.selector,
        "tasks": row.accuracy.tasks,
        **three("accuracy", row.accuracy),
        **three("difference", row.minus_greedy),
    }
