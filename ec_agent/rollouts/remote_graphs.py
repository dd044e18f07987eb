"""Let a ``RemoteGraph`` inside a rollout send to its server what it would send without ``best_of_n``.

A rollout runs on a thread id that we invented, with metadata and limits of ours. The server does not know that thread.
LangGraph builds each request from a config, in one function. That function is replaced here by one that first puts the
user's own values back into the config.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import DEFAULT_RECURSION_LIMIT

from ec_agent.capture.recorder import current_recorder
from ec_agent.errors import AgentError
from ec_agent.insides.langgraph import BOX_NODE, DURABILITY, STREAM

ENVIRONMENT = "ec_environment"
_BAGGAGE = "langsmith-metadata="


@dataclass(frozen=True, slots=True)
class Given:
    """The user's own values that a rollout's config replaces by ours.

    Attributes:
        configurable: the user's thread, environment and durability; each is missing if the user gave none.
        metadata: the user's metadata under the keys that we set, and under those that LangGraph derives from the above.
        recursion_limit: the outer run's limit; ``None`` where the user gave none.
        namespace: checkpoint namespace of the agent in the outer graph; ``""`` where there is no outer graph.
        task: for an agent that is a function and so runs in a graph of ours: the metadata of the task it stands for.
    """

    configurable: Mapping[str, Any]
    metadata: Mapping[str, Any]
    recursion_limit: int | None
    namespace: str = ""
    task: Mapping[str, Any] | None = None


_OWN = ("thread_id", ENVIRONMENT, DURABILITY)  # the thread must be first: as_alone() may leave it out
_PLACE = "checkpoint_ns"
_TASK, _TASK_PLACE = "langgraph_", "langgraph_checkpoint_ns"
_BOX = f"{BOX_NODE}:"
_MARKS = ("ec_rollout", "ec_selector", "ec_config", "thread_id", ENVIRONMENT)
# By a rollout's thread id, because a node may send from an OS thread that does not inherit our context variable. The
# value is a list, because two questions without a thread of their own may use the same id at one time.
_running: dict[str, list[Given]] = {}
_lock = threading.Lock()
_here: ContextVar[Given | None] = ContextVar("ec_agent_given", default=None)


def given_in(config: RunnableConfig, alone: bool, boxed: bool) -> Given:
    """Read the user's own values from a config. Inside another rollout, they are those of the outermost run.

    Args:
        config: the config of the task in which the question is asked.
        alone: whether that task belongs to the graph of ``as_agent()``, which stands for the agent.
        boxed: whether the agent is a function.

    Raises:
        AgentError: this version of LangGraph builds the requests of remote graphs in a way we do not know.
    """
    install()
    configurable, metadata = config.get("configurable") or {}, config.get("metadata") or {}
    namespace = str(configurable.get(_PLACE) or "")
    if (around := _given_on(configurable.get("thread_id"))) is not None:
        metadata = _metadata_as_alone(metadata, around)
        namespace = str(metadata.get(_TASK_PLACE) or "")
    task = {name: value for name, value in metadata.items() if name.startswith(_TASK)} if boxed and not alone else {}
    place: Any = {
        "namespace": namespace.rpartition("|")[0] if alone else namespace,
        "task": task if boxed else None,
    }
    if around is not None:
        return replace(around, **place)
    limit = config.get("recursion_limit")
    return Given(
        {name: configurable[name] for name in _OWN if name in configurable},
        {name: metadata[name] for name in _MARKS if name in metadata},
        None if limit == DEFAULT_RECURSION_LIMIT else limit,
        **place,
    )


def placed(metadata: Mapping[str, Any], given: Given) -> dict[str, Any]:
    """Return the metadata with the checkpoint namespace that the agent would have without ``best_of_n``."""
    return _restored(metadata, (_PLACE,), {_PLACE: given.namespace} if given.namespace else {})


@contextmanager
def sending_as_alone(thread: str, given: Given) -> Iterator[None]:
    """Inside the ``with`` block, remote graphs of the rollout with this thread id send the user's own values."""
    with _lock:
        _running.setdefault(thread, []).append(given)
    before = _here.set(given)
    try:
        yield
    finally:
        _here.reset(before)
        with _lock:
            _running[thread].remove(given)
            if not _running[thread]:
                del _running[thread]


def _given_on(thread: Any) -> Given | None:
    with _lock:
        return next(reversed(_running.get(str(thread), ())), None)


