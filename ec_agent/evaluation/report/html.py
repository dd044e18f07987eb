"""The report as one HTML file: no network; what tasks, agents and models said is escaped.

Scripts are in it where pictures of tasks are; it reads without them too.
"""

from __future__ import annotations

from collections.abc import Sequence

from ec_agent.evaluation.report import certainty_shown, columns, figures, greedy_shown, stopping_shown, wording
from ec_agent.evaluation.report.content import EvaluationReport
from ec_agent.evaluation.report.figures import Figure
from ec_agent.evaluation.report.task_pictures import centroids_by_outcome, outcomes, views
from ec_agent.evaluation.results import TaskResult
from ec_agent.support.number_formats import percent
from ec_agent.visual.many_selections import pictures
from ec_agent.visual.page import rendered

MOST_TASKS = 200
"""So many tasks are listed one by one; the JSON has all."""

MIN_EACH = 20
"""Right rollouts, and wrong ones, from which their centroids are drawn: of fewer a histogram is a row of accidents."""

TEMPLATE = "report.html.j2"


def to_html(report: EvaluationReport, tasks: Sequence[TaskResult] = ()) -> str:
    """The page.

    Args:
        report: the comparison.
        tasks: whose rollouts are shown one by one; none by default.

    Raises:
        ConfigError: jinja2 or matplotlib is not installed.
    """
    summary = report.summary
    shown = list(pictures(views(tasks)))
    return rendered(
        TEMPLATE,
        "ec_agent.evaluation.report",
        report=report,
        summary=summary,
        say=wording,
        columns=columns,
        stops=stopping_shown,
        greedy=greedy_shown,
        sure=certainty_shown,
        figures=_figures(report, tasks),
        few=wording.too_few_for_charts(report),
        few_rollouts=MIN_EACH,
        no_centroids=figures.lowest_centroid_of(summary) is None,
        level=percent(summary.resampling.confidence),
        pictures=shown,
        picture_of={picture.view.title: picture.name for picture in shown if picture.rows},
        tasks=list(zip(summary.tasks, summary.by_task, range(MOST_TASKS), strict=False)),
    )


def _figures(report: EvaluationReport, tasks: Sequence[TaskResult]) -> dict[str, Figure | None]:
    """What is drawn; ``None`` for what is not there, and for what would be drawn of too little."""
    summary = report.summary
    drawings: dict[str, Figure | None] = dict.fromkeys(
        ("forest", "curves", "stops", "reliability", "abstention", "calibration", "confounds", "outcomes")
    )
    if wording.too_few_for_charts(report):
        return drawings
    drawings["forest"] = figures.forest(summary) if summary.selectors or summary.panel else None
    drawings["curves"] = figures.n_curves(summary)
    drawings["stops"] = stopping_shown.tokens_and_accuracy(report.stops, summary)
    drawings["reliability"] = certainty_shown.reliability_plots(report.certainty)
    drawings["abstention"] = certainty_shown.abstention_plots(report.certainty)
    drawings["confounds"] = figures.confound_panel(summary)
    if min(map(len, centroids_by_outcome(report.results, report.config))) >= MIN_EACH:
        drawings["calibration"] = figures.centroid_calibration(summary)
        drawings["outcomes"] = outcomes(tasks, report.config)
    return drawings
