"""The report as one HTML file: no network; what tasks, agents and models said is escaped.

Scripts are in it where pictures of tasks are; it reads without them too.
"""

from __future__ import annotations

from collections.abc import Sequence

from ec_agent.evaluation.report import figures, wording
from ec_agent.evaluation.report.content import Report
from ec_agent.evaluation.report.pictures import outcomes, views
from ec_agent.evaluation.results import TaskResult
from ec_agent.visual.many import pictures
from ec_agent.visual.page import rendered

MOST_TASKS = 200
"""So many tasks are listed one by one; the JSON has all."""

TEMPLATE = "report.html.j2"


def to_html(report: Report, tasks: Sequence[TaskResult] = ()) -> str:
    """The page.

    Args:
        report: the comparison.
        tasks: whose rollouts are shown one by one; none by default.

    Raises:
        ConfigError: jinja2 or matplotlib is not installed.
    """
    summary = report.summary
    drawings = {
        "forest": figures.forest(summary) if summary.selectors or summary.panel else None,
        "curves": figures.n_curves(summary),
        "calibration": figures.centroid_calibration(summary),
        "confounds": figures.confound_panel(summary),
        "outcomes": outcomes(tasks, report.config),
    }
    shown = list(pictures(views(tasks)))
    return rendered(
        TEMPLATE,
        "ec_agent.evaluation.report",
        report=report,
        summary=summary,
        say=wording,
        figures=drawings,
        level=f"{summary.resampling.confidence:.0%}",
        pictures=shown,
        picture_of={picture.view.title: picture.name for picture in shown if picture.rows},
        tasks=list(zip(summary.tasks, summary.by_task, range(MOST_TASKS), strict=False)),
    )
