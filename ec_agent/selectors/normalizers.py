"""Ready ``normalize`` objects for votes and stopping plans. Each decides which final actions are the same answer.

    MajorityVote(normalize=NumberAnswer())              # "It costs 14.840 pounds." and "14.84" are one answer
    Agreement(normalize=CallAnswer(without=["unit"]))   # tool calls that differ only in their unit are one answer

If the answer is not clear, there is no vote: a missing vote does less harm than a false agreement. A message with tool
calls is never the same answer as a text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from inspect import signature
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, ClassVar

from ec_agent.errors import ConfigError
from ec_agent.selectors.actions import calls_of, final_answer, json_of, text_of
from ec_agent.support.checks import checked, flag, mapping, one_of, or_none, repr_of, several, text, whole


class Normalizer(ABC):
    """Base class of objects that turn a final action into a countable answer. Subclasses are dataclasses.

    Attributes:
        label: its name in ``NORMALIZERS``.
    """

    __slots__ = ()

    label: ClassVar[str]

    @abstractmethod
    def __call__(self, action: Any) -> Hashable | None:
        """Return the answer in a final action, or ``None`` for no vote."""

    def __repr__(self) -> str:
        told = (f"{f.name}={value!r}" for f in fields(self) if (value := getattr(self, f.name)) != f.default)  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass(frozen=True, slots=True, repr=False)
class NumberAnswer(Normalizer):
    r"""The answer is the value of the last number in the text. "14.84", "£14.840" and "It is 14.84 pounds" are equal.

    Words, currency signs, ``%`` and units around the number are ignored. Thousands may be separated by commas; ``3/4``
    is 0.75; of ``\boxed{42}`` only the inside counts. If the text has no number, or its last number is not clear (a
    date, a time, a range, ``1.2.3``, ``14,84``), there is no vote. A number in a structured response counts, too.

    Attributes:
        places: decimal places to round to. ``None`` compares exact values.

    Raises:
        ConfigError: ``places`` is not a whole number from 0 to 100.
    """

    label: ClassVar[str] = "number"

    places: int | None = None

    def __post_init__(self) -> None:
        checked(self, "places", or_none, whole, 0, 100)

    def __call__(self, action: Any) -> Hashable | None:
        """Return the number; for tool calls, the same as ``final_answer``."""
        if calls_of(action) is not None:
            return final_answer(action)
        words = text_of(action)
        found = _plain_number(action) if words is None else _last_number(words)
        if found is None:
            return None
        return "number", found if self.places is None else round(found, self.places)


@dataclass(frozen=True, slots=True, repr=False)
class JsonAnswer(Normalizer):
    """The answer is a JSON value. The order of keys, white space, and ``1`` or ``1.0`` make no difference.

    In a text, the value is the whole text, or else the last code block, or else the last object or array. A text
    without JSON is no vote. Structured responses, dicts and dataclasses are compared by their JSON.

    Attributes:
        only: if given, only these keys of an object count.
        without: these keys do not count, in objects at any depth. An example is an explanation.

    Raises:
        ConfigError: an argument is not a list of names.
    """

    label: ClassVar[str] = "json"

    only: Sequence[str] = ()
    without: Sequence[str] = ()

    def __post_init__(self) -> None:
        checked(self, "only", several, str, "a list of names of keys")
        checked(self, "without", several, str, "a list of names of keys")

    def __call__(self, action: Any) -> Hashable | None:
        """Return the JSON; for tool calls, the same as ``final_answer``."""
        if action is None or calls_of(action) is not None:
            return final_answer(action)
        words = text_of(action)
        try:
            found = json.loads(json_of(action), **_STRICT) if words is None else _last_json(words)
            if self.only and isinstance(found, dict):
                found = {key: value for key, value in found.items() if key in self.only}
            return "json", json_of(_by_value(found, self.without))
        except (TypeError, ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True, repr=False)
class TextAnswer(Normalizer):
    """The answer is the text. White space makes no difference, nor does the Unicode form: "é" as one character or two.

    Attributes:
        form: the Unicode form for comparing. ``"NFC"`` keeps all differences that people can see. ``"NFKC"`` also
            ignores some: full width letters and ligatures are like plain letters, and ``m²`` is like ``m2``.
        ignore_case: whether "Yes" and "yes" are the same.
        strip: characters to remove at both ends, such as ``".!*"``.

    Raises:
        ConfigError: an argument has a wrong value.
    """

    label: ClassVar[str] = "text"

    form: str = "NFC"
    ignore_case: bool = False
    strip: str = ""

    def __post_init__(self) -> None:
        checked(self, "form", one_of, ("NFC", "NFKC"))
        checked(self, "ignore_case", flag)
        checked(self, "strip", text, "a text of the characters to take off", empty=True)

    def __call__(self, action: Any) -> Hashable | None:
        """Return the text; for an action without text, the same as ``final_answer``."""
        words = text_of(action)
        if words is None or calls_of(action) is not None:
            return final_answer(action)
        return ("text", plain) if (plain := self._plain(words)) else None

    def _plain(self, words: str) -> str:
        formed = unicodedata.normalize(self.form, words.translate(_UNSEEN))  # type: ignore[arg-type]
        if self.ignore_case:  # folding can leave the form
            formed = unicodedata.normalize(self.form, formed.casefold())  # type: ignore[arg-type]
        spaced = " ".join(formed.split())
        return " ".join(spaced.strip(self.strip + " ").split()) if self.strip else spaced


@dataclass(frozen=True, slots=True, repr=False)
class CallAnswer(Normalizer):
    """The answer is the tool calls: names and arguments, without some arguments. ``10`` and ``10.0`` are the same.

    Attributes:
        without: names of arguments that do not count, for all tools. Or a dict from the name of a tool to such names.

    Raises:
        ConfigError: ``without`` is neither.
    """

    label: ClassVar[str] = "call"

    without: Sequence[str] | Mapping[str, Sequence[str]] = ()

    def __post_init__(self) -> None:
        checked(self, "without", _left_out)

    def __call__(self, action: Any) -> Hashable | None:
        """Return the tool calls; for an action without any, the same as ``final_answer``."""
        calls = calls_of(action)
        if calls is None:
            return final_answer(action)
        try:
            counting = ([name, self._counting(name, given)] for name, given in calls)
            return "tool calls", json_of(sorted(counting, key=json_of))
        except (TypeError, ValueError, RecursionError):
            return final_answer(action)

    def _counting(self, name: str, arguments: Any) -> Any:
        plain = _by_value(json.loads(json_of(arguments), **_STRICT))
        without = self.without.get(name, ()) if isinstance(self.without, Mapping) else self.without
        return {key: each for key, each in plain.items() if key not in without} if isinstance(plain, dict) else plain


NORMALIZERS: Mapping[str, type[Normalizer]] = MappingProxyType(
    {kind.label: kind for kind in (NumberAnswer, JsonAnswer, TextAnswer, CallAnswer)}
)
"""Maps the name of a ready ``normalize`` to its class."""


def normalizer_named(name: str, **settings: Any) -> Normalizer:
    """Make a ready ``normalize`` from its name and settings, as a settings file has them.

    Args:
        name: a name in ``NORMALIZERS``.
        **settings: settings that differ from the defaults, such as ``places=2``.

    Raises:
        ConfigError: there is no such name, it has no setting of that name, or a value is out of range.
    """
    kind = NORMALIZERS.get(text("the name of a normalize", name))
    if kind is None:
        raise ConfigError(f"unknown normalize {repr_of(name)}; there are {', '.join(NORMALIZERS)}")
    try:
        return kind(**settings)
    except TypeError as error:
        known = ", ".join(signature(kind).parameters)
        raise ConfigError(f"the normalize {name} cannot be made with {settings!r} ({error}); it has {known}") from error


def with_normalizer(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings from a file with the ``normalize`` object, if they have its name or a dict with its name."""
    given = settings.get("normalize")
    if isinstance(given, str):
        return {**settings, "normalize": normalizer_named(given)}
    if isinstance(given, Mapping) and "name" in given:
        return {**settings, "normalize": normalizer_named(**given)}
    return settings


