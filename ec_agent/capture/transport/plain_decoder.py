"""Takes the logprobs out of the JSON bytes of an answer, as ``decoder`` does, but without msgspec.

It makes dicts of all logprobs, by the JSON parser that comes with pydantic. That takes up to twice the time of
msgspec's typed objects, and a tenth of the time of the client's objects.

Logprobs are taken only if the result is the same as through the client's objects. The client accepts texts and truth
values as numbers, so an answer that has any stays as it is; the same holds for forms that this module does not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import chain
from operator import itemgetter
from typing import Any

from pydantic_core import from_json

from ec_agent.capture.taken_logprobs import Event, Path

_DELTA = "response.output_text.delta"
_EVENT = "response."
_LISTS = ("content", "refusal", "reasoning_content")
_PARALLEL: dict[str, frozenset[type]] = {
    "tokens": frozenset({str}),
    "token_logprobs": frozenset({float, int, type(None)}),
    "top_logprobs": frozenset({dict, type(None)}),
    "text_offset": frozenset({int, type(None)}),
}
_ANYTHING = ("token_ids",)
_CONTENT = frozenset({"content", "refusal"})
_USUAL = {(str, float)}
_NUMBERS: frozenset[type] = frozenset({float, int})
_TEXTS: frozenset[type] = frozenset({str, type(None)})

_ODD_BYTES = re.compile(rb'"bytes"\s*:(?!\s*(?:null|\[[0-9,\s]*\]))')


def of_whole(body: bytes) -> tuple[bytes, Event] | None:
    """Take the logprobs out of a chat completion, completion or response; see ``decoder.of_whole``."""
    if b'"logprobs"' not in body or odd_bytes(body):
        return None
    try:
        answer = from_json(body)
        taken = _Emptied().taken_of(answer) if type(answer) is dict else None
        return None if taken is None else (json.dumps(answer).encode(), taken)
    except (ValueError, RecursionError):
        return None  # the client will meet the same error, and report it


of_event = of_whole
"""Take the logprobs out of one event of a streamed answer."""


def odd_bytes(logprobs: bytes) -> bool:
    """Tell whether the bytes of a token in this JSON may be anything but numbers: the client makes numbers of texts."""
    return b'"bytes"' in logprobs and _ODD_BYTES.search(logprobs) is not None


def usual(logprobs: Any) -> bool:
    """Tell whether logprobs have a known form, and only values that the client leaves as they are."""
    if type(logprobs) is list:
        return _tokens(logprobs)
    if type(logprobs) is not dict or not logprobs:
        return False
    return all(
        value is None
        or (_tokens(value) if name in _LISTS else name in _ANYTHING or _column(value, _PARALLEL.get(name)))
        for name, value in logprobs.items()
    )


def of_content(logprobs: bytes) -> list[Any] | None:
    """Return the entries of logprobs in the form ``content`` alone of which the client would change no value."""
    try:
        found = from_json(logprobs)
        if type(found) is not dict or not found.keys() <= _CONTENT or found.get("refusal") is not None:
            return None
        entries = found["content"]
        tops = [entry["top_logprobs"] for entry in entries]
        things = chain(entries, *tops)
        kinds = {(type(each["token"]), type(each["logprob"])) for each in things}
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    usual = kinds <= _USUAL and type(entries) is list and {list}.issuperset(map(type, tops))
    return entries if usual else None


def _column(values: Any, kinds: frozenset[type] | None) -> bool:
    if kinds is None or type(values) is not list or not kinds.issuperset(map(type, values)):
        return False
    return dict not in kinds or all(_NUMBERS.issuperset(map(type, top.values())) for top in values if top)


def _tokens(entries: Any) -> bool:
    try:
        if type(entries) is not list or not {dict}.issuperset(map(type, entries)):
            return False
        tops = [top for entry in entries if (top := entry.get("top_logprobs")) is not None]
        if not {list}.issuperset(map(type, tops)):
            return False
        candidates = [candidate for top in tops for candidate in top]
        own = [value for entry in entries if (value := entry.get("logprob")) is not None]
        return (
            _are(_NUMBERS, own)
            and _are(_NUMBERS, map(itemgetter("logprob"), candidates))
            and _are(_TEXTS, [each.get("token") for each in candidates])
            and _are(_TEXTS, [each.get("token") for each in entries])
        )
    except (AttributeError, KeyError, TypeError):
        return False


def _are(kinds: frozenset[type], values: Iterable[Any]) -> bool:
    return kinds.issuperset(map(type, values))


class _Emptied:
    """Takes the logprobs out of an answer in place; as the class of this name in ``decoder``."""

    def __init__(self) -> None:
        self._taken: list[tuple[Path, Any]] = []
        self._changed = False

    def taken_of(self, answer: dict[str, Any]) -> list[tuple[Path, Any]] | None:
        """Take the logprobs out of a whole answer, a chunk or an event. ``None`` if there are none to take."""
        kind = answer.get("type")
        if isinstance(kind, str) and kind.startswith(_EVENT):
            self._event(answer, kind)
        elif "choices" in answer:
            self._each(answer, "choices", (), None)
        else:
            self._output(answer, ())
        return self._taken if self._changed else None

    def _event(self, event: dict[str, Any], kind: str) -> None:
        self._one(event, () if kind == _DELTA else None, [])
        # Later events repeat the logprobs of the deltas. Only those of the final response are read.
        if type(response := event.get("response")) is dict:
            self._output(response, ("response",))
        if type(item := event.get("item")) is dict:
            self._each(item, "content", None, [])
        if type(part := event.get("part")) is dict:
            self._one(part, None, [])

    def _output(self, response: dict[str, Any], at: Path) -> None:
        for place, item in enumerate(_dicts(response.get("output"))):
            self._each(item, "content", (*at, "output", place), [])

    def _each(self, holder: dict[str, Any], name: str, at: Path | None, empty: Any) -> None:
        for place, thing in enumerate(_dicts(holder.get(name))):
            self._one(thing, None if at is None else (*at, name, place), empty)

    def _one(self, holder: dict[str, Any], at: Path | None, empty: Any) -> None:
        found = holder.get("logprobs")
        if not found or not usual(found):
            return
        if at is not None:
            self._taken.append((at, found))
        holder["logprobs"] = empty
        self._changed = True


def _dicts(things: Any) -> list[dict[str, Any]]:
    """Return the things if they are a list of dicts, else nothing."""
    return things if type(things) is list and {dict}.issuperset(map(type, things)) else []
