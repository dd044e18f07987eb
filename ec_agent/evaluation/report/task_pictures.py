"""The tasks of a run as pictures: the rollouts of each side by side, and the centroids of right and wrong ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ec_agent.errors import ConfigError
from ec_agent.evaluation.report.figures import WIDTH, Figure
from ec_agent.evaluation.results import TaskResult
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.phases import HEPConfig
from ec_agent.selectors import LowestCentroid
from ec_agent.visual.chosen_anew import selection_of
from ec_agent.visual.drawing import ACCENT, SECOND, drawn
from ec_agent.visual.page import page_of
from ec_agent.visual.views import View, view_of
from ec_agent.visual.wording import RIGHT

BINS = 20


def views(results: Iterable[TaskResult]) -> Iterator[View]:
    """The tasks as they are shown: as the lowest centroid chooses."""
    for result in results:
        selection = selection_of(result.candidates, LowestCentroid())
        view = view_of(selection, result.task, result.correct.tolist())
        yield replace(view, question=result.asked.question, expected=result.asked.expected)


def one_task(results: Sequence[TaskResult], task: str) -> str:
    """The page of one task, with every token.

    Raises:
        ConfigError: there is no such task, or jinja2 or matplotlib is not installed.
    """
    for result in results:
        if result.task == task:
            return page_of(next(views([result])))
    named = ", ".join(repr(result.task) for result in results[:5])
    raise ConfigError(
        f"the run has no task {task!r} with all its rollouts; it has {named}{' ...' * (len(results) > 5)}"
    )


def centroids_by_outcome(results: Sequence[TaskResult], config: HEPConfig) -> tuple[FloatArray, FloatArray]:
    """The centroids of the rollouts that were right, and of those that were wrong."""
    pairs = [
        (centroid, right >= RIGHT)
        for result in results
        for candidate, right in zip(result.candidates, result.correct.tolist(), strict=True)
        if candidate.eligible and (centroid := candidate.trajectory.centroid(config)) is not None
    ]
    return np.array([each for each, good in pairs if good]), np.array([each for each, good in pairs if not good])


def outcomes(results: Sequence[TaskResult], config: HEPConfig) -> Figure | None:
    """Centroids of right and of wrong rollouts; ``None`` where not both are there."""
    right, wrong = centroids_by_outcome(results, config)
    if not len(right) or not len(wrong):
        return None
    groups = (("right", right, ACCENT, "-"), ("wrong", wrong, SECOND, "--"))

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for label, values, colour, line in groups:
            share = np.full(len(values), 1 / len(values))
            name = f"{label}, {len(values)} rollouts"
            heights, edges = np.histogram(values, BINS, (0.0, 1.0), weights=share)
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.3)
            axes.stairs(heights, edges, color=colour, linewidth=1.6, linestyle=line, label=name)
            axes.axvline(float(np.median(values)), color=colour, linewidth=1.4, linestyle=line)
        axes.set_xlim(0, 1)
        axes.set_xlabel("entropy centroid; vertical lines: medians")
        axes.set_ylabel("share of those rollouts")
        figure.legend(loc="outside upper center", ncols=2)

    said = "; ".join(
        f"{len(values)} {label} ones: median {np.median(values):.3f}, middle half {np.percentile(values, 25):.3f} to "
        f"{np.percentile(values, 75):.3f}"
        for label, values, _, _ in groups
    )
    return Figure(
        "outcomes",
        "Centroids of right and wrong rollouts",
        drawn("outcomes", (WIDTH, 3.2), draw),
        f"Two histograms of entropy centroids, over all tasks. {said}.",
        "The method says: right ones lie further left. All tasks are together here, easy and hard; the selector only "
        "compares rollouts of one task. A rollout is right from a verdict of one half on.",
    )
