"""``ec-agent traces prune``: what would go, the question, and its end."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from ec_agent.errors import ConfigError
from ec_agent.traces.opening import open_store
from ec_agent.traces.places import named
from ec_agent.traces.pruning import Prunable, prunable, prune

_SECONDS = {"h": 3600.0, "d": 86400.0, "w": 604800.0}


def run_prune(
    file: Path | str, *, keep: int | None, older_than: str | None, losers: bool, dry_run: bool, yes: bool
) -> None:
    """Say what fits, ask, and delete it.

    Raises:
        ConfigError: nothing is asked for, an age cannot be read, or nobody is there to be asked.
        TraceError: the file cannot be used or written.
    """
    if keep is None and older_than is None and not losers:
        raise ConfigError("nothing says what may go; give --keep, --older-than or --losers")
    age = None if older_than is None else _seconds(older_than)
    with open_store(file) as store:
        what = prunable(store, keep=keep, older_than=age, losers=losers)
        click.echo(_told(what))
        if dry_run or not what.rollouts:
            return
        if not yes:
            if not asked_of_somebody():
                raise ConfigError("nobody is there to be asked; give --yes")
            if not click.confirm("Delete?"):
                click.echo("nothing was deleted")
                return
        before = store.size()
        gone = prune(store, what)
        after = store.size()
    click.echo(f"{gone} rollouts deleted; {named(file)} has {after:,} bytes, of {before:,}")


def asked_of_somebody() -> bool:
    """Whether a person is there to answer."""
    return sys.stdin.isatty()


def _told(what: Prunable) -> str:
    if not what.rollouts:
        return "nothing to delete"
    whole = f"{what.selections} selections" if what.selections else f"losers of {what.thinned} selections"
    return f"{whole}: {len(what.rollouts)} rollouts of {what.tokens:,} tokens"


def _seconds(age: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", age.strip())
    if found is None:
        raise ConfigError(f"--older-than is {age!r}; give hours, days or weeks, as 12h, 30d or 8w")
    return float(found[1]) * _SECONDS[found[2]]
