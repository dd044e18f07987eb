"""The doctor's lines, each held against the raw answers to the questions that it asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import by_hand
from answer_tap import Exchange
from by_hand import Answer, Choice
from engine_checks import Asking, Result

from ec_agent.doctor import EndpointTarget, diagnose
from ec_agent.doctor.report import QUESTIONS, Finding, Mark, Report
from ec_agent.errors import EcAgentError

FORBIDDEN = -30.0
HELD = '{"answer":"blue"}'


def lines(asking: Asking) -> Iterator[Result]:
    """Ask the doctor, and judge each of its lines by hand."""
    before = len(asking.tap.exchanges)
    try:
        report = diagnose(EndpointTarget(asking.tap.url, asking.model, timeout=asking.seconds))
    except EcAgentError as error:
        yield Result("doctor", str(error)[:120], "it gave no report")
        return
    yield from judged(report, Heard(asking.tap.exchanges[before:]))


def judged(report: Report, heard: Heard) -> Iterator[Result]:
    """Each line of a report, with what is wrong with it."""
    for question in QUESTIONS:
        finding = report.finding(question)
        said = f"{finding.mark}: {finding.detail}"
        yield Result(f"doctor: {QUESTIONS[question]}", said, _wrong(question, finding, heard))
    yield Result("doctor: verdict", str(report.verdict), _verdict_wrong(report, heard))


class Heard:
    """The exchanges of one report, by what was asked. Of the same question asked twice, the first counts."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self.all = list(exchanges)

    def of(self, *, path: str = "/chat/completions", **wanted: Any) -> list[Exchange]:
        """Those whose request has these values, or has (``True``) or lacks (``False``) such a key."""
        return [e for e in self.all if e.path.endswith(path) and all(_has(e.asked, *each) for each in wanted.items())]

    def plain(self) -> list[Exchange]:
        """Plain questions about logprobs, whole, at temperature 0."""
        asked = self.of(tools=False, stream=False, response_format=False, n=False, seed=False, top_logprobs=True)
        return [e for e in asked if e.asked.get("temperature") in (None, 0, 0.0)]

    def hot(self) -> list[Exchange]:
        return [e for e in self.of(tools=False, stream=False, n=False, seed=False) if e.asked.get("temperature") == 2.0]


def _has(asked: Any, key: str, wanted: Any) -> bool:
    return bool(asked.get(key)) == wanted if isinstance(wanted, bool) else asked.get(key) == wanted


def _first(exchanges: Sequence[Exchange]) -> Choice | None:
    """The first answer's choice; ``None`` if it was refused, or there is none."""
    answer = _answer(exchanges)
    return None if answer is None or not answer.choices else answer.first


def _answer(exchanges: Sequence[Exchange]) -> Answer | None:
    return by_hand.read(exchanges[0]) if exchanges and exchanges[0].status == 200 else None


def _wrong(question: str, finding: Finding, heard: Heard) -> str:
    """What is wrong with a finding, judged by hand; nothing where a line says nothing that can be judged."""
    judged = JUDGES[question](heard)
    if finding.mark is Mark.NOT_ASKED or judged is None:
        return ""
    return "" if finding.mark in judged else f"by hand: {' or '.join(judged)}"


def _by_coverage(exchanges: Sequence[Exchange]) -> set[Mark] | None:
    """Yes where nine tokens of ten have an entropy, partly where some have one."""
    if not exchanges:
        return None
    answer = _answer(exchanges)
    if answer is None or not answer.choices:
        return {Mark.NO, Mark.UNKNOWN}
    known, counted = len(answer.first.known), max(answer.counted or 0, len(answer.first.entries))
    if not known:
        return {Mark.NO}
    share = known / counted
    return {Mark.YES} if share >= 0.91 else {Mark.PARTLY} if share < 0.85 else {Mark.YES, Mark.PARTLY}


def _logprobs(heard: Heard) -> set[Mark] | None:
    answered = [e for e in heard.plain() if e.status == 200]
    brought = [e for e in answered if (choice := _first([e])) is not None and choice.known]
    return _by_coverage(brought) if brought else {Mark.NO, Mark.UNKNOWN}


def _top_k(heard: Heard) -> set[Mark] | None:
    asked = [e for e in heard.plain() if e.status == 200]
    most = max((len(row) for e in asked for row in by_hand.read(e).first.rows), default=0)
    if not most:
        return {Mark.NOT_ASKED, Mark.UNKNOWN}
    # Refusals count: they tell that fewer come than were asked for.
    wanted = max(e.asked["top_logprobs"] for e in heard.plain())
    return {Mark.PARTLY} if most < wanted else {Mark.YES}


def _sampled(heard: Heard) -> set[Mark] | None:
    choice = _first(heard.hot()) or _first(heard.plain())
    told = [entry for entry in choice.entries if entry.get("top_logprobs")] if choice is not None else []
    if not told:
        return None
    inside = sum(map(by_hand.inside, told))
    # Of parts of characters, which share a text, nothing may tell.
    every = {Mark.YES, Mark.UNKNOWN} if inside == len(told) else {Mark.PARTLY, Mark.UNKNOWN}
    return every if inside else {Mark.NO, Mark.UNKNOWN}


def _temperature(heard: Heard) -> set[Mark] | None:
    cold, hot = _first(heard.plain()), _first(heard.hot())
    if cold is None or hot is None or not cold.rows or not hot.rows:
        return None
    ones, others = ({str(each.get("token")): each["logprob"] for each in choice.rows[0]} for choice in (cold, hot))
    shared = [(ones[name], others[name]) for name in ones.keys() & others.keys()]
    if len(shared) < 3 or max(one for one, _ in shared) - min(one for one, _ in shared) < 1:
        return None
    if max(abs(one - other) for one, other in shared) < 0.1:
        return {Mark.YES}
    spread = [max(side) - min(side) for side in zip(*shared, strict=True)]
    return {Mark.NO} if 0.45 < spread[1] / spread[0] < 0.55 else None


