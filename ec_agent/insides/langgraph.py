"""What we rely on of LangGraph's insides; ``tests/rollouts/test_internals.py`` guards it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

Channel = BaseChannel[Any, Any, Any]

# LangGraph's names in the config of a task.
CHECKPOINTER = "__pregel_checkpointer"
DURABILITY = "__pregel_durability"
READ = "__pregel_read"
RUNTIME = "__pregel_runtime"
ROOT = "__root__"
RETURN = "__return__"
PULL, PUSH = "__pregel_pull", "__pregel_push"
INTERRUPT = "__interrupt__"
# Ours, for breakpoints given at run time; what begins like this LangGraph leaves out of its metadata.
BREAKPOINTS = "__ec_agent_breakpoints"
STREAM, EVENTS_V3 = "__pregel_stream", "__pregel_stream_messages_v2"
# What an entrypoint saves for its next turn; what a run that goes back in time hands down; and, in a checkpoint's
# metadata, what tells that it is made up of the writes of those before it.
PREVIOUS, REPLAY, DELTAS = "__previous__", "__pregel_replay_state", "counters_since_delta_snapshot"
# Channels: a run's input, those that lead to a node or wait for several, and the tasks that were sent.
BEGIN, BRANCH, JOIN, TASKS = "__start__", "branch:to:", "join:", "__pregel_tasks"
COORDINATES = ("thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map")

# A function agent runs in a small graph of ours, a box; the graph around it, for what it calls, is the outer one.
BOX_IN, BOX_OUT, BOX_NODE = "ec_agent_in", "ec_agent_out", "function"
around_box: ContextVar[Mapping[str, Channel] | None] = ContextVar("ec_agent_around_box", default=None)

TaskFunction = _TaskFunction
"""What ``@task`` makes of a function."""

_PLAIN = (LastValue, LastValueAfterFinish, AnyValue, EphemeralValue, UntrackedValue)


def config_here(config: RunnableConfig | None) -> RunnableConfig:
    """The config of a call made here: within a graph's task always that task's, whatever the call brings along.

    LangChain drops the ambient ``configurable`` as soon as the call has one of its own.
    """
    given = ensure_config(config)
    ambient = (var_child_runnable_config.get() or {}).get("configurable") or {}
    if READ in ambient and READ not in given["configurable"]:
        given["configurable"] = {**ambient, **own_configurable(given)}
    return given


class AllKeys(TypedDict):
    """Stands for a schema of all the keys of a graph."""


def with_private_keys(builder: Any, made: Any) -> type[Any]:
    """Give a graph being built the keys that nodes of another graph have among themselves, beside its state schema.

    Nodes may name keys in ``input_schema=``, or in their annotations, that are in no schema of the graph. On a thread
    they are kept as the others are.

    Args:
        builder: of the graph.
        made: the builder of the other graph, which is done.

    Returns:
        A schema of all keys for a node of the graph, or for its input; the state schema where no key is private.
    """
    if set(made.channels) <= set(made.schemas[made.state_schema]):
        schema: type[Any] = made.state_schema
        return schema
    builder.channels = {**made.channels, **builder.channels}
    builder.schemas[AllKeys] = {**builder.channels, **builder.managed}
    return AllKeys


def out_of_sight(config: RunnableConfig) -> RunnableConfig:
    """The config for a nested run whose steps no event stream is to show.

    A stream that asks for ``subgraphs=True`` shows them. ``version="v3"`` of the event streams asks for that always,
    whoever uses it.
    """
    conf = dict(config.get("configurable") or {})
    if conf.get(EVENTS_V3):
        conf.pop(STREAM, None)
    return {**config, "configurable": conf, "callbacks": without_streaming(config.get("callbacks"))}


@contextmanager
def no_ambient_run() -> Iterator[None]:
    """Inside, a run has the config it is given and no more: LangGraph adds the callbacks of the run around."""
    token = var_child_runnable_config.set(None)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def unsaved(config: RunnableConfig) -> RunnableConfig:
    """The config for a nested run that neither finds a checkpoint nor leaves one."""
    conf = {key: value for key, value in config["configurable"].items() if key != DURABILITY}
    return {**config, "configurable": {**conf, CHECKPOINTER: None}}


def anybody_hears(writer: Any) -> bool:
    """Whether what goes to this stream writer may come to anybody.

    Where nothing streams custom events, LangGraph's writer is a function that does nothing, and so closes over nothing.
    """
    idle = getattr(writer, "__closure__", ()) is None
    return not (idle and str(getattr(writer, "__module__", "")).startswith("langgraph."))


def is_breakpoint(update: Any) -> bool:
    """Whether a part of an ``updates`` stream says that the run stops at a breakpoint: an interrupt, nothing asked."""
    return isinstance(update, dict) and update.get(INTERRUPT) == ()


def breakpoints_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """The breakpoints given at run time that a config brings along, as arguments of a graph's ``stream``."""
    return dict((config.get("configurable") or {}).get(BREAKPOINTS) or {})


def lasting(namespace: str) -> str:
    """A checkpoint namespace less the ids of tasks: that of a subgraph compiled with ``checkpointer=True``."""
    return "|".join(part.split(":")[0] for part in namespace.split("|"))


def graph_called_by(function: Any) -> Any:
    """A graph that a function or a Runnable calls, as far as LangGraph finds it there; else ``None``."""
    if not isinstance(function, Runnable):
        function = RunnableLambda(function) if inspect.isroutine(function) else None
    return function and find_subgraph_pregel(function)


def pairs_of(command: Command[Any]) -> list[tuple[str, Any]]:
    """What a command writes, by key; an object of a state's class without the defaults that stand for nothing."""
    return [(key, value) for key, value in command._update_as_tuples()]


