"""The results as lines for a terminal, as JSON, and as the table of docs/speed.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Outcome, Result, Spread

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


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


def write_table(path: Path, source: Path) -> None:
    """Put the table of a JSON file between the marks of a page.

    Raises:
        ValueError: the page has no marks.
    """
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no {BEGIN} ... {END}; put these lines where the table belongs")
    stored = json.loads(source.read_text())
    path.write_text(f"{before}{BEGIN}\n\n{_table(stored)}\n\n{END}{after}")


def _table(stored: Mapping[str, Any]) -> str:
    rows = ["| path | ratio | measured (quartiles) | goal | |", "|---|---|---|---|---|"]
    for row in stored["rows"]:
        for claim in row["claims"]:
            least = "at_least" in claim
            goal = f">= {claim['at_least']:g}" if least else f"<= {claim['at_most']:g}"
            spread = Spread(claim["median"], claim["low"], claim["high"])
            verdict = "reached" if claim["reached"] else "**missed**"
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


def _ratio(ratio: Spread) -> str:
    return f"{ratio.median:.3g} ({ratio.low:.3g} to {ratio.high:.3g})"


def _ratio_name(outcome: Outcome) -> str:
    return f"{outcome.claim.over} / {outcome.claim.under}"


def _goal(outcome: Outcome) -> str:
    return f"{'>=' if outcome.claim.least else '<='} {outcome.claim.goal:g}"


def _missed(outcome: Outcome) -> str:
    return f"{abs(outcome.ratio.median / outcome.claim.goal - 1):.0%}"
