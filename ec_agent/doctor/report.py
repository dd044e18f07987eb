"""What the doctor found, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class Mark(StrEnum):
    """The answer to a question, in a word."""

    YES = "yes"
    NO = "no"
    PARTLY = "partly"
    UNKNOWN = "not known"
    NOT_ASKED = "not asked"


class Verdict(StrEnum):
    """What all findings come to."""

    USABLE = "usable as is"
    WITH_SETTINGS = "usable with the settings named"
    UNUSABLE = "not usable: no logprobs"
    UNANSWERED = "no answer"


EXIT_CODES: Mapping[Verdict, int] = MappingProxyType(
    {Verdict.USABLE: 0, Verdict.UNANSWERED: 1, Verdict.WITH_SETTINGS: 3, Verdict.UNUSABLE: 4}
)

QUESTIONS: Mapping[str, str] = MappingProxyType(
    {
        "logprobs": "logprobs",
        "top_k": "top-k limit",
        "sampled": "sampled token in its top-k",
        "tools": "with tools",
        "stream": "with streaming",
        "tools_stream": "with tools and streaming",
        "responses": "Responses API",
        "reasoning": "reasoning content",
        "n": "n > 1",
        "seed": "seed honoured",
        "usage": "usage reported",
    }
)
"""Name of a question -> its title, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question.

    Attributes:
        question: its name, a key of ``QUESTIONS``.
        mark: the answer.
        detail: what it rests on.
        coverage: share of the generated tokens that came with candidates, in [0, 1], where that was measured.
    """

    question: str
    mark: Mark
    detail: str
    coverage: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "question": self.question,
            "answer": str(self.mark),
            "detail": self.detail,
            "coverage": self.coverage,
        }


@dataclass(frozen=True, slots=True)
class Setting:
    """Something to set.

    Attributes:
        text: what, and why.
        needed: whether rollouts may go unscored without it.
    """

    text: str
    needed: bool


@dataclass(slots=True)
class Spent:
    """What asking has cost: requests sent, and tokens as far as they were reported."""

    requests: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found out about one model.

    Attributes:
        target: what was asked, in a line without secrets.
        findings: in the order of ``QUESTIONS``.
        verdict: what they come to.
        settings: what to set, and why.
        spent: what asking cost.
        seconds: how long it took.
    """

    target: str
    findings: tuple[Finding, ...]
    verdict: Verdict
    settings: tuple[Setting, ...]
    spent: Spent
    seconds: float

    @property
    def exit_code(self) -> int:
        """What ``ec-agent doctor`` exits with: 0, 1, 3 or 4."""
        return EXIT_CODES[self.verdict]

    def finding(self, question: str) -> Finding:
        """The answer to a question of ``QUESTIONS``."""
        return next(finding for finding in self.findings if finding.question == question)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "target": self.target,
            "verdict": str(self.verdict),
            "exit_code": self.exit_code,
            "findings": [finding.to_dict() for finding in self.findings],
            "set": [{"text": setting.text, "needed": setting.needed} for setting in self.settings],
            "requests": self.spent.requests,
            "prompt_tokens": self.spent.prompt_tokens,
            "generated_tokens": self.spent.generated_tokens,
            "seconds": round(self.seconds, 3),
        }
