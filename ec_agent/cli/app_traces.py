"""The commands of `ec-agent traces` and their arguments; each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path

import click

from ec_agent.cli.arguments import PLACE, FilePath

_PHASES = "Phases: top percent, bottom percent, consecutive low.  [default: 1,80,2]"


@click.group(short_help="List, show, export, merge and prune stored rollouts.")
def traces() -> None:
    """Look into trace files: what `ec-agent eval` stored, and selections recorded with TraceStore.

    FILE may also be the URL of a PostgreSQL database, postgresql://... docs/traces.md says what a file holds and how to
    read it with pandas or polars.

    \b
    Example:
      ec-agent traces ls runs/tasks-my_agent.db
    """  # noqa: D301  # click's own mark


@traces.command("ls")
@click.argument("file", type=PLACE)
@click.option("--rollouts", "each", is_flag=True, help="Print a line per rollout, not per task or selection.")
@click.option("--config", help=_PHASES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def traces_ls(file: Path | str, each: bool, config: str | None, as_json: bool) -> None:
    """List the tasks and selections in FILE: rollouts, tokens, the winner, its centroid, its outcome.

    \b
    Examples:
      ec-agent traces ls runs/tasks-my_agent.db
      ec-agent traces ls traces.db --rollouts --json
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.traces import run_ls

    run_ls(file, each=each, config=config, as_json=as_json)


@traces.command("show")
@click.argument("file", type=PLACE)
@click.argument("what")
@click.option("--config", help=f"{_PHASES[:-1]}; of a selection its own]")
@click.option("--text", is_flag=True, help="Print what each call generated, where token texts were kept.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: receipt, calls, timelines.")
def traces_show(file: Path | str, what: str, config: str | None, text: bool, as_json: bool) -> None:
    """Show one rollout (r12), one recorded selection (s3), or one task of an evaluation, by its id.

    `ec-agent traces ls FILE` names the tasks and selections, with --rollouts the rollouts.

    \b
    Examples:
      ec-agent traces show traces.db s3
      ec-agent traces show runs/tasks-my_agent.db r12 --text
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.traces import run_show

    run_show(file, what, config=config, text=text, as_json=as_json)


@traces.command("export")
@click.argument("file", type=PLACE)
@click.option("--parquet", "folder", required=True, type=FilePath(path_type=Path, file_okay=False), metavar="DIR")
@click.option("--config", help=_PHASES)
@click.option(
    "--table",
    "tables",
    multiple=True,
    type=click.Choice(["selections", "rollouts", "calls", "tokens", "timelines"]),
    help="Write this table; may be repeated.  [default: all]",
)
@click.option(
    "--signal",
    "signals",
    multiple=True,
    type=click.Choice(["entropy", "logprob", "surprisal", "confidence", "self_certainty"]),
    help="A signal of which timelines has lists; may be repeated.  [default: entropy]",
)
def traces_export(
    file: Path | str, folder: Path, config: str | None, tables: tuple[str, ...], signals: tuple[str, ...]
) -> None:
    """Write FILE as Parquet tables into DIR: selections, rollouts, calls, tokens, timelines.

    timelines is a folder of files, with one row for each rollout, and in it its entropies as a list: what
    `ec-agent score --sweep` reads.

    \b
    Examples:
      ec-agent traces export traces.db --parquet tables
      ec-agent traces export runs/tasks-my_agent.db --parquet tables --table timelines
    """  # noqa: D301  # click's own mark
    if signals and tables and "timelines" not in tables:
        raise click.UsageError("--signal is about the lists of timelines; add --table timelines, or leave it out")
    from ec_agent.cli.traces import run_export

    run_export(file, folder, config=config, tables=tables, signals=signals)


@traces.command("merge")
@click.argument("sources", metavar="FILE...", nargs=-1, required=True, type=PLACE)
@click.option("--into", required=True, type=PLACE, metavar="FILE", help="The target. It is made if it is missing.")
@click.option(
    "--keep-first",
    is_flag=True,
    help="Of different rollouts under one key, keep that of the target, or else of the store named first.",
)
def traces_merge(sources: tuple[Path | str, ...], into: Path | str, keep_first: bool) -> None:
    """Add what is in several stores to one: the shards of an evaluation, and recorded selections.

    What the target has already is left there, so the command may be repeated as shards grow. Stores of different runs,
    and different rollouts under one key, are errors; nothing is merged then. Files and URLs of PostgreSQL may be mixed.

    \b
    Example:
      ec-agent traces merge shard-1.db shard-2.db --into all.db
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.traces_merge import run_merge

    run_merge(sources, into, keep_first=keep_first)


@traces.command("prune")
@click.argument("file", type=PLACE)
@click.option("--keep", type=click.IntRange(min=0), help="Keep the latest so many selections.")
@click.option("--older-than", metavar="AGE", help="Delete only selections older than this: 30d, 12h, 8w.")
@click.option(
    "--losers", is_flag=True, help="Delete only the losing rollouts of each selection; the receipt and the winner stay."
)
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def traces_prune(
    file: Path | str, keep: int | None, older_than: str | None, losers: bool, dry_run: bool, yes: bool
) -> None:
    """Delete the recorded selections in FILE that match all options given, and make the file smaller.

    The rollouts of an evaluation are never deleted, because `ec-agent eval` would run them again. Delete its file
    instead.

    \b
    Examples:
      ec-agent traces prune traces.db --older-than 30d --dry-run
      ec-agent traces prune traces.db --losers --yes
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.traces_prune import run_prune

    run_prune(file, keep=keep, older_than=older_than, losers=losers, dry_run=dry_run, yes=yes)