def _left_out(name: str, value: Any) -> Sequence[str] | Mapping[str, Sequence[str]]:
    rather = "a list of names of arguments, or a dict from tools to such lists"
    if not isinstance(value, Mapping):
        return several(name, value, str, rather)
    given = mapping(name, value, rather)
    return {tool: several(f"{name}[{tool!r}]", each, str, rather) for tool, each in given.items()}


_FIGURE = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,4})?"
_AROUND = r"(?:[^\w+\-\u2212.,]|_)*"
_NUMBER = re.compile(rf"{_AROUND}([+\-\u2212]?){_AROUND}({_FIGURE})(?:/({_FIGURE}))?\D*")
_BREAKS = re.compile(r"[\s=≈]+|:(?!\d)|(?<!\d):")
_BOXED = re.compile(r"\\boxed\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_QUOTIENT = re.compile(r"\\[dt]?frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}")
_THIN_SPACES = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_DIGIT = re.compile(r"\d")
_SPACED = re.compile(r"\d{3}(?!\d)\D*")
_LONGEST = 400
"""Longest number that is accepted as an answer, in characters, with signs and units that touch it."""


def _last_number(words: str) -> Fraction | None:
    if boxed := _BOXED.findall(words):
        words = boxed[-1]
    words = _THIN_SPACES.sub("", _QUOTIENT.sub(r"\1/\2", words))
    # Only the last part with a digit is looked at. Parts are separated by white space, "=" and ":".
    last = next((part for part in reversed(_BREAKS.split(words)) if _has_digit(part)), "")
    found = _NUMBER.fullmatch(last) if len(last) <= _LONGEST else None
    if found is None or (_SPACED.fullmatch(last) and re.search(rf"\d {re.escape(last)}", words)):
        return None  # "1 234" may be one number or two
    sign, figure, under = found.groups()
    try:
        value = Fraction(figure.replace(",", "")) / (Fraction(under.replace(",", "")) if under else 1)
    except (ValueError, ZeroDivisionError):
        return None
    return -value if sign in ("-", "\u2212") else value


