"""The figures of a suite beside those of the paper: a row a run, and the mean over runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

import numpy as np

from ec_agent.errors import TraceError
from ec_agent.evaluation.report.content import EvaluationReport, report_of
from ec_agent.evaluation.statistics import Estimate, Resampling, SelectorSummary, Summary
from ec_agent.evaluation.stored_results import load_results
from ec_agent.evaluation.suite.config import Cell, Suite
from ec_agent.support.number_formats import NONE, interval, many, number
from ec_agent.traces.opening import is_there

LOWEST = "lowest_centroid"
BESIDE = ("majority_vote", "self_certainty", "deepconf_tail", "deepconf_bottom_window")
"""Selectors that stand beside it: those the authors compare with, and the vote."""


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """One run.

    Attributes:
        cell: which.
        summary: its numbers; ``None`` where it has no whole task yet.
        unfinished: how many tasks lack rollouts.
        said: why there are no numbers, or what to know of them.
    """

    cell: Cell
    summary: Summary | None
    unfinished: int = 0
    said: str = ""

    def of(self, name: str) -> SelectorSummary | None:
        """A selector of it."""
        found = self.summary.selectors if self.summary else ()
        return next((each for each in found if each.name.split(" ")[0] == name), None)

    @property
    def gain(self) -> Estimate | None:
        """Lowest Centroid minus Pass@1."""
        found = self.of(LOWEST)
        return None if found is None else found.difference


@dataclass(frozen=True, slots=True)
class Mean:
    """Lowest Centroid minus Pass@1 over the runs, each run with the same weight.

    Attributes:
        gain: the mean; its interval of 95 % is for other tasks of these same families.
        most: the largest gain of a run.
        runs: how many.
    """

    gain: Estimate
    most: float
    runs: int


def rows_of(suite: Suite, resampling: Resampling | None = None) -> list[SuiteRow]:
    """A row for each run, as far as it has come. No model is called.

    Raises:
        ConfigError: SciPy is missing.
    """
    return [_row(cell, resampling) for cell in suite.cells]


def _row(cell: Cell, resampling: Resampling | None) -> SuiteRow:
    if not is_there(cell.out):
        return SuiteRow(cell, None, said="not run yet")
    try:
        whole = load_results(cell.out, partial=True)
    except TraceError as error:
        return SuiteRow(cell, None, said=str(error))
    if not whole:
        return SuiteRow(cell, None, said="no task has all its rollouts yet")
    report = report_of(cell.out, partial=True, stops=(), resampling=resampling)
    return SuiteRow(cell, report.summary, report.unfinished, _warned(report))


def _warned(report: EvaluationReport) -> str:
    found = [each for each in report.summary.selectors if each.name.split(" ")[0] == LOWEST]
    warned = sum(each.warned for each in found)
    return f"its centroids mean little on {warned} of {many(len(report.summary.tasks), 'task')}" if warned else ""


def mean_of(rows: Sequence[SuiteRow]) -> Mean | None:
    """The mean gain over the runs that have figures; ``None`` without one."""
    gains, variances = [], []
    for row in rows:
        found, summary = row.of(LOWEST), row.summary
        if found is None or summary is None or found.difference.value is None:
            continue
        each = np.array(found.by_task) - np.array(summary.by_task)
        gains.append(float(each.mean()))
        variances.append(float(each.var(ddof=1)) / len(each) if len(each) > 1 else math.nan)
    if not gains:
        return None
    middle, tasks = fmean(gains), sum(len(row.summary.tasks) for row in rows if row.summary)
    error = math.sqrt(sum(variances)) / len(gains)
    if math.isnan(error) or error == 0.0:
        return Mean(Estimate(middle, None, None, tasks), max(gains), len(gains))
    half = NormalDist().inv_cdf(0.975) * error
    return Mean(Estimate(middle, middle - half, middle + half, tasks), max(gains), len(gains))


def cells_of(row: SuiteRow) -> list[str]:
    """What the tables show of a run: tasks and N, Pass@1, greedy, oracle, Lowest Centroid's gain, the others' gains."""
    summary = row.summary
    if summary is None:
        return [NONE] * (6 + len(BESIDE))
    beside = [row.of(name) for name in BESIDE]
    return [
        f"{len(summary.tasks)}" + (f" (+{row.unfinished} unfinished)" if row.unfinished else ""),
        str(summary.n),
        number(summary.pass_1.value),
        number(summary.greedy.value),
        number(summary.oracle.value),
        NONE if row.gain is None else interval(row.gain, signed=True),
        *(NONE if each is None else signed(each.difference.value) for each in beside),
    ]


def signed(gain: float | None) -> str:
    """A gain with its sign."""
    return NONE if gain is None else f"{gain:+.3f}"


def paper_of(row: SuiteRow) -> str:
    """What the paper states for a run's family, as far as the file of the suite says it."""
    return "not stated" if row.cell.family.reported is None else signed(row.cell.family.reported)
