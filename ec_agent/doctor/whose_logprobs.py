"""Whose the candidates' logprobs are: the model's own, or the sampler's, after temperature and grammar."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ec_agent.capture.shapes import get
from ec_agent.doctor.report import Finding, Mark
from ec_agent.doctor.trials import ONLY_ANSWER, Refusal, TrialAnswer
from ec_agent.support.number_formats import percent

CLOSE = 0.25  # nats: servers that work in half precision repeat themselves no better
RATIO = 0.15  # so near must the spread come to that of a temperature
APART = 0.5  # nats: candidates that lie closer say nothing of a temperature
OUT_OF_SIGHT = -30.0  # a logprob below it stands for a forbidden token
SURE = -1e-3
SEEN = 3  # tokens under a grammar, before it is said that none was ever forbidden
_BROKEN = "\ufffd"
_MARKS = (("\u2581", " "), ("\u0120", " "), ("\u010a", "\n"))  # what vocabularies write for white space
_NUMBERED = re.compile(r"token_id:(\d+)")


def same_token(one: Any, other: Any) -> bool | None:
    """Whether two entries or candidates are the same token: by ids, else by bytes, else by whole texts.

    ``None`` where nothing tells: broken characters share one text, and a token may come without any of the three.
    """
    for named in (_number, _bytes):
        pair = named(one), named(other)
        if None not in pair:
            return bool(pair[0] == pair[1])
    return None


def text_of(token: Any) -> str | None:
    """A token's text, out of its bytes where it is named by a number; ``None`` where it cannot be known."""
    raw = _bytes(token)
    if raw is None:
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    for mark, meant in _MARKS:
        text = text.replace(mark, meant)
    return text


def _number(token: Any) -> int | None:
    name = get(token, "token")
    for number in (get(token, "token_id"), get(token, "id"), name):
        if type(number) is int:
            return number
    numbered = _NUMBERED.fullmatch(name) if isinstance(name, str) else None
    return int(numbered[1]) if numbered else None


def _bytes(token: Any) -> bytes | None:
    """The bytes, listed or as text; else those of a text that is whole."""
    raw, text = get(token, "bytes"), _text(token)
    if isinstance(raw, str) and raw and _BROKEN not in raw:
        return raw.encode()
    if isinstance(raw, Sequence) and raw and all(type(each) is int and 0 <= each < 256 for each in raw):
        listed = bytes(raw)
        return None if _BROKEN.encode() in listed else listed
    return None if text is None else text.encode()


def _text(token: Any) -> str | None:
    name = get(token, "token")
    whole = isinstance(name, str) and bool(name) and _BROKEN not in name and not _NUMBERED.fullmatch(name)
    return name if whole else None


def _logprob(token: Any) -> float | None:
    value = get(token, "logprob")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def sampled_finding(asked: TrialAnswer | None, temperature: float | None) -> Finding:
    """Whether each sampled token is among its own candidates.

    Args:
        asked: the answer to look at, best one sampled at a temperature: a greedy one's tokens are always the likeliest.
        temperature: its temperature, where that is known.
    """
    rows = [] if asked is None or not asked.scored else list(zip(asked.payload.entries, asked.candidates, strict=True))
    told = [(entry, row, [same_token(entry, each) for each in row]) for entry, row in rows if row]
    if not told:
        return Finding("sampled", Mark.NOT_ASKED, "there are no candidates")
    inside = sum(True in same for _, _, same in told)
    unlikely = sum(True in same and _beaten(entry, row) for entry, row, same in told)
    unnamed = sum(True not in same and None in same for _, _, same in told)
    when = "" if temperature is None else f" at temperature {temperature:g}"
    detail = f"{inside} of {len(told)}{when}, {unlikely} of them not the likeliest"
    if unnamed:
        return Finding("sampled", Mark.UNKNOWN, f"{detail}; of {unnamed} neither id, bytes nor text tells")
    mark = Mark.YES if inside == len(told) else Mark.PARTLY if inside else Mark.NO
    return Finding("sampled", mark, detail)


def _beaten(entry: Any, row: Sequence[Any]) -> bool:
    own = _logprob(entry)
    return own is not None and any((_logprob(each) or -math.inf) > own + 1e-6 for each in row)


