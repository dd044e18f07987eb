"""The graph in which an agent that is a function runs, the box, made short: one step, and one run for handlers to hear.

The function has to be a task of a graph: it may ask people, call graphs, stream, and be parked. A ``StateGraph`` has a
step before it, which turns the input into writes. And LangGraph makes a run for callback handlers around each
function. The box here leaves out that step; and, where no handler hears it, that run. The function finds the same
config as in a ``StateGraph``.

``tests/insides/test_box.py`` compares the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import Context, ContextVar, copy_context
from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config

from ec_agent.insides.langgraph import BOX_IN, BOX_NODE, BRANCH, RESUMING

unheard: ContextVar[bool] = ContextVar("ec_agent_unheard", default=False)
"""Whether no callback handler hears the runs of graphs here; set around a rollout."""

_FIRST = f"{BRANCH}{BOX_NODE}"
_WAITING = 2


def shortened(graph: Any) -> Any:
    """Return a box that does the same in one step.

    Args:
        graph: a compiled ``StateGraph`` whose only node is ``BOX_NODE``.
    """
    node = graph.nodes[BOX_NODE]
    short = node.copy({"bound": _Called(node), "writers": []})
    return graph.copy({"nodes": {BOX_NODE: short}, "input_channels": [BOX_IN, _FIRST]})


def input_of_box(known: Any) -> dict[str, Any]:
    """Return the input of a shortened box, for a function that is called with ``known``."""
    return {BOX_IN: known, _FIRST: None}


def places_of_box(most: int) -> int:
    """Return ``max_concurrency`` for the run of a shortened box, for a function that is to find ``most``.

    LangGraph's sync stream takes one of the places while it waits for events of nested graphs, and the function takes
    one while it waits for LangGraph tasks that it calls. With a single place, the function would never start.
    """
    return most + _WAITING


class _Called(Runnable[Any, Any]):
    """The function of a box, and the writes that its result becomes.

    Args:
        node: the node as ``StateGraph`` made it.
    """

    def __init__(self, node: Any) -> None:
        self._whole, self._function, self._writers = node.node, node.bound, node.flat_writers

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        config = _as_second(config or {})
        if not unheard.get():
            return self._whole.invoke(input, config, **kwargs)
        own = _inside(config)
        result = _with_config(own).run(self._function.invoke, input, own, **kwargs)
        for writer in self._writers:
            writer.invoke(result, config)
        return result

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        config = _as_second(config or {})
        if not unheard.get():
            return await self._whole.ainvoke(input, config, **kwargs)
        own = _inside(config)
        result = await asyncio.create_task(self._function.ainvoke(input, own, **kwargs), context=_with_config(own))
        for writer in self._writers:
            await writer.ainvoke(result, config)
        return result


def _as_second(config: Mapping[str, Any]) -> RunnableConfig:
    """Return the config of a graph's second step, which the function has in a ``StateGraph``.

    In the first step LangGraph leaves a mark: whether the run is resumed. In a run that is not, the mark would be
    passed on to whatever the function calls, to the server of a ``RemoteGraph`` for instance.
    """
    conf, metadata = dict(config["configurable"]), dict(config.get("metadata") or {})
    if not conf.get(RESUMING):
        conf.pop(RESUMING, None)
    step = metadata.get("langgraph_step", 0)
    metadata["langgraph_step"] = step + 1
    second: Any = {**config, "configurable": conf, "metadata": metadata}
    if (most := config.get("max_concurrency")) is not None:
        second["max_concurrency"] = most - _WAITING
    if isinstance(callbacks := config.get("callbacks"), BaseCallbackManager):  # made for this task alone
        callbacks.tags = [f"graph:step:{step + 1}" if tag == f"graph:step:{step}" else tag for tag in callbacks.tags]
    return second  # type: ignore[no-any-return]


def _inside(config: RunnableConfig) -> RunnableConfig:
    """Return the config with which the function is called: LangGraph's, as if it had made a run around it."""
    own: Any = {key: value for key, value in config.items() if key not in ("run_name", "run_id")}
    if isinstance(given := config.get("callbacks"), BaseCallbackManager):
        callbacks = type(given)(handlers=[], parent_run_id=given.parent_run_id)
        callbacks.set_handlers(given.inheritable_handlers)
        callbacks.add_tags(list(dict.fromkeys([*given.inheritable_tags, *(config.get("tags") or ())])))
        callbacks.add_metadata({**given.inheritable_metadata, **(config.get("metadata") or {})})
        callbacks.add_tags(["seq:step:1"], inherit=False)
        own["callbacks"] = callbacks
    return own  # type: ignore[no-any-return]


def _with_config(config: RunnableConfig) -> Context:
    context = copy_context()
    context.run(var_child_runnable_config.set, config)
    return context
