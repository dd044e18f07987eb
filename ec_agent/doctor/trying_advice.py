"""The doctor takes its own advice: what it says to set is set and asked, before it is said.

A way that does not bring what it promises is not offered. Each trial is two requests, streamed where the settings let
the model stream: a text, and an answer with a tool on offer. An endpoint that needs nothing odd is asked four: with its
settings, and with ``request_logprobs=True`` in their place. At worst ``_versions`` lists eight for the settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ec_agent.doctor.endpoint import EndpointTarget
from ec_agent.doctor.first_question import MOST, Plain
from ec_agent.doctor.report import Finding, Mark, Way
from ec_agent.doctor.trials import INCLUDE, Refusal, Target, TrialAnswer, TrialQuestion
from ec_agent.numbers.coverage import MIN_COVERAGE
from ec_agent.numbers.signals import ENTROPY, SURPRISAL
from ec_agent.prompted.registry import PROTOCOLS
from ec_agent.support.plans import Plan

LEGACY_MOST = 5  # candidates that the older completions API gives

Version = tuple[Way, bool]  # and whether it is to hold with a tool on offer


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
    answers: dict[str, TrialAnswer | Refusal]

    @property
    def answered(self) -> list[TrialAnswer]:
        """All answers there are, the plain ones first."""
        further = [outcome for outcome in self.answers.values() if isinstance(outcome, TrialAnswer)]
        return [*self.plain.answers.values(), *further]

    def marked(self, question: str, *marks: Mark) -> bool:
        """Whether a question was answered in one of these ways."""
        return question in self.findings and self.findings[question].mark in marks

    def low(self, question: str) -> bool:
        """Whether too few tokens had candidates for a rollout to be scored on them."""
        coverage = self.findings[question].coverage if question in self.findings else None
        return coverage is not None and coverage < MIN_COVERAGE

    def failed(self, question: str) -> bool:
        """Whether a question was not answered for a reason that says nothing of the model."""
        outcome = self.answers.get(question)
        return isinstance(outcome, Refusal) and outcome.hopeless

    @property
    def streams_only(self) -> bool:
        """Whether streamed answers have candidates, and whole ones none."""
        return not self.plain.scored and self.marked("stream", Mark.YES, Mark.PARTLY)

    @property
    def tools(self) -> str:
        """The question about tools that tells how the answers that have candidates do with them."""
        return "tools_stream" if self.streams_only else "tools"

    @property
    def text_only(self) -> bool:
        """Whether tool calls bring too few logprobs, so that they are better written as text."""
        return self.marked(self.tools, Mark.NO) or self.low(self.tools)

    @property
    def signal(self) -> str:
        """What rollouts can be compared by, if by anything."""
        return SURPRISAL if self.sampled_only and not (self.plain.scored or self.streams_only) else ENTROPY

    @property
    def best(self) -> TrialAnswer | None:
        """An answer as good as they come."""
        streamed = self.answers.get("stream")
        return streamed if self.streams_only and isinstance(streamed, TrialAnswer) else self.plain.best

    @property
    def sampled_only(self) -> dict[Any, TrialAnswer]:
        """The plain answers that have the sampled tokens' logprobs and no candidates, by what was asked for."""
        return {top: answer for top, answer in self.plain.answers.items() if answer.sampled_only}


def ways_for(target: Target, known: Known, *, scoring_only: bool = False) -> Plan[tuple[Way, ...]]:
    """How rollouts can be scored, the best way first; each was tried where it could be.

    Args:
        target: the model.
        known: what has been found.
        scoring_only: leave out what is offered for good measure.
    """
    if known.marked("completions", Mark.YES):
        model, bind = target.arguments(logprobs=LEGACY_MOST)
        coverage = known.findings["completions"].coverage
        return (Way(model, bind, kind="OpenAI", coverage=coverage),)
    main = yield from _first_that_holds(target, known, _versions(target, known))
    ways = [] if main is None else [main]
    if _may_request(target, known):
        model, bind = target.arguments()
        asked = Way(model, bind, {"request_logprobs": True}, signal=known.signal)
        wrapped = replace(asked, prompted=main.prompted if main is not None else None)
        requested = yield from _first_that_holds(target, known, [(wrapped, main is None or main.tools is not None)])
        ways += [] if requested is None or requested.coverage is None else [requested]
    uncalled = known.marked(known.tools, Mark.UNKNOWN) and not known.failed(known.tools) and not scoring_only
    if uncalled and main is not None and main.prompted is None:
        versions = [(replace(main, prompted=protocol), True) for protocol in PROTOCOLS]
        prompted = yield from _first_that_holds(target, known, versions)
        ways += [] if prompted is None or prompted.coverage is None else [prompted]
    return tuple(ways)


def needs(target: Target, known: Known) -> dict[str, Any]:
    """The settings that follow from what was found."""
    settings = _asking(target, known)
    if known.streams_only:
        settings["streaming"] = True
    elif _lost_in_streams(known):
        settings["disable_streaming"] = True
    elif known.marked("tools_stream", Mark.NO) and not known.marked("tools", Mark.NO):
        settings["disable_streaming"] = "tool_calling"
    if "disable_streaming" in settings:
        settings |= _not_streaming(target)
    asks_for_itself = isinstance(target, EndpointTarget)
    # ChatOpenAI asks for usage only where it knows the endpoint.
    streamed = known.answers.get("stream")
    told = known.marked("usage", Mark.YES) or (
        known.streams_only and isinstance(streamed, TrialAnswer) and streamed.counted
    )
    unasked = asks_for_itself and "base_url" in target.arguments()[0] and told
    lost = not asks_for_itself and known.marked("usage", Mark.PARTLY) and target.takes("stream_usage")
    if unasked or lost:
        settings["stream_usage"] = True
    return settings


