"""The questions, in their order, and the report made of the answers."""

from __future__ import annotations

import time

from ec_agent.doctor.advice import Known, settings_for, verdict_of
from ec_agent.doctor.answers import Answer, Question, Refusal, Target
from ec_agent.doctor.plain import (
    COVERED,
    Plain,
    ask_plainly,
    logprobs_finding,
    sampled_finding,
    top_k_finding,
)
from ec_agent.doctor.report import QUESTIONS, Finding, Mark, Report, Spent
from ec_agent.support.plans import Plan, adrive, drive

_SEEDS = (7, 7, 8)
_NO_ENDPOINT = (404, 405, 501)


def diagnose(target: Target) -> Report:
    """Ask a model about its logprobs.

    Args:
        target: an ``EndpointTarget`` or a ``ChatModelTarget``.

    Raises:
        DoctorError: nobody is there, or we are not let in.
    """
    return drive(probe(target))


async def adiagnose(target: Target) -> Report:
    """The same on the event loop."""
    return await adrive(probe(target))


def probe(target: Target, *, scoring_only: bool = False) -> Plan[Report]:
    """Ask a model everything, or ``scoring_only`` what decides whether a rollout can be scored.

    Raises:
        DoctorError: nobody is there, or we are not let in.
    """
    started = time.monotonic()
    target.spent = Spent()
    plain = yield from ask_plainly(target, limit=not scoring_only)
    found = {f.question: f for f in (logprobs_finding(plain), top_k_finding(plain), sampled_finding(plain))}
    known = Known(plain, found, {})
    if plain.answers:
        yield from _ask_on(target, known, scoring_only)
    elif not any(refusal.hopeless for refusal in plain.refusals.values()) and not scoring_only:
        found["responses"] = yield from _responses(target, plain)
    why = "the plain question was not answered" if not plain.answers else "not needed for scoring"
    for question in QUESTIONS:
        found.setdefault(question, Finding(question, Mark.NOT_ASKED, target.unasked.get(question, why)))
    findings = tuple(found[question] for question in QUESTIONS)
    settings = settings_for(target, known)
    verdict = verdict_of(known, settings)
    return Report(target.name, findings, verdict, settings, target.spent, time.monotonic() - started)


def _ask_on(target: Target, known: Known, scoring_only: bool) -> Plan[None]:
    top, found, longest = known.plain.top, known.findings, known.plain.max_tokens

    def put(finding: Finding) -> None:
        found[finding.question] = finding

    known.answers["tools"] = yield from target.ask(Question(top, tools=True, max_tokens=longest))
    put(tools_finding("tools", known.answers["tools"], known.plain))
    put(reasoning_finding(known))
    if scoring_only:
        return
    known.answers["stream"] = yield from target.ask(Question(top, stream=True, max_tokens=longest))
    put(stream_finding(known.answers["stream"], known.plain))
    both = Question(top, tools=True, stream=True, max_tokens=longest)
    known.answers["tools_stream"] = yield from target.ask(both)
    put(tools_finding("tools_stream", known.answers["tools_stream"], known.plain))
    put(usage_finding(known))
    if "n" not in target.unasked:
        put((yield from _choices(target, known.plain)))
    if target.first is not None:
        put((yield from _responses(target, known.plain)))
    else:
        put(_speaks_responses(known.plain))
    put((yield from _seed(target)))


def tools_finding(question: str, outcome: Answer | Refusal, plain: Plain) -> Finding:
    """Whether a tool call comes, and its tokens with candidates."""
    if isinstance(outcome, Refusal):
        return Finding(question, _refused(outcome), outcome.detail)
    trajectory = outcome.trajectory
    share = f"candidates for {trajectory.scored_tokens} of {len(trajectory)} tokens"
    if not plain.scored:
        called = "a tool call came" if outcome.tool_calls else "no tool call came"
        return Finding(question, Mark.NO, f"{called}, without logprobs", 0.0)
    if not outcome.tool_calls:
        if not outcome.scored:
            return Finding(question, Mark.NO, "no tool call came, and its answer has no logprobs", 0.0)
        return Finding(question, Mark.UNKNOWN, f"no tool call came, so not known; the text in its place has {share}")
    if not outcome.scored:
        return Finding(question, Mark.NO, "a tool call came, without logprobs", 0.0)
    if not outcome.counted:
        return Finding(question, Mark.PARTLY, f"a tool call came; {share}, but no usage says how many there were")
    mark = Mark.YES if outcome.coverage >= COVERED else Mark.PARTLY
    return Finding(question, mark, f"a tool call came; {share}", outcome.coverage)


