"""What the run around a question wants of its steps, where they are taken without a graph of their own.

``tests/insides/test_run_around.py`` guards what this relies on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained

from ec_agent.insides.langgraph import RUNTIME, STREAM

# LangGraph's keys for functions of a server that runs tasks elsewhere, and that hears when a task has ended.
SUBMIT, FINISHED = "__pregel_runner_submit", "__pregel_node_finished"


def with_context(config: RunnableConfig, context: Any) -> RunnableConfig:
    """Return the config of a task, with another context of the run."""
    conf = config["configurable"]
    return {**config, "configurable": {**conf, RUNTIME: conf[RUNTIME].override(context=context)}}


def streams_tasks(config: Mapping[str, Any]) -> bool:
    """Whether somebody streams the tasks of nested graphs (``subgraphs=True``), or a server runs them elsewhere."""
    conf = config.get("configurable") or {}
    return any(conf.get(key) is not None for key in (STREAM, SUBMIT, FINISHED))


def check_drain(config: Mapping[str, Any]) -> None:
    """Raise between two steps, as LangGraph does, if the run was asked to stop there (``RunControl``).

    Raises:
        GraphDrained: it was.
    """
    control = getattr(config["configurable"].get(RUNTIME), "control", None)
    if control is not None and control.drain_requested:
        raise GraphDrained(control.drain_reason or "shutdown")
