"""Pairwise judgement: a model compares rollouts in pairs, and its expected score says by how much one is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import ClassVar, Literal, get_args

from ec_agent.errors import ConfigError
from ec_agent.judges.judge import Judge, Notes
from ec_agent.judges.reading import Shares
from ec_agent.support.checks import checked, flag, one_of, whole
from ec_agent.support.plans import Plan

Pairs = Literal["all", "knockout"]
_EQUAL = 0.5


@dataclass(frozen=True, slots=True)
class Pairwise(Judge):
    """Prefer the answer that a model finds better than the others, compared in pairs.

    The model is shown the question and two answers, A and B, and is to reply with a digit: 1 if A is much better, the
    highest if B is. Its score is the mean of the digits, weighted by their probabilities at the first token, so that it
    says more than the digit that it would write. Each pair is asked in both orders, so that a preference for A or B
    alone cancels out. A rollout's score, in [0, 1], is the mean over its pairs of how far it was preferred: 0.5 is
    equal.

    Cost in calls for ``n`` different final actions: ``n * (n - 1)`` with ``pairs="all"``, so 56 for 8;
    ``2 * (n - 1)`` with ``pairs="knockout"``, so 14 for 8; half of it with ``both_orders=False``. Each call reads two
    answers.

    Source: expected scores over score tokens, arXiv 2607.05391.

    Attributes:
        pairs: ``"all"`` compares each with each. ``"knockout"`` has the better of two go on against another winner; a
            rollout's score is then the number of its wins and, as the part behind the point, its mean preference. The
            winner is as well founded as its few comparisons; the order of the others is rough.
        both_orders: whether each pair is asked as (A, B) and as (B, A).
        levels: the highest digit: an odd number, so that there is one for "equal".
    """

    label: ClassVar[str] = "pairwise"
    pairs: Pairs = field(default="all", kw_only=True)
    both_orders: bool = field(default=True, kw_only=True)
    levels: int = field(default=5, kw_only=True)

    def __post_init__(self) -> None:
        Judge.__post_init__(self)
        one_of("pairs", self.pairs, get_args(Pairs))
        flag("both_orders", self.both_orders)
        checked(self, "levels", whole, 3, 9)
        if self.levels % 2 == 0:
            raise ConfigError(f"levels is {self.levels}; give 3, 5, 7 or 9, so that a digit in the middle means equal")

    def _settings(self) -> list[str]:
        """Return the settings that differ from the defaults."""
        given = (("pairs", "all"), ("both_orders", True), ("levels", 5))
        return [f"{name}={getattr(self, name)}" for name, usual in given if getattr(self, name) != usual]

    def most_calls(self, n: int) -> int:
        """Return how many calls are made for ``n`` rollouts at most.

        Raises:
            ConfigError: ``n`` is no whole number of at least 1.
        """
        n = whole("n", n)
        pairs = n * (n - 1) // 2 if self.pairs == "all" else n - 1
        return pairs * (2 if self.both_orders else 1)

    def _judged(self, question: str, answers: Sequence[str], notes: Notes) -> Plan[list[float | None]]:
        """Return each answer's score."""
        if len(answers) == 1:
            notes.more.append("all rollouts that can be judged have the same final action, so the judge was not asked")
            return [_EQUAL]
        if self.pairs == "all":
            pairs = list(combinations(range(len(answers)), 2))
            came = yield from self._compared(question, answers, pairs, notes)
            preferred = _by_answer(len(answers), zip(pairs, came, strict=True))
            return [math.fsum(each) / len(each) if each else None for each in preferred]
        return (yield from self._knockout(question, answers, notes))

    def _knockout(self, question: str, answers: Sequence[str], notes: Notes) -> Plan[list[float | None]]:
        left, wins = list(range(len(answers))), [0] * len(answers)
        met: list[tuple[tuple[int, int], float | None]] = []
        while len(left) > 1:
            pairs = list(zip(left[::2], left[1::2], strict=False))
            came = yield from self._compared(question, answers, pairs, notes)
            met += zip(pairs, came, strict=True)
            second = [share is not None and share > _EQUAL for share in came]  # of two equal ones the first goes on
            better = [b if won else a for (a, b), won in zip(pairs, second, strict=True)]
            for winner in better:
                wins[winner] += 1
            left = [*better, *left[2 * len(pairs) :]]  # the last of an odd number goes on without a match
        preferred = _by_answer(len(answers), met)
        # Below 1, so that a win always counts for more.
        return [wins[i] + 0.999 * math.fsum(each) / len(each) if each else None for i, each in enumerate(preferred)]

    def _compared(
        self, question: str, answers: Sequence[str], pairs: Sequence[tuple[int, int]], notes: Notes
    ) -> Plan[list[float | None]]:
        """Return for each pair how far its second is preferred, 0 to 1; ``None`` if no answer can be used."""
        orders = [(a, b) for a, b in pairs] + ([(b, a) for a, b in pairs] if self.both_orders else [])
        digits = [str(digit) for digit in range(1, self.levels + 1)]
        came = yield from self._ask([self._prompt(question, answers[a], answers[b]) for a, b in orders], digits, notes)
        shares = [None if each is None else self._expected(each) for each in came]
        forth = shares[: len(pairs)]
        back = [None if share is None else 1 - share for share in shares[len(pairs) :]] or [None] * len(pairs)
        both = [[share for share in each if share is not None] for each in zip(forth, back, strict=True)]
        return [math.fsum(each) / len(each) if each else None for each in both]

    def _expected(self, shares: Shares) -> float:
        """Return the expected digit, as a share from 0 (the first is much better) to 1 (the second is)."""
        expected = math.fsum(int(digit) * share for digit, share in shares.found.items()) / shares.mass
        return (expected - 1) / (self.levels - 1)

    def _prompt(self, question: str, first: str, second: str) -> str:
        return (
            f"<question>\n{question}\n</question>\n\n<answer_a>\n{first}\n</answer_a>\n\n<answer_b>\n{second}\n"
            "</answer_b>\n\nWhich answer to the question is better? Correctness comes first. Reply with one digit from "
            f"1 to {self.levels} and nothing else: 1 means that A is much better, {self.levels // 2 + 1} that they are "
            f"equally good, {self.levels} that B is much better."
        )


def _by_answer(count: int, met: Iterable[tuple[tuple[int, int], float | None]]) -> list[list[float]]:
    """Return for each answer how far it was preferred in each of its pairs that was judged."""
    preferred: list[list[float]] = [[] for _ in range(count)]
    for (a, b), share in met:
        if share is not None:
            preferred[a].append(1 - share)
            preferred[b].append(share)
    return preferred
