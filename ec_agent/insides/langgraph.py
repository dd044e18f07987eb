"""The private parts of LangGraph that we use, each behind a function of ours.

A node cannot run another graph N times, hide it from streams and copy its writes through LangGraph's public API alone.
``tests/insides/test_langgraph_internals.py``, ``test_langgraph_tasks.py`` and ``test_langgraph_turns.py`` guard what
this relies on.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, ensure_config
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.channels import AnyValue, EphemeralValue, LastValue, LastValueAfterFinish, Topic, UntrackedValue
from langgraph.channels.base import BaseChannel
from langgraph.channels.binop import _get_overwrite
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.constants import END
from langgraph.func import _TaskFunction
from langgraph.pregel._utils import find_subgraph_pregel
from langgraph.types import Command
from typing_extensions import TypedDict

from ec_agent.insides.streams import without_streaming
from ec_agent.support.plans import Plan, call

Channel = BaseChannel[Any, Any, Any]

# LangGraph's own keys in the config of a task.
CHECKPOINTER = "__pregel_checkpointer"
DURABILITY = "__pregel_durability"
READ = "__pregel_read"
RUNTIME = "__pregel_runtime"
RESUMING = "__pregel_resuming"
ROOT = "__root__"
RETURN = "__return__"
PULL, PUSH = "__pregel_pull", "__pregel_push"
INTERRUPT = "__interrupt__"
# Our own key, for breakpoints given at run time. LangGraph keeps keys that begin with "__" out of a run's metadata.
BREAKPOINTS = "__ec_agent_breakpoints"
STREAM, EVENTS_V3 = "__pregel_stream", "__pregel_stream_messages_v2"
# The channel in which an entrypoint keeps a value for its next turn; the config key by which a run that was started
# from an old checkpoint tells its subgraphs so; and the key in a checkpoint's metadata that says that the checkpoint
# has only differences to earlier ones.
PREVIOUS, REPLAY, DELTAS = "__previous__", "__pregel_replay_state", "counters_since_delta_snapshot"
# Channels: a run's input; prefixes of those that trigger one node, and of those that wait for several; sent tasks.
BEGIN, BRANCH, JOIN, TASKS = "__start__", "branch:to:", "join:", "__pregel_tasks"
COORDINATES = ("thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map")

# An agent that is a plain function runs in a small graph of ours, the box. For a best_of_n that the function calls,
# the outer graph is the one around the box; its channels are kept here.
BOX_IN, BOX_OUT, BOX_NODE = "ec_agent_in", "ec_agent_out", "function"
around_box: ContextVar[Mapping[str, Channel] | None] = ContextVar("ec_agent_around_box", default=None)

TaskFunction = _TaskFunction
"""The type that LangGraph's ``@task`` makes of a function."""

_PLAIN = (LastValue, LastValueAfterFinish, AnyValue, EphemeralValue, UntrackedValue)


def config_here(config: RunnableConfig | None) -> RunnableConfig:
    """Return the config for a call that is made here: inside a graph's task, always with that task's ``configurable``.

    LangChain takes the task's ``configurable`` only where the call has none of its own. Then a call with a
    ``thread_id``, say, would no longer know the graph around it.
    """
    given = ensure_config(config)
    ambient = (var_child_runnable_config.get() or {}).get("configurable") or {}
    if READ in ambient and READ not in given["configurable"]:
        given["configurable"] = {**ambient, **own_configurable(given)}
    return given


class AllKeys(TypedDict):
    """Placeholder schema: a graph's builder maps it to all keys of the graph."""


