"""Questions for a model, and its answers reduced to what the doctor looks at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ec_agent.capture.shapes import Payload, call_of, get, payload_of_response, payload_of_stream
from ec_agent.doctor.report import Spent, Way
from ec_agent.numbers.signals import ENTROPY, SURPRISAL
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.support.plans import Plan

SHORT, TOOL_CALL, LONG = 24, 64, 1024  # tokens; LONG is for an answer that was cut inside its reasoning
MOST_DETAIL = 160
HEARD = (ENTROPY, "logprob", SURPRISAL)
INCLUDE = ("message.output_text.logprobs",)
CURE = "check the model's name and the URL"
SEA = "Write one short sentence about the sea."
WEATHER = "What is the weather in Paris? Use the tool."
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Name of the city."}},
            "required": ["city"],
        },
    },
}
# One answer alone keeps to it, white space apart: so that it shows of every token whether it is forbidden.
ONLY_ANSWER = '{"answer":"blue"}'
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["blue"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class TrialQuestion:
    """One small request.

    Attributes:
        top: candidates asked for each token; 0 asks for the sampled token's logprob alone, ``None`` says nothing
            of logprobs.
        stream: whether the answer is streamed.
        tools: whether a tool is offered, and its call forced.
        schema: whether the answer is held to ``SCHEMA``, of which the prompt says nothing.
        responses: whether it goes to the Responses API.
        completions: whether it goes to the older completions API.
        n: how many choices.
        seed: the sampler's; it is asked for at temperature 1.
        temperature: the sampler's, where the question is about it; else it is 0, or as the model has it.
        max_tokens: the longest answer, where no tool call or schema needs more.
    """

    top: int | None = None
    stream: bool = False
    tools: bool = False
    schema: bool = False
    responses: bool = False
    completions: bool = False
    n: int = 1
    seed: int | None = None
    temperature: float | None = None
    max_tokens: int = SHORT

    @property
    def text(self) -> str:
        """What is said to the model."""
        return WEATHER if self.tools else SEA

    @property
    def longest(self) -> int:
        """The longest answer that is asked for: a tool call, or what a schema holds, is to fit in."""
        return max(TOOL_CALL, self.max_tokens) if self.tools or self.schema else self.max_tokens

    @property
    def varied(self) -> bool:
        """Whether answers ought to differ."""
        return self.n > 1 or self.seed is not None


@dataclass(frozen=True)
class TrialAnswer:
    """What came back.

    Attributes:
        payload: tokens and logprobs as a rollout would see them.
        choices: the same of each choice, where there are several.
        text: the content.
        tool_calls: names of the tools called.
        reasoning: reasoning content, apart from the text.
        reasoning_tokens: how many tokens of it were reported.
        responses: whether the Responses API answered.
        left_out: parameters the model does not take, which were left out.
        temperature: the temperature that was asked for; ``None`` is the model's or the endpoint's own.
        timeline: the one that a rollout would have of it, where the answer was heard as rollouts hear it.
    """

    payload: Payload
    choices: tuple[Payload, ...] = ()
    text: str = ""
    tool_calls: tuple[str, ...] = ()
    reasoning: str = ""
    reasoning_tokens: int | None = None
    responses: bool = False
    left_out: frozenset[str] = frozenset()
    temperature: float | None = None
    timeline: Trajectory | None = None

    @cached_property
    def trajectory(self) -> Trajectory:
        """The answer as the timeline of a rollout."""
        return self.timeline or Trajectory([call_of(self.payload, HEARD)])

    @property
    def scored(self) -> bool:
        """Whether any token has an entropy."""
        return self.trajectory.scored_tokens > 0

    @property
    def sampled_only(self) -> bool:
        """Whether logprobs came, but no candidates to take an entropy of."""
        sampled = self.trajectory.signal("logprob")
        measured = np.isfinite(sampled) & (sampled != 0.0)  # where all are 0.0, they stand for nothing
        return not self.scored and bool(measured.any())

    @property
    def coverage(self) -> float:
        """Share of the generated tokens that have an entropy; 0 where nothing is known of them."""
        return self.trajectory.coverage or 0.0

    @property
    def covered(self) -> str:
        """How many of the generated tokens had candidates, in words."""
        return f"candidates for {self.trajectory.scored_tokens} of {len(self.trajectory)} tokens"

    @property
    def counted(self) -> bool:
        """Whether the generated tokens were reported, so that missing logprobs show."""
        return self.payload.tokens is not None

    def share(self, signal: str) -> float:
        """Share of the generated tokens that have a signal; 0 where nothing is known of them."""
        return self.trajectory.share(signal) or 0.0

    @cached_property
    def candidates(self) -> tuple[tuple[Any, ...], ...]:
        """The candidates, token by token, as far as they came."""
        rows = [get(entry, "top_logprobs") for entry in self.payload.entries]
        return tuple(tuple(row) if isinstance(row, Sequence) and not isinstance(row, str) else () for row in rows)

    @property
    def top(self) -> int:
        """The most candidates a token came with."""
        return max((len(row) for row in self.candidates), default=0)

    @property
    def cut_in_reasoning(self) -> bool:
        """Whether the answer ended before its first word."""
        return not self.text and not self.tool_calls and bool(self.reasoning or self.reasoning_tokens)

    @property
    def said(self) -> str:
        """Everything the model said, to compare answers by."""
        return self.reasoning + self.text


@dataclass(frozen=True, slots=True)
class Refusal:
    """What came in place of an answer.

    Attributes:
        detail: in a line.
        status: the HTTP status, where there was one.
        hopeless: asking differently would not help: no answer in time, too many requests, not an API.
        cure: what to do about it.
        flags: of the server's own command line, where it names them or its words are known to be about them.
    """

    detail: str
    status: int | None = None
    hopeless: bool = False
    cure: str = CURE
    flags: tuple[str, ...] = ()

    def about(self, *words: str) -> bool:
        """Whether it speaks of one of these."""
        return any(word in self.detail for word in words)

    def number(self) -> int | None:
        """The one limit between 1 and 19 it names."""
        found = {int(digits) for digits in re.findall(r"(?<![\w.])\d{1,2}(?![\w.]*\d)", self.detail)}
        named = {n for n in found if 1 <= n <= 19}
        return max(named) if named else None


class Target(Protocol):
    """A model that can be asked.

    Attributes:
        name: what is asked, in a line without secrets.
        model_name: the model's own name, as far as it is known.
        first: the first question's ``TrialQuestion.top``; ``None`` is a model that is asked as it is.
        unasked: questions that make no sense here, and why.
        spent: what asking has cost so far; a report starts a new count.
    """

    name: str
    model_name: str
    first: int | None
    unasked: dict[str, str]
    spent: Spent

    def ask(self, question: TrialQuestion) -> Plan[TrialAnswer | Refusal]:
        """Ask.

        Raises:
            DoctorError: nobody is there, or we are not let in.
        """

    def takes(self, name: str) -> bool:
        """Whether a model has a setting of this name."""

    def arguments(self, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """What makes a model with these settings: arguments of its constructor, and parameters to be bound to it."""

    def constructor(self, **settings: Any) -> str:
        """How to make a model with these settings, as a line of Python."""

    def following(self, way: Way) -> Target | None:
        """A model with these settings, heard as rollouts hear it; its costs are this one's.

        ``None`` where none can be made: the package is not installed.
        """


def answer_of_completion(response: Any) -> TrialAnswer:
    """A chat completion."""
    choices = get(response, "choices") or []
    message = get(choices, 0, "message")
    reasoning = get(message, "reasoning_content") or get(message, "reasoning")
    return TrialAnswer(
        payload=payload_of_response(
            {"choices": choices[:1], "usage": get(response, "usage"), "model": get(response, "model")}
        ),
        choices=tuple(payload_of_response({"choices": [choice]}) for choice in choices),
        text=str(get(message, "content") or ""),
        tool_calls=tuple(str(get(call, "function", "name")) for call in get(message, "tool_calls") or []),
        reasoning=reasoning if isinstance(reasoning, str) else "",
        reasoning_tokens=_reasoning_tokens(get(response, "usage")),
    )


def answer_of_chunks(chunks: Sequence[Any]) -> TrialAnswer:
    """The same, streamed."""
    deltas = [get(choice, "delta") for chunk in chunks for choice in get(chunk, "choices") or []]
    calls = [call for delta in deltas for call in get(delta, "tool_calls") or []]
    usage = next((usage for chunk in reversed(chunks) if (usage := get(chunk, "usage"))), None)
    thoughts = [get(delta, "reasoning_content") or get(delta, "reasoning") for delta in deltas]
    return TrialAnswer(
        payload=payload_of_stream(chunks),
        text="".join(str(get(delta, "content") or "") for delta in deltas),
        tool_calls=tuple(name for call in calls if (name := get(call, "function", "name"))),
        reasoning="".join(thought for thought in thoughts if isinstance(thought, str)),
        reasoning_tokens=_reasoning_tokens(usage),
    )


def answer_of_response(response: Any) -> TrialAnswer:
    """An answer of the Responses API."""
    items = get(response, "output") or []
    parts = [part for item in items for part in get(item, "content") or []]
    return TrialAnswer(
        payload=payload_of_response(response),
        text="".join(str(get(part, "text") or "") for part in parts if get(part, "type") == "output_text"),
        tool_calls=tuple(str(get(item, "name")) for item in items if get(item, "type") == "function_call"),
        reasoning="".join(
            str(get(part, "text") or "")
            for item in items
            if get(item, "type") == "reasoning"
            for part in [*(get(item, "summary") or []), *(get(item, "content") or [])]
        ),
        reasoning_tokens=_reasoning_tokens(get(response, "usage")),
        responses=True,
    )


def answer_of_legacy(response: Any) -> TrialAnswer:
    """An answer of the older completions API."""
    return TrialAnswer(payload=payload_of_response(response), text=str(get(response, "choices", 0, "text") or ""))


def _reasoning_tokens(usage: Any) -> int | None:
    for details in ("completion_tokens_details", "output_tokens_details"):
        count = get(usage, details, "reasoning_tokens")
        if isinstance(count, int):
            return count
    return None


def without(answer: TrialAnswer, left_out: frozenset[str]) -> TrialAnswer:
    """The answer, and what was left out to get it."""
    return replace(answer, left_out=left_out) if left_out else answer
