"""Which run of a thread a task belongs to, and where in it: read from the checkpoints that led to the task.

Two workers that resume one thread make checkpoints, and so task ids, of their own. What they share is the input that
the run began with and the way from there. Going back on purpose in a run that has ended begins another run.

What this relies on of LangGraph is guarded by ``tests/commits/test_lineage.py``.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from ec_agent.errors import CommitError
from ec_agent.insides.langgraph import BEGIN, BRANCH, JOIN, PULL, TASKS, checkpoints_of, saver_of, task_path
from ec_agent.support.plans import Plan, Step, call


@dataclass(frozen=True, slots=True)
class Level:
    """How far the run of one graph has come: the outermost, or one that is a task of the level before.

    Attributes:
        namespace: of its checkpoints.
        checkpoint: the one that the present superstep starts from.
        behind: those whose supersteps were completed on the way here.
    """

    namespace: str
    checkpoint: str
    behind: frozenset[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where in which run a task is.

    Attributes:
        run: the thread, and the checkpoint that its present run began with.
        place: nodes and numbers of supersteps: the same for all who resume the run and go the same way.
        levels: the graphs it is in, outermost first.
    """

    run: str
    place: str
    levels: tuple[Level, ...]

    @property
    def position(self) -> list[list[str]]:
        """The checkpoints it is at, plain, for the record."""
        return [[level.namespace, level.checkpoint] for level in self.levels]

    def follows(self, position: Sequence[Sequence[str]]) -> bool:
        """Whether what was done at that position lies on the way here, or beside us in the same superstep."""
        for (namespace, checkpoint), level in zip(position, self.levels, strict=False):
            if namespace != level.namespace:
                return True
            if checkpoint != level.checkpoint:
                return checkpoint in level.behind
        return True


def standing(config: RunnableConfig, inner: RunnableConfig | None = None) -> Plan[Standing | None]:
    """Where the task with this config is; ``None`` where no checkpoint tells.

    Args:
        config: of the task.
        inner: of a task within it that asks; what is told apart by it has no part in the ``place``.

    Raises:
        CommitError: LangGraph does not tell the task's path in the way that we know.
    """
    saver, conf = saver_of(config), config.get("configurable") or {}
    thread, own = conf.get("thread_id"), str(conf.get("checkpoint_ns") or "")
    if saver is None or thread is None:
        return None
    mapped = {**checkpoints_of(conf), **checkpoints_of((inner or {}).get("configurable") or {})}
    levels: list[Level] = []
    places: list[str] = []
    run = ""
    spaces = list(mapped)
    for depth, space in enumerate(spaces):
        way = yield from _way(saver, str(thread), space, mapped[space])
        of_own = space == "" or own.startswith(f"{space}|")
        if way is None:
            places += [own.removeprefix(f"{space}|")] if of_own else []
            break
        run = run or f"{thread}/{way.root}"
        levels.append(Level(space, mapped[space], way.behind))
        if of_own:
            innermost = depth + 1 == len(spaces) or not own.startswith(f"{spaces[depth + 1]}|")
            segment = (own if innermost else spaces[depth + 1]).removeprefix(f"{space}|" if space else "")
            path = _path(conf) if innermost else None
            places.append(f"{_named(segment, way.last, path)}@{way.steps}")
    return Standing(run, "|".join(places), tuple(levels)) if levels else None


@dataclass(frozen=True, slots=True)
class _Way:
    root: str
    steps: int
    behind: frozenset[str]
    last: CheckpointTuple


def _way(saver: BaseCheckpointSaver[Any], thread: str, space: str, checkpoint: str) -> Plan[_Way | None]:
    """From a checkpoint back to the one that its run began with."""
    last = yield call(saver, "get_tuple", _at(thread, space, checkpoint))
    if last is None:
        return None
    here, root, steps = checkpoint, checkpoint, 0
    behind: set[str] = set()
    child = ""
    while (link := (yield from _link(saver, thread, space, here))) is not None:
        root = here
        if child == "loop":
            behind.add(here)
        if link.source == "input" or link.parent is None:
            break
        branched = space == "" and link.source in ("fork", "update")
        if branched and (yield from _on_purpose(saver, thread, here, link.parent)):
            break
        steps += link.source != "fork"
        child, here = link.source, link.parent
    return _Way(root, steps, frozenset(behind), last)


