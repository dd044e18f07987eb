"""How often a selector prefers the right one of two rollouts of one task. NumPy only."""

from __future__ import annotations

from ec_agent.evaluation.statistics.standing import IntArray, Standing
from ec_agent.numbers.entropy import FloatArray


def task_auroc(standing: Standing, correct: FloatArray, groups: IntArray | None = None) -> float | None:
    """Within-task AUROC: the share of (more right, less right) pairs in which the more right one stands higher.

    Ties count half. Only ranked rollouts take part. For verdicts of 0 and 1 it is the usual area under the curve, for
    graded ones the concordance.

    Args:
        standing: what the selector made of the task.
        correct: shape ``(N,)``, the verdicts.
        groups: shape ``(N,)``; only pairs within one group count, such as rollouts with equal call counts.

    Returns:
        In [0, 1]; 0.5 is a coin, ``None`` where no pair of ranked rollouts differs in its verdict.
    """
    pairs = correct[:, None] > correct[None, :]
    pairs &= standing.ranked[:, None] & standing.ranked[None, :]
    if groups is not None:
        pairs &= groups[:, None] == groups[None, :]
    count = int(pairs.sum())
    if count == 0:
        return None
    ahead = standing.levels[:, None] < standing.levels[None, :]
    tied = standing.levels[:, None] == standing.levels[None, :]
    return float((pairs & ahead).sum() + (pairs & tied).sum() / 2) / count
