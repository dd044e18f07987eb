"""The columns of the report's tables: each with its name, its cell in the terminal, and its cell on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ec_agent.evaluation.statistics import Estimate, SelectorSummary
from ec_agent.support.number_formats import NONE, interval, number, p_value, percent


class Column(NamedTuple):
    """A column of a table with a row for each selector.

    Attributes:
        name: what stands above it.
        brief: function that returns the cell's text in the terminal, where there is room for few letters.
        full: function that returns the cell's text on the page.
        level: whether the name on the page tells the confidence of the intervals below it.
    """

    name: str
    brief: Callable[[SelectorSummary], str]
    full: Callable[[SelectorSummary], str]
    level: bool = False


ACCURACY = Column("accuracy", lambda row: number(row.accuracy.value), lambda row: interval(row.accuracy), level=True)
MINUS_PASS_1 = Column(
    "minus Pass@1",
    lambda row: interval(row.difference, signed=True),
    lambda row: interval(row.difference, signed=True),
    level=True,
)

COMPARED = (
    ACCURACY,
    MINUS_PASS_1,
    Column("corrected p", lambda row: p_value(row.corrected_p), lambda row: p_value(row.corrected_p)),
    Column("AUROC", lambda row: number(row.auroc.value, 2), lambda row: number(row.auroc.value, 2)),
    Column("smallest detectable", lambda row: number(row.detectable, 2), lambda row: number(row.detectable, 2)),
)
"""Of the table that compares selectors with Pass@1. The verdict stands behind them, in colour."""
WIDE = 108
"""Letters of a terminal that has room for the verdict in that table, too."""

PANEL = (
    ACCURACY,
    MINUS_PASS_1,
    Column("AUROC", lambda row: number(row.auroc.value, 2), lambda row: interval(row.auroc), level=True),
)
"""Of the confound panel: what the length of a rollout alone would pick."""

HELD_EQUAL = (
    Column(
        "with tokens", lambda row: _signed(row.confounds.with_tokens), lambda row: number(row.confounds.with_tokens, 2)
    ),
    Column(
        "with calls", lambda row: _signed(row.confounds.with_calls), lambda row: number(row.confounds.with_calls, 2)
    ),
    Column("AUROC", lambda row: _two(row.auroc), lambda row: interval(row.auroc)),
    Column("equal calls", lambda row: _two(row.confounds.equal_calls), lambda row: interval(row.confounds.equal_calls)),
    Column(
        "pairs",
        lambda row: percent(row.confounds.equal_call_pairs),
        lambda row: percent(row.confounds.equal_call_pairs),
    ),
    Column(
        "prefix",
        lambda row: _two(row.confounds.prefix),
        lambda row: interval(row.confounds.prefix) if row.confounds.prefix else NONE,
    ),
)
"""Of the table that says what is left of a selector with lengths held equal."""


def three(name: str, estimate: Estimate) -> dict[str, float | None]:
    """The columns of an estimate in the CSV: its value, and the ends of its interval."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _two(estimate: Estimate | None) -> str:
    return NONE if estimate is None else number(estimate.value, 2)


def _signed(value: float | None) -> str:
    return NONE if value is None else f"{value:+.2f}"