@dataclass(frozen=True, slots=True)
class _Link:
    source: str
    parent: str | None


# Checkpoints do not change: those of a long run are read once, not again for each action.
_links: OrderedDict[tuple[str, str, str], _Link] = OrderedDict()
_links_lock = threading.Lock()
_MOST_LINKS = 10_000


def _link(saver: BaseCheckpointSaver[Any], thread: str, space: str, checkpoint: str) -> Plan[_Link | None]:
    key = (thread, space, checkpoint)
    with _links_lock:
        known = _links.get(key)
    if known is not None:
        return known
    found = yield call(saver, "get_tuple", _at(thread, space, checkpoint))
    if found is None:
        return None
    above = ((found.parent_config or {}).get("configurable") or {}).get("checkpoint_id")
    link = _Link(str((found.metadata or {}).get("source")), above)
    with _links_lock:
        _links[key] = link
        while len(_links) > _MOST_LINKS:
            _links.popitem(last=False)
    return link


def _on_purpose(saver: BaseCheckpointSaver[Any], thread: str, branch: str, parent: str) -> Plan[bool]:
    """Whether a branch was made by going back in a run that had ended, and not by one of several who resume it."""
    where, before = _at(thread, "", None), _at(thread, "", branch)

    async def newest() -> CheckpointTuple | None:
        return await anext(aiter(saver.alist(where, before=before, limit=1)), None)

    found = yield Step(lambda: next(iter(saver.list(where, before=before, limit=1)), None), newest)
    if found is None or found.checkpoint["id"] == parent:
        return False
    return not _goes_on(found.checkpoint["channel_values"])


def _goes_on(values: Mapping[str, Any]) -> bool:
    """Whether a checkpoint with these channels is one that a run goes on from."""
    return any(
        name == BEGIN
        or name.startswith(BRANCH)
        or (name == TASKS and bool(value))
        or (name.startswith(JOIN) and _joined(name, value))
        for name, value in values.items()
    )


def _joined(name: str, value: Any) -> bool:
    """Whether all nodes that a join waits for have ended: its channel has their names in its own."""
    seen = value[0] if isinstance(value, tuple) else value
    awaited = name.removeprefix(JOIN).rpartition(":")[0]
    return bool(seen) and sum(len(each) + 1 for each in seen) == len(awaited) + 1


def _at(thread: str, space: str, checkpoint: str | None) -> RunnableConfig:
    place = {"thread_id": thread, "checkpoint_ns": space}
    return {"configurable": place if checkpoint is None else {**place, "checkpoint_id": checkpoint}}


def _named(segment: str, last: CheckpointTuple, path: tuple[Any, ...] | None) -> str:
    """A task without what is made up for each try, but told from its siblings."""
    names = "|".join(part.partition(":")[0] for part in segment.split("|"))
    if path is not None:
        return names if path[0] == PULL else f"{names}{path[1:]}"
    node, _, made_up = segment.partition("|")[0].partition(":")
    if not made_up:
        return names
    known = last.checkpoint["channel_versions"]
    follows_edge = any(each == f"{BRANCH}{node}" or _leads_to(each, node) for each in known)
    sent = any(getattr(each, "node", None) == node for each in last.checkpoint["channel_values"].get(TASKS) or [])
    return names if follows_edge and not sent else segment


def _leads_to(channel: str, node: str) -> bool:
    return channel.startswith(JOIN) and channel.endswith(f":{node}")


def _path(conf: Mapping[str, Any]) -> tuple[Any, ...]:
    try:
        return task_path(conf)
    except Exception as error:
        raise CommitError(
            f"this version of LangGraph does not tell a task's path where ec_agent looks for it ({error!r}), so two "
            "runs of one thread could not be told from one, and nothing was carried out; install the version of "
            "langgraph that ec_agent was tested with"
        ) from error
