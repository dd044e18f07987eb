"""How likely choices are right, for readers: the words, the rows and the figures of fitted probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ec_agent.evaluation.report.certainty_rows import CertaintyRow
from ec_agent.evaluation.report.columns import three
from ec_agent.evaluation.report.figures import SMALL, Figure
from ec_agent.evaluation.statistics import Estimate
from ec_agent.evaluation.statistics.reliability import Answered, Reliability
from ec_agent.evaluation.tuning_probability import ProbabilityTuning
from ec_agent.support.number_formats import many, percent
from ec_agent.visual.drawing import ACCENT, INK, LINE, SECOND, drawn

TITLE = "How sure: the probability that a choice is right"
COLUMNS = (
    "right",
    "Brier score",
    "of a constant",
    "difference",
    "calibration error",
    "error of a constant",
    "by chance",
)
ABOUT = (
    "How likely each selector's choice is right: fitted on some of the tasks, measured on the others (outer folds). "
    "The Brier score is the mean squared distance to the verdict, 0 is best; the constant is the base rate of the "
    "tasks fitted on. The calibration error is the mean distance, over ten bins, between the probability and the share "
    "that is right; by chance: what it would be on average if the probabilities were exactly right."
)
SHARES = (1.0, 0.9, 0.75, 0.5, 0.25)
"""Of the questions answered, in tables."""
_SIZE = (SMALL[0] * 1.25, SMALL[1] * 1.35)


def value(found: Estimate, signed: bool = False) -> str:
    """The value, or a dash."""
    return "-" if found.value is None else f"{found.value:{'+' if signed else ''}.3f}"


def ends(found: Estimate, signed: bool = False) -> str:
    """``[0.10, 0.20]``; empty without an interval."""
    sign = "+" if signed else ""
    return "" if found.low is None or found.high is None else f"[{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def both(found: Estimate, signed: bool = False) -> str:
    """The value with its interval."""
    return f"{value(found, signed)} {ends(found, signed)}".strip()


def cells(row: CertaintyRow) -> tuple[str, ...]:
    """One row under ``COLUMNS``."""
    found = row.tuning.reliability
    return (
        both(found.right),
        both(found.brier),
        value(found.brier_constant),
        both(found.brier_minus_constant, signed=True),
        both(found.ece),
        both(found.ece_constant),
        f"{found.ece_by_chance:.3f}",
    )


def measures(found: Reliability) -> list[tuple[str, Estimate]]:
    """The measures with their names, a row each."""
    return [
        ("Brier score", found.brier),
        ("Brier score of a constant, the base rate", found.brier_constant),
        ("difference of the two, paired by task", found.brier_minus_constant),
        ("expected calibration error", found.ece),
        ("expected calibration error of the constant", found.ece_constant),
    ]


def points(found: Reliability) -> list[Answered]:
    """The points of the abstention curve that tables show, each once."""
    return list(dict.fromkeys(found.at(share) for share in SHARES))


def sentences(sure: ProbabilityTuning) -> list[str]:
    """What the numbers mean."""
    found = sure.reliability
    gain = found.brier_minus_constant
    if gain.excludes(0.0) < 0:
        said = "On tasks like these the probability knows more than the base rate does: its Brier score is lower"
    elif gain.excludes(0.0) > 0:
        said = "The probability is worse than the base rate: do not hand over by it"
    else:
        said = "That the probability knows more than the base rate is not shown: evaluate more tasks before you use it"
    lines = [
        f"{said} ({both(gain, signed=True)}).",
        "A constant is well calibrated and tells no choice from another, so the calibration error alone says little. "
        f"It is {both(found.ece)}; if the probabilities were exactly right, {found.ece_by_chance:.3f} by chance.",
    ]
    if sure.left_out:
        lines.append(f"{many(sure.left_out, 'task')} left out: no score there, or no answer to compare.")
    return lines


def numbers(row: CertaintyRow) -> dict[str, Any]:
    """The row for programs."""
    found = row.tuning.reliability
    named = {
        "right": found.right,
        "brier": found.brier,
        "brier_constant": found.brier_constant,
        "brier_minus_constant": found.brier_minus_constant,
        "ece": found.ece,
        "ece_constant": found.ece_constant,
    }
    return {
        "selector": row.selector,
        **{name: _plain(each) for name, each in named.items()},
        "ece_by_chance": found.ece_by_chance,
        "bins": [
            {"probability": each.probability, "right": _plain(each.right), "share": each.share} for each in found.bins
        ],
        "answered": [
            {"share": each.share, "least": each.least, "accuracy": _plain(each.accuracy)} for each in found.answered
        ],
        "tasks": found.tasks,
        "left_out": row.tuning.left_out,
        "ways": dict(row.tuning.votes),
    }


def flat(row: CertaintyRow) -> dict[str, Any]:
    """The row for the CSV."""
    found = row.tuning.reliability
    return {
        "group": "probability",
        "name": row.selector,
        "tasks": found.tasks,
        **three("accuracy", found.right),
        **three("brier", found.brier),
        **three("brier_minus_constant", found.brier_minus_constant),
        **three("ece", found.ece),
        "ece_constant": found.ece_constant.value,
    }


FLAT = (
    *(f"{name}{end}" for name in ("brier", "brier_minus_constant", "ece") for end in ("", "_low", "_high")),
    "ece_constant",
)
"""Columns of the CSV that only these rows have."""


def reliability_plots(rows: Sequence[CertaintyRow]) -> Figure | None:
    """The share that is right against the probability, a plot a selector; ``None`` without rows."""
    if not rows:
        return None

    def draw(row: CertaintyRow, figure: Any) -> None:
        found, axes = row.tuning.reliability, figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1, linestyle="--")
        axes.axhline(found.right.value or 0.0, color=SECOND, linewidth=1, linestyle=":")
        for each in found.bins:
            if each.right.low is not None:
                ends_of = [each.right.low, each.right.high]
                axes.plot([each.probability] * 2, ends_of, color=ACCENT, linewidth=1.4, solid_capstyle="butt")
        at = [each.probability for each in found.bins]
        sizes = [12 + 240 * each.share for each in found.bins]
        axes.scatter(at, [each.right.value for each in found.bins], s=sizes, color=ACCENT, linewidth=0, zorder=3)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(row.selector, loc="left")
        axes.set_xlabel("probability")
        axes.set_ylabel("share that is right")

    said = "; ".join(f"{row.selector}: {_told_bins(row.tuning.reliability)}" for row in rows)
    return Figure(
        "reliability",
        "Reliability",
        "\n".join(drawn(f"reliability-{at}", _SIZE, partial(draw, row)) for at, row in enumerate(rows)),
        f"Share that is right by probability, a plot a selector. {said}.",
        "On the dashed line, choices said to be right with 80 % are right in 80 of 100 cases; below it the probability "
        "promises too much. The size of a mark is its share of the choices, its bar the interval over tasks; dotted: "
        "the base rate. All of it on tasks that were not fitted on.",
    )


def abstention_plots(rows: Sequence[CertaintyRow]) -> Figure | None:
    """Accuracy against the share of questions answered, a plot a selector; ``None`` without rows."""
    if not rows:
        return None

    def draw(row: CertaintyRow, figure: Any) -> None:
        found, axes = row.tuning.reliability, figure.add_subplot()
        base, shares = found.right.value or 0.0, [each.share for each in found.answered]
        values = [each.accuracy.value or 0.0 for each in found.answered]
        lows = [v if e.accuracy.low is None else e.accuracy.low for v, e in zip(values, found.answered, strict=True)]
        highs = [v if e.accuracy.high is None else e.accuracy.high for v, e in zip(values, found.answered, strict=True)]
        axes.fill_between(shares, lows, highs, color=ACCENT, alpha=0.22, linewidth=0)
        axes.axhline(base, color=SECOND, linewidth=1.2, linestyle="--")
        axes.plot(shares, values, color=ACCENT, linewidth=1.8, marker=".")
        whole = [share for share in shares if share >= base]
        axes.plot([0, base, *whole], [1, 1, *(base / share for share in whole)], ":", color=INK, linewidth=1.2)
        axes.set_xlim(0, 1.03)
        axes.set_ylim(min([base, *lows]) - 0.05, 1.03)
        axes.set_title(row.selector, loc="left")
        axes.set_xlabel("share of questions answered")
        axes.set_ylabel("accuracy of the answers")

    said = "; ".join(
        f"{row.selector}: "
        + ", ".join(f"{both(each.accuracy)} of {percent(each.share)}" for each in points(row.tuning.reliability))
        for row in rows
    )
    return Figure(
        "abstention",
        "What handing over gains",
        "\n".join(drawn(f"abstention-{at}", _SIZE, partial(draw, row)) for at, row in enumerate(rows)),
        f"Accuracy of the answers against the share of questions answered, a plot a selector. {said}.",
        "From right to left more and more of the least sure questions are handed over. Solid: the answers that are "
        "left, with their interval over tasks as a band; where it has no width none of them is wrong, which is no "
        "proof. Dashed: handing over at random. Dotted: handing over exactly the wrong ones.",
    )


def _told_bins(found: Reliability) -> str:
    return ", ".join(f"{each.probability:.2f} is right in {value(each.right)}" for each in found.bins)


def _plain(found: Estimate) -> dict[str, float | None]:
    return {"value": found.value, "low": found.low, "high": found.high}
