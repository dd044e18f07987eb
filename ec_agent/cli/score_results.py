"""What ``ec-agent score`` keeps of the rollouts it has read, and prints in the end."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ec_agent.errors import LogprobsError
from ec_agent.evaluator import CentroidEvaluator
from ec_agent.live.console import plain_console, safe
from ec_agent.logs import Found
from ec_agent.logs.source import Remainder
from ec_agent.logs.tasks import TaskEvidence, Tasks
from ec_agent.selectors.validity import UNPLACED
from ec_agent.support.escaping import clipped, shown
from ec_agent.support.number_formats import many, percent
from ec_agent.support.strict_json import strict_json

_MOST_ROWS = 200  # in the table; --json prints all
_MOST_TOLD = 10  # troubles in full

_MOST_LETTERS = 300  # of a name
_MOST_OF_A_TASK = 60
_DIGEST = re.compile("[0-9a-f]{32}")  # of what was asked; it tells tasks apart, and says nothing else

Row = dict[str, Any]


@dataclass(eq=False, slots=True)
class Troubles:
    """What could not be read: told on standard error as it is met, or raised at once.

    Attributes:
        strict: raise.
        count: how many records were left out.
        files: how many files were left out.
        first: the first of them.
        unknown: whether there may be more, behind a place from which a file cannot be read.
    """

    strict: bool
    count: int = 0
    files: int = 0
    first: str = ""
    unknown: bool = False

    def __call__(self, where: str, problem: str) -> None:
        """Take note of a record.

        Raises:
            LogprobsError: ``strict`` is set.
        """
        self.count += 1
        self.unknown |= isinstance(problem, Remainder)
        self._tell(f"{where} {problem}")

    def file(self, problem: str) -> None:
        """Take note of a file of which nothing, or nothing more, can be read.

        Raises:
            LogprobsError: ``strict`` is set.
        """
        self.files += 1
        self._tell(problem)

    @property
    def left_out(self) -> str:
        """What was left out, in words; empty if nothing was."""
        records = f"{'at least ' if self.unknown else ''}{many(self.count, 'record')}"
        counted = [*([many(self.files, "file")] if self.files else []), *([records] if self.count else [])]
        total = self.files + self.count
        return f"{' and '.join(counted)} {'was' if total == 1 else 'were'} left out" if counted else ""

    def _tell(self, told: str) -> None:
        if self.strict:
            raise LogprobsError(f"{told}. Mend it, or leave out --strict to go on without it")
        self.first = self.first or told
        if self.count + self.files <= _MOST_TOLD:
            print(f"left out  {shown(told)}", file=sys.stderr)
        elif self.count + self.files == _MOST_TOLD + 1:
            print("left out  ... and more, counted at the end", file=sys.stderr)


def row_of(file: str, found: Found, evaluator: CentroidEvaluator) -> Row:
    """What is kept of a rollout: the JSON object that is printed, and what its line in the table is made of."""
    trajectory = found.trajectory
    verdict = evaluator(outputs=trajectory)
    usable = verdict["score"] is not None
    seen = trajectory.count(evaluator.signal)
    return {
        "id": found.name,
        "file": file,
        "task": found.task,
        "outcome": found.outcome,
        "calls": len(trajectory.calls),
        "tokens": len(trajectory),
        "coverage": trajectory.share(evaluator.signal),
        "unplaced": trajectory.unplaced_tokens,
        "phases": len(trajectory.phases(evaluator.config, evaluator.signal).starts),
        "centroid": trajectory.centroid(evaluator.config, evaluator.signal) if usable else None,
        "reward": verdict["score"],
        "comment": f"not scored: {found.lacking}" if found.lacking and not seen else verdict["comment"],
    }


@dataclass(eq=False, slots=True)
class Results:
    """Rows on disk, and the best of each task in memory.

    Attributes:
        rows: one JSON object a line.
        count: how many.
        best: by task the lowest centroid, and the number of its row.
        sampled: whether any rollout has logprobs of its sampled tokens.
        tasks: what the tasks are, once they were compared.
    """

    rows: IO[str]
    count: int = 0
    best: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict)
    sampled: bool = False
    tasks: Tasks | None = None

    def add(self, row: Row, evidence: TaskEvidence) -> None:
        """Add a scored rollout, or one that could not be scored, with what may say of which task it is."""
        self.rows.write(f"{strict_json(row)}\n{strict_json(list(evidence))}\n")
        self.count += 1

    def compare(self, tasks: Tasks) -> None:
        """Find the best of each task, once all rollouts were added.

        Raises:
            LogprobsError: it is not certain which rollouts are of one task.
        """
        self.tasks = tasks
        tasks.decide(lambda: (evidence for row, evidence in self._kept() if row["centroid"] is not None))
        for number, (row, evidence) in enumerate(self._kept()):
            key, centroid = tasks.of(evidence), row["centroid"]
            if centroid is not None and (key not in self.best or centroid < self.best[key][0]):
                self.best[key] = (centroid, number)

    def __iter__(self) -> Iterator[Row]:
        """The rows with ``task`` and ``best`` filled in."""
        winners = {number for _, number in self.best.values()}
        for number, (row, evidence) in enumerate(self._kept()):
            task = row["task"] if self.tasks is None else self.tasks.name(evidence)
            yield {**row, "task": task, "best": number in winners}

    def _kept(self) -> Iterator[tuple[Row, TaskEvidence]]:
        self.rows.seek(0)
        for line in self.rows:
            yield json.loads(line), TaskEvidence(*json.loads(next(self.rows)))


def print_table(results: Results, signal: str, *, several: bool) -> None:
    """Print the rows; of very many the best alone.

    Args:
        results: the rows.
        signal: what the centroids are of.
        several: name the file in each.
    """
    judged = any(row["outcome"] is not None for row in results)
    tasks = _tells_tasks(results)
    table = _empty_table(results, signal, tasks, judged)
    comments: Counter[str] = Counter()
    unplaced = 0
    few = results.count <= _MOST_ROWS
    for row in results:
        if table.row_count == _MOST_ROWS:
            break
        if few or row["best"]:
            cells = _cells(row, several=several, tasks=tasks)
            table.add_row(*cells, *([_number(row["outcome"], "g")] if judged else []), style=_style(row))
        if row["centroid"] is None:
            comments[row["comment"]] += 1
        unplaced += row["unplaced"] > UNPLACED * row["tokens"]
    console = plain_console()
    console.print(table)
    for comment, count in comments.items():
        console.print(f"[dim]{count} x[/dim]  {safe(comment)}", highlight=False)
    if unplaced:
        told = (
            "rollouts with tokens without logprobs whose place is not known: their centroids are not certain (--json)"
        )
        console.print(f"[dim]{unplaced} x[/dim]  {told}", highlight=False)
    if table.row_count < results.count:
        console.print(f"{table.row_count} of {results.count} rollouts; --json prints all", highlight=False)


def _tells_tasks(results: Results) -> bool:
    """Whether there are several tasks, and names of rollouts that do not tell of which they are."""
    shared = {row["task"] for row in results}
    return len(shared) > 1 and any(not str(row["id"]).startswith(str(row["task"])) for row in results)


def _empty_table(results: Results, signal: str, tasks: bool, judged: bool) -> Table:
    title = f"lowest {signal} centroid{' of each task' if len(results.best) > 1 else ''}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("rollout", overflow="fold")
    if tasks:
        table.add_column("task", overflow="fold")
    for name in ("calls", "tokens", "coverage", "phases", "centroid", "reward", *(["outcome"] if judged else [])):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    return table


def _cells(row: Row, *, several: bool, tasks: bool) -> list[str]:
    name = f"{row['file']}: {row['id']}" if several else str(row["id"])
    numbers = [_number(row[key], ".4f") for key in ("centroid", "reward")]
    return [
        "*" if row["best"] else "",
        safe(clipped(name, _MOST_LETTERS)),
        *([_task(row["task"])] if tasks else []),
        str(row["calls"]),
        str(row["tokens"]),
        percent(row["coverage"]),
        str(row["phases"]),
        *numbers,
    ]


def _task(name: str | None) -> str:
    if name is None:
        return "-"
    return name[:6] if _DIGEST.fullmatch(name) else safe(clipped(name, _MOST_OF_A_TASK))


def _style(row: Row) -> str | None:
    return "bold" if row["best"] else None


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
