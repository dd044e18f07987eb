"""P(True): the probability with which a model says that a rollout's answer is correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ec_agent.judges.judge import Judge, Notes
from ec_agent.judges.reading import Shares
from ec_agent.support.checks import flag, whole
from ec_agent.support.plans import Plan

_WORDS = ("true", "false")


@dataclass(frozen=True, slots=True)
class PTrue(Judge):
    """Prefer the answer of which a model says with the highest probability that it is correct.

    One short call for each different final action: the model is shown the question and the proposed answer, and is to
    reply True or False. The score is the probability of "True" divided by that of "True" or "False", at the first token
    of the reply; all ways of writing a word are summed. Where one of the two is not among the candidates, it is taken
    to be as probable as it can be at most. Where neither is, the rollout is not ranked.

    Example:
        >>> best_of_n(agent, selector=PTrue(ChatOpenAI(model="gpt-4o-mini"), on_failure=MajorityVote()))

    Source: P(True), arXiv 2207.05221.

    Attributes:
        others: show the model the other proposed answers too.
    """

    label: ClassVar[str] = "p_true"
    others: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        Judge.__post_init__(self)
        flag("others", self.others)

    def _settings(self) -> list[str]:
        """Return the settings that differ from the defaults."""
        return ["others=True"] if self.others else []

    def most_calls(self, n: int) -> int:
        """Return how many calls are made for ``n`` rollouts at most: one for each different final action.

        Raises:
            ConfigError: ``n`` is no whole number of at least 1.
        """
        return whole("n", n)

    def _judged(self, question: str, answers: Sequence[str], notes: Notes) -> Plan[list[float | None]]:
        """Return P(True) of each answer."""
        prompts = [self._prompt(question, answers, answer) for answer in answers]
        came = yield from self._ask(prompts, _WORDS, notes)
        return [None if shares is None else probability(shares) for shares in came]

    def _prompt(self, question: str, answers: Sequence[str], answer: str) -> str:
        others = [each for each in answers if each != answer] if self.others else []
        listed = "".join(f"<other_answer>\n{each}\n</other_answer>\n\n" for each in others)
        return (
            f"<question>\n{question}\n</question>\n\n{listed}<proposed_answer>\n{answer}\n</proposed_answer>\n\n"
            "Is the proposed answer to the question correct? Reply with one word, True or False."
        )


def probability(shares: Shares) -> float:
    """Return the probability of "true" among "true" and "false", in [0, 1]."""
    yes, no = (shares.found.get(word, shares.rest) for word in _WORDS)
    return yes / (yes + no)
