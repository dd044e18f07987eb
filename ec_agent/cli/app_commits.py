"""The commands of `ec-agent commits` and their arguments; each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path

import click

from ec_agent.cli.arguments import STORED


@click.group(short_help="List actions whose end nobody knows, and settle them.")
def commits() -> None:
    """List commits (the actions of winners), and settle those of which nobody knows whether they were done.

    FILE is what SQLiteJournal(FILE) wrote, or the database of a SQLite checkpointer, where commits are kept by default.

    \b
    Example:
      ec-agent commits ls checkpoints.sqlite
    """  # noqa: D301  # click's own mark


@commits.command("ls")
@click.argument("file", type=STORED)
@click.option("--all", "every", is_flag=True, help="Also list commits whose outcome is known.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def commits_ls(file: Path, every: bool, as_json: bool) -> None:
    """List the commits in FILE whose outcome is not known: key, call, when it was begun, thread.

    \b
    Example:
      ec-agent commits ls checkpoints.sqlite
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.commits import run_ls

    run_ls(file, every=every, as_json=as_json)


@commits.command("settle")
@click.argument("file", type=STORED)
@click.argument("key")
@click.option("--done", metavar="RESULT", help="It was done: what the tool would have returned.")
@click.option("--not-done", is_flag=True, help="It was not done: the resumed run does it, once, under the same key.")
def commits_settle(file: Path, key: str, done: str | None, not_done: bool) -> None:
    """Note whether the commit with this KEY in FILE was done. Find that out first; the resumed run relies on it.

    KEY is the idempotency key that `ec-agent commits ls` and CommitUncertain show, or its first characters.

    \b
    Examples:
      ec-agent commits settle checkpoints.sqlite 6aba34e8 --done "sent, I looked"
      ec-agent commits settle checkpoints.sqlite 6aba34e8 --not-done
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.commits import run_settle

    run_settle(file, key, done=done, not_done=not_done)
