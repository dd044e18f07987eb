"""Looks up in a record, or in its id, which task or rollout it belongs to: what ``--task-from`` names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ec_agent.errors import ConfigError

_KEY_OF = re.compile(r"([\w.\-]+)=(.+)", re.DOTALL)
_ODD_IN_A_KEY = re.compile(r"[\\^$*+?|=]")
_LONGEST = 100  # letters of a name
_SHOWN = 12  # keys in a message
_LONGEST_TEXT = 1 << 20  # of JSON inside of text


@dataclass(frozen=True, slots=True)
class From:
    """Where a name comes from: a key of the record, a regular expression on its id, or on the value of a key.

    Attributes:
        text: what the user gave.
        key: the key, with dots between levels, or ``None`` for the id.
        pattern: the regular expression, or ``None``. Its first group is the name; a second one is the place in it.
    """

    text: str
    key: str | None
    pattern: re.Pattern[str] | None

    def of(self, record: Any, name: str) -> tuple[str, str] | None:
        """Return the name, and the place in it or ``""``. ``None`` if the record has neither.

        Args:
            record: the record, or ``None``.
            name: its id.
        """
        value = looked_up(record, self.key) if self.key is not None else name
        if value is None or value == "":
            return None
        if self.pattern is None:
            return named(value), ""
        found = self.pattern.search(value if isinstance(value, str) else named(value))
        if found is None or found[1] is None:
            return None
        return found[1], (found[2] or "").zfill(20) if self.pattern.groups > 1 else ""

    def hint(self, record: Any) -> str:
        """Say, for a record in which nothing was found, what to give instead.

        Args:
            record: the record, or ``None``.
        """
        if self.key is None or (self.pattern is not None and looked_up(record, self.key) not in (None, "")):
            return f"give a regular expression that matches its {self.key or 'id'}"
        if not isinstance(record, Mapping):
            return "give a regular expression on its id"
        keys = ", ".join(str(key)[:_LONGEST] for key in list(record)[:_SHOWN])
        return f"give a key that it has: {keys}{', ...' if len(record) > _SHOWN else ''}"


def from_option(option: str, text: str) -> From:
    """Read the value of ``--task-from`` or ``--rollout-from``: ``KEY``, ``REGEX`` with a group, or ``KEY=REGEX``.

    Raises:
        ConfigError: it is empty, or a regular expression that is not valid or has no group.
    """
    hint = f"give a key (metadata.question), or a regular expression with a group ({option} '^(q[0-9]+)-')"
    keyed = _KEY_OF.fullmatch(text)
    key, pattern = (keyed[1], keyed[2]) if keyed else (None, text) if "(" in text else (text, None)
    if not text.strip() or (pattern is None and _ODD_IN_A_KEY.search(text)):
        raise ConfigError(f"{option} is {text!r}; {hint}")
    if pattern is None:
        return From(text, key, None)
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"{option} is {text!r}, which is no regular expression ({error}); {hint}") from error
    if not compiled.groups:
        raise ConfigError(f"{option} is {text!r}, which has no group in parentheses; {hint}")
    return From(text, key, compiled)


def looked_up(record: Any, key: str) -> Any:
    """Return the value of a key in a record, or ``None``. Dots lead into objects, lists, and texts that hold JSON.

    A list of records (the parts of a streamed answer) is searched for the first that has the key.
    """
    if isinstance(record, list) and not key.partition(".")[0].isdigit():
        return next((value for each in record if (value := _within(each, key)) is not None), None)
    return _within(record, key)


def _within(value: Any, key: str) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "[") and len(value) <= _LONGEST_TEXT:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, list):
        number, _, rest = key.partition(".")
        if not number.isdigit() or int(number) >= len(value):
            return None
        return _within(value[int(number)], rest) if rest else value[int(number)]
    if not isinstance(value, Mapping):
        return None
    if key in value:
        return value[key]
    for dot in (place for place, letter in enumerate(key) if letter == "."):
        if key[:dot] in value and (found := _within(value[key[:dot]], key[dot + 1 :])) is not None:
            return found
    return None


def named(value: Any) -> str:
    """Return a value as a name. A long one is cut, and a digest tells it from others that begin alike."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]} ({blake2b(text.encode(errors='replace'), digest_size=6).hexdigest()})"
