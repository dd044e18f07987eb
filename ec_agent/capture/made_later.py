"""Logprobs that came, and that nobody but us has looked at yet. What others see of them is made when they look.

``LaterDict`` is what a LangChain message has under ``response_metadata["logprobs"]``. It is a dict whose lists are read
from the bytes of the answer at the first look. Whoever reads it in Python, or writes it as JSON, pickles or copies it,
or dumps its message, gets what he would get of a plain dict. A serialiser in C that reads dicts directly (``orjson``,
``ormsgpack``) meets a ``LaterList`` and refuses it, unless it was looked at before; such a serialiser gets it right
if it is given ``default=list``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from functools import partial, wraps
from typing import Any
from weakref import ref

from pydantic_core import SchemaSerializer, from_json
from pydantic_core.core_schema import any_schema, plain_serializer_function_ser_schema

from ec_agent.capture.decoded import Read
from ec_agent.capture.shapes import entries_of, get
from ec_agent.capture.shapes.marks import marks_of_entries
from ec_agent.insides.openai_objects import Later

Path = tuple[str | int, ...]
_NAMES = ("content", "refusal")
_OTHERS = ("reasoning_content", "tokens", "token_logprobs", "top_logprobs", "text_offset")


class LaterLogprobs(Later):
    """The logprobs at one place of an answer.

    Args:
        body: the JSON of the answer.
        path: the place of their holder.
        read: the same logprobs as we read them.
        again: decodes them again, when ``read`` is gone.
    """

    __slots__ = ("_again", "_body", "_marks", "_path", "_plain", "_read", "_size")

    def __init__(self, body: bytes, path: Path, read: Read, again: Callable[[], Any]) -> None:
        self._body, self._path, self._again = body, path, again
        self._read = ref(read)
        self._size = len(entries_of(read.logprobs))
        plain = all(get(read.logprobs, name) is None for name in _OTHERS) and get(read.logprobs, "content")
        self._plain = bool(plain)  # not the list itself, which would stay as long as the message
        self._marks: bytes | None = None

    @property
    def marks(self) -> bytes:
        """The marks of their entries."""
        if self._marks is None:
            read = self._read()
            known = None if read is None else read.marks
            self._marks = marks_of_entries(self.entries()) if known is None else known
        return self._marks

    def value(self) -> Any:
        """Return them as JSON."""
        found = json.loads(self._body)
        for step in (*self._path, "logprobs"):
            found = found[step]
        return found

    def dumped(self, made: Callable[[], Any]) -> Any:
        """Return a dict of them that is made later; other forms are made now."""
        return LaterDict(self, made) if self._plain else made()

    def __len__(self) -> int:
        """Return the number of entries."""
        return self._size

    def entries(self) -> Sequence[Any]:
        """Return the entries. If the call is over, they are read again."""
        read = self._read()
        return entries_of(self._again() if read is None else read.logprobs)


class ReadyLogprobs(Later):
    """The logprobs, in the form ``content``, of a part of a streamed answer, or of several that are passed on as one.

    They are no ``LaterDict`` for LangChain, which adds up parts, and does not add dicts of different types.

    Args:
        logprobs: the logprobs of each, as JSON.
    """

    __slots__ = ("_logprobs",)

    def __init__(self, logprobs: list[bytes]) -> None:
        self._logprobs = logprobs

    def value(self) -> Any:
        """Return them as JSON."""
        return _joined(map(json.loads, self._logprobs))

    def dumped(self, made: Callable[[], Any]) -> Any:
        """Return a dict as ``model_dump()`` makes it."""
        joined = _joined(map(from_json, self._logprobs))
        return {"content": list(map(_token, joined["content"])), "refusal": None}


def _joined(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    first, *others = parts
    return {**first, "content": [entry for part in (first, *others) for entry in part["content"]]}


def _token(entry: dict[str, Any]) -> dict[str, Any]:
    return _plain(entry, 4, top_logprobs=[_plain(candidate, 3) for candidate in entry["top_logprobs"]])


def _plain(thing: dict[str, Any], known: int, **more: Any) -> dict[str, Any]:
    raw = thing.get("bytes")
    plain = {"token": thing["token"], "bytes": raw, "logprob": thing["logprob"], **more}
    if len(thing) == known - (raw is None and "bytes" not in thing):
        return plain
    # More keys than the client's type has are kept. They come behind those that it has.
    return {**plain, **{name: value for name, value in thing.items() if name not in plain}}


class LaterEntries(Sequence[Any]):
    """The entries of such logprobs. Their number is known, and their marks if these were ever asked for.

    Args:
        source: the logprobs.
    """

    def __init__(self, source: LaterLogprobs) -> None:
        self.source = source
        self._entries: Sequence[Any] | None = None

    def _made(self) -> Sequence[Any]:
        if self._entries is None:
            self._entries = self.source.entries()
        return self._entries

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.source)

    def __getitem__(self, place: Any) -> Any:
        """Return an entry."""
        return self._made()[place]

    def __iter__(self) -> Iterator[Any]:
        """Return an iterator over the entries."""
        return iter(self._made())


class _Lists:
    """The lists of a ``LaterDict``, which its ``LaterList``s have, too.

    They keep no dict alive: the bytes of the answer would then wait for the garbage collector, with the dict.

    Attributes:
        source: the logprobs.
        make: makes the plain dict of them.
        whole: the dict, or ``None`` when it is gone.

    Args:
        source: as above.
        make: as above.
        whole: the dict.
    """

    __slots__ = ("_made", "make", "source", "whole")

    def __init__(self, source: LaterLogprobs, make: Callable[[], dict[str, Any]], whole: LaterDict) -> None:
        self.source, self.make, self.whole = source, make, ref(whole)
        self._made: dict[None, dict[str, Any]] = {}

    def made(self) -> dict[str, Any]:
        """Return them. Threads that look at once get the same."""
        return self._made[None] if self._made else self._made.setdefault(None, self.make())


class LaterList(Sequence[Any]):
    """One of the lists of a ``LaterDict``, as serialisers in C see it."""

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __init__(self, lists: _Lists, name: str) -> None:
        self._lists, self._name = lists, name

    def made(self) -> Any:
        """Return the list, or ``None`` in place of one. The dict has both from now on."""
        if (whole := self._lists.whole()) is not None:
            whole.look()
        return self._lists.made()[self._name]

    def __len__(self) -> int:
        """Return its length."""
        return len(self.made() or ())

    def __getitem__(self, place: Any) -> Any:
        """Return one of its values."""
        return (self.made() or [])[place]

    def __eq__(self, other: object) -> bool:
        """Compare as a list."""
        return bool(self.made() == (other.made() if isinstance(other, LaterList) else other))

    def __repr__(self) -> str:
        """Return the text of the list."""
        return repr(self.made())

    def __reduce__(self) -> Any:
        """Pickle and copy it as a plain list."""
        return list, (list(self.made() or ()),)

    __pydantic_serializer__ = SchemaSerializer(
        any_schema(serialization=plain_serializer_function_ser_schema(lambda each: each.made()))
    )


class LaterDict(dict[str, Any]):
    """Logprobs in the form ``content``, of which the lists are made at the first look.

    Args:
        source: the logprobs.
        make: makes the plain dict of them.
    """

    def __init__(self, source: LaterLogprobs, make: Callable[[], dict[str, Any]]) -> None:
        self._lists: _Lists | None = _Lists(source, make, self)
        super().__init__({name: LaterList(self._lists, name) for name in _NAMES})

    @property
    def source(self) -> LaterLogprobs | None:
        """The logprobs; ``None`` if somebody has looked, and maybe changed something."""
        return None if self._lists is None else self._lists.source

    @property
    def entries_read(self) -> Sequence[Any] | None:
        """The entries as we read them; ``None`` if somebody has looked."""
        return None if (source := self.source) is None else LaterEntries(source)

    def look(self) -> None:
        """Make the lists."""
        if (lists := self._lists) is not None:
            dict.update(self, lists.made())
            self._lists = None

    def __bool__(self) -> bool:
        """Tell whether it has any keys."""
        return self._lists is not None or dict.__len__(self) > 0

    def __contains__(self, name: object) -> bool:
        """Tell whether it has a key."""
        if self._lists is not None and name not in _NAMES:
            self.look()
        return dict.__contains__(self, name)

    def __copy__(self) -> dict[str, Any]:
        """Return a plain copy."""
        return dict(self)

    def __deepcopy__(self, memo: Any) -> dict[str, Any]:
        """Return a copy that is made later, too; if this one was made, a plain one."""
        if (lists := self._lists) is not None:
            return LaterDict(lists.source, partial(_deep, lists.make))
        return deepcopy(dict(self), memo)

    def copy(self) -> dict[str, Any]:
        """Return a plain copy."""
        return dict(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle it as a plain dict."""
        return dict, (dict(self),)


def _deep(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return deepcopy(make())


def _looking(name: str) -> Any:
    method = getattr(dict, name)

    @wraps(method)
    def looking(self: LaterDict, *args: Any, **kwargs: Any) -> Any:
        self.look()
        return method(self, *args, **kwargs)

    return looking


for _name in (
    *("__getitem__", "__setitem__", "__delitem__", "__iter__", "__len__", "__reversed__", "__eq__", "__ne__"),
    *("__or__", "__ror__", "__ior__", "__repr__", "get", "keys", "values", "items", "pop", "popitem"),
    *("setdefault", "update", "clear"),
):
    setattr(LaterDict, _name, _looking(_name))