def _tools(stream: bool) -> Callable[[Heard], set[Mark] | None]:
    def judged(heard: Heard) -> set[Mark] | None:
        asked = heard.of(tools=True, stream=stream)
        if not asked:
            return None
        choice = _first(asked)
        if choice is None:
            return {Mark.NO, Mark.UNKNOWN}
        if not choice.calls:
            return {Mark.UNKNOWN} if choice.known else {Mark.NO}
        found = _by_coverage(asked) or set()
        return found | {Mark.PARTLY} if _answer(asked).counted is None else found  # type: ignore[union-attr]

    return judged


def _stream(heard: Heard) -> set[Mark] | None:
    return _by_coverage(heard.of(tools=False, stream=True, response_format=False, n=False, seed=False))


def _schema(stream: bool) -> Callable[[Heard], set[Mark] | None]:
    def judged(heard: Heard) -> set[Mark] | None:
        asked = heard.of(response_format=True, stream=stream)
        found, choice = _by_coverage(asked), _first(asked)
        if found and choice is not None and choice.known and HELD not in "".join(choice.text.split()):
            return {Mark.PARTLY}
        return found

    return judged


def _grammar(heard: Heard) -> set[Mark] | None:
    """The first token says it, where the answer begins with the JSON: what else could have stood there?"""
    choice = _first(heard.of(response_format=True, stream=False))
    if choice is None or not choice.known:
        return {Mark.UNKNOWN}
    if HELD not in "".join(choice.text.split()):
        return {Mark.UNKNOWN}
    others = [each for each in choice.rows[0] if not HELD.startswith("".join(str(each.get("token")).split()))]
    named = [each for each in others if isinstance(each.get("token"), str) and each["token"]]
    if any(each["logprob"] > FORBIDDEN for each in named):
        return {Mark.YES}
    return None if not named else {Mark.NO, Mark.YES, Mark.UNKNOWN}


def _n(heard: Heard) -> set[Mark] | None:
    asked = heard.of(n=2)
    if not asked:
        return None
    answer = _answer(asked)
    if answer is None or len(answer.choices) < 2:
        return {Mark.NO, Mark.UNKNOWN}
    with_logprobs = [bool(choice.entries) for choice in answer.choices]
    return {Mark.YES} if all(with_logprobs) or not any(with_logprobs) else {Mark.PARTLY}


def _responses(heard: Heard) -> set[Mark] | None:
    asked = heard.of(path="/responses")
    if not asked:
        return None
    if asked[-1].status != 200:
        return {Mark.NO, Mark.UNKNOWN}
    try:
        found = json.dumps(asked[-1].answer)
    except ValueError:  # transformers streams, though it was not asked to
        return {Mark.NO, Mark.UNKNOWN}
    return {Mark.YES} if '"top_logprobs": [{' in found else {Mark.PARTLY}


def _seed(heard: Heard) -> set[Mark] | None:
    said = [choice.text for e in heard.of(seed=True) if (choice := _first([e])) is not None]
    if len(said) < 3:
        return None
    if said[0] != said[1]:
        return {Mark.NO}
    return {Mark.UNKNOWN} if said[0] == said[2] else {Mark.YES}


def _usage(heard: Heard) -> set[Mark] | None:
    streamed = heard.of(tools=False, stream=True, response_format=False)
    whole, parts = _answer(heard.plain()), _answer(streamed)
    if whole is None or parts is None:
        return None
    counted = {whole.counted is not None, parts.counted is not None}
    return {Mark.PARTLY} if len(counted) == 2 else {Mark.YES} if counted == {True} else {Mark.NO}


def _model(heard: Heard) -> set[Mark] | None:
    chat = [e for e in heard.of() if e.status == 200]
    named = set().union(*(by_hand.read(e).models for e in chat)) if chat else set()
    if not named:
        return {Mark.UNKNOWN}
    return {Mark.YES} if named == {chat[0].asked["model"]} else {Mark.PARTLY, Mark.NO}


def _reasoning(heard: Heard) -> set[Mark] | None:
    chat = [by_hand.read(e) for e in heard.of() if e.status == 200]
    thought = any(choice.thought or "<think>" in choice.text for answer in chat for choice in answer.choices)
    return {Mark.YES, Mark.PARTLY} if thought else {Mark.NO}


JUDGES: dict[str, Callable[[Heard], set[Mark] | None]] = {
    "logprobs": _logprobs,
    "top_k": _top_k,
    "sampled": _sampled,
    "temperature": _temperature,
    "tools": _tools(stream=False),
    "stream": _stream,
    "tools_stream": _tools(stream=True),
    "schema": _schema(stream=False),
    "schema_stream": _schema(stream=True),
    "grammar": _grammar,
    "responses": _responses,
    "completions": lambda heard: _by_coverage(heard.of(path="/v1/completions")),
    "reasoning": _reasoning,
    "n": _n,
    "seed": _seed,
    "usage": _usage,
    "model": _model,
}


def _verdict_wrong(report: Report, heard: Heard) -> str:
    """Only what is plain: with entropies somewhere it is usable, without any it is not."""
    chat = [by_hand.read(e) for e in heard.of(path="/completions") if e.status == 200]  # those of old, too
    scored = any(choice.known for answer in chat for choice in answer.choices)
    return "" if scored == (report.exit_code in (0, 3)) else "it contradicts the answers"
