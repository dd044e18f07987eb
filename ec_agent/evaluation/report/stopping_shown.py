"""What stopping plans save and lose on the tasks of a report: its words and its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ec_agent.evaluation.report.columns import three
from ec_agent.evaluation.report.figures import WIDTH, Figure
from ec_agent.evaluation.report.stopping_rows import StopRow
from ec_agent.evaluation.statistics import Estimate, Summary
from ec_agent.evaluation.statistics.plan_comparison import PlanSummary
from ec_agent.evaluation.statistics.plan_replays import DRAWN_ORDERS
from ec_agent.support.number_formats import interval, number, percent
from ec_agent.visual.drawing import ACCENT, LINE, SECOND, drawn

TITLE = "What stopping early saves, and what it loses"
COLUMNS = ("accuracy", "minus all N", "tokens", "longest way", "same winner")
ABOUT = (
    "Each task's rollouts replayed in many orders, as best_of_n(stop=PLAN) starts them, wave by wave. Minus all N: "
    "against the same selector with all rollouts, task by task. Tokens: share of what all N generate, mean over tasks. "
    "Longest way: tokens of the slowest rollout of each wave, one wave after the other; above 100% a question takes "
    "longer."
)
BET = (
    "out_of_reach beside a majority vote changes no winner, by counting. Every other plan is a bet: choose it on other "
    "tasks (ec-agent calibrate --stop)."
)
NOTHING = "No plan stopped anything: no two answers are the same to the letter. Votes and plans need a normalize= here."
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")


def cells(row: StopRow) -> tuple[str, ...]:
    """One row under ``COLUMNS``."""
    found = row.found
    return (
        number(found.accuracy.value),
        interval(found.difference, signed=True),
        percent(found.tokens.value),
        percent(found.length.value),
        percent(found.same_winner),
    )


def notes(rows: Sequence[StopRow]) -> list[str]:
    """What to know about the table."""
    if not rows:
        return []
    nothing = all(row.found.tokens.value is not None and row.found.tokens.value > 0.9999 for row in rows)
    orders = "all orders" if all(row.found.exact for row in rows) else f"some {DRAWN_ORDERS} orders, drawn"
    return [*([NOTHING] if nothing else []), BET, f"Each task was replayed in {orders}."]


def numbers(row: StopRow) -> dict[str, Any]:
    """The row for programs."""
    found = row.found
    return {
        "selector": row.selector,
        "plan": row.plan,
        **{
            name: {"value": each.value, "low": each.low, "high": each.high, "tasks": each.tasks}
            for name, each in _estimates(found).items()
        },
        "started": found.started,
        "same_winner": found.same_winner,
        "all_orders": found.exact,
    }


def flat(row: StopRow) -> dict[str, Any]:
    """The row for the CSV."""
    found = row.found
    return {
        "group": "stopping",
        "name": row.selector,
        "plan": row.plan,
        "tasks": found.accuracy.tasks,
        **{column: value for name, each in _estimates(found).items() for column, value in three(name, each).items()},
        "started": found.started,
        "same_winner": found.same_winner,
    }


def _estimates(found: PlanSummary) -> dict[str, Estimate]:
    return {
        "accuracy": found.accuracy,
        "minus_all": found.difference,
        "tokens": found.tokens,
        "bill": found.bill,
        "longest_way": found.length,
    }


FLAT = (
    "plan",
    *(f"{name}{end}" for name in ("minus_all", "tokens", "bill", "longest_way") for end in ("", "_low", "_high")),
    *("started", "same_winner"),
)
"""Columns of the CSV that only these rows have."""


def tokens_and_accuracy(rows: Sequence[StopRow], summary: Summary) -> Figure | None:
    """Each plan's accuracy against its tokens, beside simply starting fewer rollouts; ``None`` without plans."""
    names = list(dict.fromkeys(row.selector for row in rows))
    plans = list(dict.fromkeys(row.plan for row in rows))
    fixed = {row.name: row.curve.accuracy for row in summary.selectors if row.name in names}
    if not rows:
        return None

    limits = _limits(rows, fixed)

    def draw(name: str, figure: Any) -> None:
        axes = figure.add_subplot()
        if name in fixed:
            shares = [k / len(fixed[name]) for k in range(1, len(fixed[name]) + 1)]
            axes.plot(shares, fixed[name], color=SECOND, linewidth=1.2, marker=".", label="fewer rollouts, all at once")
        mine = [row for row in rows if row.selector == name]
        axes.axhline(_whole(mine[0].found), color=LINE, linewidth=0.8, linestyle="--", label="all N")
        for row in mine:
            _point(axes, row.found, MARKERS[plans.index(row.plan) % len(MARKERS)], row.plan)
        axes.set_title(name, loc="left")
        axes.set_xlim(0, 1.05)
        axes.set_ylim(*limits)
        axes.set_xlabel("tokens / tokens of all N")
        axes.set_ylabel("accuracy")
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)

    height = 2.9 + 0.18 * -(-(len(plans) + 2) // 2)
    plots = [drawn(f"stops-{at}", (WIDTH, height), partial(draw, name)) for at, name in enumerate(names)]
    said = "; ".join(
        f"{row.selector} with {row.plan}: {number(row.found.accuracy.value)} for {percent(row.found.tokens.value)}"
        for row in rows
    )
    return Figure(
        "stops",
        TITLE,
        "\n".join(plots),
        f"Accuracy against the share of the tokens, a plot a selector and a mark a plan. {said}.",
        "Further left is cheaper, further up is better. A mark above the line does better than as many tokens spent on "
        "fewer rollouts. Its upright bar is the interval of the difference from all N (the dashed line), its level one "
        "that of the tokens.",
    )


def _whole(found: PlanSummary) -> float:
    """Accuracy of all N."""
    return (found.accuracy.value or 0.0) - (found.difference.value or 0.0)


def _limits(rows: Sequence[StopRow], fixed: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Of the accuracy, for all plots alike."""
    values = [value for curve in fixed.values() for value in curve]
    for row in rows:
        whole, difference = _whole(row.found), row.found.difference
        values += [
            whole,
            *(whole + end for end in (difference.value, difference.low, difference.high) if end is not None),
        ]
    room = 0.05 * (max(values) - min(values)) or 0.05
    return min(values) - room, max(values) + room


def _point(axes: Any, found: PlanSummary, marker: str, name: str) -> None:
    tokens, whole, difference = found.tokens, _whole(found), found.difference
    if tokens.value is None:
        return
    y = whole + (difference.value or 0.0)
    if difference.low is not None and difference.high is not None:
        axes.plot([tokens.value] * 2, [whole + difference.low, whole + difference.high], color=ACCENT, linewidth=1.2)
    if tokens.low is not None:
        axes.plot([tokens.low, tokens.high], [y, y], color=ACCENT, linewidth=1.2)
    axes.plot([tokens.value], [y], marker, color=ACCENT, markersize=6, label=name)
