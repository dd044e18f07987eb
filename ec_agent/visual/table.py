"""A selection as a table in plain text: what ``print(selection)`` and the demo show."""

from __future__ import annotations

from ec_agent.rollouts.selection import Selection
from ec_agent.support.escaping import clipped, shown
from ec_agent.visual.views import Rollout, View, view_of
from ec_agent.visual.wording import action_of, lead, number, paid, percent, score_name

_ACTION = 60  # letters shown of a final action


def title_of(view: View) -> str:
    """How many rollouts there are, and in which order they are listed."""
    count = len(view.rollouts)
    first = "lowest centroid first" if score_name(view) == "centroid" else "the winner first"
    return f"{count} rollout{'' if count == 1 else 's'}, {first}"


def header_of(view: View) -> tuple[str, ...]:
    """The names of the columns of numbers."""
    return ("#", score_name(view), "phases", "tokens", "calls", "tools", "coverage", "sec")


def cells_of(rollout: Rollout) -> tuple[str, ...]:
    """A rollout's numbers, in the order of ``header_of``."""
    receipt = rollout.receipt
    counts = (receipt.phases, receipt.tokens, receipt.calls, receipt.tool_calls)
    return (
        str(receipt.index),
        number(receipt.score),
        *map(str, counts),
        percent(receipt.coverage),
        f"{receipt.seconds:.0f}",
    )


def text_of(selection: Selection) -> str:
    """The table, who is ahead of whom, what it cost, and the warnings, in lines of text.

    Final actions are in it where the rollouts are at hand: in a selection that ``run()`` has just returned.
    """
    view = view_of(selection)
    rows = [header_of(view), *(cells_of(rollout) for rollout in view.rollouts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    actions = [""] if view.missing else ["final action"]
    actions += ["" if view.missing else clipped(action_of(rollout), _ACTION) for rollout in view.rollouts]
    marks = ["", *("*" if rollout.won else "" for rollout in view.rollouts)]
    lines = [title_of(view)]
    for mark, row, action in zip(marks, rows, actions, strict=True):
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append(f"{mark:1} {numbers}  {action}".rstrip())
    lines += [*(lead(view) or ["There is no runner-up."]), paid(view)]
    lines += [f"note: {shown(warning)}" for warning in selection.warnings]
    return "\n".join(lines)
