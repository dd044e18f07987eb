"""The questions, in their order, and the report made of the answers."""

from __future__ import annotations

import time
from typing import Any, cast

from ec_agent.doctor.advice import settings_for, verdict_of
from ec_agent.doctor.endpoint import EndpointTarget
from ec_agent.doctor.first_question import (
    COVERED,
    Plain,
    ask_plainly,
    logprobs_finding,
    top_k_finding,
)
from ec_agent.doctor.model_names import may_be
from ec_agent.doctor.report import QUESTIONS, Finding, Mark, Report, Spent
from ec_agent.doctor.trials import SHORT, Refusal, Target, TrialAnswer, TrialQuestion
from ec_agent.doctor.trying_advice import LEGACY_MOST, Known, ways_for
from ec_agent.doctor.whose_logprobs import grammar_finding, held, sampled_finding, temperature_finding
from ec_agent.support.checks import refusal
from ec_agent.support.plans import Plan, adrive, drive

_SEEDS = (7, 7, 8)
_NO_ENDPOINT = (404, 405, 501)
_HOT = (2.0, 0.5)  # the second where the first is not taken


def diagnose(target: Target) -> Report:
    """Ask a model about its logprobs.

    Args:
        target: an ``EndpointTarget`` or a ``ChatModelTarget``.

    Raises:
        DoctorError: nobody is there, or we are not let in.
        ConfigError: ``target`` is something else.
    """
    return drive(probe(_checked(target)))


async def adiagnose(target: Target) -> Report:
    """The same on the event loop."""
    return await adrive(probe(_checked(target)))


def _checked(target: Any) -> Target:
    if isinstance(target, type) or not callable(getattr(target, "ask", None)):
        raise refusal("target", target, "an EndpointTarget(...) or a ChatModelTarget(...)")
    return cast("Target", target)


def probe(target: Target, *, scoring_only: bool = False) -> Plan[Report]:
    """Ask a model everything, or ``scoring_only`` what decides whether a rollout can be scored.

    Raises:
        DoctorError: nobody is there, or we are not let in.
    """
    started = time.monotonic()
    target.spent = Spent()
    plain = yield from ask_plainly(target, limit=not scoring_only)
    sampled = sampled_finding(plain.best, None if plain.best is None else plain.best.temperature)
    found = {f.question: f for f in (logprobs_finding(plain), top_k_finding(plain), sampled)}
    known = Known(plain, found, {})
    if plain.answers:
        yield from _ask_on(target, known, scoring_only)
    elif plain.streams and not scoring_only:
        yield from _ask_streamed(target, known)
    elif not any(refusal.hopeless for refusal in plain.refusals.values()) and not scoring_only:
        found["responses"] = yield from _responses(target, plain)
        unknown = any(refusal.status in _NO_ENDPOINT for refusal in plain.refusals.values())
        if unknown and isinstance(target, EndpointTarget) and not known.marked("responses", Mark.YES):
            found["completions"] = yield from _completions(target)
    if known.answered:  # after all of them: a model may think before one kind of answer alone
        found["reasoning"] = reasoning_finding(known)
    if plain.answers or plain.denied or known.answers:
        found["model"] = model_finding(target, known)
    why = "the plain question was not answered" if not plain.answers else "not needed for scoring"
    for question in QUESTIONS:
        found.setdefault(question, Finding(question, Mark.NOT_ASKED, target.unasked.get(question, why)))
    findings = tuple(found[question] for question in QUESTIONS)
    ways = yield from ways_for(target, known, scoring_only=scoring_only)
    settings = settings_for(target, known, ways)
    verdict = verdict_of(known, settings, ways)
    return Report(target.name, findings, verdict, settings, target.spent, time.monotonic() - started, ways)


def _ask_on(target: Target, known: Known, scoring_only: bool) -> Plan[None]:
    top, found, longest = known.plain.top, known.findings, known.plain.max_tokens

    def put(finding: Finding) -> None:
        found[finding.question] = finding

    known.answers["tools"] = yield from target.ask(TrialQuestion(top, tools=True, max_tokens=longest))
    put(tools_finding("tools", known.answers["tools"], known.plain))
    if scoring_only and known.plain.scored:
        return
    known.answers["stream"] = yield from target.ask(TrialQuestion(top, stream=True, max_tokens=longest))
    put(stream_finding(known.answers["stream"], known.plain))
    both = TrialQuestion(top, tools=True, stream=True, max_tokens=longest)
    known.answers["tools_stream"] = yield from target.ask(both)
    put(tools_finding("tools_stream", known.answers["tools_stream"], known.plain))
    put(usage_finding(known))
    if scoring_only:
        return
    yield from _temperature(target, known)
    yield from _schema(target, known)
    if "n" not in target.unasked:
        put((yield from _choices(target, known.plain)))
    if target.first is not None:
        put((yield from _responses(target, known.plain)))
    else:
        put(_speaks_responses(known.plain))
    put((yield from _seed(target)))


