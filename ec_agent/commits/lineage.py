"""Find out from the checkpoints which run of a thread a task belongs to, and where in that run it is.

Two workers that resume one thread each write checkpoints of their own, and so have different task ids. They share the
input that the run began with and the steps from there, so these identify the action. A user who goes back, on
purpose, to an old checkpoint of a run that has ended begins another run.

``tests/commits/test_lineage.py`` guards what this relies on in LangGraph.
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
    """How far one graph has come: the outermost graph, or one that runs as a task of the level before.

    Attributes:
        namespace: the namespace of the graph's checkpoints.
        checkpoint: id of the checkpoint that the present superstep starts from.
        behind: ids of the earlier checkpoints of this run, whose supersteps are complete.
    """

    namespace: str
    checkpoint: str
    behind: frozenset[str]


@dataclass(frozen=True, slots=True)
class PlaceInRun:
    """Which run a task belongs to, and its place in that run.

    Attributes:
        run: identifies the run: the thread's id, and the checkpoint that the run began with.
        place: the nodes and superstep numbers that led to the task: equal for all workers that resume the run and
            take the same steps.
        levels: the graphs that the task is in, outermost first.
    """

    run: str
    place: str
    levels: tuple[Level, ...]

    @property
    def position(self) -> list[list[str]]:
        """The namespace and checkpoint of each level, as plain lists, for the run's log."""
        return [[level.namespace, level.checkpoint] for level in self.levels]

    def follows(self, position: Sequence[Sequence[str]]) -> bool:
        """Whether a step at that position came before this task in the same history, or beside it in one superstep."""
        for (namespace, checkpoint), level in zip(position, self.levels, strict=False):
            if namespace != level.namespace:
                return True
            if checkpoint != level.checkpoint:
                return checkpoint in level.behind
        return True


def standing(config: RunnableConfig, inner: RunnableConfig | None = None) -> Plan[PlaceInRun | None]:
    """Return where the task with this config is; ``None`` where the run has no checkpoints.

    Args:
        config: the task's config.
        inner: the config of a task inside it, if that one acts. Its checkpoints are among the levels, but it has no
            part in the ``place``.

    Raises:
        CommitError: this version of LangGraph keeps the task's path in a place we do not know.
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
    return PlaceInRun(run, "|".join(places), tuple(levels)) if levels else None


@dataclass(frozen=True, slots=True)
class _Way:
    """The history of one graph: its first checkpoint, its number of steps, the checkpoints passed, and the last one."""

    root: str
    steps: int
    behind: frozenset[str]
    last: CheckpointTuple


def _way(saver: BaseCheckpointSaver[Any], thread: str, space: str, checkpoint: str) -> Plan[_Way | None]:
    """Return the history of one graph, from a checkpoint back to the one its run began with.

    ``None`` if the checkpoint is not there.
    """
    last = yield call(saver, "get_tuple", _at(thread, space, checkpoint))
    if last is None:
        return None
    here, root, steps = checkpoint, checkpoint, 0
    behind: set[str] = set()
    child = ""
    while (link := (yield from _link(saver, thread, space, here))) is not None:
        root = here
        if child == "loop":  # the next checkpoint is the result of this one's superstep, so the superstep is complete
            behind.add(here)
        if link.source == "input" or link.parent is None:
            break
        branched = space == "" and link.source in ("fork", "update")
        if branched and (yield from _on_purpose(saver, thread, here, link.parent)):
            break
        steps += link.source != "fork"  # a fork only copies a checkpoint
        child, here = link.source, link.parent
    return _Way(root, steps, frozenset(behind), last)


@dataclass(frozen=True, slots=True)
class _Link:
    source: str
    parent: str | None


# A checkpoint never changes once it is written. So each is read once, and not again for each action of a long run.
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
    """Whether a user made this branch by going back in a run that had ended.

    A worker makes the same kind of branch when it resumes a run that another worker has resumed too. The newest
    checkpoint before the branch tells: if a run could still go on from there, the run had not ended.
    """
    where, before = _at(thread, "", None), _at(thread, "", branch)

    async def newest() -> CheckpointTuple | None:
        return await anext(aiter(saver.alist(where, before=before, limit=1)), None)

    found = yield Step(lambda: next(iter(saver.list(where, before=before, limit=1)), None), newest)
    if found is None or found.checkpoint["id"] == parent:
        return False
    return not _goes_on(found.checkpoint["channel_values"])


def _goes_on(values: Mapping[str, Any]) -> bool:
    """Whether a run goes on from a checkpoint with these channel values: whether a task is waiting in them."""
    return any(
        name == BEGIN
        or name.startswith(BRANCH)
        or (name == TASKS and bool(value))
        or (name.startswith(JOIN) and _joined(name, value))
        for name, value in values.items()
    )


def _joined(name: str, value: Any) -> bool:
    """Whether all nodes that a join waits for have ended: the channel's name lists the nodes, its value the ended."""
    seen = value[0] if isinstance(value, tuple) else value
    awaited = name.removeprefix(JOIN).rpartition(":")[0]
    return bool(seen) and sum(len(each) + 1 for each in seen) == len(awaited) + 1


def _at(thread: str, space: str, checkpoint: str | None) -> RunnableConfig:
    place = {"thread_id": thread, "checkpoint_ns": space}
    return {"configurable": place if checkpoint is None else {**place, "checkpoint_id": checkpoint}}


def _named(segment: str, last: CheckpointTuple, path: tuple[Any, ...] | None) -> str:
    """Name a task without the random ids of one attempt, but so that it differs from the tasks beside it."""
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
            f"this version of LangGraph does not keep a task's path where ec_agent looks for it ({error!r}). Without "
            "the path, two runs of one thread could carry out the same action, so nothing was carried out; install the "
            "version of langgraph that ec_agent was tested with"
        ) from error
