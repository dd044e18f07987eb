"""The sentences of a report, by stated rules."""

from __future__ import annotations

from collections.abc import Sequence

from ec_agent.evaluation.agent_identity import CHANGED
from ec_agent.evaluation.report.content import EvaluationReport
from ec_agent.evaluation.statistics import SelectorSummary
from ec_agent.selectors.lowest_centroid import LowestCentroid
from ec_agent.selectors.self_certainty import SelfCertainty
from ec_agent.support.number_formats import interval, many, number, percent

FEW_MIXED = 10
"""Tasks with different verdicts below which intervals are too narrow: simulated, 95 % ones held 75 to 85 times in a
hundred below it, about 90 times and more above."""

SELECTORS = "Selectors against Pass@1 on the same tasks"
CURVES = "Accuracy by number of rollouts"
PANEL = "What the length of a rollout alone would pick"
LENGTHS = "What is left with lengths held equal"
"""Titles of the tables, in the terminal and on the page."""

ABOUT_LENGTHS = (
    "With tokens, with calls: rank correlation within a task, + prefers long. AUROC over all pairs of rollouts, over "
    "pairs with equally many calls (their share: pairs), and with rollouts cut to the shortest one's length (prefix); "
    "0.5 is a coin."
)
"""What the columns of that last table mean; ``columns`` has their names."""

AUTHORS = (
    "What the method's authors claim. They report for Lowest Centroid +5.3 points over Pass@1 on average, with models "
    "of 14 to 480 billion parameters on six benchmarks (arXiv 2604.26173). That was not measured again here: this "
    "report is about the model and the tasks named in it, and neither confirms nor refutes theirs."
)


def what_was_run(report: EvaluationReport) -> list[str]:
    """Tasks, rollouts, model, lengths, how many were distinct, costs: one sentence or two each."""
    summary, run = report.summary, report.run
    effort = summary.effort
    each = str(summary.n) if summary.n == summary.n_most else f"{summary.n} to {summary.n_most}"
    said = [f"{many(len(summary.tasks), 'task')}, {each} rollouts each: {many(effort.rollouts, 'rollout')}."]
    if run:
        settings = run.settings
        models = ", ".join(run.models) or "a model that its answers do not name"
        said.append(
            f"Agent {settings.get('agent', '?')} on {models}; temperature {settings.get('temperature', '?')}, "
            f"seed {settings.get('seed', '?')}; stored in {run.file}."
        )
        if changes := settings.get(CHANGED):
            said.append(f"The agent changed while it ran, and the run went on (--same-agent): {'; '.join(changes)}.")
    if (live := report.as_run) is not None:
        won = "; ".join(f"with {name} {interval(found)}" for name, found in live.winners.items())
        said.append(
            f"Stopped by {live.plan}: {live.started:.1f} of {live.n} rollouts a task, {live.stopped} of "
            f"{many(len(summary.tasks), 'task')} before all of them."
            + (f" Share of winners that are right, as best_of_n(stop=...) takes them: {won}." if won else "")
            + " The tables compare what there is: selectors among the rollouts that started."
        )
    if effort.tokens and effort.calls:
        said.append(
            f"A rollout that ended generated {effort.tokens.mean:,.0f} tokens (5 to 95 %: {effort.tokens.low:,.0f} to "
            f"{effort.tokens.high:,.0f}) in {effort.calls.mean:.1f} LLM calls ({effort.calls.low:,.0f} to "
            f"{effort.calls.high:,.0f})."
        )
    if effort.distinct is not None:
        alike = f"; in {many(effort.all_alike, 'task')} all were the same" if effort.all_alike else ""
        said.append(f"{percent(effort.distinct)} of a task's rollouts were distinct{alike}.")
    if effort.coverage is not None and effort.coverage < 1:
        said.append(f"{percent(effort.coverage, decimals=1)} of the tokens have an entropy.")
    if run:
        costs = run.costs
        said.append(
            f"Cost: {many(costs['model_calls'], 'model call')}, {costs['prompt_tokens']:,.0f} prompt and "
            f"{costs['generated_tokens']:,.0f} generated tokens, {costs['seconds']:,.0f} s of rollouts."
        )
    return said


