"""How likely the choices of a report's selectors are right: fitted and measured on its tasks. No model is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Resampling
from ec_agent.evaluation.tuning_probability import ProbabilityTuning, fit_probability
from ec_agent.selectors import Selector

REPEATS = 4
"""How often a report draws the folds; ``ec-agent calibrate`` draws them 20 times."""


@dataclass(frozen=True, slots=True)
class CertaintyRow:
    """One selector's probabilities.

    Attributes:
        selector: its name.
        tuning: what was fitted, and what it is worth.
    """

    selector: str
    tuning: ProbabilityTuning


def certainty_of(
    results: Sequence[TaskResult], selectors: Mapping[str, Selector], resampling: Resampling
) -> tuple[CertaintyRow, ...]:
    """Fit a probability for each selector, and measure it on other tasks.

    Raises:
        ConfigError: there are too few tasks, or scikit-learn is not installed.
    """
    return tuple(
        CertaintyRow(name, fit_probability(results, selector, repeats=REPEATS, resampling=resampling))
        for name, selector in selectors.items()
    )
