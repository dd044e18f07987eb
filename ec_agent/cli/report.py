"""``ec-agent report``: a stored run for readers and for programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from ec_agent.cli.files import check_place, written
from ec_agent.errors import ConfigError
from ec_agent.evaluation.report.content import config_in, report_of, selectors_in
from ec_agent.evaluation.report.json_csv import to_csv, to_json
from ec_agent.evaluation.report.terminal import print_report
from ec_agent.evaluation.statistics import Resampling
from ec_agent.evaluation.stored_results import load_results
from ec_agent.evaluation.tuning_probability import check_scikit_learn
from ec_agent.live.console import plain_console
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.selection import Seen
from ec_agent.stopping.spelling import plan_in
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.opening import open_store
from ec_agent.traces.places import named, short_name
from ec_agent.traces.stored import StoredSelection

if TYPE_CHECKING:
    from ec_agent.visual.views import View

STANDARD_OUTPUT = "-"


def run_report(
    path: Path | str,
    *,
    html: Path | None = None,
    as_json: str | None = None,
    as_csv: str | None = None,
    selectors: str | None = None,
    config: str | None = None,
    resamples: int = 9999,
    partial: bool = False,
    task: str | None = None,
    stop: tuple[str, ...] = (),
    probability: bool = False,
) -> None:
    """Compare, write the files asked for, and print the tables; with ``-`` for a file, print that file alone.

    With ``task``, and of a file of recorded selections, nothing is compared: the page shows the rollouts.

    Raises:
        ConfigError: an argument is wrong, a file cannot be written, or what the statistics or the page need is missing.
        TraceError: the file of the run cannot be used, or the run is not finished.
    """
    _check_targets(html, as_json, as_csv)
    if probability:
        check_scikit_learn()  # before the work
    if task is not None or not _holds_run(path):
        if html is None or as_json is not None or as_csv is not None:
            raise ConfigError("nothing is compared here: name a file with --html FILE, and leave --json and --csv out")
        click.echo(f"written: {written(html, _pictures(path, task))}")
        return
    report = report_of(
        path,
        selectors=selectors_in(selectors) if selectors is not None else None,
        config=config_in(config) if config is not None else None,
        resampling=Resampling(resamples),
        partial=partial,
        stops=[plan_in(each) for each in stop] if stop else None,
        probability=probability,
    )
    texts = {target: make(report) for target, make in ((as_json, to_json), (as_csv, to_csv)) if target is not None}
    printed = texts.pop(STANDARD_OUTPUT, None)
    if html is not None:
        from ec_agent.evaluation.report.html import to_html

        texts = {str(html): to_html(report, report.results), **texts}
    files = [written(Path(target), text) for target, text in texts.items()]
    if printed is not None:
        click.echo(printed, nl=False)
        return
    console = plain_console(highlight=False)
    print_report(report, console)
    for file in files:
        console.print(f"written: {escape(str(file))}")


def _check_targets(html: Path | None, *others: str | None) -> None:
    """Check, before the work, that each file can be written, and that what a page needs is installed."""
    targets = [str(target) for target in (html, *others) if target is not None]
    if len(set(targets)) < len(targets):
        raise ConfigError(f"--html, --json and --csv are to be written to {', '.join(targets)}; give each its own file")
    for target in targets:
        if target != STANDARD_OUTPUT:
            check_place(Path(target))
    if html is not None:
        from ec_agent.visual.drawing import check_installed

        check_installed()


def _holds_run(path: Path | str) -> bool:
    """Whether the file has tasks, or else only recorded selections."""
    with open_store(path) as store:
        return bool(store.settings()) or not any(True for _ in store.selections())


def _pictures(path: Path | str, task: str | None) -> str:
    from ec_agent.evaluation.report.task_pictures import one_task
    from ec_agent.visual.many_selections import page_of_many
    from ec_agent.visual.page import page_of

    if _holds_run(path):
        return one_task(load_results(path, partial=True), str(task))
    with open_store(path) as store:
        shown = [_view(store, stored) for stored in store.selections() if task in (None, stored.label, str(stored.id))]
    if not shown:
        raise ConfigError(f"{named(path)} has no selection {task!r}; `ec-agent traces ls` lists those it has")
    return page_of(shown[0]) if len(shown) == 1 else page_of_many(shown, f"Recorded in {short_name(path)}")


def _view(store: TraceStoreProtocol, stored: StoredSelection) -> View:
    from ec_agent.visual.views import view_of

    there = {rollout.key.number: rollout for rollout in store.rollouts(selection=stored.id)}
    kept = [there.get(candidate.index) for candidate in stored.receipt.candidates]  # losers may have been pruned
    seen = Seen(
        tuple(Trajectory() if each is None else each.trajectory for each in kept),
        tuple("(pruned)" if each is None else each.final_action for each in kept),
    )
    return view_of(replace(stored.receipt, seen=seen), stored.label)
