"""A selection as a table in plain text: what ``print(selection)`` and the demo show."""

from __future__ import annotations

from ec_agent.rollouts.selection import Selection
from ec_agent.support.escaping import clipped, shown
from ec_agent.support.number_formats import number, percent
from ec_agent.visual.views import Rollout, View, view_of
from ec_agent.visual.wording import action_of, certainty, lead, paid, score_name, stopping

_ACTION = 60  # letters shown of a final action
_LEAST_ACTION = 16  # however narrow the terminal is
_AGENT = 20  # letters shown of an agent's name
_COLUMNS = ("phases", "tokens", "calls", "tools", "coverage", "sec")


def title_of(view: View) -> str:
    """How many rollouts there are, and in which order they are listed."""
    count = len(view.rollouts)
    first = "lowest centroid first" if score_name(view) == "centroid" else "the winner first"
    return f"{count} rollout{'' if count == 1 else 's'}, {first}"


def lines_of(view: View, width: int | None = None) -> list[str]:
    """The names of the columns, then a line per rollout: its numbers, and its final action where that is at hand.

    A star stands before the winner.

    Args:
        view: the selection.
        width: letters of a line. The final action has what the numbers leave, but 16 at least; left out, it has 60.
    """
    several = any(rollout.receipt.agent is not None for rollout in view.rollouts)
    header = ("#", *(("agent",) if several else ()), score_name(view), *_COLUMNS)
    rows = [header, *(_cells(rollout, several) for rollout in view.rollouts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    marks = [" ", *("*" if rollout.won else " " for rollout in view.rollouts)]
    numbers = [
        f"{mark} {'  '.join(cell.rjust(wide) for cell, wide in zip(row, widths, strict=True))}"
        for mark, row in zip(marks, rows, strict=True)
    ]
    if view.missing:
        return numbers
    left = _ACTION if width is None else max(width - len(numbers[0]) - 2, _LEAST_ACTION)
    actions = ["final action", *(clipped(action_of(rollout), left) for rollout in view.rollouts)]
    return [f"{row}  {action}".rstrip() for row, action in zip(numbers, actions, strict=True)]


def text_of(selection: Selection) -> str:
    """The table, who is ahead of whom, what it cost, and the warnings, in lines of text.

    Final actions are in it where the rollouts are at hand: in a selection that ``run()`` has just returned.
    """
    view = view_of(selection)
    notes = [f"note: {shown(warning)}" for warning in selection.warnings]
    return "\n".join([title_of(view), *lines_of(view), *facts_under_table(view), *notes])


def facts_under_table(view: View) -> list[str]:
    """What stands below the table: who is ahead of whom, how sure that is, what ``stop=`` came to, what all cost."""
    ahead = lead(view) or ["There is no runner-up."]
    return [*ahead, *filter(None, [certainty(view), stopping(view)]), paid(view)]


def _cells(rollout: Rollout, several: bool) -> tuple[str, ...]:
    receipt = rollout.receipt
    counts = (receipt.phases, receipt.tokens, receipt.calls, receipt.tool_calls)
    return (
        str(receipt.index),
        *((clipped(receipt.agent or "", _AGENT),) if several else ()),
        number(receipt.score),
        *map(str, counts),
        percent(receipt.coverage),
        f"{receipt.seconds:.0f}",
    )
