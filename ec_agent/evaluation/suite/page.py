"""The page of a suite: its figures beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence

from ec_agent.evaluation.suite import reported
from ec_agent.evaluation.suite.comparison import BESIDE, SuiteRow, cells_of, mean_of, paper_of, signed
from ec_agent.support.number_formats import interval, many
from ec_agent.visual.page import rendered

HEADS = ("tasks", "N", "Pass@1", "greedy", "oracle", "Lowest Centroid minus Pass@1 [95%]", *BESIDE, "the paper's gain")


def page_of_suite(rows: Sequence[SuiteRow]) -> str:
    """The page.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    return rendered(
        "suite.html.j2",
        "ec_agent.evaluation.suite",
        rows=rows,
        heads=HEADS,
        cells=lambda row: [*cells_of(row), paper_of(row)],
        conclusions=conclusions(rows),
        cautions=cautions(rows),
    )


def conclusions(rows: Sequence[SuiteRow]) -> list[str]:
    """What the runs say, beside what the authors say."""
    theirs = (
        f"The authors report for Lowest Centroid {signed(reported.MEAN_GAIN)} over Pass@1 on average and "
        f"{signed(reported.MOST_GAIN)} at most, ahead of {reported.BEFORE} ({reported.PAPER}; {reported.SETTING})."
    )
    mean = mean_of(rows)
    if mean is None:
        return ["No run has figures yet.", theirs]
    over = f"on average over {many(mean.runs, 'run')} and {signed(mean.most)} at most"
    ours = f"Lowest Centroid minus Pass@1 is here {interval(mean.gain, signed=True)} {over}."
    side = mean.gain.excludes(reported.MEAN_GAIN)
    if mean.gain.low is None:
        beside = "Too few tasks differ for an interval, so this says nothing about their average."
    elif side:
        beside = f"Their average lies {'below' if side > 0 else 'above'} the interval of ours."
    else:
        beside = "Their average lies within the interval of ours."
    return [ours, theirs, beside]


def cautions(rows: Sequence[SuiteRow]) -> list[str]:
    """What the comparison cannot say."""
    absent = [name for name in reported.FAMILIES if name not in {_source(row) for row in rows if row.summary}]
    said = [
        "A mean over families and models other than the authors' is another quantity than theirs. Prompts are ours: "
        "theirs are not known to us.",
        "The interval is for other tasks of the same families and models, not for other families or models.",
    ]
    if any(row.cell.family.reported is None for row in rows):
        said.append(
            'Where the table says "not stated", we know no figure of the authors for the family: read it in '
            "the paper, and write reported = ... into the family's table."
        )
    if absent:
        said.append(f"Families of the paper without figures here: {', '.join(absent)}.")
    said += [f"{row.cell.family.name} on {row.cell.model.name}: {row.said}." for row in rows if row.said]
    return said


def _source(row: SuiteRow) -> str:
    return row.cell.family.tasks.partition(":")[0]
