"""From findings to what to set, and to a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ec_agent.capture.advice import ASK_BY_NAME
from ec_agent.doctor.answers import CURE, Answer, Refusal, Target
from ec_agent.doctor.endpoint import INCLUDE, EndpointTarget
from ec_agent.doctor.plain import MOST, Plain
from ec_agent.doctor.report import Finding, Mark, Setting, Verdict

ENOUGH = 0.5  # the default of best_of_n(min_coverage=...)
FEW = 5


@dataclass(frozen=True, slots=True)
class Known:
    """What has been found out so far.

    Attributes:
        plain: the plain question's answers.
        findings: by question.
        answers: what the further questions brought, by question.
    """

    plain: Plain
    findings: dict[str, Finding]
    answers: dict[str, Answer | Refusal]

    def marked(self, question: str, *marks: Mark) -> bool:
        """Whether a question was answered in one of these ways."""
        return question in self.findings and self.findings[question].mark in marks

    def low(self, question: str) -> bool:
        """Whether too few tokens had candidates for a rollout to be scored on them."""
        coverage = self.findings[question].coverage if question in self.findings else None
        return coverage is not None and coverage < ENOUGH


def verdict_of(known: Known, settings: tuple[Setting, ...]) -> Verdict:
    """What all findings come to."""
    heard = known.plain.answers or known.plain.denied or known.marked("responses", Mark.YES, Mark.PARTLY)
    if not heard:
        return Verdict.UNANSWERED
    if not known.plain.scored and not known.marked("responses", Mark.YES):
        return Verdict.UNUSABLE
    return Verdict.WITH_SETTINGS if any(setting.needed for setting in settings) else Verdict.USABLE


def settings_for(target: Target, known: Known) -> tuple[Setting, ...]:
    """What to set, and which of it rollouts need in order to be scored."""
    if known.plain.scored:
        found = [*_made(target, known), *_around(known)]
    elif known.marked("responses", Mark.YES):
        how = target.constructor(use_responses_api=True, include=list(INCLUDE), top_logprobs=MOST)
        found = [Setting(f"{how}: only the Responses API returns logprobs here", needed=True)]
    elif known.plain.answers or known.plain.denied or known.marked("responses", Mark.PARTLY):
        found = list(_hopeless(known))
    else:
        cure = next((refusal.cure for refusal in known.plain.refusals.values()), CURE)
        found = [Setting(f"nothing was answered: {cure}", needed=True)]
    return tuple(found)


def _made(target: Target, known: Known) -> Iterator[Setting]:
    """How to make the model."""
    settings: dict[str, Any] = {}
    why: list[str] = []
    asks_for_itself = isinstance(target, EndpointTarget)
    if asks_for_itself or known.plain.top != known.plain.first:
        settings |= _logprobs(target, known.plain)
    needed = bool(settings) and not asks_for_itself
    if known.marked("stream", Mark.NO):
        settings["disable_streaming"] = True
        why.append("streamed answers have no logprobs")
    elif _lost_by_streaming(known):
        settings["disable_streaming"] = "tool_calling"
        why.append("with tools and streaming there are no logprobs")
    needed = needed or "disable_streaming" in settings
    if asks_for_itself and "base_url=" in target.constructor() and known.marked("usage", Mark.YES):
        settings["stream_usage"] = True  # ChatOpenAI asks for it only where it knows the endpoint
    elif not asks_for_itself and known.marked("usage", Mark.PARTLY) and target.takes("stream_usage"):
        settings["stream_usage"] = True
        why.append("streamed answers do not say how many tokens they are")
    if settings:
        because = f"  ({'; '.join(why)})" if why else ""
        yield Setting(target.constructor(**settings) + because, needed)
    if getattr(target, "request_logprobs", False):
        if needed:
            yield Setting("request_logprobs=True did not do it: it reaches what goes through an openai client", False)
    elif "disable_streaming" in settings or needed:
        yield Setting("or best_of_n(..., request_logprobs=True), which asks so by itself", needed=False)


def _logprobs(target: Target, plain: Plain) -> dict[str, Any]:
    asking = getattr(target, "asking", None)
    top = plain.limit or plain.top or MOST
    return dict(asking(top)) if asking else {"logprobs": True, "top_logprobs": top}


def _lost_by_streaming(known: Known) -> bool:
    return known.marked("tools_stream", Mark.NO) and not known.marked("tools", Mark.NO)


def _around(known: Known) -> Iterator[Setting]:
    """What to put around the model, and what to tell best_of_n."""
    wrap = "PromptedToolModel(model=...) writes tool calls as text, whose tokens have logprobs"
    if known.marked("tools", Mark.NO):
        yield Setting(f"tool calls: {known.findings['tools'].detail}. {wrap}", needed=True)
    elif known.low("tools"):
        yield Setting(f"most tokens of a tool call have no logprobs. {wrap}", needed=True)
    elif isinstance(turned := known.answers.get("tools"), Refusal):  # but for the time, or the server's state
        yield Setting(f"tool calls: not known ({turned.detail}). To know, {turned.cure}", needed=True)
    elif known.marked("tools", Mark.UNKNOWN):
        text = "no tool call came: look at the receipt's coverage once one does."
        yield Setting(f"{text} If this model calls no tools by itself, {wrap}", needed=True)
    seen = known.plain.first in known.plain.scored
    if known.marked("tools", Mark.NO) or known.low("tools") or (seen and known.low("logprobs")):
        text = 'best_of_n(..., on_missing="score", min_coverage=0.2) scores on what there is; read its coverage'
        yield Setting(f"or {text}", needed=False)
    if seen and known.low("logprobs"):
        share = known.findings["logprobs"].coverage
        yield Setting(f"only {share:.0%} of the tokens have logprobs: min_coverage=0.5 leaves rollouts unscored", True)
    if known.marked("reasoning", Mark.PARTLY):
        yield Setting(
            "reasoning tokens have no logprobs and count as gaps: turn reasoning off, or lower min_coverage", False
        )
    if known.plain.limit is not None and known.plain.limit < FEW:
        yield Setting(f"{known.plain.limit} candidates make a coarse entropy: compare centroids with care", False)
    if known.marked("seed", Mark.NO):
        yield Setting("a seed does not repeat an answer here: spread rollouts by temperature, not by seed", False)


def _hopeless(known: Known) -> Iterator[Setting]:
    if any(answer.sampled_only for answer in known.plain.answers.values()):
        yield Setting(
            "only the sampled tokens' logprobs come: there is no entropy to take; use an endpoint that returns "
            f"candidates (top_logprobs), or {ASK_BY_NAME}",
            needed=True,
        )
    else:
        yield Setting(
            "this endpoint returns no logprobs: ec_agent cannot score it; use a model and endpoint that do",
            needed=True,
        )
