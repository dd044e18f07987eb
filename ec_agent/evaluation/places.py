"""What the command line names: tasks in a file, a module or an adapter; agents in a module."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterable
from itertools import islice
from typing import Any

from ec_agent.errors import ConfigError, EcAgentError, EvaluationError
from ec_agent.evaluation.adapters import SOURCES, load
from ec_agent.evaluation.jsonl import read_jsonl
from ec_agent.evaluation.one_rollout import is_factory
from ec_agent.evaluation.runner import checked_tasks
from ec_agent.evaluation.tasks import Task


def load_object(place: str, what: str) -> Any:
    """What is at ``module:name``; modules of the current directory are found.

    Args:
        place: where.
        what: what is looked for, for errors: "an agent".

    Raises:
        ConfigError: the place is not written so, or there is nothing.
        EvaluationError: the module fails when it is imported.
    """
    module, _, name = place.partition(":")
    if not name or not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise ConfigError(f"{place!r} is no place of {what}; write module:name")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except EcAgentError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise ConfigError(
                f"{place}: there is no module {error.name}; run from the directory that it is in, or install it"
            ) from error
        raise EvaluationError(f"{place} needs {error.name}, which is not installed; install it") from error
    except Exception as error:
        raise EvaluationError(
            f"{place} cannot be imported ({type(error).__name__}: {error}); see that it works in Python"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{place}: {module} has no {name}; see how it is spelled")
        found = getattr(found, part)
    return found


def load_tasks(source: str, limit: int | None = None) -> list[Task]:
    """The tasks that the command line names.

    Args:
        source: a ``.jsonl`` file; ``module:name`` of tasks, or of a function without arguments that gives them; or an
            adapter with what it is to load, ``bfcl:simple_python``.
        limit: take the first so many.

    Raises:
        ConfigError: there is no such thing, it holds no task, or a task is written wrongly.
        EvaluationError: the code that makes them fails.
    """
    head = source.partition(":")[0]
    if head in SOURCES:
        return checked_tasks(load(source, limit=limit))
    if source.endswith(".jsonl") or os.path.isfile(source):
        tasks = read_jsonl(source, lambda place: load_object(place, "a function of (outcome, expected)"))
        return checked_tasks(tasks[:limit])
    if ":" not in source:
        raise ConfigError(
            f"{source!r} names no tasks; give a .jsonl file, module:name, or an adapter ({', '.join(SOURCES)}) with "
            "what it is to load: bfcl:simple_python"
        )
    found = load_object(source, "tasks")
    if callable(found):
        try:
            found = found()
        except Exception as error:
            raise EvaluationError(
                f"{source} failed ({type(error).__name__}: {error}); see that it gives tasks, called without arguments"
            ) from error
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise ConfigError(f"{source} is of type {type(found).__name__}; name a list of tasks, or a function giving one")
    return checked_tasks(list(islice(found, limit)))


def load_agent(place: str) -> Any:
    """The agent at ``module:name``.

    It is whatever ``best_of_n`` takes; a function of one parameter named ``task`` makes one for each task, and a
    function without parameters makes one for all.

    Raises:
        ConfigError: there is no such thing.
        EvaluationError: its module or function fails.
    """
    found = load_object(place, "an agent")
    if not inspect.isroutine(found) or is_factory(found) or inspect.signature(found).parameters:
        return found
    try:
        return found()
    except Exception as error:
        raise EvaluationError(
            f"{place} failed ({type(error).__name__}: {error}); see that it makes an agent, called without arguments"
        ) from error
