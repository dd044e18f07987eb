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
        several = agent if isinstance(agent, list | tuple) else [agent]
        kind = next((type(each).__name__ for each in several if not isinstance(each, str)), "nothing")
        raise ConfigError(
            f"engine= runs rollouts in other processes, to which an agent that is an object cannot be sent (it is of "
            f'type {kind}); name the place from which they can import it: best_of_n("my_module:agent", ...), or a '
            "function there that makes it"
        )
    return places
