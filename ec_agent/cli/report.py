"""``ec-agent report``: a stored run for readers and for programs."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from ec_agent.cli.files import written
from ec_agent.errors import ConfigError
from ec_agent.evaluation.report.content import config_in, report_of, selectors_in
from ec_agent.evaluation.report.tables import to_csv, to_json
from ec_agent.evaluation.report.terminal import print_report
from ec_agent.evaluation.statistics import Resampling

STANDARD_OUTPUT = "-"


def run_report(
    path: Path,
    *,
    html: Path | None = None,
    as_json: str | None = None,
    as_csv: str | None = None,
    selectors: str | None = None,
    config: str | None = None,
    resamples: int = 9999,
    partial: bool = False,
) -> None:
    """Compare, write the files asked for, and print the tables; with ``-`` for a file, print that file alone.

    Raises:
        ConfigError: an argument is wrong, a file cannot be written, or what the statistics or the page need is missing.
        TraceError: the file of the run cannot be used, or the run is not finished.
    """
    targets = [str(target) for target in (html, as_json, as_csv) if target is not None]
    if len(set(targets)) < len(targets):
        raise ConfigError(f"--html, --json and --csv are to be written to {', '.join(targets)}; give each its own file")
    if html is not None:
        from ec_agent.visual.drawing import check_installed

        check_installed()  # before the work
    report = report_of(
        path,
        selectors=selectors_in(selectors) if selectors is not None else None,
        config=config_in(config) if config is not None else None,
        resampling=Resampling(resamples),
        partial=partial,
    )
    files = []
    if html is not None:
        from ec_agent.evaluation.report.html import to_html

        files.append(written(html, to_html(report)))
    texts = {target: make(report) for target, make in ((as_json, to_json), (as_csv, to_csv)) if target is not None}
    printed = texts.pop(STANDARD_OUTPUT, None)
    files += [written(Path(target), text) for target, text in texts.items()]
    if printed is not None:
        click.echo(printed, nl=False)
        return
    console = Console(highlight=False)
    print_report(report, console)
    for file in files:
        console.print(f"written: {escape(str(file))}")
