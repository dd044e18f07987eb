"""Finds logprobs at places in saved data where they are not read, so that an error can name the place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ec_agent.capture.shapes.values import get

_NAMES = frozenset(
    {"logprob", "logprobs", "toplogprobs", "tokenlogprobs", "logprobsresult", "logprobability", "toplogits", "topprobs"}
    | {"completionprobabilities", "topcandidates", "chosencandidates", "tokenprobs", "probs"}
)
_MOST = 100_000  # how many values are looked at
_OF_OBJECTS = ("messages", "response_metadata", "additional_kwargs")


def logprobs_under(saved: Any) -> str | None:
    """Return the path of a key that is called logprobs and holds numbers, or ``None`` if there is none.

    Args:
        saved: JSON, or messages.
    """
    left: list[tuple[Any, str]] = [(saved, "")]
    looked = 0
    while left and looked < _MOST:
        thing, path = left.pop()
        looked += 1
        inner: list[tuple[Any, str]] = []
        if isinstance(thing, Mapping):
            for name, value in thing.items():
                here = f"{path}.{name}" if path else str(name)
                if _called(str(name)) and _holds_numbers(value):
                    return here
                inner.append((value, here))
        elif isinstance(thing, list | tuple):
            inner = [(value, f"{path}[{place}]") for place, value in enumerate(thing)]
        elif thing is not None and not isinstance(thing, str | bytes | int | float):
            found = ((name, get(thing, name)) for name in _OF_OBJECTS)
            inner = [(value, f"{path}.{name}" if path else name) for name, value in found if value is not None]
        left += reversed(inner)
    return None


def unread(path: str) -> str:
    """Return a message about logprobs under this path, which are not read.

    It says why, and what to do.
    """
    if path.rpartition(".")[2] in ("top_probs", "probs", "completion_probabilities"):
        return (
            f"{path!r} holds probabilities after sampling, which are not logprobs; ask llama.cpp without "
            "post_sampling_probs"
        )
    return (
        f"what lies under {path!r} could not be read as logprobs with candidates; see docs/traces.md for what is read, "
        "and save the provider's whole answer"
    )


def _called(name: str) -> bool:
    plain = name.replace("_", "").replace("-", "").lower()
    return plain in _NAMES or plain.endswith(("logprobs", "logprob"))


def _holds_numbers(value: Any) -> bool:
    """Tell whether a value holds a float. The parameters of a request (``"logprobs": 5``) are whole numbers."""
    left = [value]
    while left:
        thing = left.pop()
        if isinstance(thing, float):
            return True
        if isinstance(thing, Mapping):
            left += thing.values()
        elif isinstance(thing, list | tuple):
            left += thing
    return False
