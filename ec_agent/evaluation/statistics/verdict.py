"""What may be said of a selector, in one sentence, by stated rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ec_agent.evaluation.statistics.bootstrap import Estimate

Kind = Literal["better", "worse", "no difference found", "confounded", "cannot be told"]

LEVEL = 0.05
"""A difference is called one where its Holm-corrected p-value lies below this."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The conclusion.

    Attributes:
        kind: which of the five it is.
        sentence: the words for it, with the numbers.
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

    1. Fewer than two tasks, or the selector is as good as Pass@1 on each: *cannot be told*.
    2. A corrected p-value of ``LEVEL`` or more: *no difference found*, with the smallest one that this many tasks
       would have shown four times in five, if any. This is not "no difference".
    3. Else, with a suspicion against it: *confounded*. The pick was as good or as bad as the numbers say, but what the
       selector reads need not be why, and with other lengths or fewer duplicates it may not be so.
    4. Else *better* or *worse*, by the sign.

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
        return Conclusion("no difference found", f"{name}: no difference to Pass@1 found, {numbers} ({tested}){more}.")
    kind: Kind = "better" if difference.value > 0 else "worse"
    if suspicions:
        why = f"but confounded, so that what it reads need not be the cause: {'; '.join(suspicions)}"
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
        return "; the interval leaves out 0 and the test does not, which counts where the two differ"
    return (
        f"; the interval leaves out 0, but it is for one selector alone: where {comparisons} are compared, chance "
        "makes some such intervals, and the corrected p allows for that"
    )


def _detectable(size: float | None, tasks: int) -> str:
    if size is None:
        return f"from {_count(tasks, 'task')} like these none can be found, however large"
    return f"smallest detectable {size:.2f}, and a smaller one may exist"


def _why(difference: Estimate) -> str:
    if difference.tasks < 2:
        return ""
    return f": the difference to Pass@1 is {difference.value:+.3f} on each of them"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
