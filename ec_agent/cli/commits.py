"""``ec-agent commits ls`` and ``settle``."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import click

from ec_agent.commits.listing import Commit, Ledger
from ec_agent.commits.settling import settle_commit
from ec_agent.errors import ConfigError
from ec_agent.support.escaping import shown

_HOW = {
    "open": "the run ended before its outcome was known, or is at it now",
    "raised": "it raised",
    "done": "done",
    "handed over": "done; it handed the run over",
    "paused": "not begun: it asks somebody first",
    "not done": "settled as not done",
    "closed": "not begun, and given up for another way",
}


def run_ls(file: Path, *, every: bool, as_json: bool) -> None:
    """List commits: those that somebody has to look after, or all.

    Raises:
        ConfigError: the file is missing, or has no commits to hold.
        JournalError: it cannot be read.
    """
    commits = Ledger(file).commits()
    chosen = [commit for commit in commits if every or commit.uncertain]
    if as_json:
        for commit in chosen:
            click.echo(json.dumps({**asdict(commit), "uncertain": commit.uncertain}))
        return
    for commit in chosen:
        click.echo(_told(commit))
    open_ones = sum(commit.uncertain for commit in commits)
    hidden = f"; list all: ec-agent commits ls {shown(file)} --all" if len(chosen) < len(commits) else ""
    click.echo(f"{_counted(len(commits), open_ones)}{hidden}", err=True)
    if open_ones:
        settle = f"ec-agent commits settle {shown(file)} KEY"
        click.echo(f"Look after each, then: {settle} --done RESULT, or {settle} --not-done", err=True)


def _counted(commits: int, unknown: int) -> str:
    if not commits:
        return "no commits"
    if commits == 1:
        return f"1 commit; its outcome is {'not ' if unknown else ''}known"
    return f"{commits} commits; the outcome of {unknown or 'each'} is {'not ' if unknown else ''}known"


def run_settle(file: Path, key: str, *, done: str | None, not_done: bool) -> None:
    """Note how a commit turned out.

    Raises:
        ConfigError: nothing, or both, was said of it; or it cannot be settled.
        JournalError: the file cannot be read or written.
    """
    if (done is None) is not not_done:
        raise ConfigError("say what you found: --done RESULT, what the tool would have returned, or --not-done")
    ledger = Ledger(file)
    commit = ledger.find(key)
    with ledger.journal(commit.thread) as journal:
        settle_commit(journal, commit.key, done)
    call = shown(f"{commit.tool}({commit.args})")
    then = "is taken for done" if not_done is False else "is carried out, once, under the same key"
    click.echo(f"settled: {call} {then} when the run is resumed")


def _told(commit: Commit) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(commit.at))
    how = _HOW.get(commit.status, commit.status) + (f": {commit.said}" if commit.said is not None else "")
    thread = "" if commit.thread is None else f"\n    thread {shown(commit.thread)}"
    key = commit.key or "(begun by an earlier version, which kept no key: CommitUncertain names it)"
    return f"{shown(key)}\n    {shown(f'{commit.tool}({commit.args})')}\n    begun {when}; {shown(how)}{thread}"
