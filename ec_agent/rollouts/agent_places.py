"""Agents that are named by their place, ``"module:name"``: workers in other processes import them by it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from ec_agent.errors import AgentError, ConfigError
from ec_agent.support.module_names import is_place, load_object, made


def places_of(agent: Any) -> list[str] | None:
    """Return the places of an agent or of a list of agents; ``None`` if one of them is an object."""
    each = list(agent) if isinstance(agent, list | tuple) else [agent]
    return each if each and all(isinstance(one, str) for one in each) else None


def loaded(agent: Any) -> Any:
    """Return the agent, loaded if it is named by its place.

    At the place is an agent, or a function without parameters that makes one.

    Raises:
        ConfigError: there is no such place.
        AgentError: its module or function fails.
    """
    if not isinstance(agent, str) or not is_place(agent):
        return agent
    found = load_object(agent, "an agent", AgentError)
    if inspect.isroutine(found) and not inspect.signature(found).parameters:
        return made(agent, found, "an agent", AgentError)
    return found


def check_places(agent: Any) -> Sequence[str]:
    """Return the places of the agents.

    Raises:
        ConfigError: one of them is an object, which cannot be sent to other processes.
    """
    places = places_of(agent)
    if places is None:
        raise not_sent(agent, str, 'best_of_n("my_module:agent", ...)')
    return places


def not_sent(agent: Any, place: type, call: str) -> ConfigError:
    """Make the error that an agent, or one in a list of agents, is an object.

    Args:
        agent: what was given.
        place: the class of what names a place.
        call: how it is given by its place.
    """
    several = agent if isinstance(agent, list | tuple) else [agent]
    kind = type(next((each for each in several if not isinstance(each, place)), agent)).__name__
    return ConfigError(
        "engine= runs rollouts in other processes, to which an agent that is an object cannot be sent (it is of type "
        f"{kind}); name the place from which they can import it: {call}, or a function there that makes it"
    )
