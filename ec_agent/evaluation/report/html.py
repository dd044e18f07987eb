"""The report as one HTML file: no network, no scripts; what tasks, agents and models said is escaped."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.evaluation.report import figures, wording
from ec_agent.evaluation.report.content import Report
from ec_agent.evaluation.report.drawing import matplotlib

MOST_TASKS = 200
"""So many tasks are listed one by one; the JSON has all."""

TEMPLATE = "report.html.j2"


def check_installed() -> None:
    """See that the page can be made.

    Raises:
        ConfigError: jinja2 or matplotlib is not installed.
    """
    matplotlib()
    _jinja()


def to_html(report: Report) -> str:
    """The page.

    Raises:
        ConfigError: jinja2 or matplotlib is not installed.
    """
    jinja = _jinja()
    summary = report.summary
    drawings = {
        "forest": figures.forest(summary) if summary.selectors or summary.panel else None,
        "curves": figures.n_curves(summary),
        "calibration": figures.centroid_calibration(summary),
        "confounds": figures.confound_panel(summary),
    }
    surroundings = jinja.Environment(
        loader=jinja.PackageLoader("ec_agent.evaluation.report"),
        autoescape=True,
        undefined=jinja.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page: str = surroundings.get_template(TEMPLATE).render(
        report=report,
        summary=summary,
        say=wording,
        figures=drawings,
        level=f"{summary.resampling.confidence:.0%}",
        tasks=list(zip(summary.tasks, summary.by_task, range(MOST_TASKS), strict=False)),
        version=version("ec-agent"),
    )
    return page


def _jinja() -> Any:
    try:
        return import_module("jinja2")
    except ImportError as error:
        raise ConfigError("the HTML page needs jinja2; run: pip install 'ec-agent[eval]'") from error
