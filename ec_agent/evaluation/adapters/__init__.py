"""Tasks from elsewhere, by name: ``load("bfcl:simple_python")``. Each source has a file of its own.

Every task has, beside what ``ec_agent.evaluation.tasks.Task`` asks for, ``gold``: a known solution, as tool calls
or as an answer, which its own verdict accepts. It is for tests of the verdict; agents must not read it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.evaluation.tasks import Task
from ec_agent.support.checks import or_none, repr_of, text, whole

SOURCES = {
    "sums": "sums",
    "long": "long",
    "bfcl": "bfcl",
    "reasoning_gym": "reasoning_gym",
    "agentdojo": "agentdojo",
    "textworld": "textworld",
    "aime2025": "aime2025",
    "minerva": "minerva",
    "bigcodebench": "bigcodebench",
    "livecodebench": "livecodebench",
    "synlogic": "synlogic",
    "tau2": "tau2",
}
"""Name of a source -> the module below this package whose ``load`` makes its tasks; imported when it is asked for."""

MOST_TASKS = 1_000_000
"""Some sources make as many as they are asked for."""


def load(name: str, limit: int | None = None, **options: Any) -> list[Task]:
    """The tasks of a source, the same and in the same order every time.

    Args:
        name: ``source``, or ``source:part`` such as ``bfcl:multi_turn``; of a source that no package has,
            ``source:FILE``, the file of its data set.
        limit: at most so many tasks, the first ones; ``None`` is all there are, or the source's own default.
        **options: the source's own, such as ``seed``; see the ``load`` of its module.

    Raises:
        ConfigError: there is no such source, part or option, or its package is not installed.
    """
    source, _, part = text("name", name, "the name of a task source").partition(":")
    if source not in SOURCES:
        raise ConfigError(f"unknown task source {repr_of(source)}; the sources are {', '.join(SOURCES)}")
    limit = or_none("limit", limit, whole, 1, MOST_TASKS, rather="at least 1, and at most a million, or None")
    make: Callable[..., list[Task]] = import_module(f"{__name__}.{SOURCES[source]}").load
    try:
        return make(part, limit, **options)
    except TypeError as error:
        unknown = [option for option in options if f"unexpected keyword argument {option!r}" in str(error)]
        if not unknown:
            raise
        raise ConfigError(f"{source} has no option {unknown[0]!r}; leave it out") from error
