"""Agents by the place that they are in, ``module:name``: what command lines name, and other machines can load."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ec_agent.errors import ConfigError, EvaluationError
from ec_agent.evaluation.model import ModelSettings
from ec_agent.evaluation.tasks import Task
from ec_agent.support.module_names import load_object, made


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """Where an agent is.

    Attributes:
        name: ``module:name``.
        model: the model that it is made with, if a command line names one.
    """

    name: str
    model: ModelSettings | None = None

    def load(self) -> Any:
        """Load the agent; see ``load_agent``."""
        return load_agent(self.name, self.model)


def placed(agent: Any) -> Any:
    """The agent, or each of a list of agents, with an ``AgentPlace`` for a text."""
    if isinstance(agent, list | tuple):
        return [AgentPlace(each) if isinstance(each, str) else each for each in agent]
    return AgentPlace(agent) if isinstance(agent, str) else agent


def places_of(agent: Any) -> list[AgentPlace] | None:
    """The places of an agent or of a list of agents; ``None`` if one of them is an object."""
    places = list(agent) if isinstance(agent, list | tuple) else [agent]
    return places if places and all(isinstance(each, AgentPlace) for each in places) else None


def loaded(agent: Any) -> Any:
    """The agent itself, loaded if it is a place; of a list, each."""
    if isinstance(agent, list | tuple):
        return [each.load() if isinstance(each, AgentPlace) else each for each in agent]
    return agent.load() if isinstance(agent, AgentPlace) else agent


def load_agent(place: str, model: ModelSettings | None = None) -> Any:
    """The agent at ``module:name``.

    It is whatever ``best_of_n`` takes, or a function that makes such an agent: without parameters, or with one named
    ``task``, which is called for each task, or one named ``model``, which is given the chat model, or both.

    Args:
        place: where.
        model: the model that the command line names, if it does.

    Raises:
        ConfigError: there is no such thing, or it takes no model where one is named, or needs one where none is.
        EvaluationError: its module or function fails.
    """
    found = load_object(place, "an agent", EvaluationError)
    takes = _parameters_of_maker(found)
    if model is not None and "model" not in (takes or {}):
        raise ConfigError(
            f"{place} takes no model; name a function with a parameter named model, def make_agent(model). An "
            "agent that has a model of its own runs with `ec-agent eval` without --model"
        )
    if takes is None:
        return found
    if model is None and "model" in takes and takes["model"].default is inspect.Parameter.empty:
        raise ConfigError(f"{place} needs a model; name one with --model, and its endpoint with --base-url")
    given = {} if model is None else {"model": model.build()}
    if "task" not in takes:
        return made(place, found, "an agent", EvaluationError, **given)

    def for_each(task: Task) -> Any:
        return found(task=task, **given)

    for_each.__name__ = found.__name__
    return for_each


def _parameters_of_maker(found: Any) -> Mapping[str, inspect.Parameter] | None:
    """The parameters of a function that makes an agent; ``None`` for what is an agent itself."""
    if not inspect.isroutine(found):
        return None
    parameters = inspect.signature(found).parameters
    return parameters if parameters.keys() <= {"task", "model"} else None