def _lost_in_streams(known: Known) -> bool:
    """Whether streamed answers lack what rollouts are compared by."""
    streamed = known.answers.get("stream")
    kept = known.signal == SURPRISAL and isinstance(streamed, TrialAnswer) and streamed.sampled_only
    return known.marked("stream", Mark.NO) and not kept


def _not_streaming(target: Target) -> dict[str, Any]:
    """``ChatOpenAI(streaming=True)`` asks for a stream where ``disable_streaming`` has it read a whole answer."""
    return {"streaming": False} if getattr(target, "streaming", False) else {}


def _asking(target: Target, known: Known) -> dict[str, Any]:
    """How to ask for logprobs, where the model does not do it itself."""
    plain, itself = known.plain, isinstance(target, EndpointTarget)
    if known.streams_only:
        return _words(target, plain.top or MOST) if itself else {}
    if not plain.scored:
        top = max((top for top in known.sampled_only if top is not None), default=0)
        asked = _words(target, top) if itself or plain.first not in known.sampled_only else {}
        return {name: value for name, value in asked.items() if top or name != "top_logprobs"}
    if not itself and plain.top == plain.first:
        return {}
    return _words(target, plain.limit or plain.top or MOST)


def _words(target: Target, top: int) -> dict[str, Any]:
    asking = getattr(target, "asking", None)
    return dict(asking(top)) if asking else {"logprobs": True, "top_logprobs": top}


def _versions(target: Target, known: Known) -> Iterator[Version]:
    """Settings to try, the first that holds being the way; none where nothing that is known helps."""
    scored = bool(known.plain.scored) or known.streams_only
    whole = {"disable_streaming": True, **_not_streaming(target)}
    if not scored and known.marked("responses", Mark.YES):
        settings: dict[str, Any] = {"use_responses_api": True, "include": list(INCLUDE), "top_logprobs": MOST}
        plainest = [settings, {**settings, **whole}]
    elif scored or known.sampled_only:
        settings = needs(target, known)
        plainest = [settings]
        if settings.get("disable_streaming") is not True and not known.streams_only:
            plainest.append({**settings, **whole})
    elif _not_streaming(target):
        scored = True  # perhaps: whatever it was asked, it streamed
        plainest = [whole, {**_words(target, MOST), **whole}]
    else:
        return
    best = known.best
    few = known.signal == ENTROPY and best is not None and best.scored and best.coverage < MIN_COVERAGE
    options = {"on_missing": "score", "min_coverage": _below(best.coverage)} if few and best is not None else {}
    made = [Way(*target.arguments(**each), options, signal=known.signal) for each in plainest]
    if scored and not (known.failed("tools") or known.failed("tools_stream")):
        bare = made[-1:] if known.text_only and _not_streaming(target) else [] if known.text_only else made
        yield from ((way, True) for way in bare)
        yield from ((replace(way, prompted=protocol), True) for protocol in PROTOCOLS for way in made)
    yield from ((way, False) for way in made)  # without tools


def _below(share: float) -> float:
    """A minimum that answers of this coverage keep to, shorter ones too."""
    return max(math.floor(80 * share) / 100, 0.01)


def _may_request(target: Target, known: Known) -> bool:
    """Whether ``request_logprobs=True`` may take the place of settings."""
    if getattr(target, "request_logprobs", False):
        return False
    return bool((known.plain.scored or known.sampled_only) and set(needs(target, known)) - {"stream_usage"})


def _first_that_holds(target: Target, known: Known, versions: Iterable[Version]) -> Plan[Way | None]:
    for way, with_tools in versions:
        found = yield from _tried(target, known, way, with_tools)
        if found is not None:
            return found
    return None


def _tried(target: Target, known: Known, way: Way, with_tools: bool) -> Plan[Way | None]:
    """The way and what it brought; ``None`` where it does not hold what it promises."""
    best = known.best
    if not (way.model or way.bind or way.best_of_n or way.prompted) and best is not None:
        tools = known.answers.get("tools")  # the model as it is, which has been asked
        called = bool(tools.tool_calls) if isinstance(tools, TrialAnswer) else None
        return replace(way, coverage=best.share(way.signal), tools=called)
    followed = target.following(way)
    streams = way.model.get("disable_streaming") is not True
    if followed is None or (streams and known.failed("stream")):
        return way
    need = way.best_of_n.get("min_coverage", MIN_COVERAGE)
    called_only = way.model.get("streaming") is True  # then a call streams that does not ask for it
    streamed = TrialQuestion(stream=not called_only, max_tokens=known.plain.max_tokens)
    text = yield from followed.ask(streamed)
    if isinstance(text, Refusal):
        return way if text.hopeless else None
    shares = [text.share(way.signal)]
    called = None
    if with_tools and shares[0] >= need:
        tools = yield from followed.ask(replace(streamed, tools=True))
        if isinstance(tools, Refusal):
            if not tools.hopeless:
                return None
        else:
            shares.append(tools.share(way.signal))
            called = bool(tools.tool_calls)
    if min(shares) < need:
        return None
    return replace(way, coverage=min(shares), tools=called)
