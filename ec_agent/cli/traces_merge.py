"""``ec-agent traces merge``: what was added, and what is missing yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from ec_agent.errors import ConfigError
from ec_agent.evaluation.stored_results import whole_tasks
from ec_agent.support.number_formats import many
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.merging import merge
from ec_agent.traces.opening import open_store
from ec_agent.traces.places import named


def run_merge(sources: Sequence[Path | str], into: Path | str, *, keep_first: bool) -> None:
    """Merge, and say what came of it.

    Raises:
        ConfigError: the target is one of the sources.
        TraceError: a store cannot be used, or the stores do not belong together.
    """
    if into in sources:
        raise ConfigError(f"--into {named(into)} is one of the stores to merge; leave it out there: what it has stays")
    with ExitStack() as stack:
        opened = [stack.enter_context(open_store(place)) for place in sources]
        target = stack.enter_context(open_store(into, create=True))
        done = merge(opened, target, keep_first=keep_first)
        click.echo(
            f"{many(done.rollouts, 'rollout')} and {many(done.selections, 'selection')} of "
            f"{many(len(opened), 'store')} added to {named(into)}; {done.there} were there already"
        )
        if lost := int(done.retried["generated_tokens"]):
            click.echo(f"not counted there: {lost:,} tokens of failed rollouts that --retry-failed ran again")
        settings = target.settings() or {}
        if {"n", "greedy"} <= settings.keys():  # a run of evaluate()
            _tell_missing(target, settings, named(into))


def _tell_missing(target: TraceStoreProtocol, settings: Mapping[str, Any], name: str) -> None:
    totals = target.totals()
    whole = {task.task for task in whole_tasks(target, settings, totals)}
    left = [task.task for task in totals if task.task not in whole]
    if not left:
        click.echo(f"all {many(len(totals), 'task')} are complete; next: ec-agent report {name}")
        return
    shown = ", ".join(map(repr, left[:5])) + (" ..." if len(left) > 5 else "")
    click.echo(f"{len(left)} of {many(len(totals), 'task')} lack rollouts: {shown}")