def as_alone(config: RunnableConfig | None) -> RunnableConfig | None:
    """Return the config with the user's own values in place of ours; outside a rollout the config itself."""
    configurable, metadata = (config or {}).get("configurable") or {}, (config or {}).get("metadata") or {}
    own: tuple[str, ...] = _OWN
    given = _given_on(configurable.get("thread_id"))
    if given is None and _MARKS[0] in metadata:
        # The config comes from a rollout, but the user's code has set a thread id of its own: keep that id.
        given, own = _here.get(), _OWN[1:]
    if config is None or given is None:
        return config
    alone: Any = {**config, "configurable": _restored(configurable, own, given.configurable)}
    if "metadata" in config:
        alone["metadata"] = _metadata_as_alone(metadata, given)
    if alone.pop("recursion_limit", None) is not None and given.recursion_limit is not None:
        alone["recursion_limit"] = given.recursion_limit
    restored: RunnableConfig = alone
    return restored


def _metadata_as_alone(metadata: Mapping[str, Any], given: Given) -> dict[str, Any]:
    alone = _restored(metadata, _MARKS, given.metadata)
    own = str(alone.get(_TASK_PLACE) or "")
    if given.task is not None and str(alone.get(_PLACE) or "").startswith(_BOX):
        del alone[_PLACE]
    if given.task is not None and own.startswith(_BOX):
        _, _, own = own.partition("|")
        if not own:
            return {**{key: value for key, value in alone.items() if not key.startswith(_TASK)}, **given.task}
        alone[_TASK_PLACE] = own
    if given.namespace and own:
        alone[_TASK_PLACE] = f"{given.namespace}|{own}"
    return alone


def _restored(values: Mapping[str, Any], names: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in values.items() if key not in names}
    return {**kept, **{key: value for key, value in given.items() if key in names}}


def _headers_as_alone(headers: dict[str, str] | None) -> dict[str, str] | None:
    """Return the tracing headers with the user's own metadata: LangSmith sends the traced run's metadata in them."""
    given = _here.get()
    if given is None or not headers or _BAGGAGE not in headers.get("baggage", ""):
        return headers
    items = [_item_as_alone(item, given) for item in headers["baggage"].split(",")]
    return {**headers, "baggage": ",".join(items)}


def _item_as_alone(item: str, given: Given) -> str:
    try:
        metadata = json.loads(unquote(item.removeprefix(_BAGGAGE))) if item.startswith(_BAGGAGE) else None
    except ValueError:
        return item
    if not isinstance(metadata, dict):
        return item
    return _BAGGAGE + quote(json.dumps(_metadata_as_alone(metadata, given)), safe="")


_install_lock = threading.Lock()
_installed = False


def install() -> None:
    """Replace, once per process, the three functions of LangGraph that build everything a remote graph sends."""
    global _installed
    with _install_lock:
        if _installed:
            return
        from langgraph.pregel import remote

        replaced: list[tuple[Any, str, Callable[..., Any]]] = [
            (remote, "merge_configs", _merging),
            (remote, "_merge_tracing_headers", _tracing),
            (getattr(remote, "RemoteGraph", None), "_get_stream_modes", _listening),
        ]
        gone = [name for place, name, _ in replaced if not callable(getattr(place, name, None))]
        if gone:
            raise AgentError(
                f"langgraph.pregel.remote has no {gone[0]}, which ec_agent has to wrap so that a RemoteGraph in a "
                "rollout sends the right thread; install a version of langgraph that ec_agent is tested with, or a "
                "newer ec_agent"
            )
        for place, name, around in replaced:
            setattr(place, name, around(getattr(place, name)))
        _installed = True


def _merging(merge: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(merge)
    def merging(*configs: RunnableConfig | None) -> Any:
        if (recorder := current_recorder.get()) is not None:
            recorder.remotes += 1
        return merge(*(as_alone(config) for config in configs))

    return merging


def _tracing(merge: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(merge)
    def tracing(headers: dict[str, str] | None) -> Any:
        return _headers_as_alone(merge(headers))

    return tracing


def _listening(stream_modes: Callable[..., Any]) -> Callable[..., Any]:
    # We stream the graphs that a function calls. Without this, the server would be asked to stream for us too.
    @functools.wraps(stream_modes)
    def listening(self: Any, stream_mode: Any, config: RunnableConfig | None = None, *args: Any, **kwargs: Any) -> Any:
        configurable = (config or {}).get("configurable") or {}
        # The context variable is looked at too, because the user's code may have set a thread id of its own.
        if config and (_here.get() is not None or _given_on(configurable.get("thread_id")) is not None):
            config = {**config, "configurable": {k: v for k, v in configurable.items() if k != STREAM}}
        return stream_modes(self, stream_mode, config, *args, **kwargs)

    return listening
