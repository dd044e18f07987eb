"""What a ``RemoteGraph`` sends to its server from within a rollout: what it would send if the agent ran alone.

A rollout runs on a thread that we made up, with marks and limits of ours. No server has that thread. What goes out is
made of a config in one function of LangGraph's, which is replaced here by one that puts back what the user gave.
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
    """What the user gave, where a rollout has something of ours.

    Attributes:
        configurable: the thread, the environment and the durability, as far as there were any.
        metadata: what our marks are written over, likewise, and what LangGraph makes of the above.
        recursion_limit: of the run around; ``None`` where it is the one that LangChain fills in.
        namespace: the place of the agent in the graph around; ``""`` where it stands alone.
        task: for a function, which runs in a graph of ours, what the metadata says of the task that it stands in.
    """

    configurable: Mapping[str, Any]
    metadata: Mapping[str, Any]
    recursion_limit: int | None
    namespace: str = ""
    task: Mapping[str, Any] | None = None


_OWN = ("thread_id", ENVIRONMENT, DURABILITY)  # the thread first
_PLACE = "checkpoint_ns"
_TASK, _TASK_PLACE = "langgraph_", "langgraph_checkpoint_ns"
_BOX = f"{BOX_NODE}:"
_MARKS = ("ec_rollout", "ec_selector", "ec_config", "thread_id", ENVIRONMENT)
# By the thread of a rollout: a node may send from a thread without the context. Questions without a thread of their own
# may have rollouts of one name at a time.
_running: dict[str, list[Given]] = {}
_lock = threading.Lock()
_here: ContextVar[Given | None] = ContextVar("ec_agent_given", default=None)


def given_in(config: RunnableConfig, alone: bool, boxed: bool) -> Given:
    """What the user gave to the run that this is the config of; within a rollout, to the one around it all.

    Args:
        config: of the task that the question is asked in.
        alone: whether that is the task of a graph of ours, in the agent's place.
        boxed: whether the agent is a function.

    Raises:
        AgentError: LangGraph's remote graphs are not made as we know them.
    """
    _install()
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
    """The metadata for a rollout, which stands where the agent would stand."""
    return _restored(metadata, (_PLACE,), {_PLACE: given.namespace} if given.namespace else {})


@contextmanager
def sending_as_alone(thread: str, given: Given) -> Iterator[None]:
    """While a rollout runs on this thread, its remote graphs are sent what was given."""
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
    """The config without what is of ours; itself outside a rollout."""
    configurable, metadata = (config or {}).get("configurable") or {}, (config or {}).get("metadata") or {}
    own: tuple[str, ...] = _OWN
    given = _given_on(configurable.get("thread_id"))
    if given is None and _MARKS[0] in metadata:
        # Made of a rollout's config, with a thread that the user's code names itself.
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
    """Tracing headers, which carry the metadata of the run that LangSmith traces in this context."""
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


def _install() -> None:
    """Replace the three functions through which all that a remote graph sends passes, once per process."""
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
                f"langgraph.pregel.remote has no {gone[0]}, which ec_agent knows what a RemoteGraph sends by; install "
                "a version of langgraph that ec_agent is tested with, or a newer ec_agent"
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
    # We listen to the graphs that a function calls; a server would be asked for what is heard here.
    @functools.wraps(stream_modes)
    def listening(self: Any, stream_mode: Any, config: RunnableConfig | None = None, *args: Any, **kwargs: Any) -> Any:
        configurable = (config or {}).get("configurable") or {}
        # The thread may be one that the user names.
        if config and (_here.get() is not None or _given_on(configurable.get("thread_id")) is not None):
            config = {**config, "configurable": {k: v for k, v in configurable.items() if k != STREAM}}
        return stream_modes(self, stream_mode, config, *args, **kwargs)

    return listening
