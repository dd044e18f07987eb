"""Tasks written in a JSONL file: a question a line, the expected answer, and how the two are compared."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.evaluation.tasks import BaseTask, Outcome
from ec_agent.support.checks import cause_of, file_path, function

Check = Callable[[Outcome, Any], bool | float]

_KEYS = ("id", "input", "expected", "match", "tolerance")
# Commas part thousands (in India hundreds before them); those of a list part numbers.
_WHOLE = r"\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d|,\d)|\d+"
_NUMBER = re.compile(rf"(?<![\w.])[-+]?(?:(?:{_WHOLE})(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")
_MINUS = "\u2212"  # as typesetters, and some models, write it
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def final_text(action: Any) -> str:
    """A final action as the text that is compared.

    A message's is its text, or its tool calls as JSON where it has no text; that of anything else which is no text is
    JSON.
    """
    if isinstance(action, str):
        return action
    text, calls = getattr(action, "text", None), _calls(action)
    if isinstance(text, str) and (text.strip() or not calls):
        return text
    return json.dumps(calls or _plain(action), ensure_ascii=False, default=str)


def exact(outcome: Outcome, expected: Any) -> bool:
    """The final text is the expected one, or one of those, spaces around it aside."""
    return final_text(outcome.final_action).strip() in [str(each).strip() for each in _several(expected)]


def contains(outcome: Outcome, expected: Any) -> bool:
    """The expected text, or one of those, is in the final text."""
    text = final_text(outcome.final_action)
    return any(str(each) in text for each in _several(expected))


def number(outcome: Outcome, expected: Any, tolerance: float = 0.0) -> bool:
    """The last number in the final text is the expected one, to 6 digits or within ``tolerance`` of it."""
    found = _NUMBER.findall(final_text(outcome.final_action).replace(_MINUS, "-"))
    near = max(tolerance, 1e-9)
    return bool(found) and math.isclose(float(found[-1].replace(",", "")), float(expected), rel_tol=1e-6, abs_tol=near)


def json_value(outcome: Outcome, expected: Any) -> bool:
    """The final action's tool calls, or else its text as JSON, perhaps in a code fence, equal the expected value."""
    if calls := _calls(outcome.final_action):
        return _same(calls, expected)
    text = final_text(outcome.final_action)
    fenced = _FENCED.search(text)
    try:
        return _same(json.loads(fenced[1] if fenced else text), expected)
    except (ValueError, RecursionError):  # a model that goes round in circles opens ever more brackets
        return False


def _same(found: Any, expected: Any) -> bool:
    """Equal as JSON, where ``1`` is ``1.0`` and not ``true``, as it is in Python."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in found)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return isinstance(found, bool) == isinstance(expected, bool) and bool(found == expected)


MATCHES: Mapping[str, Check] = {"exact": exact, "contains": contains, "number": number, "json": json_value}


class JsonlTask(BaseTask):
    """A task of one line.

    Args:
        id: its name.
        input: the agent's input; a text is a user's message.
        expected: what the check compares with.
        check: called with the outcome and ``expected``.
        fingerprint: the line, to tell whether it has changed.
    """

    def __init__(self, id: str, input: Any, expected: Any, check: Check, fingerprint: str) -> None:
        super().__init__(id, input)
        self.expected = expected
        self.fingerprint = fingerprint
        self._check = check

    def verdict(self, outcome: Outcome) -> bool | float:
        """What the check says."""
        return self._check(outcome, self.expected)


def read_jsonl(path: str | Path, load_check: Callable[[str], Any]) -> list[JsonlTask]:
    """The tasks of a file; empty lines are passed over.

    Each line is an object: ``input``, a text or the agent's state; ``expected``; ``match``, one of
    ``exact`` (the default), ``contains``, ``number``, ``json``, or ``module:function``; ``tolerance`` with ``number``;
    ``id``, the line's number where it is left out.

    Args:
        path: the file.
        load_check: finds the function at a ``module:function``.

    Raises:
        ConfigError: the file cannot be read, or a line is no task; the message names the line.
    """
    file = file_path("path", path, "a JSONL file")
    function("load_check", load_check, of=1)
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path} ({cause_of(error)}); give a JSONL file in UTF-8") from error
    seen: dict[str, int] = {}
    tasks: list[JsonlTask] = []
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            task = _task(line, str(place), load_check)
            if task.id in seen:
                raise ConfigError(f"the id {task.id!r} is that of line {seen[task.id]} too; give each task its own")
        except ConfigError as error:
            raise ConfigError(f"{path}, line {place}: {error}") from error
        seen[task.id] = place
        tasks.append(task)
    if not tasks:
        raise ConfigError(f'{path} holds no task; write one a line: {{"input": "2 + 2", "expected": "4"}}')
    return tasks


def _task(line: str, place: str, load_check: Callable[[str], Any]) -> JsonlTask:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"no JSON ({error}); write one object a line") from error
    if not isinstance(said, dict):
        raise ConfigError(f"a {type(said).__name__}; write an object with input and expected")
    if strangers := [key for key in said if key not in _KEYS]:
        raise ConfigError(f"unknown keys {strangers}; the keys are {', '.join(_KEYS)}")
    identity = said.get("id", place)
    if isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
        raise ConfigError(f"the id is {identity!r}; give a text")
    if not isinstance(said.get("input"), str | dict) or not said["input"]:
        raise ConfigError(f"input is {said.get('input')!r}; give a text, or the agent's state as an object")
    match = said.get("match", "exact")
    if not isinstance(match, str) or (match not in MATCHES and ":" not in match):
        raise ConfigError(f"match is {match!r}; give {', '.join(MATCHES)}, or module:function")
    _check_expected(said, match)
    check = MATCHES.get(match) or load_check(match)
    if not callable(check):
        raise ConfigError(f"match: {match} is no function; name one of (outcome, expected)")
    if "tolerance" in said:
        check = partial(number, tolerance=float(said["tolerance"]))
    mark = json.dumps(said, sort_keys=True)
    return JsonlTask(str(identity), said["input"], said.get("expected"), check, mark)


def _check_expected(said: Mapping[str, Any], match: str) -> None:
    if "tolerance" in said and (match != "number" or not _numeric(said["tolerance"]) or float(said["tolerance"]) < 0):
        raise ConfigError(f"tolerance is {said['tolerance']!r}; give a number of at least 0, with match number")
    if match not in MATCHES:
        return  # the function knows
    if "expected" not in said:
        raise ConfigError("expected is missing; give what the answer is compared with")
    expected = said["expected"]
    if match == "number" and not _numeric(expected):
        raise ConfigError(f"expected is {expected!r}; with match number give a number")
    texts = _several(expected)
    plain = all(isinstance(each, str | int | float) and not isinstance(each, bool) and each != "" for each in texts)
    if match in ("exact", "contains") and not (texts and plain):
        raise ConfigError(f"expected is {expected!r}; with match {match} give a text, or a list of texts")


def _numeric(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):  # a whole number may be larger than any float
        return False


def _several(expected: Any) -> list[Any]:
    return expected if isinstance(expected, list) else [expected]


def _calls(action: Any) -> list[dict[str, Any]]:
    calls = getattr(action, "tool_calls", None) or []
    return [{"name": call["name"], "args": call["args"]} for call in calls]


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else value
