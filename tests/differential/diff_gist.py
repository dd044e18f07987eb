"""What a run left, in a form that two runs have in common, and the places where two such forms differ."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage
from langgraph.types import Interrupt
from pydantic import BaseModel

_MADE_UP = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")
_OF_THE_SERVER = ("logprobs",)  # left out of what goes on to the state: docs/differences.md, "logprobs"


class Gist:
    """Makes plain data of anything; made-up ids become numbers, the same one for the same id; a time is a time."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, BaseMessage):
            return self._message(value)
        if isinstance(value, Interrupt):
            return {"interrupt": self.of(value.value)}
        if isinstance(value, str):
            value = _MOMENT.sub("<time>", value)
            return _MADE_UP.sub(self._number, value)
        if isinstance(value, BaseException):
            return {"error": type(value).__name__, "says": self.of(str(value))}
        if isinstance(value, BaseModel):
            return {"class": type(value).__name__, **self.of(dict(value))}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            named = {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
            return {"class": type(value).__name__, **self.of(named)}
        if isinstance(value, Mapping):
            return {str(self.of(key)): self.of(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(each) for each in value]
        if isinstance(value, set | frozenset):
            return sorted(map(repr, value))
        return value if value is None or isinstance(value, int | float | bool) else repr(value)

    def _number(self, found: re.Match[str]) -> str:
        return f"<id {self._ids.setdefault(found[0], len(self._ids))}>"

    def _message(self, message: BaseMessage) -> Any:
        if isinstance(message, AIMessageChunk):
            message = message.model_copy()
        told = message.model_dump()
        told["response_metadata"] = {k: v for k, v in told["response_metadata"].items() if k not in _OF_THE_SERVER}
        return {key: self.of(each) for key, each in told.items() if each not in (None, [], {}, False)}


@dataclasses.dataclass(frozen=True)
class Difference:
    """One place where the agent alone and the agent in ``best_of_n`` part.

    Attributes:
        place: keys and numbers that lead there.
        alone: what the agent alone has there.
        ours: what ``best_of_n`` has.
    """

    place: tuple[Any, ...]
    alone: Any
    ours: Any

    def __str__(self) -> str:
        where = " > ".join(map(str, self.place)) or "everything"
        return f"{where}\n    alone:      {_short(self.alone)}\n    best_of_n:  {_short(self.ours)}"


MISSING = "(nothing)"


ID = re.compile(r"<id \d+>")


@dataclasses.dataclass
class Ids:
    """Which made-up id of one run stands where in the other: always the same one."""

    ours: dict[str, str] = dataclasses.field(default_factory=dict)
    theirs: dict[str, str] = dataclasses.field(default_factory=dict)

    def same(self, alone: str, ours: str) -> bool:
        pairs = list(zip(ID.findall(alone), ID.findall(ours), strict=False))
        return ID.sub("", alone) == ID.sub("", ours) and all(
            self.ours.setdefault(left, right) == right and self.theirs.setdefault(right, left) == left
            for left, right in pairs
        )


def differences(alone: Any, ours: Any, place: tuple[Any, ...] = (), ids: Ids | None = None) -> Iterator[Difference]:
    """All places where two gists differ; lists of unlike length, and errors, differ as a whole."""
    ids = Ids() if ids is None else ids
    failed = isinstance(alone, dict) and isinstance(ours, dict) and ("error" in alone or "error" in ours)
    if isinstance(alone, dict) and isinstance(ours, dict) and not failed:
        for key in [*alone, *(key for key in ours if key not in alone)]:
            yield from differences(alone.get(key, MISSING), ours.get(key, MISSING), (*place, key), ids)
    elif isinstance(alone, list) and isinstance(ours, list) and len(alone) == len(ours):
        for number, (left, right) in enumerate(zip(alone, ours, strict=True)):
            yield from differences(left, right, (*place, number), ids)
    elif isinstance(alone, str) and isinstance(ours, str):
        if not ids.same(alone, ours):
            yield Difference(place, alone, ours)
    elif alone != ours or type(alone) is not type(ours):
        yield Difference(place, alone, ours)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 1500 else f"{text[:1000]} ... {text[-400:]}"