def with_private_keys(builder: Any, made: Any) -> type[Any]:
    """Add the private keys of one graph to another graph that is being built.

    A key is private if it is in no schema of the graph, only in a node's ``input_schema=`` or annotations. Checkpoints
    keep private keys like the others, so a graph that stands for the other one needs them.

    Args:
        builder: the builder of the graph that gets the keys.
        made: the finished builder of the graph that has them.

    Returns:
        A schema with all keys, for a node of the graph or its input; the state schema where no key is private.
    """
    if set(made.channels) <= set(made.schemas[made.state_schema]):
        schema: type[Any] = made.state_schema
        return schema
    builder.channels = {**made.channels, **builder.channels}
    builder.schemas[AllKeys] = {**builder.channels, **builder.managed}
    return AllKeys


def out_of_sight(config: RunnableConfig) -> RunnableConfig:
    """Return the config for a nested run whose steps no event stream may show.

    A stream with ``subgraphs=True`` still shows them, for its user has asked for them. ``astream_events`` with
    ``version="v3"`` always streams subgraphs, without being asked, so its stream is taken out here.
    """
    conf = dict(config.get("configurable") or {})
    if conf.get(EVENTS_V3):
        conf.pop(STREAM, None)
    return {**config, "configurable": conf, "callbacks": without_streaming(config.get("callbacks"))}


@contextmanager
def ambient_run(config: RunnableConfig | None) -> Iterator[None]:
    """Inside the ``with`` block, code runs as if in the task with this config."""
    token = var_child_runnable_config.set(config)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def no_ambient_run() -> AbstractContextManager[None]:
    """Inside the ``with`` block, a run has only the config that it is given.

    Otherwise LangGraph adds the callbacks of the run around it.
    """
    return ambient_run(None)


def unsaved(config: RunnableConfig) -> RunnableConfig:
    """Return the config for a nested run that neither reads checkpoints nor writes them."""
    conf = {key: value for key, value in config["configurable"].items() if key != DURABILITY}
    return {**config, "configurable": {**conf, CHECKPOINTER: None}}


def anybody_hears(writer: Any) -> bool:
    """Whether somebody may receive what goes to this stream writer.

    Where nobody streams custom events, LangGraph's writer is a function that does nothing. It can be recognised
    because it closes over no variables.
    """
    idle = getattr(writer, "__closure__", ()) is None
    return not (idle and str(getattr(writer, "__module__", "")).startswith("langgraph."))


def is_breakpoint(update: Any) -> bool:
    """Whether a part of an ``updates`` stream means a breakpoint, which is an interrupt without a question."""
    return isinstance(update, dict) and update.get(INTERRUPT) == ()


def breakpoints_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the breakpoints in a config that were given at run time, as arguments of a graph's ``stream``."""
    return dict((config.get("configurable") or {}).get(BREAKPOINTS) or {})


def lasting(namespace: str) -> str:
    """Return a checkpoint namespace without task ids: the one of a subgraph compiled with ``checkpointer=True``."""
    return "|".join(part.split(":")[0] for part in namespace.split("|"))


def graph_called_by(function: Any) -> Any:
    """Return the graph that a function or a Runnable calls, if LangGraph finds one in its code; else ``None``."""
    if not isinstance(function, Runnable):
        function = RunnableLambda(function) if inspect.isroutine(function) else None
    return function and find_subgraph_pregel(function)


def pairs_of(command: Command[Any]) -> list[tuple[str, Any]]:
    """Return the writes of a command as ``(key, value)`` pairs, without an update object's untouched defaults."""
    return [(key, value) for key, value in command._update_as_tuples()]