def task_path(conf: Mapping[str, Any]) -> tuple[Any, ...]:
    """How LangGraph came to a task: by an edge, as the so-manieth of those sent, or called by another.

    Raises:
        Exception: of any kind: it is not where we look for it.
    """
    path = tuple(conf[READ].args[3].path)
    if path[0] not in (PULL, PUSH):
        raise LookupError(f"a path that begins with {path[0]!r}")
    return path


def saver_of(config: Mapping[str, Any]) -> BaseCheckpointSaver[Any] | None:
    """The checkpointer of the run this config belongs to."""
    saver = (config.get("configurable") or {}).get(CHECKPOINTER)
    return saver if isinstance(saver, BaseCheckpointSaver) else None


def checkpoints_of(conf: Mapping[str, Any]) -> dict[str, str]:
    """The checkpoints that the supersteps around a task start from, by namespace, outermost first.

    A task that a function calls has its caller among them, as if that were a graph, with the checkpoint that it is in.
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
    """The channels of the graph whose task this config belongs to, state keys among them."""
    channels: Mapping[str, Channel] = config["configurable"][READ].args[1]
    if BOX_OUT in channels:
        channels = around_box.get() or {}
    return {name: channel for name, channel in channels.items() if not _bookkeeping(name)}


def question_number(config: Mapping[str, Any]) -> int:
    """Which question this is of those asked in the task so far, from 0: a function may ask several."""
    return number_in_task(config, "question")


# By task, then by attempt and by what is counted; weakly, for a task holds the whole state of its run.
_counts: WeakKeyDictionary[Any, dict[Any, int]] = WeakKeyDictionary()
_counts_lock = threading.Lock()


def number_in_task(config: Mapping[str, Any], of: str) -> int:
    """How many of these there were before in the task, from 0.

    A task that is resumed or tried again counts from 0 again. LangGraph's own counter of nested graphs does not.
    """
    conf = config["configurable"]
    attempt = getattr(getattr(conf.get(RUNTIME), "execution_info", None), "node_attempt", 1)
    with _counts_lock:
        counts = _counts.setdefault(conf[READ], {})  # which is made anew for each task that is run
        count = counts.get((attempt, of), 0)
        counts[attempt, of] = count + 1
    return count


def has_node(config: Mapping[str, Any], name: str) -> bool:
    """Whether the graph whose task this config belongs to has such a node to go to."""
    return name == END or f"{BRANCH}{name}" in config["configurable"][READ].args[1]


def _bookkeeping(name: str) -> bool:
    return name != ROOT and name.startswith(("__", "branch:", "join:"))


def accumulates(channel: Channel) -> bool:
    """Whether writes to the channel go through a reducer; else the last write stands, or those of the last step."""
    return not isinstance(channel, _PLAIN) and not collects(channel)


def collects(channel: Channel) -> bool:
    """Whether the channel is a list of what one step wrote."""
    return isinstance(channel, Topic) and not channel.accumulate


def passing(channel: Channel) -> bool:
    """Whether the channel may be empty again at a later step, or after a question."""
    return collects(channel) or isinstance(channel, EphemeralValue | AnyValue | UntrackedValue)


def untracked(channel: Any) -> bool:
    """Whether the channel's value is kept out of checkpoints."""
    return isinstance(channel, UntrackedValue)


def overwrites(value: Any) -> bool:
    """Whether a write sets a key with a reducer anew: an ``Overwrite``, or a dict that it is spelled as."""
    return bool(_get_overwrite(value)[0])


def own_configurable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The user's part of ``configurable``: no bookkeeping, no checkpoint coordinates."""
    return {
        key: value
        for key, value in (config.get("configurable") or {}).items()
        if not key.startswith("__pregel_") and key not in (*COORDINATES, BREAKPOINTS)
    }


def own_tags(config: Mapping[str, Any]) -> list[str]:
    """The user's tags: not the ones the runtime adds for each step."""
    return [tag for tag in config.get("tags") or [] if not tag.startswith(("seq:step:", "graph:step:"))]


# By what LangGraph sorts the tasks of a step when it applies their writes: nodes by name, then what was sent by number.
Place = tuple[int, str | int, int]

_HANDLER = "node_error_handler"


def handler_place(rescued: Place) -> Place:
    """Where an error handler's writes come: right after those of the task that it rescues."""
    kind, name, _ = rescued
    return (kind, name if kind else f"{name}, {_HANDLER}", 1)  # LangGraph compares nodes' paths as text


class Rescues(BaseCallbackHandler):
    """Hears which task an error handler rescues, which no stream says.

    Attributes:
        of: the rescued tasks, by the tasks of their handlers.
    """

    run_inline = True
    ignore_llm = ignore_chat_model = ignore_retriever = ignore_agent = ignore_retry = ignore_custom_event = True

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def on_chain_start(self, *_: Any, metadata: Mapping[str, Any] | None = None, **__: Any) -> None:
        """A task starts, or something within one."""
        path, place = ((metadata or {}).get(f"langgraph_{name}") for name in ("path", "checkpoint_ns"))
        tasks = [part.rpartition(":")[2] for part in str(place).split("|")]
        if path and _HANDLER in path and len(tasks) == 2:  # else in a graph within
            self.of[tasks[1]] = tasks[0]

    def heard_by(self, callbacks: Any) -> Any:
        """The callbacks, and this."""
        if not isinstance(callbacks, BaseCallbackManager):
            return [*(callbacks or ()), self]
        manager = callbacks.copy()
        manager.add_handler(self, inherit=True)
        return manager


def rescues(graph: Any) -> bool:
    """Whether nodes of the graph have error handlers."""
    return any(getattr(node, "error_handler_node", None) for node in graph.nodes.values())
