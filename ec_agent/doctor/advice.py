"""From what was found, and the ways that were tried, to what is said: settings and a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ec_agent.capture.no_logprobs import ASK_BY_NAME, COUNT_ANSWERS
from ec_agent.doctor.endpoint import EndpointTarget
from ec_agent.doctor.first_question import COVERED, MOST
from ec_agent.doctor.refusals import written
from ec_agent.doctor.report import Hint, Mark, Verdict, Way
from ec_agent.doctor.trials import CURE, Refusal, Target, TrialAnswer
from ec_agent.doctor.trying_advice import LEGACY_MOST, Known, needs
from ec_agent.numbers.signals import ENTROPY
from ec_agent.support.number_formats import percent

FEW = 5
_NOT_SETTINGS = ("model", "base_url", "model_kwargs")


def verdict_of(known: Known, settings: Sequence[Hint], ways: Sequence[Way]) -> Verdict:
    """What all findings come to."""
    found = known.marked("responses", Mark.YES, Mark.PARTLY) or known.marked("completions", Mark.YES, Mark.PARTLY)
    if not (known.plain.answers or known.plain.denied or found or _streamed(known)):
        return Verdict.UNANSWERED
    if not any(way.signal == ENTROPY for way in ways):
        return Verdict.UNUSABLE
    return Verdict.WITH_SETTINGS if any(setting.needed for setting in settings) else Verdict.USABLE


def settings_for(target: Target, known: Known, ways: Sequence[Way]) -> tuple[Hint, ...]:
    """What to set, and which of it rollouts need in order to be scored."""
    plain, main = known.plain, ways[0] if ways else None
    if main is not None and main.kind != "ChatOpenAI":
        text = f"{main.kind}({written(main.model)}): only the older completions API returns logprobs here"
        return (Hint(f"{text}, {LEGACY_MOST} candidates a token; it takes no tools", needed=True),)
    if (plain.scored or known.streams_only) and main is not None:
        found = [*_made(target, known, ways), *_around(known, ways), *_flags(known, False), *_to_know(known)]
    elif main is not None and main.signal == ENTROPY:
        settings = _settings(main)
        by_responses = "use_responses_api" in settings
        why = "the Responses API returns logprobs" if by_responses else "whole answers have logprobs"
        found = [Hint(f"{target.constructor(**settings)}: only {why} here{_tried(main)}", needed=True)]
    elif plain.answers or plain.denied or _streamed(known) or known.marked("responses", Mark.PARTLY, Mark.YES):
        found = [*_hopeless(target, known, ways), *_flags(known, True)]
    else:
        cure = next((refusal.cure for refusal in plain.refusals.values()), CURE)
        found = [Hint(f"nothing was answered: {cure}", needed=True), *_flags(known, True)]
    return tuple(found)


def _streamed(known: Known) -> bool:
    """Whether a streamed answer came."""
    return isinstance(known.answers.get("stream"), TrialAnswer)


def _settings(way: Way) -> dict[str, Any]:
    """The settings of a way, wherever they are to be put."""
    own = {name: value for name, value in way.model.items() if name not in _NOT_SETTINGS}
    return {**own, **way.model.get("model_kwargs", {}), **way.bind}


def _tried(way: Way) -> str:
    """What came when it was tried."""
    if way.coverage is None:
        return " [not tried]"
    what = "candidates" if way.signal == ENTROPY else "logprobs"
    return f" [tried: {what} for {percent(way.coverage)} of the tokens]"


def _made(target: Target, known: Known, ways: Sequence[Way]) -> Iterator[Hint]:
    """How to make the model."""
    main, itself = ways[0], isinstance(target, EndpointTarget)
    settings = _settings(main)
    why = list(_why(known, settings, itself))
    asked = known.plain.top != known.plain.first and not itself
    needed = asked or "disable_streaming" in settings or "streaming" in settings
    if settings:
        because = f"  ({'; '.join(why)})" if why else ""
        yield Hint(target.constructor(**settings) + because + _tried(main), needed)
    if getattr(target, "request_logprobs", False):
        if needed:
            yield Hint(
                "request_logprobs=True did not do it: it reaches what goes through an openai client, and cannot bring "
                "what an endpoint leaves out",
                False,
            )
        return
    other = next((way for way in ways if way.best_of_n.get("request_logprobs")), None)
    if other is not None and ("disable_streaming" in settings or needed or itself):
        yield Hint(
            f"or best_of_n(..., request_logprobs=True), which sets this in every request{_tried(other)}", needed=False
        )


def _why(known: Known, settings: dict[str, Any], itself: bool) -> Iterator[str]:
    outcome = known.answers.get("stream")
    if settings.get("streaming") is True:
        yield "only streams are answered" if known.plain.streams else "only streamed answers have logprobs"
    elif settings.get("disable_streaming") is True:
        if known.marked("stream", Mark.NO):
            yield "streams are refused" if isinstance(outcome, Refusal) else "streamed answers have no logprobs"
        elif known.marked("tools_stream", Mark.NO):
            yield "with tools and streaming there are no logprobs"
        else:
            yield "this class loses the logprobs of streams"
    elif "disable_streaming" in settings:
        yield "with tools and streaming there are no logprobs"
    if itself and "disable_streaming" in settings:
        yield "leave streaming=True out"
    if "stream_usage" in settings and not itself:
        yield "streamed answers do not say how many tokens they are"


def _around(known: Known, ways: Sequence[Way]) -> Iterator[Hint]:
    """What to put around the model, and what to tell best_of_n."""
    main, wrap = ways[0], next((way for way in ways if way.prompted), None)
    written_out = (
        ""
        if wrap is None
        else (
            f'PromptedToolModel(model=..., protocol="{wrap.prompted}") writes tool calls as text, '
            f"whose tokens have logprobs{_tried(wrap)}"
        )
    )
    instead = written_out or "PromptedToolModel, which writes them as text, was tried, and does not help either"
    turned = known.answers.get(known.tools)
    if main.tools and main.prompted is None:
        pass  # with these settings tool calls have them
    elif known.marked(known.tools, Mark.NO):
        yield Hint(f"tool calls: {known.findings[known.tools].detail}. {instead}", needed=True)
    elif known.low(known.tools):
        yield Hint(f"most tokens of a tool call have no logprobs. {instead}", needed=True)
    elif isinstance(turned, Refusal):  # but for the time, or the server's state
        yield Hint(f"tool calls: not known ({turned.detail}). To know, {turned.cure}", needed=True)
    elif known.marked(known.tools, Mark.UNKNOWN):
        text = "no tool call came: look at the receipt's coverage once one does."
        yield Hint(f"{text} If this model calls no tools by itself, {written_out}" if wrap else text, needed=True)
    elif main.prompted is not None:
        yield Hint(f"through this class tool calls lose their logprobs. {instead}", needed=True)
    elif main.coverage is not None and main.tools is None and not known.failed("tools_stream"):
        yield Hint("with a tool on offer no logprobs came, whatever was set: use no tools", needed=True)
    least = main.best_of_n.get("min_coverage")
    best = known.best
    if least is not None and best is not None:
        told = f'best_of_n(..., on_missing="score", min_coverage={least:g}), or rollouts stay unscored'
        yield Hint(f"only {percent(best.coverage)} of the tokens have logprobs: {told}{_tried(main)}", needed=True)
    elif known.text_only and not (main.tools and main.prompted is None) and isinstance(turned, TrialAnswer):
        text = 'best_of_n(..., on_missing="score", min_coverage=0.2)'
        yield Hint(f"or {text} scores rollouts of which a fifth has logprobs; read their coverage", needed=False)
    if known.marked("reasoning", Mark.PARTLY):
        yield Hint(
            "reasoning tokens have no logprobs and count as gaps: turn reasoning off, or lower min_coverage", False
        )
    yield from _under_a_schema(known, _settings(main))


def _under_a_schema(known: Known, settings: dict[str, Any]) -> Iterator[Hint]:
    whole, streamed = known.answers.get("schema"), known.answers.get("schema_stream")
    if settings.get("disable_streaming") is True or not isinstance(whole, TrialAnswer) or whole.coverage < COVERED:
        return
    if known.failed("schema_stream") or (isinstance(streamed, TrialAnswer) and streamed.coverage >= COVERED):
        return
    came = f"{percent(streamed.coverage)} of the tokens" if isinstance(streamed, TrialAnswer) else "no answer"
    yield Hint(f"calls with a JSON schema: disable_streaming=True for them (streamed, {came} had logprobs)", False)


def _flags(known: Known, alone: bool) -> Iterator[Hint]:
    """Flags of the server's own, where a refusal is about them."""
    refusals = [*known.plain.refusals.values(), *known.answers.values()]
    flags = list(dict.fromkeys(flag for each in refusals if isinstance(each, Refusal) for flag in each.flags))
    flags = [f"{flag} {MOST}" if flag == "--max-logprobs" else flag for flag in flags]
    if flags:
        how = f"start the server with {' '.join(flags)}, which its refusal is about (its manual has their values)"
        yield Hint(how if alone else f"or {how}", needed=alone, server=tuple(flags))