def _ask_streamed(target: Target, known: Known) -> Plan[None]:
    """What can be asked of a model that answers with streams alone."""
    top = target.first
    known.answers["stream"] = outcome = yield from target.ask(TrialQuestion(top, stream=True))
    known.findings["stream"] = stream_finding(outcome, known.plain)
    if isinstance(outcome, TrialAnswer):
        known.answers["tools_stream"] = both = yield from target.ask(TrialQuestion(top, tools=True, stream=True))
        known.findings["tools_stream"] = tools_finding("tools_stream", both, known.plain)
        known.findings["usage"] = usage_finding(known)


def _temperature(target: Target, known: Known) -> Plan[None]:
    """Whose distribution the logprobs are, and whether sampled tokens are among their candidates."""
    found, plain = known.findings, known.plain
    if not plain.scored or plain.best is None:
        found["temperature"] = Finding("temperature", Mark.NOT_ASKED, "there are no candidates")
        return
    if "temperature" in plain.best.left_out:
        found["temperature"] = Finding("temperature", Mark.UNKNOWN, "the model takes no temperature with a call")
        return
    cold: TrialAnswer | Refusal = plain.best
    if plain.best.temperature != 0.0:
        cold = yield from target.ask(TrialQuestion(plain.top, temperature=0.0, max_tokens=SHORT))
    hot, temperature = cold, 0.0
    for temperature in _HOT if isinstance(cold, TrialAnswer) else ():
        hot = yield from target.ask(TrialQuestion(plain.top, temperature=temperature, max_tokens=SHORT))
        if not (isinstance(hot, Refusal) and hot.about("temperature")):
            break
    found["temperature"] = temperature_finding(cold, hot, temperature)
    if isinstance(hot, TrialAnswer) and hot.scored and hot.temperature:
        found["sampled"] = sampled_finding(hot, hot.temperature)


def _schema(target: Target, known: Known) -> Plan[None]:
    """What comes where a schema holds the answer, whole and streamed."""
    for question, stream in (("schema", False), ("schema_stream", True)):
        asked = TrialQuestion(known.plain.top, schema=True, stream=stream, max_tokens=known.plain.max_tokens)
        known.answers[question] = outcome = yield from target.ask(asked)
        known.findings[question] = schema_finding(question, outcome)
    known.findings["grammar"] = grammar_finding(known.answers["schema"])


def schema_finding(question: str, outcome: TrialAnswer | Refusal) -> Finding:
    """Whether an answer that a schema holds comes with candidates."""
    if isinstance(outcome, Refusal):
        return Finding(question, _refused(outcome), outcome.detail)
    loose = "" if held(outcome) else "; the schema is not held"
    if not outcome.scored:
        return Finding(question, Mark.NO, f"an answer came, {_lacking(outcome)}{loose}", 0.0)
    mark = Mark.YES if outcome.coverage >= COVERED and not loose else Mark.PARTLY
    return Finding(question, mark, outcome.covered + loose, outcome.coverage)


def model_finding(target: Target, known: Known) -> Finding:
    """Whether the model that answered is the one that was asked."""
    names = sorted({name for answer in known.answered if isinstance(name := answer.payload.model, str) and name})
    asked = target.model_name
    if not names or not asked:
        return Finding("model", Mark.UNKNOWN, "the answers name no model" if asked else "the model has no name")
    if names == [asked]:
        return Finding("model", Mark.YES, f"{asked} answered")
    told = f"{asked} was asked, {', '.join(names)} answered"
    kin = all(may_be(asked, name) for name in names)
    return Finding("model", Mark.PARTLY if kin else Mark.NO, told)


def tools_finding(question: str, outcome: TrialAnswer | Refusal, plain: Plain) -> Finding:
    """Whether a tool call comes, and its tokens with candidates."""
    if isinstance(outcome, Refusal):
        return Finding(question, _refused(outcome), outcome.detail)
    if not plain.scored and not outcome.scored:
        called = "a tool call came" if outcome.tool_calls else "no tool call came"
        return Finding(question, Mark.NO, f"{called}, {_lacking(outcome)}", 0.0)
    if not outcome.tool_calls:
        if not outcome.scored:
            return Finding(question, Mark.NO, "no tool call came, and its answer has no logprobs", 0.0)
        text = f"no tool call came, so not known; the text in its place has {outcome.covered}"
        return Finding(question, Mark.UNKNOWN, text)
    if not outcome.scored:
        return Finding(question, Mark.NO, f"a tool call came, {_lacking(outcome)}", 0.0)
    if not outcome.counted:
        text = f"a tool call came; {outcome.covered}, but no usage says how many there were"
        return Finding(question, Mark.PARTLY, text)
    mark = Mark.YES if outcome.coverage >= COVERED else Mark.PARTLY
    return Finding(question, mark, f"a tool call came; {outcome.covered}", outcome.coverage)


def _lacking(answer: TrialAnswer) -> str:
    return "with the sampled tokens' logprobs only" if answer.sampled_only else "without logprobs"


def stream_finding(outcome: TrialAnswer | Refusal, plain: Plain) -> Finding:
    """Whether a streamed answer comes with candidates."""
    if isinstance(outcome, Refusal):
        return Finding("stream", _refused(outcome), outcome.detail)
    if not outcome.scored:
        lost = ", though they come unstreamed" if plain.scored else ""
        return Finding("stream", Mark.NO, f"streams, {_lacking(outcome)}{lost}", 0.0)
    mark = Mark.YES if outcome.coverage >= COVERED else Mark.PARTLY
    return Finding("stream", mark, outcome.covered, outcome.coverage)


