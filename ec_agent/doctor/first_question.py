"""The first question: do logprobs come, and with how many candidates?"""

from __future__ import annotations

from dataclasses import dataclass, field

from ec_agent.capture.request_logprobs import ABOUT_LOGPROBS
from ec_agent.capture.shapes import get
from ec_agent.doctor.report import Finding, Mark
from ec_agent.doctor.trials import LONG, SHORT, Refusal, Target, TrialAnswer, TrialQuestion
from ec_agent.support.plans import Plan

MOST = 20
LADDER = (MOST, 8, 5, 3, 2)  # of a single candidate no entropy can be taken
COVERED = 0.9  # an answer's end token, and a special token or two, may go without

# What was asked of a model that says how it wants to be asked; see TrialQuestion.top.
Top = int | None


@dataclass(slots=True)
class Plain:
    """How the plain question was answered, by the candidates asked for.

    Attributes:
        first: the ``top`` of the first question.
        outcomes: what came, by ``top``.
        limit: the most candidates that come, where there is a limit.
        max_tokens: how long an answer must be allowed to be.
    """

    first: Top
    outcomes: dict[Top, TrialAnswer | Refusal] = field(default_factory=dict)
    limit: int | None = None
    max_tokens: int = SHORT

    @property
    def as_is(self) -> TrialAnswer | Refusal:
        """What the first question brought."""
        return self.outcomes[self.first]

    @property
    def answers(self) -> dict[Top, TrialAnswer]:
        """The outcomes that are answers."""
        return {top: found for top, found in self.outcomes.items() if isinstance(found, TrialAnswer)}

    @property
    def refusals(self) -> dict[Top, Refusal]:
        """The outcomes that are none."""
        return {top: found for top, found in self.outcomes.items() if isinstance(found, Refusal)}

    @property
    def scored(self) -> dict[Top, TrialAnswer]:
        """The answers that a rollout can be scored on."""
        return {top: found for top, found in self.answers.items() if found.scored}

    @property
    def placeholders(self) -> bool:
        """Whether what came in the place of logprobs measures nothing."""
        answers = self.answers.values()
        if any(answer.scored or answer.sampled_only for answer in answers):
            return False
        numbers = (get(entry, "logprob") for answer in answers for entry in answer.payload.entries)
        return any(isinstance(number, float | int) for number in numbers)

    @property
    def streams(self) -> bool:
        """Whether nothing was answered because it was not asked to be streamed, by what the refusals say."""
        return not self.answers and any(r.about("stream") and not r.hopeless for r in self.refusals.values())

    @property
    def denied(self) -> bool:
        """Whether nothing was answered because logprobs were asked for: a model may not know how not to."""
        return not self.answers and all(refusal.about(*ABOUT_LOGPROBS) for refusal in self.refusals.values())

    @property
    def top(self) -> Top:
        """What to ask for from now on: as at first if that worked, else the most that did, else nothing."""
        if self.first in self.scored or (not self.scored and self.first in self.answers):
            return self.first
        brought = self.scored or [top for top, answer in self.answers.items() if answer.sampled_only]
        return max((top for top in brought if top is not None), default=None)

    @property
    def best(self) -> TrialAnswer | None:
        """The answer to that, or whatever answer there is."""
        return self.answers.get(self.top) or next(iter(self.answers.values()), None)


def ask_plainly(target: Target, *, limit: bool = True) -> Plan[Plain]:
    """Ask the plain question until candidates come, or it is clear that none will.

    Args:
        target: the model.
        limit: find out too how many candidates can be had.
    """
    plain = Plain(target.first)
    yield from _ask(target, plain, target.first)
    if isinstance(plain.as_is, Refusal):
        yield from _after_a_refusal(target, plain, plain.as_is)
    if plain.answers or (isinstance(plain.as_is, Refusal) and plain.as_is.about(*ABOUT_LOGPROBS)):
        yield from _down_the_ladder(target, plain)
    if not plain.answers and None not in plain.outcomes and not _hopeless(plain):
        yield from _ask(target, plain, None)  # does it answer at all?
    if (
        limit
        and plain.scored
        and isinstance(plain.as_is, TrialAnswer)
        and plain.first is None
        and plain.as_is.top < MOST
    ):
        yield from _ask(target, plain, MOST)
    _note_the_limit(plain)
    return plain


