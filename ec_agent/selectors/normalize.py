"""Asks a ``normalize`` function which answer a candidate votes for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.normalizers import Normalizer
from ec_agent.support.checks import function, refusal

Normalize = Callable[[Any], Hashable | None]


def answer_of(candidate: Candidate, normalize: Normalize) -> Hashable | None:
    """Return the answer that a candidate votes for, or ``None`` if it has no vote.

    Raises:
        ConfigError: ``normalize`` failed, or returned something that is not hashable.
    """
    where = f"the final action of rollout {candidate.index} ({type(candidate.final_action).__name__})"
    todo = "return something hashable, such as a string, a number or a tuple, or None for no vote"
    try:
        answer = normalize(candidate.final_action)
    except Exception as error:
        raise ConfigError(f"normalize failed with {error!r} on {where}; {todo}") from error
    if inspect.iscoroutine(answer):
        answer.close()
        raise ConfigError(f"normalize returned a coroutine for {where}; {todo}")
    try:
        hash(answer)
    except TypeError as error:
        raise ConfigError(f"normalize returned a {type(answer).__name__} for {where}; {todo}") from error
    return answer


def check_normalize(normalize: Any) -> None:
    """Check that ``normalize`` is a function of one argument, and no coroutine function.

    Raises:
        ConfigError: it is not.
    """
    rather = "a function from a final action to a hashable answer"
    if isinstance(normalize, type) and issubclass(normalize, Normalizer):
        raise refusal("normalize", normalize, f"an object: {normalize.__name__}(), not the class")
    function("normalize", normalize, rather, of=1)
    if inspect.iscoroutinefunction(normalize) or inspect.iscoroutinefunction(type(normalize).__call__):
        raise refusal(
            "normalize", normalize, f"{rather} that is not a coroutine function, whose results are never equal"
        )