def reasoning_finding(known: Known) -> Finding:
    """Whether there is reasoning apart from the answer, and its tokens with candidates."""
    thought = [a for a in known.answered if a.reasoning or a.reasoning_tokens]
    if not thought:
        inside = any("<think>" in answer.text for answer in known.answered)
        return Finding("reasoning", Mark.YES if inside else Mark.NO, "inside the content" if inside else "none seen")
    best = max(thought, key=lambda answer: answer.coverage)
    reported = f"{best.reasoning_tokens} reasoning tokens reported" if best.reasoning_tokens else "reasoning came"
    if best.counted and best.coverage >= COVERED:
        return Finding("reasoning", Mark.YES, f"{reported}, with candidates", best.coverage)
    return Finding("reasoning", Mark.PARTLY, f"{reported}; {best.covered} in all", best.coverage)


def usage_finding(known: Known) -> Finding:
    """Whether generated tokens are reported, streamed too."""
    best, streamed = known.plain.best, known.answers["stream"]
    whole = best is not None and best.counted
    if isinstance(streamed, Refusal):
        return Finding("usage", Mark.YES if whole else Mark.NO, "unstreamed; streaming was refused")
    if whole == streamed.counted:
        return Finding("usage", Mark.YES if whole else Mark.NO, "streamed and unstreamed" if whole else "neither way")
    return Finding("usage", Mark.PARTLY, "unstreamed only" if whole else "streamed only")


def _refused(refusal: Refusal) -> Mark:
    return Mark.UNKNOWN if refusal.hopeless else Mark.NO


def _choices(target: Target, plain: Plain) -> Plan[Finding]:
    outcome = yield from target.ask(TrialQuestion(plain.top, n=2, max_tokens=plain.max_tokens))
    if isinstance(outcome, Refusal):
        return Finding("n", _refused(outcome), outcome.detail)
    if len(outcome.choices) < 2:
        return Finding("n", Mark.NO, f"2 choices asked, {len(outcome.choices)} came")
    with_logprobs = sum(bool(choice.entries) for choice in outcome.choices)
    complete = with_logprobs == len(outcome.choices) or not plain.scored
    share = f"{len(outcome.choices)} choices came"
    if not plain.placeholders:
        share += f", {with_logprobs} with logprobs"
    return Finding("n", Mark.YES if complete else Mark.PARTLY, share)


def _responses(target: Target, plain: Plain) -> Plan[Finding]:
    top = plain.top or target.first
    outcome = yield from target.ask(TrialQuestion(top, responses=True, max_tokens=plain.max_tokens))
    if isinstance(outcome, Refusal) and outcome.about("top_logprobs"):
        outcome = yield from target.ask(TrialQuestion(0, responses=True, max_tokens=plain.max_tokens))
    if isinstance(outcome, Refusal):
        missing = "; there is none here" if plain.answers and outcome.status in _NO_ENDPOINT else ""
        return Finding("responses", _refused(outcome), outcome.detail + missing)
    return _heard_responses(outcome)


def _completions(target: Target) -> Plan[Finding]:
    outcome = yield from target.ask(TrialQuestion(LEGACY_MOST, completions=True))
    if isinstance(outcome, Refusal):
        return Finding("completions", _refused(outcome), outcome.detail)
    if not outcome.scored:
        return Finding("completions", Mark.PARTLY, "it answers, without candidates", 0.0)
    return Finding("completions", Mark.YES, outcome.covered, outcome.coverage)


def _heard_responses(answer: TrialAnswer) -> Finding:
    if answer.scored:
        return Finding("responses", Mark.YES, answer.covered, answer.coverage)
    what = "of the sampled tokens only" if answer.sampled_only else "none"
    return Finding("responses", Mark.PARTLY, f"it answers; logprobs: {what}", 0.0)


def _speaks_responses(plain: Plain) -> Finding:
    best = plain.best
    if best is None or not best.responses:
        return Finding("responses", Mark.NOT_ASKED, "the model does not use it")
    return _heard_responses(best)


def _seed(target: Target) -> Plan[Finding]:
    said = []
    for seed in _SEEDS:
        outcome = yield from target.ask(TrialQuestion(None, seed=seed))
        if isinstance(outcome, Refusal):
            return Finding("seed", _refused(outcome), outcome.detail)
        if "seed" in outcome.left_out:
            return Finding("seed", Mark.UNKNOWN, "the model takes no seed with a call")
        said.append(outcome.said)
    same, other = said[0] == said[1], said[0] == said[2]
    if not any(said):
        return Finding("seed", Mark.UNKNOWN, "no text came to compare")
    if same and other:
        return Finding("seed", Mark.UNKNOWN, "inconclusive: the same text three times, whatever the seed")
    if same:
        return Finding("seed", Mark.YES, "same seed, same text; another seed, another text")
    return Finding("seed", Mark.NO, "same seed, another text")
