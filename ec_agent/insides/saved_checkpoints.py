"""Reads what LangGraph's checkpointers wrote, as plain values.

LangGraph's own ``JsonPlusSerializer`` makes objects again, of classes that the file names. A file may come from
somebody else, so nothing is imported or called here: an object is read as the values that it would be made of. The
kinds of objects have numbers in LangGraph's format, which it keeps to itself.
"""

from __future__ import annotations

import json
from typing import Any

import ormsgpack

ONE_ARGUMENT, ARGUMENTS, KEYWORDS, METHOD, PYDANTIC_1, PYDANTIC_2, ARRAY, DELTA = range(8)
"""LangGraph's numbers of the kinds of objects (``EXT_...`` in ``langgraph.checkpoint.serde.jsonplus``)."""

_OF_ONE_CLASS = frozenset({ONE_ARGUMENT, ARGUMENTS, KEYWORDS, METHOD, PYDANTIC_1, PYDANTIC_2})


def plain_value(kind: str, data: bytes) -> Any:
    """Return the value that a checkpointer saved: dicts, lists, texts and numbers. Messages are dicts.

    Args:
        kind: what the checkpointer says that it is, ``"msgpack"`` or ``"json"``.
        data: the saved bytes.

    Raises:
        ValueError: it is of another kind (encrypted, a pickle), or damaged.
    """
    if kind == "msgpack":
        return _unpacked(data)
    if kind == "json":
        return json.loads(data)
    if kind in ("null", "bytes", "bytearray", "empty"):
        return None
    raise ValueError(f"is saved as {kind!r}, which is not read: encrypted values and pickles are left alone")


def _unpacked(data: bytes) -> Any:
    return ormsgpack.unpackb(data, ext_hook=_plain, option=ormsgpack.OPT_NON_STR_KEYS)


def _plain(code: int, data: bytes) -> Any:
    if code == DELTA:
        return _unpacked(data)
    if code not in _OF_ONE_CLASS:
        return None
    made_of = _unpacked(data)  # module, name of the class, what it is made of, ...
    return made_of[2] if isinstance(made_of, list | tuple) and len(made_of) > 2 else None