def temperature_finding(cold: TrialAnswer | Refusal, hot: TrialAnswer | Refusal, temperature: float) -> Finding:
    """Whether the logprobs are those before temperature: of the first token, asked at 0 and at another.

    The first token's distribution is the same whatever is sampled. Before temperature its logprobs stay as they are,
    after it they are drawn together by its factor.
    """

    def unknown(why: str) -> Finding:
        return Finding("temperature", Mark.UNKNOWN, why)

    if isinstance(cold, Refusal):
        return unknown(cold.detail)
    if isinstance(hot, Refusal):
        return unknown(hot.detail)
    if cold.temperature is None or hot.temperature is None:
        return unknown("the model takes no temperature with a call")
    if any(answer.reasoning or answer.reasoning_tokens for answer in (cold, hot)):
        return unknown("answers begin with reasoning, whose logprobs do not come")
    pairs = _shared(cold, hot)
    asked = f"at temperature 0 and {temperature:g}"
    if any(one > SURE and other < 10 * SURE for one, other in pairs):
        return Finding("temperature", Mark.NO, f"after it: a token is certain at 0 and not at {temperature:g}")
    if len(pairs) < 2:
        return unknown(f"the first tokens {asked} share too few candidates to compare")
    if _spread(one for one, _ in pairs) < APART:
        return unknown(f"the candidates {asked} are too much alike to tell")
    if max(abs(one - other) for one, other in pairs) <= CLOSE:
        return Finding("temperature", Mark.YES, f"the same {asked}: the model's own")
    ratio = _ratio(pairs)
    if abs(ratio - 1) <= RATIO:
        return Finding("temperature", Mark.YES, f"spread alike {asked}: the model's own")
    if abs(ratio - 1 / temperature) <= RATIO / temperature:
        return Finding("temperature", Mark.NO, f"after it: {asked} their spread is as 1 to {ratio:.2f}")
    return unknown(f"they differ {asked}, but not as a temperature makes them: spread as 1 to {ratio:.2f}")


def _shared(cold: TrialAnswer, hot: TrialAnswer) -> list[tuple[float, float]]:
    """The first token's logprobs in two answers, candidate by candidate."""
    rows = [answer.candidates[0] if answer.candidates else () for answer in (cold, hot)]
    found = []
    for one in rows[0]:
        other = next((each for each in rows[1] if same_token(one, each)), None)
        both = (_logprob(one), _logprob(other))
        if both[0] is not None and both[1] is not None and both[0] > 10 * OUT_OF_SIGHT < both[1]:
            found.append((both[0], both[1]))
    return found


def _spread(values: Iterator[float]) -> float:
    known = list(values)
    return max(known) - min(known)


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The factor that turns the first logprobs into the second, their mean apart; by least squares."""
    ones, others = ([pair[side] for pair in pairs] for side in (0, 1))
    mean, others_mean = sum(ones) / len(ones), sum(others) / len(others)
    squares = sum((one - mean) ** 2 for one in ones)
    products = sum((one - mean) * (other - others_mean) for one, other in pairs)
    return products / squares if squares else math.inf


def grammar_finding(outcome: TrialAnswer | Refusal) -> Finding:
    """Whether the logprobs are those before a grammar: whether tokens it forbids keep their share."""
    if isinstance(outcome, Refusal):
        return Finding("grammar", Mark.UNKNOWN, outcome.detail)
    if not outcome.scored:
        return Finding("grammar", Mark.UNKNOWN, "no candidates came with a schema")
    if not held(outcome):
        return Finding("grammar", Mark.UNKNOWN, "the schema is not held, so nothing is forbidden")
    tokens, forbidden = _forbidden(outcome)
    if forbidden:
        share = f"{percent(max(forbidden))} at the most"
        return Finding("grammar", Mark.YES, f"tokens that the schema forbids keep their share, {share}")
    if tokens < SEEN:
        return Finding("grammar", Mark.UNKNOWN, "too few tokens whose candidates have a text")
    return Finding("grammar", Mark.NO, f"after it: none of {tokens} tokens has a candidate that the schema forbids")


def held(answer: TrialAnswer) -> bool:
    """Whether an answer keeps to the schema."""
    return ONLY_ANSWER in _bare(answer.text)


def _forbidden(answer: TrialAnswer) -> tuple[int, list[float]]:
    """How many tokens were looked at, and the share of forbidden candidates at those that have some."""
    before, looked_at, found = "", 0, []
    for entry, row in zip(answer.payload.entries, answer.candidates, strict=True):
        shares = [
            math.exp(logprob)
            for each in row
            if (logprob := _logprob(each)) is not None
            and logprob > OUT_OF_SIGHT
            and (text := text_of(each)) is not None
            and not _allowed(before + text)
        ]
        looked_at += bool(row)
        found += [sum(shares)] if shares else []
        before += text_of(entry) or ""
        if not _allowed(before) or _bare(before).startswith(ONLY_ANSWER):
            break  # what follows cannot be told, or is the end
    return looked_at, found


def _allowed(text: str) -> bool:
    bare = _bare(text)
    return ONLY_ANSWER.startswith(bare) or bare.startswith(ONLY_ANSWER)


def _bare(text: str) -> str:
    return "".join(text.split())
