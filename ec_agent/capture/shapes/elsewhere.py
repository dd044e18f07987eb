"""Where in something that was saved logprobs lie that nobody reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ec_agent.capture.shapes.reading import get

_NAMES = frozenset(
    {"logprob", "logprobs", "toplogprobs", "tokenlogprobs", "logprobsresult", "logprobability", "toplogits", "topprobs"}
    | {"completionprobabilities", "topcandidates", "chosencandidates", "tokenprobs", "probs"}
)
_MOST = 100_000  # things looked at
_OF_OBJECTS = ("messages", "response_metadata", "additional_kwargs")


def logprobs_under(saved: Any) -> str | None:
    """The key under which something lies that is called logprobs and holds numbers, as a path; ``None`` for none.

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
    """What to say of logprobs that are not read."""
    if path.rpartition(".")[2] in ("top_probs", "probs", "completion_probabilities"):
        return (
            f"{path!r} holds probabilities after sampling, which are no logprobs; ask llama.cpp without "
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
    """Whether there is a number with a fraction in it: what a request asks for is a whole one."""
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
