"""``ec-agent score``: centroids of saved logprobs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ec_agent.errors import EcAgentError, LogprobsError
from ec_agent.evaluator import CentroidEvaluator, trajectory_of
from ec_agent.trajectory import Trajectory

NUMBER = int | float | None


def run_score(file: Path, evaluator: CentroidEvaluator, one_rollout: bool, *, as_json: bool) -> None:
    """Score the records of a file and print them, the best first marked."""
    named = list(_trajectories(file))
    if one_rollout:
        named = [(file.name, Trajectory([call for _, t in named for call in t.calls]))]
    rows = [_row(name, trajectory, evaluator) for name, trajectory in named]
    scored = [row for row in rows if row["centroid"] is not None]
    best = min(scored, key=lambda row: row["centroid"]) if scored else None
    if as_json:
        for row in rows:
            print(json.dumps({**row, "best": row is best}))
    else:
        Console().print(_table(rows, best))
    if best is None:
        raise LogprobsError(
            f"{file}: none of {len(rows)} rollouts could be scored; see the comments, and save responses that were "
            "asked for logprobs with top_logprobs=20"
        )


def _row(name: str, trajectory: Trajectory, evaluator: CentroidEvaluator) -> dict[str, Any]:
    verdict = evaluator(outputs=trajectory)
    usable = verdict["score"] is not None
    return {
        "id": name,
        "calls": len(trajectory.calls),
        "tokens": len(trajectory),
        "coverage": trajectory.share(evaluator.signal),
        "phases": len(trajectory.phases(evaluator.config, evaluator.signal).starts),
        "centroid": trajectory.centroid(evaluator.config, evaluator.signal) if usable else None,
        "reward": verdict["score"],
        "comment": verdict["comment"],
    }


def _table(rows: list[dict[str, Any]], best: dict[str, Any] | None) -> Table:
    table = Table("", "rollout", title="lowest entropy centroid first choice", title_justify="left")
    for name in ("calls", "tokens", "coverage", "phases", "centroid", "reward"):
        table.add_column(name, justify="right")
    for row in rows:
        coverage = "?" if row["coverage"] is None else f"{row['coverage']:.0%}"
        numbers = [f"{row[key]:.4f}" if row[key] is not None else "-" for key in ("centroid", "reward")]
        table.add_row(
            "*" if row is best else "",
            str(row["id"]),
            str(row["calls"]),
            str(row["tokens"]),
            coverage,
            str(row["phases"]),
            *numbers,
            style="bold" if row is best else None,
        )
        if row["centroid"] is None:
            table.add_row("", f"[dim]{row['comment']}[/dim]")
    return table


def _trajectories(file: Path) -> Iterator[tuple[str, Trajectory]]:
    for place, (where, record) in enumerate(_records(file)):
        name = str((record.get("id") if isinstance(record, dict) else None) or place)
        try:
            choices = record.get("choices") if isinstance(record, dict) else None
            if isinstance(choices, list) and len(choices) > 1:  # alternatives, each a rollout; usage is their sum
                for number, choice in enumerate(choices):
                    yield f"{name} choice {number}", _trajectory({"model": record.get("model"), "choices": [choice]})
            else:
                yield name, _trajectory(record)
        except EcAgentError as error:
            raise LogprobsError(f"{where}: {error}") from error


def _records(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "give a JSON or JSONL file, or - for standard input"
        raise LogprobsError(f"cannot read {file} ({error}); {hint}") from error
    if not text.strip():
        raise LogprobsError(f"{file} is empty; give JSON or JSONL with one rollout per record")
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        yield from _lines(file, text)
        return
    if isinstance(whole, list) and whole and all(isinstance(item, dict) for item in whole):
        yield from ((f"{file}, record {place}", item) for place, item in enumerate(whole))
    else:
        yield str(file), whole


def _lines(file: Path, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield f"{file}, line {number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise LogprobsError(
                    f"{file}, line {number} is not JSON ({error}); give one JSON value per line"
                ) from error


def _trajectory(record: Any) -> Trajectory:
    if isinstance(record, dict) and "entropies" in record:
        record = record["entropies"]
    if isinstance(record, list) and record:
        if all(isinstance(item, NUMBER) for item in record):
            return Trajectory.from_entropies(record)
        if all(isinstance(item, list) for item in record):
            return Trajectory.from_entropies(*record)
        if all(isinstance(item, dict) and "entropies" in item for item in record):
            return Trajectory.from_entropies(*(item["entropies"] for item in record))
    return trajectory_of(record)
