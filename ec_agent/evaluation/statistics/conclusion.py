"""What may be said of a selector, in one sentence, by stated rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ec_agent.evaluation.statistics.bootstrap import Estimate

Kind = Literal["better", "worse", "no difference found", "confounded", "cannot be told"]

LEVEL = 0.05
"""A difference counts as found if its Holm-corrected p-value is below this."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The conclusion.

    Attributes:
        kind: which of the five conclusions it is.
        sentence: what the report says, with the numbers.
    """

    kind: Kind
    sentence: str


def verdict(
    name: str,
    difference: Estimate,
    corrected_p: float | None,
    comparisons: int,
    detectable: float | None,
    suspicions: Sequence[str] = (),
) -> Conclusion:
    """Judge one selector against Pass@1.

    The first rule that applies decides:

    1. There are fewer than two tasks, or the selector is as good as Pass@1 on each: *cannot be told*.
    2. The corrected p-value is ``LEVEL`` or more: *no difference found*. This does not mean that there is none; the
       sentence names the smallest difference that this many tasks would have shown in four of five runs.
    3. Something else would explain the difference: *confounded*. The picks are as good or as bad as the numbers say,
       but perhaps because of lengths or duplicates, and not because of what the selector reads.
    4. Otherwise *better* or *worse*, by the sign of the difference.

    Args:
        name: the selector.
        difference: its accuracy minus Pass@1.
        corrected_p: p-value, corrected for the comparisons.
        comparisons: how many selectors were compared.
        detectable: the smallest detectable difference.
        suspicions: see ``ec_agent.evaluation.statistics.confounds.suspicions``.
    """
    nothing = difference.low is None and not difference.value
    if difference.value is None or corrected_p is None or difference.tasks < 2 or nothing:
        return Conclusion(
            "cannot be told", f"{name}: cannot be told from {_count(difference.tasks, 'task')}{_why(difference)}."
        )
    numbers = f"{difference.value:+.3f}{_ends(difference)}"
    tested = f"corrected p {_p(corrected_p)}, {_count(comparisons, 'selector')} compared"
    if corrected_p >= LEVEL:
        more = f"{_beside_zero(difference, comparisons)}; {_detectable(detectable, difference.tasks)}"
        return Conclusion(
            "no difference found", f"{name}: no difference from Pass@1 found, {numbers} ({tested}){more}."
        )
    kind: Kind = "better" if difference.value > 0 else "worse"
    if suspicions:
        why = f"but confounded, so what it reads may not be the cause: {'; '.join(suspicions)}"
        return Conclusion("confounded", f"{name}: {kind} than Pass@1, {numbers} ({tested}), {why}.")
    return Conclusion(kind, f"{name}: {kind} than Pass@1 on these tasks, {numbers} ({tested}).")


def _ends(difference: Estimate) -> str:
    if difference.low is None or difference.high is None:
        return f" on each of {_count(difference.tasks, 'task')}"
    return f" [{difference.low:+.2f}, {difference.high:+.2f}]"


def _beside_zero(difference: Estimate, comparisons: int) -> str:
    if not difference.excludes(0):
        return ""
    if comparisons < 2:
        return "; the interval leaves out 0, but the verdict follows the test, which found no difference"
    return (
        f"; the interval leaves out 0, but it is made for one selector alone: among {comparisons} selectors some have "
        "such an interval by chance, and the corrected p allows for that"
    )


def _detectable(size: float | None, tasks: int) -> str:
    if size is None:
        return f"with {_count(tasks, 'task')} like these no difference can be found, however large"
    return f"smallest detectable {size:.2f}, and a smaller one may exist"


def _why(difference: Estimate) -> str:
    if difference.tasks < 2:
        return ""
    return f": the difference from Pass@1 is {difference.value:+.3f} on each of them"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
