"""Finds out from ids such as ``q12-s3`` which of their numbers counts the tasks, and which the rollouts of a task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["last", "first"]
"""Which number of an id counts the rollouts of a task."""

_ROLLOUTS = (
    *("rollout", "sample", "seed", "trajectory", "traj", "run", "attempt", "trial", "try", "epoch", "choice", "rep"),
    *("repeat", "repetition", "generation", "gen", "completion", "candidate", "roll", "r", "s", "n", "k"),
)
_TASKS = ("task", "question", "problem", "item", "example", "instance", "prompt", "query", "case", "t", "q", "p")
_LAST = re.compile(r"(.+?)(?:[-_./:# ]+([a-zA-Z]*)[-_ ]?|(?<=[0-9])([a-zA-Z]+))([0-9]+)", re.DOTALL)
_FIRST = re.compile(r"([a-zA-Z]*)[-_ ]?([0-9]+)[-_./:# ]+(.+)", re.DOTALL)


def task_in(name: str, side: Side) -> str | None:
    """Return the part of an id that names the task, or ``None`` if the id has no such number."""
    if side == "last":
        found = _LAST.fullmatch(name)
        return None if found is None else found[1]
    found = _FIRST.fullmatch(name)
    return None if found is None else found[3]


@dataclass(slots=True)
class IdNumbers:
    """The ids of the rollouts of a file.

    Attributes:
        groups: by side, the number of ids of each task, if the number on that side counts the rollouts.
        words: by side, what the letters in front of that number say: ``"rollout"``, ``"task"`` or ``""``.
    """

    groups: dict[Side, Counter[str] | None] = field(default_factory=lambda: {"last": Counter(), "first": Counter()})
    words: dict[Side, set[str]] = field(default_factory=lambda: {"last": set(), "first": set()})

    def add_all(self, names: Iterable[str]) -> None:
        """Take ids."""
        for name in names:
            self._add("last", _LAST.fullmatch(name), name)
            self._add("first", _FIRST.fullmatch(name), name)

    def _add(self, side: Side, found: re.Match[str] | None, name: str) -> None:
        task, counts = task_in(name, side), self.groups[side]
        if task is None or found is None:
            self.groups[side] = None
        elif counts is not None:
            counts[task] += 1
            word = ((found[2] or found[3] or "") if side == "last" else found[1]).lower()
            self.words[side].add("rollout" if word in _ROLLOUTS else "task" if word in _TASKS else "")

    def sides(self) -> list[Side]:
        """Return which numbers may count the rollouts: both if the ids do not say it, none if there is one task."""
        able = [side for side, counts in self.groups.items() if counts and len(counts) > 1 and min(counts.values()) > 1]
        if len(able) < 2:
            return able
        said = [side for side in able if self.words[side] == {"rollout"}]
        rather = [side for side in able if self.words[side] != {"task"}]
        return said if len(said) == 1 else rather if len(rather) == 1 else able