def _has_digit(part: str) -> bool:
    """Whether a character is a digit of any script, also a raised one, which the regular expression does not know."""
    return _DIGIT.search(part) is not None or (not part.isascii() and any(each.isdigit() for each in part))


def _plain_number(action: Any) -> Fraction | None:
    if isinstance(action, bool):
        return None
    try:
        if isinstance(action, Integral):
            return Fraction(int(action))
        if isinstance(action, Fraction | Decimal):
            return Fraction(action)
        return Fraction(repr(float(action))) if isinstance(action, Real) else None
    except (ValueError, OverflowError):  # NaN or an infinite number
        return None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_STRICT: Mapping[str, Any] = MappingProxyType({"parse_constant": _no_constant})
_DECODER = json.JSONDecoder(**_STRICT)
_FENCED = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_MOST_TRIES = 100
"""How many brackets of a text are tried as the beginning of JSON. Trying very many would take too long."""


def _last_json(words: str) -> Any:
    """Return the JSON value in a text: the whole text, the last code block, or the last object or array.

    Raises:
        ValueError, RecursionError: there is none.
    """
    for part in (words, *_FENCED.findall(words)[-1:]):
        try:
            return json.loads(part, **_STRICT)
        except ValueError:
            continue
    for bracket in "{[":
        found, end = [], 0
        for start in [place for place, each in enumerate(words) if each == bracket][-_MOST_TRIES:]:
            if start >= end:  # brackets inside a value that was read are a part of it
                with suppress(ValueError):
                    value, end = _DECODER.raw_decode(words, start)
                    found.append(value)
        if found:
            return found[-1]
    raise ValueError("no JSON")


def _by_value(value: Any, without: Sequence[str] = ()) -> Any:
    """Return a JSON value with ``1`` in place of ``1.0``, and without some keys."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _by_value(each, without) for key, each in value.items() if key not in without}
    return [_by_value(each, without) for each in value] if isinstance(value, list) else value


_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
"""Invisible characters without meaning: soft hyphens, zero width spaces, byte order marks."""
