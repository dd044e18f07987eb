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
    """Tune on a stored run, show what came of it, and write the settings file; ``dealing`` is for ``tune``."""
    results = load_results(run, partial=partial)
    tuning = tune(results, default_grid(names), **dealing)
    console = plain_console()
    show(tuning, console)  # before the file: what was found is not lost where it cannot be written
    save_settings(out, tuning.chosen, {"run": run.name, **tuning.about()})
    console.print(f"[bold]{escape(str(tuning.chosen))}[/bold] written to {escape(str(out))}")
    if tuning.expected_difference.excludes(0.0) > 0:
        console.print(f"  best_of_n(agent, **load_settings({str(out)!r}))", markup=False, highlight=False)


def show(tuning: Tuning, console: Console) -> None:
    """Print the outer estimate, and the leak beside it."""
    table = Table("", "minus Pass@1", "95 % interval", title=f"Pass@1 {tuning.pass_1:.3f}", title_justify="left")
    table.add_row("expected of settings chosen so (outer folds)", *_cells(tuning.expected_difference), style="bold")
    table.add_row("the default setting, nothing tuned", *_cells(tuning.default_difference))
    if tuning.ended_difference.value:  # rollouts failed
        table.add_row("any rollout that ended, nothing chosen", *_cells(tuning.ended_difference))
    naive = f"{tuning.naive_difference:+.3f}"
    table.add_row("tuned on the test set: [red]not a result[/red]", naive, f"flatters by {tuning.leak:+.3f}")
    console.print(table)
    tasks = tuning.expected_difference.tasks
    console.print(
        f"{tuning.settings} settings, {tasks} tasks, {tuning.folds} folds dealt {tuning.repeats} times; the folds chose"
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
        return f"The same on each of the {gain.tasks} tasks, so that there is no interval: evaluate tasks that differ."
    side = gain.excludes(0.0)
    if side > 0:
        return "Settings chosen so are better than a rollout at random, on tasks like these."
    if side < 0:
        return "Settings chosen so are worse than a rollout at random: use none of them."
    return (
        "No difference from a rollout at random was found. The settings are no advice: evaluate more tasks before you "
        "use them."
    )