def _ask(target: Target, plain: Plain, top: Top) -> Plan[None]:
    outcome = yield from target.ask(TrialQuestion(top=top, max_tokens=plain.max_tokens))
    if isinstance(outcome, TrialAnswer) and outcome.cut_in_reasoning and not outcome.scored and plain.max_tokens < LONG:
        plain.max_tokens = LONG
        longer = yield from target.ask(TrialQuestion(top=top, max_tokens=LONG))
        outcome = longer if isinstance(longer, TrialAnswer) else outcome
    plain.outcomes[top] = outcome


def _after_a_refusal(target: Target, plain: Plain, refusal: Refusal) -> Plan[None]:
    """Is it the logprobs that were refused, or anything?"""
    if plain.first is not None and not refusal.hopeless and not refusal.about(*ABOUT_LOGPROBS):
        yield from _ask(target, plain, None)


def _down_the_ladder(target: Target, plain: Plain) -> Plan[None]:
    """Fewer candidates, until some come."""
    steps = [step for step in LADDER if step not in plain.outcomes]
    while steps and not plain.scored and not _hopeless(plain):
        last = list(plain.refusals.values())
        named = last[-1].number() if last else None
        if named is not None and named not in plain.outcomes:
            step = named
        elif plain.refusals or MOST in steps:
            step = steps[0]
        else:
            step = 5  # nothing is refused and nothing comes: one other number has to do
        yield from _ask(target, plain, step)
        silent = isinstance(plain.outcomes[step], TrialAnswer) and not plain.scored
        steps = [] if silent and step != MOST else [s for s in steps if s < step]
    if plain.refusals and not plain.answers and not _hopeless(plain):
        yield from _ask(target, plain, 0)


def _hopeless(plain: Plain) -> bool:
    return any(refusal.hopeless for refusal in plain.refusals.values())


def _note_the_limit(plain: Plain) -> None:
    came = max((answer.top for answer in plain.scored.values()), default=0)
    asked = [top for top in plain.outcomes if top]
    if came and any(top > came for top in asked):
        plain.limit = came


def logprobs_finding(plain: Plain) -> Finding:
    """Whether logprobs come."""
    as_is, best = plain.as_is, plain.best
    if isinstance(as_is, TrialAnswer) and as_is.scored:
        mark = Mark.YES if as_is.coverage >= COVERED else Mark.PARTLY
        return Finding("logprobs", mark, _covered(as_is), as_is.coverage)
    if best is not None and best.scored:
        before = "refused as it is" if isinstance(as_is, Refusal) else "none as it is"
        works_as_asked = plain.first is not None  # the endpoint's own limit is no fault
        detail = _covered(best) if works_as_asked else f"{before}; asked for {plain.top} candidates: {_covered(best)}"
        mark = Mark.YES if works_as_asked and best.coverage >= COVERED else Mark.PARTLY
        return Finding("logprobs", mark, detail, best.coverage if works_as_asked else 0.0)
    if best is None and not plain.denied:
        return Finding("logprobs", Mark.UNKNOWN, next(iter(plain.refusals.values())).detail)
    if any(answer.sampled_only for answer in plain.answers.values()):
        single = any(answer.top for answer in plain.answers.values())
        what = "one candidate a token" if single else "of the sampled tokens only"
        return Finding("logprobs", Mark.NO, f"{what}: no entropy can be taken of that", 0.0)
    refused = next((found for top, found in plain.refusals.items() if top is not None), None)
    if refused is None and plain.placeholders:
        return Finding("logprobs", Mark.NO, "placeholders, such as 0.0 for each token, which measure nothing", 0.0)
    return Finding("logprobs", Mark.NO, refused.detail if refused else "asked for, and none came", 0.0)


def _covered(answer: TrialAnswer) -> str:
    trajectory = answer.trajectory
    note = "" if answer.counted else " (no usage reported: missing ones would not show)"
    return f"candidates for {trajectory.scored_tokens} of {len(trajectory)} generated tokens{note}"


def top_k_finding(plain: Plain) -> Finding:
    """How many candidates can be had."""
    if not plain.scored:
        return Finding("top_k", Mark.NOT_ASKED, "there are no candidates")
    came = max(answer.top for answer in plain.scored.values())
    if came == 0:
        return Finding("top_k", Mark.UNKNOWN, "their number is not told in a form read here")
    if plain.limit is None:
        asked = max((top for top in plain.outcomes if top), default=None)
        return Finding("top_k", Mark.YES, f"{came} come" if asked is None else f"{asked} asked, {came} came")
    refused = next((found for top, found in plain.refusals.items() if top and top > came), None)
    asked = max(top for top in plain.outcomes if top)
    return Finding(
        "top_k", Mark.PARTLY, f"{came} at most; {asked} asked: {refused.detail if refused else 'fewer came'}"
    )
