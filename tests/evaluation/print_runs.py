"""The tables of docs/results.md on whole runs: ``python tests/evaluation/print_runs.py FOLDER [FOLDER ...]``.

A folder has the files of ``run_larger_model.sh``, or others named FAMILY-*.db. Tasks that are whole count, whether
or not their run is finished; a family with fewer than two of them is left out. With several folders the last
table sets the lowest centroid of one model beside that of the other.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from print_table import shown
from stored_families import ALL

from ec_agent.errors import TraceError
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Estimate, Resampling, Summary, summarise
from ec_agent.evaluation.statistics.bootstrap import estimate, holm, paired_p
from ec_agent.evaluation.stored_results import iter_results

CENTROID = "lowest_centroid 1/80/2"
HEAD = "selector | minus Pass@1 [95 %] | corrected p | minus a random order of its ties [95 %] | AUROC [95 %]"
Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class Statement:
    """One of the statements that were written down before the runs: the first is better than the second."""

    number: int
    better: str
    than: str


STATEMENTS = (
    Statement(1, "tie_broken_vote", "majority_vote"),
    Statement(2, "confidence_weighted_vote", "majority_vote"),
    Statement(3, "mean_entropy", "Pass@1"),
    Statement(4, "deepconf_bottom_window 16", "Pass@1"),
    Statement(5, "tail_entropy", "Pass@1"),
    Statement(6, "majority_vote", "Pass@1"),
    Statement(7, CENTROID, "Pass@1"),
    Statement(8, "greedy", "majority_vote"),
)


def results_of(folder: Path, family: str) -> list[TaskResult]:
    """The whole tasks of a family, each once, with verdicts of 0 and 1: a scorer's .01 for a wrong number is wrong."""
    found: dict[str, TaskResult] = {}
    for path in sorted(folder.glob(f"{family}-*.db")):
        try:
            for result in iter_results(path, partial=True):
                greedy = None if result.greedy is None else float(result.greedy == 1)
                found[result.task] = replace(result, correct=(result.correct == 1).astype(float), greedy=greedy)
        except TraceError as error:  # a shard that has just been begun
            print(f"({path.name}: {error})", file=sys.stderr)
    return [found[task] for task in sorted(found)]


def by_task(results: Sequence[TaskResult], summary: Summary) -> Rows:
    """What each selector, greedy decoding and a random rollout reach, one number a task."""
    rows = {row.name: np.array(row.by_task) for row in summary.selectors}
    greedy = np.array([np.nan if result.greedy is None else result.greedy for result in results])
    return {**rows, "Pass@1": np.array(summary.by_task), "greedy": greedy}


def table(family: str, results: Sequence[TaskResult], summary: Summary) -> str:
    """One family as a Markdown table."""
    rows = by_task(results, summary)
    tokens = [len(c.trajectory) for result in results for c in result.candidates]
    failed = sum(c.error is not None for result in results for c in result.candidates)
    low, high = np.percentile(tokens, [5, 95])
    greedy = "no greedy rollouts"
    if summary.greedy.value is not None:
        greedy = f"greedy {summary.greedy.value:.3f} ({shown(summary.greedy_difference)})"
    head = (
        f"{len(results)} tasks, N = {summary.n}; {np.median(tokens):.0f} tokens a rollout (5 to 95 %: {low:.0f} to "
        f"{high:.0f}), {failed} of {len(tokens)} rollouts failed. Pass@1 {summary.pass_1.value:.3f}, "
        f"oracle@{summary.n} {summary.oracle.value:.3f}, {greedy}; {summary.comparisons} comparisons."
    )
    lines = [
        f"**{family}**: {head}",
        "",
        f"| {HEAD} | minus greedy [95 %] | smallest detectable |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in (*summary.selectors, *summary.panel):
        p = "panel" if row.corrected_p is None else f"{row.corrected_p:.3f}"
        least = "-" if row.detectable is None else f"{row.detectable:.2f}"
        beside = estimate(np.array(row.by_task) - rows["greedy"], summary.resampling)
        gained = (shown(row.difference), p, shown(row.chance.left), chance_of(row.auroc), shown(beside), least)
        lines.append(f"| {row.name} | {' | '.join(gained)} |")
    return "\n".join(lines)


def chance_of(auroc: Estimate) -> str:
    """An AUROC with its interval."""
    if auroc.value is None:
        return "-"
    return f"{auroc.value:.2f}" + ("" if auroc.low is None else f" [{auroc.low:.2f}, {auroc.high:.2f}]")


def verdict(difference: float, p: float) -> str:
    """What the plan says that a difference and its corrected p-value mean."""
    if p >= 0.05:
        return "not confirmed"
    return "confirmed" if difference > 0 else "contradicted"


def known(values: np.ndarray) -> np.ndarray:
    """Those of the tasks that have one: without greedy rollouts nothing can be said of them."""
    return values[~np.isnan(values)]


def statements(families: dict[str, Rows], resampling: Resampling) -> str:
    """The statements over all tasks together and in each family, as a Markdown table."""
    gaps = {each.number: [rows[each.better] - rows[each.than] for rows in families.values()] for each in STATEMENTS}
    pooled = {number: known(np.concatenate(parts)) for number, parts in gaps.items()}
    corrected = holm([paired_p(values, np.zeros(len(values)), resampling) for values in pooled.values()])
    names = list(families)
    lines = [
        f"| | better | than | all tasks [95 %] | corrected p | | {' | '.join(names)} |",
        f"|---|---|---|---|---|---|{'---|' * len(names)}",
    ]
    for each, p in zip(STATEMENTS, corrected, strict=True):
        whole = estimate(pooled[each.number], resampling)
        cells = [shown(estimate(part, resampling)) for part in gaps[each.number]]
        said = verdict(whole.value or 0.0, p)
        lines.append(
            f"| {each.number} | {each.better} | {each.than} | {shown(whole)} | {p:.3f} | {said} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def centroids(found: dict[tuple[str, str], Summary]) -> str:
    """The lowest centroid of every folder and family, as a Markdown table."""
    lines = [
        "| family | run | tasks | minus Pass@1 [95 %] | minus a random order of its ties [95 %] | AUROC [95 %] |",
        "|---|---|---|---|---|---|",
    ]
    for (family, folder), summary in sorted(found.items()):
        row = next(each for each in summary.selectors if each.name == CENTROID)
        lines.append(
            f"| {family} | {folder} | {len(summary.tasks)} | {shown(row.difference)} | {shown(row.chance.left)} "
            f"| {chance_of(row.auroc)} |"
        )
    return "\n".join(lines)


def pages(folders: Sequence[Path], resampling: Resampling | None = None) -> Iterator[str]:
    """All tables, one after the other."""
    found: dict[tuple[str, str], Summary] = {}
    for folder in folders:
        families: dict[str, Rows] = {}
        yield f"### {folder.name}"
        for family in sorted({path.name.partition("-")[0] for path in folder.glob("*-*.db")}):
            results = results_of(folder, family)
            if len(results) < 2:
                yield f"**{family}**: {len(results)} whole tasks, too few for a table."
                continue
            summary = found[family, folder.name] = summarise(results, ALL, resampling=resampling)
            families[family] = by_task(results, summary)
            yield table(family, results, summary)
        if families:
            yield statements(families, resampling or Resampling())
    if found:
        yield centroids(found)


if __name__ == "__main__":
    for text in pages([Path(each) for each in sys.argv[1:]]):
        print(f"{text}\n", flush=True)
