"""``ec-agent eval``: an agent run n times on each task, every rollout stored, with progress and a short summary."""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import NoReturn

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ec_agent.cli.eval_progress import first_line, telling
from ec_agent.cli.interrupts import INTERRUPTED, leave
from ec_agent.errors import EcAgentError, EcAgentWarning
from ec_agent.evaluation.places import load_agent, load_tasks
from ec_agent.evaluation.runner import THREADS, RunReport, evaluate
from ec_agent.evaluation.settings import RunSettings
from ec_agent.traces.store import COSTS, TraceStore

MOST_ROWS = 20  # tasks, or kinds of failures, in the summary
UNFINISHED = 3
AT_ONCE = 12  # rollouts a task; comparing more takes minutes, for votes are counted anew in very many subsets
PATIENCE = 2.0  # seconds for threads to end


def run_eval(
    source: str,
    agent: str,
    settings: RunSettings,
    *,
    out: Path | None = None,
    limit: int | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    live: bool = False,
) -> int:
    """Run the evaluation, or what is left of it, and print what it came to.

    Returns:
        The exit code: 0, or 3 where the token budget ended it early.

    Raises:
        ConfigError: an argument is wrong.
        EvaluationError: a task, the harness or the code they are in failed.
        TraceError: the file cannot be used, or holds another run.
    """
    console = Console(highlight=False)
    warnings.simplefilter("once", EcAgentWarning)
    tasks = load_tasks(source, limit)
    path = out or default_path(source, agent)
    tested = load_agent(agent)
    if fresh:
        remove(path)
    console.print(f"{len(tasks)} tasks, {settings.n} rollouts each{_and_greedy(settings)} -> {escape(str(path))}")
    try:
        with telling(console, live=live) as told:
            report = evaluate(tasks, tested, path, settings, agent_name=agent, retry_failed=retry_failed, **told)
        summarise(report, settings, console)
        if report.finished:
            compare_selectors(path, settings.n, console)
    except KeyboardInterrupt:
        _interrupted(console, path)
    return _without_waiting(0 if report.finished else UNFINISHED, console)


def default_path(source: str, agent: str) -> Path:
    """Where the rollouts go where nobody says: ``runs/TASKS-AGENT.db``."""
    tasks = Path(source).stem if source.endswith(".jsonl") else source
    return Path("runs", re.sub(r"[^\w.]+", "-", f"{tasks}-{agent}") + ".db")


def remove(path: Path) -> None:
    """Delete a trace file; nothing else is deleted.

    Raises:
        TraceError: the file is no trace file.
    """
    if path.exists():
        TraceStore(path, create=True).close()  # refuses what is not ours; a file without tables is one that was killed
        for end in ("", "-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)


def _and_greedy(settings: RunSettings) -> str:
    return " and one at temperature 0" if settings.greedy else ""


def _interrupted(console: Console, path: Path) -> NoReturn:
    stored = 0
    if path.exists():
        with TraceStore(path) as store:
            stored = len(store.keys())
    console.print(f"stopped; {stored} rollouts are in {escape(str(path))}, and the same command goes on from there")
    leave(INTERRUPTED)


def _without_waiting(code: int, console: Console) -> int:
    """The exit code; where calls of the agent block for ever, it is left with at once."""
    until = time.monotonic() + PATIENCE
    ours = [thread for thread in threading.enumerate() if thread.name.startswith(THREADS)]
    for thread in ours:
        thread.join(max(until - time.monotonic(), 0.0))
    if blocked := sum(thread.is_alive() for thread in ours):
        console.print(f"[yellow]note[/yellow]  {blocked} calls of rollouts over their time still ran, and were left")
        leave(code)
    return code


def summarise(report: RunReport, settings: RunSettings, console: Console) -> None:
    """Print what the rollouts came to: per task where they are few, and over all tasks."""
    if len(report.tasks) <= MOST_ROWS:
        _print_tasks(report, console)
    begun = [task for task in report.tasks if task.rollouts]
    judged = [task.greedy for task in report.tasks if task.greedy is not None]
    if begun:
        mean = sum(task.solved / task.rollouts for task in begun) / len(begun)
        oracle = sum(task.best for task in begun) / len(begun)
        greedy = f"; greedy {sum(judged) / len(judged):.3f}" if judged else ""
        most = max(task.rollouts for task in begun)
        console.print(f"Pass@1 {mean:.3f}; oracle@{most} {oracle:.3f}{greedy}; {len(begun)} tasks")
    costs = {name: sum(getattr(task, name) for task in report.tasks) for name in COSTS}
    console.print(
        f"cost: {costs['model_calls']} model calls, {costs['prompt_tokens']} prompt and "
        f"{costs['generated_tokens']} generated tokens, {costs['seconds']:.0f} s of rollouts"
    )
    _print_failures(report, console)
    if costs["unsampled_calls"]:
        console.print(
            f"[yellow]note[/yellow]  seed and temperature could not be set on {costs['unsampled_calls']} of "
            f"{costs['model_calls']} model calls, which do not go through an openai client: set the temperature on the "
            "model, and leave the greedy rollouts out with --no-greedy, for they are none"
        )
    if not report.finished:
        console.print(
            f"[yellow]not finished[/yellow]  {report.stored} of {report.total} rollouts: token budget "
            f"{settings.token_budget} is spent; the same command with a larger --token-budget goes on from here"
        )


def compare_selectors(path: Path, n: int, console: Console) -> None:
    """Print which selector would have picked how well, and where there is more. Nothing here fails the run."""
    from ec_agent.evaluation.report.content import report_of
    from ec_agent.evaluation.report.terminal import print_accuracies

    console.print()
    if n <= AT_ONCE:
        try:
            print_accuracies(report_of(path), console)
        except EcAgentError as error:
            console.print(f"[yellow]note[/yellow]  selectors are not compared: {escape(str(error))}")
    console.print(f"next: ec-agent report {escape(str(path))} --html report.html")


def _print_tasks(report: RunReport, console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", overflow="fold")
    for name in ("solved", "failed", "greedy", "calls", "tokens", "sec"):
        table.add_column(name, justify="right", no_wrap=True)
    for task in report.tasks:
        table.add_row(
            escape(task.task),
            f"{task.solved:g}/{task.rollouts}",
            str(task.failed),
            "-" if task.greedy is None else f"{task.greedy:g}",
            *(str(count) for count in (task.model_calls, task.generated_tokens)),
            f"{task.seconds:.1f}",
        )
    console.print(table)


def _print_failures(report: RunReport, console: Console) -> None:
    if not report.failures:
        return
    console.print(
        f"{len(report.failures)} of {report.stored} rollouts failed, and count as not solved (where it was an outage, "
        "--retry-failed runs them again):"
    )
    kinds = Counter(first_line(error) for _, error in report.failures)
    for error, count in kinds.most_common(MOST_ROWS):
        console.print(f"  {count} x {escape(error)}")
