"""Shards: the parts of an evaluation that several machines run, each its own, without knowing of one another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from ec_agent.errors import ConfigError
from ec_agent.evaluation.tasks import Task
from ec_agent.support.checks import repr_of

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


def shard_in(text: str) -> tuple[int, int]:
    """Read ``"3/16"``, the third of sixteen shards.

    Raises:
        ConfigError: it is something else, or there is no such shard.
    """
    found = _SHARD.fullmatch(text) if isinstance(text, str) else None
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of:
        raise ConfigError(
            f"shard is {repr_of(text)}; give its number, from 1, and how many there are: 3/16 is the third of sixteen"
        )
    return number, of


def tasks_of(shard: str | None, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks of a shard, in their order; all of them if there is no shard.

    Tasks are dealt out by a hash of their ids, so a shard has the same tasks wherever it runs, in whatever order they
    are given, and tasks of one kind that follow one another are spread. Shards differ by one task at most.
    """
    if shard is None:
        return list(tasks)
    number, of = shard_in(shard)
    dealt = sorted((hashlib.sha256(task.id.encode()).digest(), task.id) for task in tasks)
    own = {task for _, task in dealt[number - 1 :: of]}
    return [task for task in tasks if task.id in own]
