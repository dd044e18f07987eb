"""What the command line names: tasks in a file, a module or an adapter; agents in a module."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from ec_agent.errors import ConfigError, EvaluationError
from ec_agent.evaluation.adapters import SOURCES, load
from ec_agent.evaluation.jsonl import read_jsonl
from ec_agent.evaluation.model import ModelSettings
from ec_agent.evaluation.runner import checked_tasks
from ec_agent.evaluation.tasks import Task
from ec_agent.support.module_names import load_object, made


def load_tasks(source: str, limit: int | None = None, options: Mapping[str, Any] | None = None) -> list[Task]:
    """The tasks that the command line names.

    Args:
        source: a ``.jsonl`` file; ``module:name`` of tasks, or of a function without arguments that gives them; or an
            adapter with what it is to load, ``bfcl:simple_python``.
        limit: take the first so many.
        options: of an adapter, such as ``seed``; nothing else has any.

    Raises:
        ConfigError: there is no such thing or option, it holds no task, or a task is written wrongly.
        EvaluationError: the code that makes them fails.
    """
    head = source.partition(":")[0]
    if head in SOURCES:
        return checked_tasks(load(source, limit=limit, **(options or {})))
    if options:
        raise ConfigError(f"{source!r} is no task source, and has no options; leave them out")
    if source.endswith(".jsonl") or os.path.isfile(source):
        tasks = read_jsonl(
            source, lambda place: load_object(place, "a function of (outcome, expected)", EvaluationError)
        )
        return checked_tasks(tasks[:limit])
    if ":" not in source:
        raise ConfigError(
            f"{source!r} names no tasks; give a .jsonl file, module:name, or an adapter ({', '.join(SOURCES)}) with "
            "what it is to load: bfcl:simple_python"
        )
    found = load_object(source, "tasks", EvaluationError)
    if callable(found):
        found = made(source, found, "tasks", EvaluationError)
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise ConfigError(f"{source} is of type {type(found).__name__}; name a list of tasks, or a function giving one")
    return checked_tasks(made(source, lambda: list(islice(found, limit)), "tasks", EvaluationError))


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
            f"{place} takes no model; name a function with a parameter named model, def make_agent(model), or leave "
            "--model out, and the agent has its own"
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
