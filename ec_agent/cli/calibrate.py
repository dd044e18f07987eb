"""``ec-agent calibrate``: choose a selector on your own tasks, and see what the choice is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ec_agent.evaluation.report import certainty_shown
from ec_agent.evaluation.statistics.bootstrap import Estimate
from ec_agent.evaluation.stored_results import load_results
from ec_agent.evaluation.tuning import Tuning, default_grid, tune
from ec_agent.evaluation.tuning_probability import ProbabilityTuning, check_scikit_learn, fit_probability, source_of
from ec_agent.evaluation.tuning_stops import MARGIN, MAX_LOSS, StopTuning, tune_stop
from ec_agent.live.console import plain_console
from ec_agent.rollouts.settings_files import Setting, save_settings
from ec_agent.stopping.spelling import spelled
from ec_agent.support.number_formats import NONE, percent
from ec_agent.traces.places import short_name


def run_calibrate(
    run: Path | str,
    out: Path,
    names: tuple[str, ...],
    *,
    partial: bool,
    stop: bool = False,
    max_loss: float = MAX_LOSS,
    probability: bool = False,
    standard_errors: float = MARGIN,
    **drawing: Any,
) -> None:
    """Choose a selector on a stored run, show what the choice is worth, and write it to a settings file.

    With ``stop`` a stopping plan is chosen too, for the selector that was chosen, and with ``probability`` it is fitted
    how likely these choose right. ``drawing`` are further arguments of ``tune``.
    """
    source = None
    if probability:  # before the work
        check_scikit_learn()
        source = source_of(run)
    results = load_results(run, partial=partial)
    tuning = tune(results, default_grid(names), **drawing)
    console = plain_console()
    show(tuning, console)  # first, so that the result is not lost if the file cannot be written
    stops = None
    if stop:
        stops = tune_stop(results, tuning.chosen, max_loss=max_loss, standard_errors=standard_errors, **drawing)
        show_stop(stops, tuning.chosen, console)
    plan, about = (None, {}) if stops is None else (stops.chosen, stops.about())
    sure = fit_probability(results, tuning.chosen, plan, source=source, **drawing) if probability else None
    if sure is not None:
        show_probability(sure, console)
    fitted = None if sure is None else sure.fitted
    save_settings(out, tuning.chosen, {"run": short_name(run), **tuning.about(), **about}, plan, fitted)
    what = f"{tuning.chosen} with {spelled(plan)}" if plan is not None else str(tuning.chosen)
    console.print(f"[bold]{escape(what)}[/bold] written to {escape(str(out))}")
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
    _show_votes(f"{tuning.settings} settings", tuning, console)
    console.print(_verdict(tuning))


def show_stop(stops: StopTuning, setting: Setting, console: Console) -> None:
    """Print what stopping early may be expected to save and to lose, and the leak beside it."""
    console.print()
    title = f"Stopping plans for {setting}, against all N; at most {stops.max_loss:g} lost where chosen"
    if stops.standard_errors:
        title += f", by {stops.standard_errors:g} standard error{'' if stops.standard_errors == 1 else 's'}"
    table = Table("", "minus all N", "95 % interval", "tokens", "95 % interval", title=title, title_justify="left")
    expected = (*_cells(stops.expected_difference), *_shares(stops.expected_tokens))
    table.add_row("expected of plans chosen so (outer folds)", *expected, style="bold")
    naive = (f"{stops.naive_difference:+.3f}", "", percent(stops.naive_tokens), "")
    table.add_row("chosen on the test set: [red]not a result[/red]", *naive)
    console.print(table)
    _show_votes(f"{stops.plans} plans", stops, console)
    length = stops.expected_length.value
    if length is not None and length > 1:
        share = percent(length)
        console.print(f"Waves wait for one another: {share} of the longest rollout's tokens, one after the other.")
    console.print(_stop_verdict(stops))


def show_probability(sure: ProbabilityTuning, console: Console) -> None:
    """Print how good the probabilities are on other tasks, beside a constant, and what handing over would give."""
    basis = sure.fitted.basis
    console.print()
    console.print(
        escape(f"How likely the choice of {basis.selector} is right (n={basis.n}), on other tasks (outer folds)")
    )
    table = Table("", "value", "95 % interval")
    for name, found in certainty_shown.measures(sure.reliability):
        table.add_row(name, certainty_shown.value(found), escape(certainty_shown.ends(found) or "-"))
    console.print(table)
    console.print("If the least sure questions are handed over:")
    table = Table("answered", "probability from", "accuracy", "95 % interval")
    for point in certainty_shown.points(sure.reliability):
        low_high = escape(certainty_shown.ends(point.accuracy) or "-")
        table.add_row(percent(point.share), f"{point.least:.2f}", certainty_shown.value(point.accuracy), low_high)
    console.print(table)
    _show_votes(f"{sure.ways} ways", sure, console)
    for line in certainty_shown.sentences(sure):
        console.print(escape(line))


def _show_votes(tried: str, chosen: Tuning | StopTuning | ProbabilityTuning, console: Console) -> None:
    """Print from how many the folds chose, and what they chose most often."""
    tasks, folds, repeats = _tasks_of(chosen), chosen.folds, chosen.repeats
    console.print(f"{tried}, {tasks} tasks, {folds} folds drawn {repeats} times; the folds chose")
    for name, count in chosen.votes[:5]:
        console.print(f"  {percent(count / (folds * repeats)):>4}  {escape(name)}")


def _tasks_of(chosen: Tuning | StopTuning | ProbabilityTuning) -> int:
    if isinstance(chosen, ProbabilityTuning):
        return chosen.reliability.tasks
    return chosen.expected_difference.tasks


def _shares(found: Estimate) -> tuple[str, str]:
    known = found.low is not None and found.high is not None
    return percent(found.value), rf"\[{percent(found.low)}, {percent(found.high)}]" if known else NONE


def _stop_verdict(stops: StopTuning) -> str:
    lost, taken = stops.expected_difference, stops.expected_tokens
    if stops.chosen is None or taken.value is None:
        return "No plan saves anything within that loss: all N are kept, and no plan is written."
    saved = f"Plans chosen so save {percent(1 - taken.value)} of the tokens of a question, on tasks like these"
    if lost.excludes(-stops.max_loss) < 0:
        return f"{saved}, but lose more than {stops.max_loss:g}: evaluate more tasks, or allow a larger loss."
    if lost.low is not None and lost.low < -stops.max_loss:
        return f"{saved}; a loss of up to {-lost.low:.3f} is not ruled out: with more tasks more would be known."
    return f"{saved}, within the loss that was allowed."


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
    return "No difference from a random rollout was found: evaluate more tasks before you use these settings."