def stream_finding(outcome: Answer | Refusal, plain: Plain) -> Finding:
    """Whether a streamed answer comes with candidates."""
    if isinstance(outcome, Refusal):
        return Finding("stream", _refused(outcome), outcome.detail)
    if not outcome.scored:
        lost = ", though they come unstreamed" if plain.scored else ""
        return Finding("stream", Mark.NO, f"streams, without logprobs{lost}", 0.0)
    trajectory = outcome.trajectory
    mark = Mark.YES if outcome.coverage >= COVERED else Mark.PARTLY
    share = f"candidates for {trajectory.scored_tokens} of {len(trajectory)} tokens"
    return Finding("stream", mark, share, outcome.coverage)


def reasoning_finding(known: Known) -> Finding:
    """Whether there is reasoning apart from the answer, and its tokens with candidates."""
    answers = [*known.plain.answers.values(), *(a for a in known.answers.values() if isinstance(a, Answer))]
    thought = [a for a in answers if a.reasoning or a.reasoning_tokens]
    if not thought:
        inside = any("<think>" in answer.text for answer in answers)
        return Finding("reasoning", Mark.YES if inside else Mark.NO, "inside the content" if inside else "none seen")
    best = max(thought, key=lambda answer: answer.coverage)
    reported = f"{best.reasoning_tokens} reasoning tokens reported" if best.reasoning_tokens else "reasoning came"
    if best.counted and best.coverage >= COVERED:
        return Finding("reasoning", Mark.YES, f"{reported}, with candidates", best.coverage)
    seen = f"candidates for {best.trajectory.scored_tokens} of {len(best.trajectory)} tokens in all"
    return Finding("reasoning", Mark.PARTLY, f"{reported}; {seen}", best.coverage)


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
    outcome = yield from target.ask(Question(plain.top, n=2, max_tokens=plain.max_tokens))
    if isinstance(outcome, Refusal):
        return Finding("n", _refused(outcome), outcome.detail)
    if len(outcome.choices) < 2:
        return Finding("n", Mark.NO, f"2 choices asked, {len(outcome.choices)} came")
    with_logprobs = sum(bool(choice.entries) for choice in outcome.choices)
    complete = with_logprobs == len(outcome.choices) or not plain.scored
    share = f"{len(outcome.choices)} choices came, {with_logprobs} with logprobs"
    return Finding("n", Mark.YES if complete else Mark.PARTLY, share)


def _responses(target: Target, plain: Plain) -> Plan[Finding]:
    top = plain.top or target.first
    outcome = yield from target.ask(Question(top, responses=True, max_tokens=plain.max_tokens))
    if isinstance(outcome, Refusal) and outcome.about("top_logprobs"):
        outcome = yield from target.ask(Question(0, responses=True, max_tokens=plain.max_tokens))
    if isinstance(outcome, Refusal):
        missing = "; there is none here" if plain.answers and outcome.status in _NO_ENDPOINT else ""
        return Finding("responses", _refused(outcome), outcome.detail + missing)
    return _heard_responses(outcome)


def _heard_responses(answer: Answer) -> Finding:
    if answer.scored:
        trajectory = answer.trajectory
        share = f"candidates for {trajectory.scored_tokens} of {len(trajectory)} tokens"
        return Finding("responses", Mark.YES, share, answer.coverage)
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
        outcome = yield from target.ask(Question(None, seed=seed))
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
