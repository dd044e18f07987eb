"""``HandOver``: a ready ``route=`` that hands over to a person, or to a stronger agent, where the winner is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from langgraph.graph import END
from langgraph.types import Send

from ec_agent.errors import ConfigError
from ec_agent.selectors import Candidate
from ec_agent.support.checks import checked, number, one_of, refusal

OnUnknown = Literal["hand_over", "go_on"]


@dataclass(frozen=True, slots=True)
class HandOver:
    """Go on where the winner is probably right, and hand over where it is not.

    The probability is that of the calibration given as ``probability=``. Where it is missing, because none was given or
    it says nothing about this choice, ``on_unknown`` decides; the receipt then says why (``no_probability``).

    The winner's writes reach the outer state in both cases, so that whoever takes over sees its proposal. An action of
    the winner is left to the outer graph: ``on_commit="execute"``, which carries it out first, is refused.

    Attributes:
        below: hand over where the probability is below this; more than 0, at most 1.
        to: where to hand over to: a node's name, a ``Send``, or a list of these.
        otherwise: where to go if the winner is sure enough: a node, a ``Send``, or a list; the end by default.
        on_unknown: what to do without a probability: ``"hand_over"``, or ``"go_on"`` as if it were sure enough.

    Raises:
        ConfigError: an argument is out of range, or of another type.

    Example:
        >>> node = best_of_n(agent, route=HandOver(below=0.8, to="person"), **load_settings("settings.json"))
        >>> builder.add_node("solve", node, destinations=("person", END))
    """

    below: float
    to: str | Send | Sequence[str | Send]
    otherwise: str | Send | Sequence[str | Send] = END
    on_unknown: OnUnknown = "hand_over"

    def __post_init__(self) -> None:
        checked(self, "below", number, "a probability above 0, such as 0.8", above=0, most=1)
        checked(self, "to", _destination)
        checked(self, "otherwise", _destination)
        one_of("on_unknown", self.on_unknown, get_args(OnUnknown))

    def __call__(self, winner: Candidate) -> str | Send | Sequence[str | Send]:
        """Return where to go on with this winner."""
        if winner.probability is None:
            return self.to if self.on_unknown == "hand_over" else self.otherwise
        return self.to if winner.probability < self.below else self.otherwise


def check_hand_over(route: Any, on_commit: str) -> None:
    """Check that a ``HandOver`` is asked before the winner's action is carried out.

    Raises:
        ConfigError: the action would be carried out first.
    """
    if isinstance(route, HandOver) and on_commit == "execute":
        raise ConfigError(
            'on_commit="execute" carries the winner\'s action out before route=HandOver(...) can hand over; leave '
            'on_commit at "route", and have a CommitToolNode among the nodes it goes to otherwise'
        )


def _destination(name: str, value: Any) -> Any:
    steps = list(value) if isinstance(value, list | tuple) else [value]
    if steps and all(isinstance(step, Send) or (isinstance(step, str) and step.strip()) for step in steps):
        return tuple(steps) if isinstance(value, list | tuple) else value
    raise refusal(name, value, "a node's name, a Send, or a list of these")
