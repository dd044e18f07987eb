"""The report as one HTML file: no network, no scripts; what tasks, agents and models said is escaped."""

from __future__ import annotations

from ec_agent.evaluation.report import figures, wording
from ec_agent.evaluation.report.content import Report
from ec_agent.visual.page import rendered

MOST_TASKS = 200
"""So many tasks are listed one by one; the JSON has all."""

TEMPLATE = "report.html.j2"


def to_html(report: Report) -> str:
    """The page.

    Raises:
        ConfigError: jinja2 or matplotlib is not installed.
    """
    summary = report.summary
    drawings = {
        "forest": figures.forest(summary) if summary.selectors or summary.panel else None,
        "curves": figures.n_curves(summary),
        "calibration": figures.centroid_calibration(summary),
        "confounds": figures.confound_panel(summary),
    }
    return rendered(
        TEMPLATE,
        "ec_agent.evaluation.report",
        report=report,
        summary=summary,
        say=wording,
        figures=drawings,
        level=f"{summary.resampling.confidence:.0%}",
        tasks=list(zip(summary.tasks, summary.by_task, range(MOST_TASKS), strict=False)),
    )
