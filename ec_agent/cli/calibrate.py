"""``ec-agent calibrate``: choose a selector on your own tasks, and see what the choice is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ec_agent.cli.text import plain_console
from ec_agent.evaluation.statistics.bootstrap import Estimate
from ec_agent.evaluation.stored import load_results
from ec_agent.evaluation.tuning import Tuning, default_grid, tune
from ec_agent.selectors.settings import save_settings


def run_calibrate(run: Path, out: Path, names: tuple[str, ...], *, partial: bool, **dealing: Any) -> None:
    """Choose a selector on a stored run, show what the choice is worth, and write it to a settings file.

    ``dealing`` are further arguments of ``tune``.
    """
    results = load_results(run, partial=partial)
    tuning = tune(results, default_grid(names), **dealing)
    console = plain_console()
    show(tuning, console)  # first, so that the result is not lost if the file cannot be written
    save_settings(out, tuning.chosen, {"run": run.name, **tuning.about()})
    console.print(f"[bold]{escape(str(tuning.chosen))}[/bold] written to {escape(str(out))}")
    if tuning.expected_difference.excludes(0.0) > 0:
        console.print(f"  best_of_n(agent, **load_settings({str(out)!r}))", markup=False, highlight=False)


def show(tuning: Tuning, console: Console) -> None:
    """Print what the choice is worth on other tasks, and by how much a naive measurement would flatter it."""
    table = Table("", "minus Pass@1", "95 % interval", title=f"Pass@1 {tuning.pass_1:.3f}", title_justify="left")
    table.add_row(
        "what this choice is worth on other tasks (outer folds)", *_cells(tuning.expected_difference), style="bold"
    )
    table.add_row("the default selector, without tuning", *_cells(tuning.default_difference))
    if tuning.ended_difference.value:  # rollouts failed
        table.add_row("a random rollout that did not fail", *_cells(tuning.ended_difference))
    naive = f"{tuning.naive_difference:+.3f}"
    table.add_row("tuned on the test set: [red]not a result[/red]", naive, f"flatters by {tuning.leak:+.3f}")
    console.print(table)
    tasks = tuning.expected_difference.tasks
    console.print(
        f"{tuning.settings} settings, {tasks} tasks, {tuning.folds} folds drawn {tuning.repeats} times; the folds chose"
    )
    rounds = tuning.folds * tuning.repeats
    for name, count in tuning.votes[:5]:
        console.print(f"  {count / rounds:4.0%}  {escape(name)}")
    console.print(_verdict(tuning))


def _cells(gain: Estimate) -> tuple[str, str]:
    value = "-" if gain.value is None else f"{gain.value:+.3f}"
    known = gain.low is not None and gain.high is not None
    return value, f"[{gain.low:+.3f}, {gain.high:+.3f}]".replace("[", r"\[") if known else "-"


def _verdict(tuning: Tuning) -> str:
    gain = tuning.expected_difference
    if gain.low is None and gain.value:
        same = f"The difference is the same on each of the {gain.tasks} tasks"
        return f"{same}, so there is no interval: evaluate other tasks."
    side = gain.excludes(0.0)
    if side > 0:
        return "On tasks like these, settings chosen in this way are better than a random rollout."
    if side < 0:
        return "Settings chosen in this way are worse than a random rollout: use none of them."
    return "No difference to a random rollout was found: evaluate more tasks before you use these settings."
