"""The report as JSON with everything, and as CSV with one row a selector: for programs, not for readers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ec_agent.evaluation.report import certainty_shown, greedy_shown, stopping_shown, wording
from ec_agent.evaluation.report.columns import three
from ec_agent.evaluation.report.content import EvaluationReport
from ec_agent.evaluation.statistics import SelectorSummary

COLUMNS = (
    *("group", "name", "tasks", "accuracy", "accuracy_low", "accuracy_high"),
    *("difference", "difference_low", "difference_high", "p", "corrected_p", "detectable"),
    *("auroc", "auroc_low", "auroc_high", "with_tokens", "with_calls", "auroc_equal_calls", "auroc_common_prefix"),
    *("warned_tasks", "fell_back_tasks", "verdict", "sentence"),
    *stopping_shown.FLAT,
    *certainty_shown.FLAT,
)
"""Of the CSV. An empty cell is a number that does not exist, never 0."""


def to_json(report: EvaluationReport) -> str:
    """The report as JSON text; ``summary`` is ``Summary.to_dict``."""
    tree: dict[str, Any] = {
        "run": None if report.run is None else asdict(report.run),
        "config": report.config.to_dict(),
        "summary": report.summary.to_dict(),
        "left_out": dict(report.left_out),
        "stopping": [stopping_shown.numbers(row) for row in report.stops],
        "greedy_among": [asdict(row) for row in report.greedy],
        "probability": [certainty_shown.numbers(row) for row in report.certainty],
        "stopped_run": None if report.as_run is None else asdict(report.as_run),
        "unfinished": report.unfinished,
        "what_was_run": wording.what_was_run(report),
        "failures": wording.failures(report),
        "may_be_concluded": wording.conclusions(report),
        "may_not_be_concluded": wording.cautions(report),
        "notes": wording.notes(report),
    }
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def to_csv(report: EvaluationReport) -> str:
    """Pass@1, the oracle, greedy, selectors, confound panel and stopping plans, one row each, under ``COLUMNS``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(report))
    return text.getvalue()


def _rows(report: EvaluationReport) -> Iterator[dict[str, Any]]:
    summary = report.summary
    yield {"group": "baseline", "name": "pass@1", **three("accuracy", summary.pass_1), "tasks": summary.pass_1.tasks}
    oracle = {"group": "baseline", "name": f"oracle@{summary.n_most}", "tasks": summary.oracle.tasks}
    yield {**oracle, **three("accuracy", summary.oracle)}
    if summary.greedy.value is not None:
        greedy = {"group": "baseline", "name": "greedy", "tasks": summary.greedy.tasks}
        yield {**greedy, **three("accuracy", summary.greedy), **three("difference", summary.greedy_difference)}
    yield from (_row("selector", row) for row in summary.selectors)
    yield from (_row("confound", row) for row in summary.panel)
    yield from (greedy_shown.flat(row) for row in report.greedy)
    yield from (stopping_shown.flat(row) for row in report.stops)
    yield from (certainty_shown.flat(row) for row in report.certainty)


def _row(group: str, row: SelectorSummary) -> dict[str, Any]:
    found = row.confounds
    return {
        "group": group,
        "name": row.name,
        "tasks": row.accuracy.tasks,
        **three("accuracy", row.accuracy),
        **three("difference", row.difference),
        "p": row.p,
        "corrected_p": row.corrected_p,
        "detectable": row.detectable,
        **three("auroc", row.auroc),
        "with_tokens": found.with_tokens,
        "with_calls": found.with_calls,
        "auroc_equal_calls": found.equal_calls.value,
        "auroc_common_prefix": None if found.prefix is None else found.prefix.value,
        "warned_tasks": row.warned,
        "fell_back_tasks": row.fell_back,
        "verdict": None if row.verdict is None else row.verdict.kind,
        "sentence": None if row.verdict is None else row.verdict.sentence,
    }