def task_path(conf: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return LangGraph's path of a task: whether an edge, a ``Send`` or another task started it, and its number.

    Raises:
        Exception: any kind; this version of LangGraph does not keep the path where we look for it.
    """
    path = tuple(conf[READ].args[3].path)
    if path[0] not in (PULL, PUSH):
        raise LookupError(f"a path that begins with {path[0]!r}")
    return path


def saver_of(config: Mapping[str, Any]) -> BaseCheckpointSaver[Any] | None:
    """Return the checkpointer of the run this config belongs to; ``None`` without one."""
    saver = (config.get("configurable") or {}).get(CHECKPOINTER)
    return saver if isinstance(saver, BaseCheckpointSaver) else None


def taken_up_again(config: Mapping[str, Any]) -> bool:
    """Whether the task of this config runs again: its run was resumed from a checkpoint, or the task is retried."""
    return bool((config.get("configurable") or {}).get(RESUMING))


def written_beside(config: Mapping[str, Any], channel: str) -> Plan[list[Any]]:
    """Return what finished tasks of the same superstep have written to a channel that joins lists.

    The checkpointer has these writes. The graph's state does not, because the superstep is not over.
    """
    conf, saver = config["configurable"], saver_of(config)
    place = str(conf.get("checkpoint_ns") or "").rpartition("|")[0]
    checkpoint = (conf.get("checkpoint_map") or {}).get(place)
    if saver is None or checkpoint is None:
        return []
    where = {"thread_id": conf["thread_id"], "checkpoint_ns": place, "checkpoint_id": checkpoint}
    found = yield call(saver, "get_tuple", {"configurable": where})
    writes = [] if found is None else found.pending_writes or []
    return [item for _, name, value in writes if name == channel for item in value]


def checkpoints_of(conf: Mapping[str, Any]) -> dict[str, str]:
    """Return the checkpoints from which the present supersteps of all graphs around a task started, outermost first.

    The keys are the graphs' namespaces. Where a function calls a ``@task``, LangGraph lists the function's own task
    like a graph, with the checkpoint of the graph it is in; such doubles are left out.
    """
    found: dict[str, str] = {}
    for namespace, checkpoint in sorted((conf.get("checkpoint_map") or {}).items(), key=lambda item: len(item[0])):
        if checkpoint not in found.values():
            found[namespace] = checkpoint
    return found


def inside_graph(config: Mapping[str, Any]) -> bool:
    """Whether this config belongs to a task of a running graph."""
    return READ in (config.get("configurable") or {})


def outer_channels(config: Mapping[str, Any]) -> Mapping[str, Channel]:
    """Return the channels of the graph whose task this config belongs to: its state keys, without LangGraph's own."""
    channels: Mapping[str, Channel] = config["configurable"][READ].args[1]
    if BOX_OUT in channels:
        channels = around_box.get() or {}
    return {name: channel for name, channel in channels.items() if not _bookkeeping(name)}


def question_number(config: Mapping[str, Any]) -> int:
    """Return the number of this question among those of the same task, from 0: a function may ask several."""
    return number_in_task(config, "question")


# By task, then by attempt and by what is counted. Weak keys, because a task holds the whole state of its run.
_counts: WeakKeyDictionary[Any, dict[Any, int]] = WeakKeyDictionary()
_counts_lock = threading.Lock()


def number_in_task(config: Mapping[str, Any], of: str) -> int:
    """Count the events named ``of`` in a task: 0 at the first call, then 1, and so on.

    A task that is resumed or retried starts at 0 again, so that the same event gets the same number. LangGraph's own
    counter of nested graphs does not start again.
    """
    conf = config["configurable"]
    attempt = getattr(getattr(conf.get(RUNTIME), "execution_info", None), "node_attempt", 1)
    with _counts_lock:
        counts = _counts.setdefault(conf[READ], {})  # LangGraph makes a new READ object for each task that it runs
        count = counts.get((attempt, of), 0)
        counts[attempt, of] = count + 1
    return count


def edges_on_the_loop(builder: Any) -> None:
    """Let the functions of a graph's conditional edges run on the event loop in an async run.

    LangGraph sends a sync function to a thread, which takes longer than most of these functions themselves. It takes
    one function for an edge, and only a sync one works in both kinds of runs.

    Args:
        builder: the ``StateGraph``, with its edges. Their functions must not block.
    """
    for branches in builder.branches.values():
        for branch in branches.values():
            branch.path.afunc = _on_the_loop(branch.path.func)


def _on_the_loop(where: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def awhere(*args: Any, **kwargs: Any) -> Any:
        return where(*args, **kwargs)

    return awhere


def has_node(config: Mapping[str, Any], name: str) -> bool:
    """Whether the graph whose task this config belongs to has a node with this name, or it is ``END``."""
    return name == END or f"{BRANCH}{name}" in config["configurable"][READ].args[1]


def _bookkeeping(name: str) -> bool:
    return name != ROOT and name.startswith(("__", "branch:", "join:"))


def accumulates(channel: Channel) -> bool:
    """Whether writes to the channel go through a reducer. In other channels a later write replaces the value."""
    return not isinstance(channel, _PLAIN) and not collects(channel)


def collects(channel: Channel) -> bool:
    """Whether the channel holds a list of everything that one step wrote."""
    return isinstance(channel, Topic) and not channel.accumulate


def passing(channel: Channel) -> bool:
    """Whether the channel's value may disappear at a later step, or after a question."""
    return collects(channel) or isinstance(channel, EphemeralValue | AnyValue | UntrackedValue)


def untracked(channel: Any) -> bool:
    """Whether the channel's value is kept out of checkpoints."""
    return isinstance(channel, UntrackedValue)


def overwrites(value: Any) -> bool:
    """Whether a write replaces a key's value despite its reducer: an ``Overwrite``, or the dict form of one."""
    return bool(_get_overwrite(value)[0])


def own_configurable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user's own entries of ``configurable``, without LangGraph's and without thread and checkpoint ids."""
    return {
        key: value
        for key, value in (config.get("configurable") or {}).items()
        if not key.startswith("__pregel_") and key not in (*COORDINATES, BREAKPOINTS)
    }


def own_tags(config: Mapping[str, Any]) -> list[str]:
    """Return the user's own tags, without those that LangChain and LangGraph add for each step."""
    return [tag for tag in config.get("tags") or [] if not tag.startswith(("seq:step:", "graph:step:"))]


# The key by which LangGraph sorts the tasks of a step to apply their writes: first nodes by name, then sent tasks by
# number. The winner's writes have to come in the same order.
Place = tuple[int, str | int, int]

_HANDLER = "node_error_handler"


def handler_place(rescued: Place) -> Place:
    """Return the sorting key of an error handler's task: right after the failed task that it stands in for."""
    kind, name, _ = rescued
    return (kind, name if kind else f"{name}, {_HANDLER}", 1)  # LangGraph compares nodes' paths as text


class Rescues(BaseCallbackHandler):
    """Notes which failed task an error handler stands in for; no stream of LangGraph tells.

    Attributes:
        of: ids of the failed tasks, by the ids of their handlers' tasks.
    """

    run_inline = True
    ignore_llm = ignore_chat_model = ignore_retriever = ignore_agent = ignore_retry = ignore_custom_event = True

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def on_chain_start(self, *_: Any, metadata: Mapping[str, Any] | None = None, **__: Any) -> None:
        """Called by LangChain when a task starts, or a run inside one."""
        path, place = ((metadata or {}).get(f"langgraph_{name}") for name in ("path", "checkpoint_ns"))
        tasks = [part.rpartition(":")[2] for part in str(place).split("|")]
        if path and _HANDLER in path and len(tasks) == 2:  # more parts: a task of a nested graph
            self.of[tasks[1]] = tasks[0]

    def heard_by(self, callbacks: Any) -> Any:
        """Return a copy of the callbacks with this handler added."""
        if not isinstance(callbacks, BaseCallbackManager):
            return [*(callbacks or ()), self]
        manager = callbacks.copy()
        manager.add_handler(self, inherit=True)
        return manager


def rescues(graph: Any) -> bool:
    """Whether any node of the graph has an error handler."""
    return any(getattr(node, "error_handler_node", None) for node in graph.nodes.values())