def failures(report: EvaluationReport) -> list[str]:
    """What failed, and what a selector gains by merely never choosing a failed rollout."""
    summary, effort = report.summary, report.summary.effort
    said = []
    if effort.failed:
        said.append(
            f"{effort.failed} of {many(effort.rollouts, 'rollout')} failed and count as wrong. Among those that ended "
            f"Pass@1 is {number(summary.pass_1_ended.value)}, not {number(summary.pass_1.value)}: a selector gains "
            "that much by merely never choosing a failed rollout."
        )
    if effort.unscored:
        kinds = ", ".join(f"{many(number, 'rollout')} ({why})" for why, number in effort.unscored.items())
        said.append(f"Too few tokens have an entropy in {kinds}; selectors that read entropies cannot choose these.")
    said += _fallen_back(summary.selectors, len(summary.tasks))
    if report.unfinished:
        said.append(
            f"The run is not finished: {many(report.unfinished, 'task')} left out for lack of rollouts. If what is "
            "missing is hard, every number here is too high."
        )
    if report.run and report.run.costs["unsampled_calls"]:
        said.append(
            f"Seed and temperature could not be set on {many(report.run.costs['unsampled_calls'], 'model call')}: "
            "the greedy rollouts need not be greedy."
        )
    return said


def _fallen_back(rows: Sequence[SelectorSummary], tasks: int) -> list[str]:
    names: dict[int, list[str]] = {}
    for row in rows:
        if row.fell_back:
            names.setdefault(row.fell_back, []).append(row.name)
    return [
        f"In {without} of {many(tasks, 'task')} no rollout could be ranked by {', '.join(those)}. There its figure is "
        "that of a random rollout that ended, and says nothing about the selector."
        for without, those in names.items()
    ]


def conclusions(report: EvaluationReport) -> list[str]:
    """What may be concluded, one sentence per kind of verdict."""
    rows = report.summary.selectors
    said = []
    for kind, words in (("better", "Better than Pass@1 on these tasks"), ("worse", "Worse than Pass@1 on these tasks")):
        if found := _of_kind(rows, kind):
            after = f"after correction for {many(report.summary.comparisons, 'selector')} compared"
            said.append(f"{words}, {after}: {_differences(found)}.")
    if found := _of_kind(rows, "confounded"):
        said.append(
            f"Different from Pass@1, but confounded: {_differences(found)}. The picks are as good or as bad as the "
            "numbers say. But the cause may be lengths or duplicates; that it is what the selector reads is not shown."
        )
    if found := _of_kind(rows, "no difference found"):
        said.append(f"No difference from Pass@1 found: {_names(found)}.{_beside_zero(report)}{_detectable(found)}")
    if found := _of_kind(rows, "cannot be told"):
        said.append(f"Cannot be told from {many(len(report.summary.tasks), 'task')}: {_names(found)}.")
    said.append(room(report))
    return said


def cautions(report: EvaluationReport) -> list[str]:
    """What may not be concluded."""
    rows = report.summary.selectors
    said = []
    if _of_kind(rows, "no difference found"):
        said.append("That a selector for which no difference was found is as good, or as bad, as Pass@1.")
    if len(rows) > 1:
        said.append(
            "That one selector beats another: each was tested against Pass@1 alone. The best number in a list of "
            f"{len(rows)} is too good, because it was chosen for being the best."
        )
    said += [
        f"That {', '.join(group)} are {len(group)} findings: they rank the rollouts of every task in the same "
        "way, so the correction counts them as one comparison."
        for group in report.summary.alike
    ]
    said.append(
        "That it holds elsewhere: for other tasks, agents, models, temperatures or numbers of rollouts. The intervals "
        "are about other tasks of the same kind."
    )
    return [*said, *_about_the_centroid(report), AUTHORS]


def notes(report: EvaluationReport) -> list[str]:
    """On settings, and on selectors that are not what their names say here."""
    c = report.config
    resampling = report.summary.resampling
    said = [
        f"All settings are the declared ones; none was fitted to these tasks: phases {c.top_percent:g} / "
        f"{c.bottom_percent:g} / {c.consecutive_low} (top percent, bottom percent, consecutive low). Settings chosen "
        "after a look at these tasks make the numbers too good; the command ec-agent calibrate shows by how much."
    ]
    if report.unfilled.names and report.unfilled.longest:
        said.append(
            f"No rollout is longer than the window of {', '.join(report.unfilled.names)} (the longest has "
            f"{report.unfilled.longest:,} tokens). So the score is the mean of the whole rollout, as in deepconf_mean. "
            "--selectors sets a shorter window with NAME:window=16; choose it before you look at the results."
        )
    if any(row.name.startswith(SelfCertainty.label) for row in report.summary.selectors):
        said.append("self_certainty is an approximation: it sees the returned candidates, not the whole vocabulary.")
    for name, signal in report.left_out.items():
        said.append(f"{name} is left out: {signal} was not stored.")
    if any(not row.curve.exact for row in report.summary.selectors):
        said.append("Curves by number of rollouts rest on a seeded draw of subsets where these are very many.")
    said.append(
        f"{percent(resampling.confidence)} intervals: BCa bootstrap over tasks, {resampling.resamples:,} resamples, "
        f"seed {resampling.seed}. Corrected p: sign flips over tasks, corrected by Holm for the selectors compared. "
        "Ties are averaged. Intervals are not corrected: an interval without 0 is no finding if the corrected p is "
        "0.05 or more. Smallest detectable: a true difference of this size is found in four of five runs by one "
        "comparison at 5 %."
    )
    return [*said, *_mixed(report)]


