"""The command `ec-agent suite` and its arguments; it imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ec_agent.cli.arguments import FilePath


@click.command(short_help="Run the evaluations of a file, and write a page.")
@click.argument("file", type=FilePath(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Load tasks and agents, print the expected costs, and run nothing.")
@click.option("--page-only", is_flag=True, help="Write the page of what is stored, and run nothing.")
def suite(file: Path, dry_run: bool, page_only: bool) -> None:
    """Run all evaluations of a file, and write a page that sets their figures beside the paper's.

    FILE is TOML: the settings of the runs, the models with their endpoints, and the families of tasks; docs/paper.md
    has one. First the expected costs of all runs are printed. Each run is one of `ec-agent eval`, stored in the folder
    that the file names; after a stop or a kill, the same command continues, and no stored rollout runs again.

    \b
    Exit codes:
      0  every rollout is stored
      1  an error: the file, a task's verdict, an endpoint that does not answer
      3  a budget was spent before the end

    \b
    Examples:
      ec-agent suite examples/paper.toml --dry-run
      ec-agent suite my_suite.toml
    """  # noqa: D301  # click's own mark
    if dry_run and page_only:
        raise click.UsageError("--dry-run and --page-only exclude each other; give one of them")
    from ec_agent.cli.suite import run_suite

    sys.exit(run_suite(file, dry_run=dry_run, page_only=page_only))