def _to_know(known: Known) -> Iterator[Hint]:
    """What bears on the numbers."""
    if known.plain.limit is not None and known.plain.limit < FEW:
        yield Hint(f"with {known.plain.limit} candidates entropies are coarse: compare centroids with care", False)
    if known.marked("temperature", Mark.NO):
        yield Hint(
            "logprobs are after temperature: give all rollouts the same, or their entropies cannot be compared", False
        )
    if known.marked("seed", Mark.NO):
        yield Hint("the same seed gives another answer here: make rollouts differ by temperature, not by seed", False)
    if known.marked("model", Mark.NO):
        told = known.findings["model"].detail
        yield Hint(f"{told}: see that it is the model you mean; it gave all of these answers", False)


def _hopeless(target: Target, known: Known, ways: Sequence[Way]) -> Iterator[Hint]:
    if known.plain.scored or known.streams_only or known.marked("responses", Mark.YES):
        yield Hint(
            "logprobs come, but LangChain's classes lose them with every setting, so ec_agent cannot score the model "
            "through them; call it through an openai client",
            needed=True,
        )
    elif known.sampled_only:
        use = "use an endpoint that returns candidates (top_logprobs)"
        text = f"only the sampled tokens' logprobs come: there is no entropy to take; {use}"
        if ways:
            how = needs(target, known) and f" with {target.constructor(**_settings(ways[0]))}"
            text += f", or {ASK_BY_NAME}{how or ''}{_tried(ways[0])}"
        yield Hint(text, needed=True)
    else:
        what = "placeholders in the place of logprobs" if known.plain.placeholders else "no logprobs"
        yield Hint(
            f"this endpoint returns {what}, so nothing can be scored by logprobs: use a model and endpoint that return "
            f"logprobs, or {COUNT_ANSWERS}",
            needed=True,
        )
