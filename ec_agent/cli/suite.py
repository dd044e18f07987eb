"""``ec-agent suite``: the evaluations of one file, their costs before, and one page after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ec_agent.cli.eval import UNFINISHED, Command, run_eval
from ec_agent.cli.files import check_place, written
from ec_agent.errors import ConfigError
from ec_agent.evaluation.agent_place import load_agent
from ec_agent.evaluation.expected_cost import Foreseen, foresee
from ec_agent.evaluation.loading import load_tasks
from ec_agent.evaluation.one_rollout import agent_for
from ec_agent.evaluation.suite.comparison import rows_of
from ec_agent.evaluation.suite.config import Cell, Suite, read_suite
from ec_agent.evaluation.suite.page import page_of_suite
from ec_agent.live.console import plain_console, safe
from ec_agent.visual.drawing import check_installed


def run_suite(file: Path, *, dry_run: bool = False, page_only: bool = False) -> int:
    """Run the suite, or what is left of it.

    Returns:
        The exit code: 0, or 3 where a budget ended a run early.

    Raises:
        ConfigError: the file is wrong, or a source of tasks in it.
        EvaluationError: a task, the harness or the code they are in failed, or a model does not answer.
        TraceError: a file cannot be used, or holds another run.
    """
    suite = read_suite(file)
    console = plain_console(highlight=False)
    check_installed()
    code = 0
    if not page_only:
        _tell_costs(suite, console)
        if dry_run:
            return 0
    _make_folder(suite)
    for cell in () if page_only else suite.cells:
        console.rule(f"{safe(cell.family.name)} on {safe(cell.model.name)}", align="left")
        code = max(code, run_eval(_command(suite, cell), cell.settings))
        _write_page(suite, console)
    if page_only:
        _write_page(suite, console)
    return UNFINISHED if code else 0


def _make_folder(suite: Suite) -> None:
    folder = suite.page.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder} ({error}); name another folder") from error
    check_place(suite.page)


def _write_page(suite: Suite, console: Console) -> None:
    console.print(f"written: {safe(str(written(suite.page, page_of_suite(rows_of(suite)))))}", soft_wrap=True)


def _command(suite: Suite, cell: Cell) -> Command:
    family = cell.family
    return Command(
        family.tasks, suite.agent, cell.model, out=cell.out, limit=family.limit, options=dict(family.options)
    )


def _tell_costs(suite: Suite, console: Console) -> None:
    """Load everything, so that what is wrong is told before anything is paid for, and print what it will cost."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("family", overflow="fold")
    table.add_column("model", overflow="fold")
    for name in ("tasks", "rollouts", "calls", "prompt tokens", "generated, at most"):
        table.add_column(name, justify="right", no_wrap=True)
    everything = []
    for cell in suite.cells:
        tasks = load_tasks(cell.family.tasks, cell.family.limit, cell.family.options)
        agent_for(tasks[0], load_agent(suite.agent, cell.model))
        found = foresee(tasks, cell.settings)
        everything.append((found, _most_generated(cell, found)))
        table.add_row(safe(cell.family.name), safe(cell.model.name), str(len(tasks)), *_counts([everything[-1]]))
    table.add_row("all", "", "", *_counts(everything))
    console.print(table)
    if not all(found.known for found, _ in everything):
        console.print("at least: of tasks whose number of calls is not known, one call a rollout is counted")


def _counts(costs: Sequence[tuple[Foreseen, int | None]]) -> list[str]:
    known = all(found.known for found, _ in costs)
    most = [limit for _, limit in costs]
    generated = "no limit" if None in most else f"{sum(limit or 0 for limit in most):,}"
    return [
        f"{sum(found.rollouts for found, _ in costs):,}",
        *(
            f"{'' if known else '>= '}{sum(getattr(found, name) for found, _ in costs):,}"
            for name in ("calls", "prompt_tokens")
        ),
        generated,
    ]


def _most_generated(cell: Cell, found: Foreseen) -> int | None:
    """Tokens that the run can generate: by the limit of a rollout, or by that of a reply if the calls are known."""
    limits = []
    if cell.settings.max_tokens is not None:
        limits.append(found.rollouts * cell.settings.max_tokens)
    reply = cell.model.arguments.get("max_tokens", cell.model.arguments.get("max_completion_tokens"))
    if found.known and isinstance(reply, int):
        limits.append(found.calls * reply)
    if cell.settings.token_budget is not None:
        limits.append(cell.settings.token_budget)
    return min(limits, default=None)
