"""The report on a terminal: tables that fit 80 columns, then the sentences."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from ec_agent.evaluation.report import certainty_shown, greedy_shown, stopping_shown, wording
from ec_agent.evaluation.report.columns import COMPARED, HELD_EQUAL, PANEL, WIDE
from ec_agent.evaluation.report.content import EvaluationReport
from ec_agent.evaluation.statistics import SelectorSummary
from ec_agent.support.escaping import shown
from ec_agent.support.number_formats import interval, number, percent

STYLES = {"better": "green", "worse": "red", "confounded": "yellow"}


def print_report(report: EvaluationReport, console: Console) -> None:
    """Print all of it."""
    for line in wording.what_was_run(report):
        console.print(escape(shown(line)))
    print_accuracies(report, console)
    if report.summary.n > 1:
        console.print(f"[bold]{wording.CURVES}[/bold]")
        console.print(_curves(report))
    console.print(f"[bold]Confound panel[/bold]: {wording.PANEL[0].lower()}{wording.PANEL[1:]}")
    console.print(_panel(report))
    console.print(f"[bold]{wording.LENGTHS}[/bold]")
    console.print(_lengths(report.summary.selectors))
    if report.greedy:
        console.print(f"[bold]{greedy_shown.TITLE}[/bold]")
        console.print(_greedy(report))
    if report.stops:
        console.print(f"[bold]{stopping_shown.TITLE}[/bold]")
        console.print(_stops(report))
        for line in stopping_shown.notes(report.stops):
            console.print(Padding(escape(line), (0, 0, 0, 2)))
    if report.certainty:
        console.print(f"[bold]{certainty_shown.TITLE}[/bold]")
        console.print(_certainty(report))
        for row in report.certainty:
            for line in certainty_shown.sentences(row.tuning):
                console.print(Padding(f"{escape(row.selector)}: {escape(line)}", (0, 0, 0, 2)))
    console.print()
    _list(console, "Failures", wording.failures(report))
    if report.run:
        for error, many in report.run.failures.items():
            console.print(f"  {many} x {escape(shown(error))}")
    _list(console, "Notes", wording.notes(report))


def print_accuracies(report: EvaluationReport, console: Console) -> None:
    """Print each selector's accuracy, what may be concluded of it, and what not."""
    console.print(f"[bold]{wording.SELECTORS}[/bold]")
    console.print(_accuracies(report, wide=console.width >= WIDE))
    console.print("[bold]What may be concluded[/bold]")
    for row in report.summary.selectors:
        if row.verdict is not None:
            name, _, rest = row.verdict.sentence.partition(":")
            style = STYLES.get(row.verdict.kind, "default")
            console.print(Padding(f"[{style}]{escape(name)}[/]:{escape(rest)}", (0, 0, 0, 2)))
    console.print(Padding(escape(wording.room(report)), (0, 0, 0, 2)))
    console.print()
    _list(console, "What may not be concluded", wording.cautions(report))


def _list(console: Console, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(f"[bold]{title}[/bold]")
    for line in lines:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(" -", escape(line))
        console.print(grid)
    console.print()


def _accuracies(report: EvaluationReport, *, wide: bool) -> Table:
    summary = report.summary
    accuracy, difference_to, *others = (column.name for column in COMPARED)
    narrow = [name.replace(" ", "\n") for name in others]  # their numbers are narrower than their names
    table = _table("selector", accuracy, f"{difference_to} [{percent(summary.resampling.confidence)}]", *narrow)
    if wide:
        table.add_column("verdict", no_wrap=True)
    table.add_row("Pass@1", number(summary.pass_1.value))
    table.add_row(f"oracle@{summary.n_most}", number(summary.oracle.value))
    if summary.greedy.value is not None:
        difference = interval(summary.greedy_difference, signed=True)
        table.add_row("greedy", number(summary.greedy.value), difference)
    table.add_section()
    for row in summary.selectors:
        cells = [escape(row.name), *(column.brief(row) for column in COMPARED)]
        kind = row.verdict.kind if row.verdict else ""
        table.add_row(*cells, *([f"[{STYLES.get(kind, 'dim')}]{kind}[/]"] if wide else []))
    return table


def _curves(report: EvaluationReport) -> Table:
    """From 1, 2, 4 ... and all rollouts: every column would not fit."""
    summary = report.summary
    shown = sorted({*(2**place for place in range(summary.n.bit_length())), summary.n})
    rows = [("oracle (pass@k)", summary.pass_at_k), ("all right (pass^k)", summary.pass_hat_k)]
    table = _table("from", *map(str, shown))
    for name, curve in [*rows, *((row.name, row.curve.accuracy) for row in summary.selectors)]:
        table.add_row(escape(name), *(number(curve[n - 1]) for n in shown))
    return table


def _panel(report: EvaluationReport) -> Table:
    accuracy, difference_to, *others = (column.name for column in PANEL)
    table = _table("picks", accuracy, f"{difference_to} [{percent(report.summary.resampling.confidence)}]", *others)
    for row in report.summary.panel:
        table.add_row(row.name, *(column.brief(row) for column in PANEL))
    return table


def _lengths(rows: Sequence[SelectorSummary]) -> Table:
    table = _table("selector", *(column.name for column in HELD_EQUAL))
    table.caption = wording.ABOUT_LENGTHS
    for row in rows:
        table.add_row(escape(row.name), *(column.brief(row) for column in HELD_EQUAL))
    return table


def _greedy(report: EvaluationReport) -> Table:
    level = f" [{percent(report.summary.resampling.confidence)}]"
    accuracy, *others = greedy_shown.COLUMNS
    table = _table("selector", accuracy, *(name + level for name in others))
    table.caption = greedy_shown.ABOUT
    for row in report.greedy:
        table.add_row(escape(row.selector), *greedy_shown.cells(row))
    return table


def _stops(report: EvaluationReport) -> Table:
    accuracy, minus, *others = stopping_shown.COLUMNS
    narrow = [name.replace(" ", "\n") for name in others]
    table = _table("plan", accuracy, f"{minus} [{percent(report.summary.resampling.confidence)}]", *narrow)
    table.caption = stopping_shown.ABOUT
    before = None
    for row in report.stops:
        if row.selector != before:
            table.add_section()
            table.add_row(f"[bold]{escape(row.selector)}[/bold]")
            before = row.selector
        table.add_row(escape(row.plan), *stopping_shown.cells(row))
    return table


def _certainty(report: EvaluationReport) -> Table:
    """One measure a line, so that intervals fit: a column for each would not."""
    table = _table("selector", "value", f"[{percent(report.summary.resampling.confidence)}]")
    table.caption = certainty_shown.ABOUT
    for row in report.certainty:
        table.add_section()
        table.add_row(f"[bold]{escape(row.selector)}[/bold]")
        for name, found in certainty_shown.measures(row.tuning.reliability):
            table.add_row(f"  {name}", certainty_shown.value(found), escape(certainty_shown.ends(found)))
        for point in certainty_shown.points(row.tuning.reliability):
            name = f"  accuracy of the surest {percent(point.share)}, from {point.least:.2f}"
            table.add_row(name, certainty_shown.value(point.accuracy), escape(certainty_shown.ends(point.accuracy)))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), caption_justify="left")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
