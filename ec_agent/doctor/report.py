"""What the doctor found, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from ec_agent.numbers.signals import ENTROPY
from ec_agent.selectors import LowestCentroid


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
    UNUSABLE = "not usable: no candidates' logprobs"
    UNANSWERED = "no answer"


EXIT_CODES: Mapping[Verdict, int] = MappingProxyType(
    {Verdict.USABLE: 0, Verdict.UNANSWERED: 1, Verdict.WITH_SETTINGS: 3, Verdict.UNUSABLE: 4}
)

QUESTIONS: Mapping[str, str] = MappingProxyType(
    {
        "logprobs": "logprobs",
        "top_k": "top-k limit",
        "sampled": "sampled token in its top-k",
        "temperature": "before temperature",
        "tools": "with tools",
        "stream": "with streaming",
        "tools_stream": "with tools and streaming",
        "schema": "with a JSON schema",
        "schema_stream": "with a schema, streamed",
        "grammar": "before the grammar",
        "responses": "Responses API",
        "completions": "older completions API",
        "reasoning": "reasoning content",
        "n": "n > 1",
        "seed": "seed honoured",
        "usage": "usage reported",
        "model": "model that was asked",
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
class Hint:
    """Something to set, or to know.

    Attributes:
        text: what, and why.
        needed: whether rollouts may go unscored without it.
        server: flags for the server's own command line, where it is started by you.
    """

    text: str
    needed: bool
    server: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """Settings that go together: with these and no others, rollouts can be scored.

    Attributes:
        model: arguments of the chat model's constructor: all of them where an endpoint was asked, those to be changed
            where a chat model was.
        bind: parameters to be bound to it, ``model.bind(**way.bind)``, for which its class has no name.
        best_of_n: arguments of ``best_of_n``, as plain JSON; ``options()`` has them as they are given.
        prompted: the protocol of a ``PromptedToolModel`` around the model; ``None`` where there is none to be.
        signal: what rollouts are compared by: the entropy, or the sampled tokens' surprisal.
        kind: the model's class.
        coverage: share of the tokens that had the signal when these settings were tried, streamed where the model
            streams with them: of a text, and of an answer with a tool on offer. ``None`` was not tried.
        tools: whether a tool call came when it was tried with a tool on offer; ``None`` was not tried so.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    bind: Mapping[str, Any] = field(default_factory=dict)
    best_of_n: Mapping[str, Any] = field(default_factory=dict)
    prompted: str | None = None
    signal: str = ENTROPY
    kind: str = "ChatOpenAI"
    coverage: float | None = None
    tools: bool | None = None

    def options(self) -> dict[str, Any]:
        """The arguments for ``best_of_n(agent, **way.options())``."""
        if self.signal == ENTROPY:
            return dict(self.best_of_n)
        return {**self.best_of_n, "selector": LowestCentroid(signal=self.signal)}

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "kind": self.kind,
            "model": dict(self.model),
            "bind": dict(self.bind),
            "best_of_n": dict(self.best_of_n),
            "prompted": self.prompted,
            "signal": self.signal,
            "coverage": self.coverage,
            "tools": self.tools,
        }


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
        ways: how rollouts can be scored, the best first; each was tried, so far as its ``coverage`` says so. Empty
            where nothing that is known here helps.
        spent: what asking cost.
        seconds: how long it took.
    """

    target: str
    findings: tuple[Finding, ...]
    verdict: Verdict
    settings: tuple[Hint, ...]
    spent: Spent
    seconds: float
    ways: tuple[Way, ...] = ()

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
            "set": [{"text": each.text, "needed": each.needed, "server": list(each.server)} for each in self.settings],
            "ways": [way.to_dict() for way in self.ways],
            "requests": self.spent.requests,
            "prompt_tokens": self.spent.prompt_tokens,
            "generated_tokens": self.spent.generated_tokens,
            "seconds": round(self.seconds, 3),
        }
