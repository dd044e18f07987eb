"""Which agent a file's rollouts are of: its name, its code, its model. A run goes on with the same one only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ec_agent.errors import TraceError
from ec_agent.evaluation.model import ModelSettings
from ec_agent.support.agent_code import code_of, models_named
from ec_agent.traces.stored import AGENT_CHANGES

SAID = "agent_about"
CHANGED = AGENT_CHANGES
"""What a file calls the agent's description, and what was different in later parts of the run."""


def about_agent(place: str, model: ModelSettings | None = None) -> dict[str, Any]:
    """What tells the agent at a place from one that was changed.

    Its source files with a hash of each; the model that the command line names, with its endpoint and arguments, or
    else what the environment names. Keys are never part of it. Files that the agent reads while it runs are not seen.

    Args:
        place: ``module:name``; the module has been imported.
        model: the model it is made with, if it is.

    Returns:
        Plain JSON; equal for equal agents.
    """
    named = model.lasting() if model else models_named()
    return {**{f"file {name}": mark for name, mark in code_of(place.partition(":")[0]).items()}, **named}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """How two descriptions of an agent differ, in words."""
    lines = []
    for name in dict.fromkeys([*there, *here]):
        if there.get(name) == here.get(name):
            continue
        if not name.startswith("file "):
            lines.append(f"{name} was {_shown(there.get(name))}, and is {_shown(here.get(name))} now")
        elif name in there and name in here:
            lines.append(f"{name} has changed")
        else:
            lines.append(f"{name} is {'gone' if name in there else 'new'}")
    return lines


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)


def refuse_another(name: str, changes: list[str]) -> None:
    """Refuse to go on with a file of results that was begun with an agent that has changed since.

    Args:
        name: the name of the file.
        changes: what has changed, one sentence each, from ``differences``.

    Raises:
        TraceError: always.
    """
    raise TraceError(
        f"{name} was begun with another agent:\n"
        + "\n".join(f"  {line}" for line in changes)
        + "\nName another file (--out) for the changed agent, or start over with --fresh. If the change makes no "
        "difference to what it does, go on with --same-agent"
    )
