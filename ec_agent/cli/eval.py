"""``ec-agent eval``: an agent run n times on each task, every rollout stored, with progress and a short summary."""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ec_agent.cli.eval_progress import first_line, telling
from ec_agent.cli.interrupts import INTERRUPTED, TERMINATED, Terminated, leave, terminable
from ec_agent.doctor.chat_model import name_of, unbound
from ec_agent.doctor.models_in_agent import models_of
from ec_agent.engines.base import Lost
from ec_agent.engines.ray import RayEngine
from ec_agent.errors import ConfigError, EcAgentError, EcAgentWarning
from ec_agent.evaluation.agent_identity import about_agent
from ec_agent.evaluation.agent_place import AgentPlace, load_agent
from ec_agent.evaluation.expected_cost import Foreseen, foresee
from ec_agent.evaluation.loading import load_tasks
from ec_agent.evaluation.model import ModelSettings, Tools, arguments_in
from ec_agent.evaluation.one_rollout import agent_for
from ec_agent.evaluation.remaining import count_planned, count_stored
from ec_agent.evaluation.run_settings import BUDGETS, RunSettings
from ec_agent.evaluation.runner import RunReport, evaluate
from ec_agent.evaluation.shards import tasks_of
from ec_agent.evaluation.tasks import Task
from ec_agent.live.console import plain_console, safe
from ec_agent.rollouts.settings_files import load_settings
from ec_agent.stopping import StoppingPlan
from ec_agent.stopping.spelling import plan_in
from ec_agent.support.loop import THREADS
from ec_agent.support.number_formats import many
from ec_agent.traces.opening import is_there, open_store
from ec_agent.traces.places import is_url, named

MOST_ROWS = 20  # tasks, or kinds of failures, in the summary
UNFINISHED = 3
PATIENCE = 2.0  # seconds for threads to end


@dataclass(frozen=True, slots=True)
class Command:
    """What the command line says, but for the settings of the run.

    Attributes:
        tasks: where they are.
        agent: where it is.
        model: what the agent is made with, if it is.
        out: the file; ``None`` is ``default_path``.
        limit: take the first so many tasks.
        options: of the task source.
        fresh: delete what the file holds.
        retry_failed: run failed rollouts again.
        same_agent: go on with an agent that has changed.
        dry_run: run nothing.
        live: show each rollout while it runs.
    """

    OPTIONS: ClassVar = ("out", "limit", "fresh", "retry_failed", "same_agent", "dry_run", "live")

    tasks: str
    agent: str
    model: ModelSettings | None = None
    out: Path | str | None = None
    limit: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False
    retry_failed: bool = False
    same_agent: bool = False
    dry_run: bool = False
    live: bool = False


def model_of(
    name: str | None, base_url: str | None, api_key_env: str | None, tools: Tools | None, arguments: Sequence[str]
) -> ModelSettings | None:
    """The model of a command line; ``None`` where it names none.

    Raises:
        ConfigError: it has a value it cannot have, or there is no ``--model`` that an option could be about.
    """
    if name:
        return ModelSettings(
            name=name,
            base_url=base_url,
            api_key_env=api_key_env,
            tools=tools or "native",
            arguments=arguments_in(arguments),
        )
    if base_url or api_key_env or tools or arguments:
        raise ConfigError(
            "--base-url, --api-key-env, --tools and --model-arg are about the model of --model; name it, or leave them "
            "out"
        )
    return None


def engine_of(
    name: str | None, address: str | None, workers: int | None, per_worker: int | None, *, at_once: bool
) -> RayEngine | None:
    """The engine of a command line; ``None`` where it names none.

    Args:
        name: of the engine.
        address: of the cluster.
        workers: how many.
        per_worker: rollouts at once on each.
        at_once: whether ``--concurrency`` is given, which is about rollouts here.

    Raises:
        ConfigError: an option is about an engine that is not named, or has a value it cannot have.
    """
    given: dict[str, Any] = {"address": address, "workers": workers, "per_worker": per_worker}
    given = {option: value for option, value in given.items() if value is not None}
    if name is None:
        if given:
            raise ConfigError(
                "--address, --workers and --per-worker are about the workers of --engine ray; name it, or leave them "
                "out"
            )
        return None
    if at_once:
        raise ConfigError(
            "--concurrency is about rollouts on this machine; with --engine ray give --workers and --per-worker"
        )
    return RayEngine(**given)


