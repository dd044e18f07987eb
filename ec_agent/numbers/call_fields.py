"""The one list of a call's fields, by which checkpoints, stores, tables, JSON and log readers keep calls.

To add a field with a plain value (a number, a text, true or false), add it to the class ``Call``, and raise ``VERSION``
in ``ec_agent/traces/stored.py`` by one. Everything that stores calls then stores it, too. A field with another value,
such as a list, also needs a line in ``pack_calls`` and ``unpack_calls``, and one in each place that stores calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ec_agent.numbers.trajectory import Call, ToolUse, Trajectory, likeliest
from ec_agent.support.from_plain import plain_fields, unmade

SIGNALS_OF_A_CALL = ("entropies", "signals")
"""The fields of ``Call`` that hold one number per token."""

LISTS_OF_A_CALL = ("texts", "tools", "candidates")
"""The fields of ``Call`` that hold a list."""

_DOUBLE: np.dtype[Any] = np.dtype(np.float64)
_NEVER_UNKNOWN = ("capability",)  # if it is left out, the call finds it from its entropies


PLAIN_FIELDS = tuple(
    replace(each, optional=False) if each.name in _NEVER_UNKNOWN else each for each in plain_fields(Call)
)
"""The fields of ``Call`` that hold one plain value, in the order of the class."""


def plain_of(call: Call) -> dict[str, Any]:
    """Return the plain values of a call by the names of their fields."""
    return {each.name: getattr(call, each.name) for each in PLAIN_FIELDS}


def pack_calls(trajectory: Trajectory, precision: np.dtype[Any] = _DOUBLE) -> list[dict[str, Any]]:
    """Turn the calls of a trajectory into plain values and bytes, for a checkpoint, or to be sent.

    Args:
        trajectory: the calls.
        precision: of the signals: 8 bytes for each token and signal, unless another is given.
    """
    return [
        {
            **plain_of(call),
            "entropies": call.entropies.astype(precision).tobytes(),
            "signals": {name: values.astype(precision).tobytes() for name, values in call.signals.items()},
            "texts": None if call.texts is None else list(call.texts),
            "tools": [unmade(use) for use in call.tools],
            "candidates": None if call.candidates is None else [list(map(list, each)) for each in call.candidates],
        }
        for call in trajectory.calls
    ]


def unpack_calls(packed: Sequence[Mapping[str, Any]], precision: np.dtype[Any] = _DOUBLE) -> Trajectory:
    """Make a trajectory from what ``pack_calls`` returned with the same precision.

    Fields that an older checkpoint lacks get their defaults.
    """
    return Trajectory(
        [
            Call(
                entropies=np.frombuffer(call["entropies"], precision),
                signals={name: np.frombuffer(values, precision) for name, values in call["signals"].items()},
                texts=None if call["texts"] is None else tuple(call["texts"]),
                tools=tuple(ToolUse(**use) for use in call.get("tools", ())),
                candidates=None if call.get("candidates") is None else likeliest(call["candidates"]),
                **{each.name: call.get(each.name, each.default) for each in PLAIN_FIELDS},
            )
            for call in packed
        ]
    )