def too_few_for_charts(report: EvaluationReport) -> str:
    """Why the page draws nothing; empty where there are enough tasks that tell selectors apart."""
    mixed = _tasks_that_differ(report)
    if not report.results or mixed >= FEW_MIXED:
        return ""
    return (
        f"No charts are drawn: in {mixed} of {many(len(report.results), 'task')} some rollouts are right and others "
        f"wrong, and with fewer than {FEW_MIXED} such tasks a chart would show chance. The tables have the numbers. "
        "For charts, evaluate more tasks, or tasks that are neither too hard nor too easy."
    )


def too_few_outcomes(least: int) -> str:
    """Why centroids are not drawn against outcomes."""
    return (
        f"Centroid against success is not drawn: fewer than {least} rollouts with a centroid are right, or fewer than "
        f"{least} wrong."
    )


def _tasks_that_differ(report: EvaluationReport) -> int:
    return sum(len(set(result.correct.tolist())) > 1 for result in report.results)


def _mixed(report: EvaluationReport) -> list[str]:
    mixed = _tasks_that_differ(report)
    if not report.results or mixed >= FEW_MIXED:
        return []
    return [
        f"In {mixed} of {many(len(report.results), 'task')} some rollouts are right and others wrong; on the other "
        f"tasks all selectors do equally well. With fewer than {FEW_MIXED} such tasks, intervals and p-values are too "
        "optimistic: in simulations 95 % intervals held 75 to 85 times in a hundred, and without any true difference p "
        "was below 0.05 up to 10 times in a hundred."
    ]


def _about_the_centroid(report: EvaluationReport) -> list[str]:
    said = []
    for row in report.summary.selectors:
        if row.name.startswith(LowestCentroid.label) and row.warned:
            tasks = len(report.summary.tasks)
            said.append(
                f"That the centroid itself helps or harms: {row.name} gave validity warnings on {row.warned} of "
                f"{many(tasks, 'task')}. The first: {report.warning[row.name]}."
            )
    return said


def _of_kind(rows: Sequence[SelectorSummary], kind: str) -> list[SelectorSummary]:
    return [row for row in rows if row.verdict is not None and row.verdict.kind == kind]


def _names(rows: Sequence[SelectorSummary]) -> str:
    return ", ".join(row.name for row in rows)


def _differences(rows: Sequence[SelectorSummary]) -> str:
    return "; ".join(f"{row.name} {interval(row.difference, signed=True)}" for row in rows)


def _beside_zero(report: EvaluationReport) -> str:
    """Why an interval that leaves out 0 is no finding, where there is such a one."""
    found = [row for row in _of_kind(report.summary.selectors, "no difference found") if row.difference.excludes(0)]
    if not found:
        return ""
    leave = "interval of {} leaves" if len(found) == 1 else "intervals of {} leave"
    return (
        f" The {leave.format(_names(found))} out 0 all the same, but an interval is made for one selector alone. The "
        f"verdict follows the corrected p, which allows for the {report.summary.comparisons} selectors compared, and "
        "which is 0.05 or more."
    )


def _detectable(rows: Sequence[SelectorSummary]) -> str:
    sizes = [row.detectable for row in rows if row.detectable is not None]
    tasks = many(rows[0].difference.tasks, "task")
    if not sizes:
        return f" With {tasks} like these no difference can be found, however large."
    low, high = f"{min(sizes):.2f}", f"{max(sizes):.2f}"
    size = low if low == high else f"{low} to {high}"
    return (
        f" A true difference of {size} is found in four of five runs with {tasks}, if one selector alone is compared; "
        "with several selectors it is found less often. A smaller one may be missed."
    )


def room(report: EvaluationReport) -> str:
    """How much any selector could gain."""
    summary = report.summary
    gain = (summary.oracle.value or 0.0) - (summary.pass_1.value or 0.0)
    if gain <= 0:
        return "The rollouts of a task are all equally right: no selector could gain anything here."
    return (
        f"Pass@1 is {number(summary.pass_1.value)} and oracle@{summary.n_most} {number(summary.oracle.value)}: no "
        f"selector could gain more than {gain:+.3f} here."
    )
