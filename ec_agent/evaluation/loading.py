"""The tasks that a command line names: in a file, a module or an adapter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from ec_agent.errors import ConfigError, EvaluationError
from ec_agent.evaluation.adapters import SOURCES, load
from ec_agent.evaluation.jsonl import read_jsonl
from ec_agent.evaluation.tasks import Task, checked_tasks
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
