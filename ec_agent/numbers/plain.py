"""The one list of what a call has, and calls as plain values: every checkpoint, store, table and JSON derives from it.

A new field of ``Call`` with a plain value (a number, text, true or false) is kept and read back by all of them as soon
as it stands in that class; ``VERSION`` in ``ec_agent/traces/stored.py`` goes up by one with it. A field with a value
that is not plain, a list say, needs a line here in ``pack_calls`` and ``unpack_calls``, and one wherever it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from ec_agent.numbers.trajectory import Call, ToolUse, Trajectory, likeliest

SIGNALS_OF_A_CALL = ("entropies", "signals")
"""The fields of ``Call`` that hold a number per token."""

LISTS_OF_A_CALL = ("texts", "tools", "candidates")
"""The fields of ``Call`` that hold a list."""

_NEVER_UNKNOWN = ("capability",)  # a call tells it by its entropies where it was left out


@dataclass(frozen=True, slots=True)
class PlainField:
    """A field of ``Call`` that holds one plain value.

    Attributes:
        name: its name.
        kind: the type of its values: ``int``, ``float``, ``str`` or ``bool``.
        optional: whether it may be ``None`` in a call.
        default: what it is in a call that was kept before there was such a field.
    """

    name: str
    kind: type
    optional: bool
    default: Any


def _plain_fields() -> tuple[PlainField, ...]:
    hints = get_type_hints(Call)
    found = []
    for each in fields(Call):
        kinds = get_args(hints[each.name]) if NoneType in get_args(hints[each.name]) else (hints[each.name],)
        kind = next(kind for kind in kinds if kind is not NoneType)
        kind = str if get_origin(kind) is Literal else kind
        if kind in (int, float, str, bool):
            optional = NoneType in kinds and each.name not in _NEVER_UNKNOWN
            found.append(PlainField(each.name, kind, optional, each.default))
    return tuple(found)


PLAIN_FIELDS = _plain_fields()
"""The fields of ``Call`` that hold one plain value, in its order."""


def plain_of(call: Call) -> dict[str, Any]:
    """A call's plain values by their fields' names."""
    return {each.name: getattr(call, each.name) for each in PLAIN_FIELDS}


def pack_calls(trajectory: Trajectory) -> list[dict[str, Any]]:
    """The calls as a checkpoint keeps them: 8 bytes a token and signal, and plain values."""
    return [
        {
            **plain_of(call),
            "entropies": call.entropies.tobytes(),
            "signals": {name: values.tobytes() for name, values in call.signals.items()},
            "texts": None if call.texts is None else list(call.texts),
            "tools": [asdict(use) for use in call.tools],
            "candidates": None if call.candidates is None else [list(map(list, each)) for each in call.candidates],
        }
        for call in trajectory.calls
    ]


def unpack_calls(packed: Sequence[Mapping[str, Any]]) -> Trajectory:
    """The inverse of ``pack_calls``; what an older checkpoint does not have is as if it were left out."""
    return Trajectory(
        [
            Call(
                entropies=np.frombuffer(call["entropies"]),
                signals={name: np.frombuffer(values) for name, values in call["signals"].items()},
                texts=None if call["texts"] is None else tuple(call["texts"]),
                tools=tuple(ToolUse(**use) for use in call.get("tools", ())),
                candidates=None if call.get("candidates") is None else likeliest(call["candidates"]),
                **{each.name: call.get(each.name, each.default) for each in PLAIN_FIELDS},
            )
            for call in packed
        ]
    )
