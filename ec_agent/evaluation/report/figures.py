"""The figures of the page: what is drawn of a summary. Each says in words what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ec_agent.evaluation.report.wording import CURVES, LENGTHS
from ec_agent.evaluation.statistics import Estimate, SelectorSummary, Summary
from ec_agent.selectors.lowest_centroid import LowestCentroid
from ec_agent.support.number_formats import interval, number, percent
from ec_agent.visual.drawing import ACCENT, INK, LINE, SECOND, drawn

WIDTH = 5.0  # inches: on a phone letters are still 9 pixels high
SMALL = (2.6, 1.9)  # inches, of one plot among several
ROW = 0.27  # of height for a selector
MARKERS = {"better": "^", "worse": "v", "confounded": "D", "no difference found": "o", "cannot be told": "x"}


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing.

    Attributes:
        name: its id on the page.
        title: its heading.
        svg: an ``<svg>`` element, or several small ones that the page lays side by side.
        description: what it shows, for those who cannot see it.
        caption: how to read it.
    """

    name: str
    title: str
    svg: str
    description: str
    caption: str


def forest(summary: Summary) -> Figure:
    """Accuracy minus Pass@1 with intervals: the selectors, then the confound panel."""
    rows = [*summary.selectors, *summary.panel]
    kinds = list(dict.fromkeys(row.verdict.kind for row in summary.selectors if row.verdict))

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=LINE, linewidth=1)
        for place, row in enumerate(rows):
            kind = row.verdict.kind if row.verdict else ""
            _whisker(axes, row.difference, place, MARKERS.get(kind, "s"), ACCENT if row.verdict else SECOND)
        axes.axhline(len(summary.selectors) - 0.5, color=LINE, linewidth=0.6, linestyle=":")
        axes.set_yticks(range(len(rows)), [_broken(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"accuracy minus Pass@1 [{percent(summary.resampling.confidence)}]")
        for kind in kinds:
            axes.plot([], [], MARKERS[kind], color=ACCENT, markersize=5.5, label=kind)
        axes.plot([], [], "s", color=SECOND, markersize=5.5, label="confound panel")
        figure.legend(loc="outside lower center", ncols=2)

    said = "; ".join(f"{row.name} {interval(row.difference, signed=True)}" for row in rows)
    return Figure(
        "forest",
        "Difference from Pass@1",
        drawn("forest", (WIDTH, 1.4 + ROW * len(rows)), draw),
        f"Forest plot of accuracy minus Pass@1, one row a selector. {said}.",
        "Right of the line a selector picks better than a random rollout. The intervals are not corrected for the "
        "number of selectors; the marker's shape is the verdict after correction. Below the grey line: what the "
        "length of a rollout alone would pick.",
    )


def n_curves(summary: Summary) -> Figure | None:
    """Accuracy by the number of rollouts, a small plot a selector; ``None`` with one rollout a task."""
    if summary.n < 2 or not summary.selectors:
        return None
    rows = summary.selectors
    limits = _shared_limits(summary)

    def draw(row: SelectorSummary, figure: Any) -> None:
        axes = figure.add_subplot()
        _curve(axes, row, summary)
        axes.set_ylim(*limits)
        axes.set_ylabel("accuracy")
        axes.set_xlabel("rollouts n")

    plots = [drawn(f"curve-{at}", SMALL, partial(draw, row)) for at, row in enumerate(rows)]
    said = "; ".join(f"{row.name} {number(row.curve.accuracy[0])} to {number(row.curve.accuracy[-1])}" for row in rows)
    return Figure(
        "curves",
        CURVES,
        "\n".join(plots),
        f"One small plot a selector: its accuracy from 1 to {summary.n} rollouts between Pass@1, "
        f"{number(summary.pass_1.value)} throughout, and the oracle, which rises to {number(summary.pass_at_k[-1])}. "
        f"From 1 to {summary.n} rollouts: {said}.",
        "Solid: the selector, with the interval of its difference from Pass@1 as a band. Dashed: Pass@1. Dotted: the "
        "oracle. Fewer rollouts are sub-sampled from those stored. A curve that falls gets worse the more there is to "
        "choose from.",
    )


def lowest_centroid_of(summary: Summary) -> SelectorSummary | None:
    """The row of Lowest Centroid; ``None`` where it was not compared or scored nothing."""
    row = next((row for row in summary.selectors if row.name.startswith(LowestCentroid.label)), None)
    return row if row is not None and row.calibration else None


def centroid_calibration(summary: Summary) -> Figure | None:
    """Success by centroid; ``None`` where Lowest Centroid was not compared or scored nothing."""
    row = lowest_centroid_of(summary)
    if row is None:
        return None
    bins = row.calibration

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.axhline(summary.pass_1.value or 0.0, color=SECOND, linewidth=1.2, linestyle="--", label="Pass@1")
        for each in bins:
            if each.success_low is not None:
                axes.plot([each.score] * 2, [each.success_low, each.success_high], color=ACCENT, linewidth=1.4)
        scores, rates = [each.score for each in bins], [each.success for each in bins]
        axes.plot(scores, rates, "o", color=ACCENT, markersize=5, label="success rate")
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("entropy centroid of the rollout (mean of the bin)")
        axes.set_ylabel("share that is right")
        figure.legend(loc="outside upper center", ncols=2)

    said = "; ".join(f"{each.low:.2f} to {each.high:.2f}: {each.success:.2f} of {each.rollouts}" for each in bins)
    return Figure(
        "calibration",
        "Centroid against success",
        drawn("calibration", (WIDTH, 3.2), draw),
        f"Share of right rollouts by centroid, in {len(bins)} bins. {said}.",
        "The method says: the lower, the better, a line that falls from left to right. Rollouts of all tasks are "
        "together here, so that easy tasks with low centroids make such a line too; the selector only ever compares "
        f"rollouts of one task, where the AUROC is {interval(row.auroc)}.",
    )


def confound_panel(summary: Summary) -> Figure | None:
    """AUROC over all pairs, over pairs with equal call counts, and on common prefixes; ``None`` without selectors."""
    rows = summary.selectors
    if not rows:
        return None
    looks: tuple[tuple[str, str, str, list[Estimate | None]], ...] = (
        ("all pairs", "o", ACCENT, [row.auroc for row in rows]),
        ("equally many calls", "s", SECOND, [row.confounds.equal_calls for row in rows]),
        ("common prefix", "D", INK, [row.confounds.prefix for row in rows]),
    )

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.axvline(0.5, color=LINE, linewidth=1)
        for shift, (label, marker, colour, estimates) in zip((-0.25, 0.0, 0.25), looks, strict=True):
            for place, found in enumerate(estimates):
                if found is not None:
                    _whisker(axes, found, place + shift, marker, colour)
            axes.plot([], [], marker, color=colour, markersize=5, label=label)
        axes.set_yticks(range(len(rows)), [_broken(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("within-task AUROC; 0.5 is a coin")
        figure.legend(loc="outside lower center", ncols=3)

    said = "; ".join(
        f"{row.name} {number(row.auroc.value, 2)}, {number(row.confounds.equal_calls.value, 2)}, "
        f"{number(row.confounds.prefix.value if row.confounds.prefix else None, 2)}"
        for row in rows
    )
    return Figure(
        "confounds",
        LENGTHS,
        drawn("confounds", (WIDTH, 1.2 + 0.42 * len(rows)), draw),
        "AUROC of each selector over all pairs of rollouts, over pairs with equally many calls, and with rollouts cut "
        f"to their shortest sibling. {said}.",
        "A selector whose first mark is clear of 0.5 and whose others are not, knew when rollouts stopped and little "
        "else. What is honest at the end of a rollout is cut in the common prefix too.",
    )


def _whisker(axes: Any, found: Estimate, place: float, marker: str, colour: str) -> None:
    if found.value is None:
        return
    if found.low is not None:
        axes.plot([found.low, found.high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
    axes.plot([found.value], [place], marker, color=colour, markersize=5.5)


def _curve(axes: Any, row: SelectorSummary, summary: Summary) -> None:
    places = range(1, summary.n + 1)
    base = summary.pass_1.value or 0.0
    axes.plot(places, summary.pass_at_k, ":", color=INK, linewidth=1.2, label="oracle")
    axes.axhline(base, color=SECOND, linewidth=1.2, linestyle="--", label="Pass@1")
    lows, highs = _band(row.curve.difference, base)
    axes.fill_between(places, lows, highs, color=ACCENT, alpha=0.22, linewidth=0, label="interval")
    axes.plot(places, row.curve.accuracy, color=ACCENT, linewidth=1.8, label="selector")
    axes.set_title(_broken(row.name), loc="left")
    axes.set_xticks(_ticks(summary.n))


def _shared_limits(summary: Summary) -> tuple[float, float]:
    """Of the accuracy, for all plots alike."""
    base = summary.pass_1.value or 0.0
    values = [base, *summary.pass_at_k]
    for row in summary.selectors:
        lows, highs = _band(row.curve.difference, base)
        values += [*row.curve.accuracy, *lows, *highs]
    room = 0.05 * (max(values) - min(values)) or 0.05
    return min(values) - room, max(values) + room


def _broken(name: str) -> str:
    """A name in two lines where it has settings."""
    return name.replace("(", "\n(")


def _band(differences: Sequence[Estimate], base: float) -> tuple[list[float], list[float]]:
    """The interval of a curve; of no width where there is none."""
    middle = [found.value or 0.0 for found in differences]
    lows = [base + (mid if found.low is None else found.low) for found, mid in zip(differences, middle, strict=True)]
    highs = [base + (mid if found.high is None else found.high) for found, mid in zip(differences, middle, strict=True)]
    return lows, highs


def _ticks(n: int) -> list[int]:
    step = -(-n // 8)
    return [1, *range(1 + step, n - step // 2, step), n] if step > 1 else list(range(1, n + 1))