def stop_of(named: str | None) -> StoppingPlan | None:
    """The stopping plan of a command line: by its name, or in a settings file.

    Raises:
        ConfigError: there is no such plan, or the file has none.
    """
    if named is None or not named.endswith(".json"):
        return None if named is None else plan_in(named)
    plan: StoppingPlan | None = load_settings(named).get("stop")
    if plan is None:
        raise ConfigError(f"{named} has no stopping plan; write one with `ec-agent calibrate --stop`, or name a plan")
    return plan


def run_eval(command: Command, settings: RunSettings, engine: RayEngine | None = None) -> int:
    """Run the evaluation, or what is left of it, and print what it came to.

    Args:
        command: what is run.
        settings: how.
        engine: where; ``None`` is this process.

    Returns:
        The exit code: 0, or 3 where a budget ended it early.

    Raises:
        ConfigError: an argument is wrong.
        EvaluationError: a task, the harness or the code they are in failed, or the model does not answer.
        TraceError: the file cannot be used, or holds another run.
    """
    console = plain_console(highlight=False)
    warnings.simplefilter("once", EcAgentWarning)
    tasks = load_tasks(command.tasks, command.limit, command.options)
    path = command.out or default_path(command.tasks, command.agent, settings.shard)
    _check_fresh(command, settings, path)
    own = tasks_of(settings.shard, tasks)
    tested = load_agent(command.agent, command.model)
    asked, each = (many(number, noun) for number, noun in ((len(own), "task"), (settings.n, "rollout")))
    part = f" of {len(tasks)} (shard {settings.shard})" if settings.shard else ""
    console.print(f"{asked}{part}, {each} each{_and_greedy(settings)} -> {safe(named(path))}", soft_wrap=True)
    for line in _costs(foresee(own, settings)):
        console.print(line)
    if engine is not None:
        console.print(safe(f"on {engine}"), soft_wrap=True)
    if command.dry_run:
        agent_for(tasks[0], tested)
        return 0
    if command.model and (command.fresh or command.retry_failed or _left(path, own, settings)):
        command.model.probe()
    if command.fresh:
        remove(path)
    try:
        with terminable(), telling(console, live=command.live, asked=_asked(command, tested)) as told:
            report = evaluate(
                tasks,
                tested if engine is None else AgentPlace(command.agent, command.model),
                path,
                settings,
                engine=engine,
                agent_name=command.agent,
                agent_about=about_agent(command.agent, command.model),
                same_agent=command.same_agent,
                retry_failed=command.retry_failed,
                **told,
            )
        summarise(report, settings, console)
        if settings.shard is not None:
            console.print(_next_of_shards(path))
        elif report.finished:
            compare_selectors(path, console)
    except KeyboardInterrupt as stop:
        _interrupted(console, path, TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
    return _without_waiting(0 if report.finished else UNFINISHED, console)


def _next_of_shards(path: Path | str) -> str:
    if is_url(path):
        return f"next, when all shards are finished: ec-agent report {safe(named(path))}"
    return "next, when all shards are finished: ec-agent traces merge SHARD.db ... --into RUN.db"


def _asked(command: Command, agent: Any) -> set[str]:
    """The names of the models that the agent asks: that of ``--model``, else those of the chat models found in it."""
    if command.model is not None:
        return {command.model.name}
    names = {name_of(unbound(model)[0]) for model in models_of(agent)}
    return set() if "" in names else names  # a model without a name may be the one that answered


def _costs(foreseen: Foreseen) -> list[str]:
    """What is known before the start, in words."""
    if not foreseen.known:
        return [f"at least {foreseen.calls:,} model calls, one a rollout"]
    said = (
        f"about {_round(foreseen.calls)} model calls with {_round(foreseen.prompt_tokens)} prompt tokens, if rollouts "
        "go the way of the known solutions; tool results and what is generated come on top"
    )
    if not foreseen.tool_tokens:
        return [said]
    return [said, f"tool descriptions alone make up to {_round(foreseen.tool_tokens)} tokens of a prompt"]


def _round(count: int) -> str:
    """Two digits of it."""
    return f"{int(float(f'{count:.1e}')):,}"


def _left(path: Path | str, tasks: Sequence[Task], settings: RunSettings) -> bool:
    """Whether there is a rollout to run."""
    if not is_there(path):
        return True
    with open_store(path, create=True) as store:
        return count_stored(store, tasks, settings) < count_planned(tasks, settings)


def default_path(source: str, agent: str, shard: str | None = None) -> Path:
    """Where the rollouts go where nobody says: ``runs/TASKS-AGENT.db``; each shard has a file of its own."""
    tasks = Path(source).stem if source.endswith(".jsonl") else source
    return Path("runs", re.sub(r"[^\w.]+", "-", f"{tasks}-{agent}{f'-shard-{shard}' if shard else ''}") + ".db")


def _check_fresh(command: Command, settings: RunSettings, path: Path | str) -> None:
    if command.fresh and settings.shard is not None and is_url(path):
        raise ConfigError(
            "--fresh would delete what the other shards have stored; name another schema, or delete the store once, in "
            "Python: TraceStore(URL).delete()"
        )


def remove(path: Path | str) -> None:
    """Delete a trace store; nothing else is deleted.

    Raises:
        TraceError: the file is no trace file, or another process has it open.
    """
    if is_there(path):
        open_store(path, create=True).delete()  # refuses what is not ours; a file without tables is one that was killed


def _and_greedy(settings: RunSettings) -> str:
    return " and one at temperature 0" if settings.greedy else ""


def _interrupted(console: Console, path: Path | str, code: int) -> NoReturn:
    stored = 0
    if is_there(path):
        with open_store(path, create=True) as store:  # it may have come before the tables
            stored = len(store.keys())
    console.print(f"stopped; {stored} rollouts are in {safe(named(path))}, and the same command goes on from there")
    leave(code)


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
        console.print(f"Pass@1 {mean:.3f}; oracle@{most} {oracle:.3f}{greedy}; {many(len(begun), 'task')}")
    costs = {name: int(cost) for name, cost in report.costs.items()}
    console.print(
        f"cost: {costs['model_calls']} model calls, {costs['prompt_tokens']} prompt and "
        f"{costs['generated_tokens']} generated tokens, {report.costs['seconds']:.0f} s of rollouts"
    )
    if report.lost.workers or report.lost.rollouts:
        console.print(f"[yellow]note[/yellow]  {lost_in_words(report.lost)}")
    _print_failures(report, console)
    if costs["unsampled_calls"]:
        console.print(
            f"[yellow]note[/yellow]  seed and temperature could not be set on {costs['unsampled_calls']} of "
            f"{costs['model_calls']} model calls, which do not go through an openai client: set the temperature on the "
            "model, and leave the greedy rollouts out with --no-greedy, for they are none"
        )
    if not report.finished:
        # Two processes on one file may spend more than it holds: then it is the one that was given.
        given = [name for name in BUDGETS if getattr(settings, name) is not None]
        spent = settings.spent(costs["generated_tokens"], costs["model_calls"]) or given[0]
        console.print(
            f"[yellow]not finished[/yellow]  {report.stored} of {report.total} rollouts: {spent.replace('_', ' ')} "
            f"{getattr(settings, spent)} is spent; the same command with a larger --{spent.replace('_', '-')} goes on "
            "from here"
        )


def lost_in_words(lost: Lost) -> str:
    """What was lost with workers, for people."""
    return (
        f"{many(lost.workers, 'worker')} died; {many(lost.rollouts, 'rollout')} under way ran again, each counted "
        f"once; at least {lost.tokens} tokens and {many(lost.calls, 'model call')} of theirs are lost, beside the cost"
    )


def compare_selectors(path: Path | str, console: Console) -> None:
    """Print which selector would have picked how well, and where there is more. Nothing here fails the run."""
    from ec_agent.evaluation.report.content import report_of
    from ec_agent.evaluation.report.terminal import print_accuracies

    console.print()
    try:
        print_accuracies(report_of(path, stops=()), console)
    except EcAgentError as error:
        console.print(f"[yellow]note[/yellow]  selectors are not compared: {safe(str(error))}")
    console.print(f"next: ec-agent report {safe(named(path))} --html report.html")


def _print_tasks(report: RunReport, console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", overflow="fold")
    for name in ("solved", "failed", "greedy", "calls", "tokens", "sec"):
        table.add_column(name, justify="right", no_wrap=True)
    for task in report.tasks:
        table.add_row(
            safe(task.task),
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
        console.print(f"  {count} x {safe(error)}")
