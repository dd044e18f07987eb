"""The command `ec-agent report` and its arguments; it imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ec_agent.cli.arguments import FilePath

_OUTPUT = FilePath(path_type=str, allow_dash=True)


@click.command(short_help="Compare selectors on what eval stored.")
@click.argument("run", type=FilePath(path_type=Path, urls=True))
@click.option("--html", type=FilePath(path_type=Path), help="Write a page with figures, complete in one file.")
@click.option(
    "--json", "as_json", metavar="FILE", type=_OUTPUT, help="Write all numbers; - prints them and nothing else."
)
@click.option(
    "--csv",
    "as_csv",
    metavar="FILE",
    type=_OUTPUT,
    help="Write one row per selector; - prints them and nothing else.",
)
@click.option("--selectors", help="Names with commas between them; settings as in deepconf_tail:window=64.")
@click.option("--config", help="Phases: top percent, bottom percent, consecutive low.  [default: 1,80,2]")
@click.option(
    "--stop",
    multiple=True,
    metavar="PLAN",
    help="A stopping plan to replay beside the selectors: agreement:2,2,4:threshold=0.75, say. May be repeated; left "
    "out, the usual plans are beside the majority vote and the lowest centroid.",
)
@click.option(
    "--probability",
    is_flag=True,
    help="Fit how likely each choice is right, and show how good that is on other tasks: of the selectors named, or "
    "else of the majority vote and the lowest centroid. Needs scikit-learn: ec-agent[calibrate].",
)
@click.option(
    "--resamples", default=9999, show_default=True, help="Number of resamples for the intervals, and for the p-values."
)
@click.option("--partial", is_flag=True, help="Accept an unfinished run, and take its complete tasks.")
@click.option("--task", help="With --html: a page of this task's rollouts alone, token by token.")
def report(run: Path, **options: Any) -> None:
    """Compare selectors on what `ec-agent eval` stored: accuracy with intervals, confounds, what may be concluded.

    RUN is the file that eval wrote; or a file of recorded selections, whose rollouts --html shows. No model is called.
    By default all selectors are compared, with their declared settings. The p-values are corrected for the number of
    selectors compared (selectors that rank alike count once), so name the ones you mean with --selectors.

    \b
    Examples:
      ec-agent report runs/tasks-my_agent.db
      ec-agent report runs/tasks-my_agent.db --selectors lowest_centroid,majority_vote --html report.html
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.report import run_report

    run_report(run, **options)
