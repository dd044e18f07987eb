"""The command `ec-agent calibrate` and its arguments; it imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ec_agent.cli.arguments import FilePath


@click.command(short_help="Choose a selector and its settings on a stored run.")
@click.argument("run", type=FilePath(path_type=Path, exists=True, dir_okay=False, urls=True))
@click.option("--out", type=FilePath(path_type=Path), default=Path("settings.json"), show_default=True)
@click.option("--selectors", default="", help="Names with commas between them.  [default: all but the confounds]")
@click.option("--folds", default=5, show_default=True, help="Outer folds, each of whole tasks.")
@click.option("--repeats", default=20, show_default=True, help="How often to draw the folds.")
@click.option("--seed", default=0, show_default=True, help="Seed of these draws.")
@click.option("--partial", is_flag=True, help="Accept an unfinished run, and take its complete tasks.")
@click.option("--stop", is_flag=True, help="Choose a stopping plan too: the one that takes the fewest tokens.")
@click.option("--max-loss", default=0.005, show_default=True, help="With --stop: how much accuracy the plan may lose.")
@click.option(
    "--standard-errors",
    default=1.0,
    show_default=True,
    help="With --stop: by how many of its standard errors a plan's loss must stay within that; 0 takes it as measured.",
)
@click.option(
    "--probability",
    is_flag=True,
    help="Fit how likely the choice is right, for receipts and routes; needs scikit-learn: ec-agent[calibrate].",
)
def calibrate(run: Path | str, out: Path, selectors: str, **how: Any) -> None:
    """Choose a selector and its settings on a stored run, by nested cross-validation over its tasks.

    RUN is a file that `ec-agent eval` wrote. The command prints what the choice is worth on tasks on which it was not
    made, and beside it what tuning on the test set would have claimed. Read the settings file with
    `best_of_n(agent, **load_settings(FILE))`.

    \b
    Examples:
      ec-agent calibrate runs/tasks-my_agent.db
      ec-agent calibrate runs/tasks-my_agent.db --stop --out settings.json
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.calibrate import run_calibrate

    names = tuple(name.strip() for name in selectors.split(",")) if selectors else ()
    run_calibrate(run, out, names, **how)
