"""The tables of docs/results.md that come from the stored rollouts: ``python tests/evaluation/print_table.py``."""

from __future__ import annotations

import numpy as np
from stored_families import ALL, EVERY, stored

from ec_agent.evaluation.statistics import Estimate, Resampling, Summary, summarise
from ec_agent.evaluation.statistics.bootstrap import estimate

VOTES = ("tie_broken_vote", "centroid_weighted_vote", "confidence_weighted_vote", "confidence_gradient")


def shown(gain: Estimate) -> str:
    """A difference with its interval."""
    if gain.value is None or gain.low is None or gain.high is None:
        return "-"
    return f"{gain.value:+.3f} [{gain.low:+.2f}, {gain.high:+.2f}]"


def table(family: str) -> str:
    """One family as a Markdown table."""
    summary = summarise(stored(family, EVERY), ALL)
    lines = [
        f"{len(summary.tasks)} tasks, N = {summary.n}; Pass@1 {summary.pass_1.value:.3f}, "
        f"oracle {summary.oracle.value:.3f}; {summary.comparisons} selectors compared.",
        "",
        "| selector | minus Pass@1 [95 %] | corrected p | a random order of equal ties | AUROC | smallest detectable |",
        "|---|---|---|---|---|---|",
    ]
    for row in (*summary.selectors, *summary.panel):
        p = "panel" if row.corrected_p is None else f"{row.corrected_p:.3f}"
        by_chance = "-" if row.chance.difference.value is None else f"{row.chance.difference.value:+.3f}"
        auroc = "-" if row.auroc.value is None else f"{row.auroc.value:.2f}"
        detectable = "-" if row.detectable is None else f"{row.detectable:.2f}"
        lines.append(f"| {row.name} | {shown(row.difference)} | {p} | {by_chance} | {auroc} | {detectable} |")
    return "\n".join([*lines, "", *votes(summary)])


def votes(summary: Summary) -> list[str]:
    """The votes beside the plain one, paired by task, as a Markdown table."""
    rows = {row.name: np.array(row.by_task) for row in summary.selectors}
    plain = rows["majority_vote"]
    lines = ["| vote | accuracy | minus the plain vote [95 %] |", "|---|---|---|"]
    for name in ("majority_vote", *VOTES):
        gain = estimate(rows[name] - plain, Resampling())
        lines.append(f"| {name} | {rows[name].mean():.3f} | {shown(gain)} |")
    return lines


if __name__ == "__main__":
    for name in ("red2", "bfcl"):
        print(f"### {name}\n\n{table(name)}\n")
