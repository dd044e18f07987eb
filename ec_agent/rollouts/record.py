"""What a rollout leaves behind: plain enough to be checkpointed, whole enough to select and replay from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from ec_agent.trajectory import Call, Trajectory


class Record(TypedDict):
    """One finished or failed rollout. Numbers are plain, writes are the agent's own objects."""

    index: int
    seconds: float
    error: str | None
    calls: list[dict[str, Any]]
    usage: dict[str, int]
    writes: list[list[Any]]
    goto: list[Any]
    final_action: Any
    facts: dict[str, Any]
    fingerprint: str | None


def pack_calls(trajectory: Trajectory) -> list[dict[str, Any]]:
    """The calls as plain values: 8 bytes a token and signal."""
    return [
        {
            "entropies": call.entropies.tobytes(),
            "tokens": call.tokens,
            "signals": {name: values.tobytes() for name, values in call.signals.items()},
            "texts": None if call.texts is None else list(call.texts),
            **{name: getattr(call, name) for name in _PLAIN},
        }
        for call in trajectory.calls
    ]


def unpack_calls(packed: Sequence[Mapping[str, Any]]) -> Trajectory:
    """The inverse of :func:`pack_calls`."""
    return Trajectory(
        [
            Call(
                entropies=np.frombuffer(call["entropies"]),
                tokens=call["tokens"],
                signals={name: np.frombuffer(values) for name, values in call["signals"].items()},
                texts=None if call["texts"] is None else tuple(call["texts"]),
                **{name: call[name] for name in _PLAIN},
            )
            for call in packed
        ]
    )


_PLAIN = ("model", "node", "started", "ended", "prompt_tokens", "cached_tokens")


def usage_of(calls: Sequence[Call]) -> dict[str, int]:
    """Tokens over all calls, as far as the provider reported them."""
    return {
        "prompt_tokens": sum(call.prompt_tokens or 0 for call in calls),
        "cached_tokens": sum(call.cached_tokens or 0 for call in calls),
        "generated_tokens": sum(call.tokens or 0 for call in calls),
    }
