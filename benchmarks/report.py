"""The results as lines for a terminal, as JSON, and as the tables of docs/speed.md and docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.costs import COSTS, Figure
from benchmarks.harness import Outcome, Result, Spread


def lines(result: Result) -> Iterator[str]:
    """One result for the terminal."""
    yield f"{result.case.name}  ({result.rounds} rounds)"
    for name, spread in result.measures.items():
        yield f"    {name:<28} {_amount(spread, result)}"
    for outcome in result.outcomes:
        verdict = "reached" if outcome.reached else f"MISSED by {_missed(outcome)}"
        yield f"    {_ratio_name(outcome)}: {_ratio(outcome.ratio)}, goal {_goal(outcome)}: {verdict}"


def write_json(path: Path, machine: Mapping[str, str], results: Sequence[Result]) -> None:
    """Write everything; results of rows that did not run this time stay as they are in the file."""
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    rows = {row["name"]: row for row in known.get("rows", [])} | {r.case.name: r.to_dict() for r in results}
    path.write_text(json.dumps({"machine": machine, "rows": list(rows.values())}, indent=1) + "\n")


def write_tables(path: Path, source: Path, names: Sequence[str] = ("costs", "bench")) -> None:
    """Put tables of a JSON file between the marks of a page.

    Args:
        path: the page.
        source: the JSON file.
        names: which tables.

    Raises:
        ValueError: the page has no marks for one of them.
    """
    text, stored = path.read_text(), json.loads(source.read_text())
    for name in names:
        opening, closing = marks(name)
        before, begin, rest = text.partition(opening)
        _, end, after = rest.partition(closing)
        if not begin or not end:
            raise ValueError(f"{path} has no {opening} ... {closing}; put these lines where the table belongs")
        text = f"{before}{opening}\n\n{TABLES[name](stored)}\n\n{closing}{after}"
    path.write_text(text)


def marks(name: str) -> tuple[str, str]:
    """The lines of a page between which the table of this name stands."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _costs(stored: Mapping[str, Any]) -> str:
    rows = {row["name"]: row for row in stored["rows"]}

    def said(figure: Figure) -> str:
        row = rows[figure.row]
        median = row["arms"][figure.arm]["median"]
        return figure.words.format(*(_scaled(each, row["unit"]) for each in (median, median / (row["tokens"] or 1))))

    lines = [
        f"| {what} | {'; '.join(map(said, figures))} |"
        for what, figures in COSTS.items()
        if all(figure.row in rows for figure in figures)
    ]
    return "\n".join(["| what | costs |", "|---|---|", *lines])


def _ratios(stored: Mapping[str, Any]) -> str:
    rows = ["| path | ratio | measured (quartiles) | goal | |", "|---|---|---|---|---|"]
    for row in stored["rows"]:
        for claim in row["claims"]:
            least = "at_least" in claim
            goal = f">= {claim['at_least']:g}" if least else f"<= {claim['at_most']:g}"
            spread = Spread(claim["median"], claim["low"], claim["high"])
            missed = abs(claim["median"] / (claim["at_least"] if least else claim["at_most"]) - 1)
            verdict = "reached" if claim["reached"] else f"**missed** by {_part(missed)}"
            rows.append(f"| {row['name']} | {claim['ratio']} | {_ratio(spread)} | {goal} | {verdict} |")
        if not row["claims"]:
            arms = "; ".join(f"{name} {_stored_amount(arm, row)}" for name, arm in row["arms"].items())
            rows.append(f"| {row['name']} | | {arms} | | |")
    facts = "; ".join(f"{name} {fact}" for name, fact in stored["machine"].items())
    return "\n".join([*rows, "", f"Measured on: {facts}."])


def _stored_amount(arm: Mapping[str, float], row: Mapping[str, Any]) -> str:
    return _scaled(arm["median"], row["unit"])


def _amount(spread: Spread, result: Result) -> str:
    text = f"{_scaled(spread.median, result.case.unit)} ({_scaled(spread.low, result.case.unit)}"
    text += f" to {_scaled(spread.high, result.case.unit)})"
    if result.case.per:
        text += f", {_scaled(spread.median / result.case.per, result.case.unit)} a token"
    return text


def _scaled(amount: float, unit: str) -> str:
    if unit == "s":
        for factor, name in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
            if amount * factor >= 1:
                return f"{amount * factor:.3g} {name}"
        return f"{amount * 1e9:.3g} ns"
    return f"{amount:,.4g} {unit}"


TABLES = {"costs": _costs, "bench": _ratios}


def _ratio(ratio: Spread) -> str:
    return f"{ratio.median:.3g} ({ratio.low:.3g} to {ratio.high:.3g})"


def _ratio_name(outcome: Outcome) -> str:
    return f"{outcome.claim.over} / {outcome.claim.under}"


def _goal(outcome: Outcome) -> str:
    return f"{'>=' if outcome.claim.least else '<='} {outcome.claim.goal:g}"


def _missed(outcome: Outcome) -> str:
    return _part(abs(outcome.ratio.median / outcome.claim.goal - 1))


def _part(missed: float) -> str:
    return f"{missed:.0%}" if missed >= 0.01 else f"{missed:.1%}"
