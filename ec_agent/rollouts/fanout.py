"""The small graph of our own that runs n rollouts side by side and selects: visible, resumable, isolated."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from langchain_core.callbacks.manager import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import get_runtime
from langgraph.types import Send
from typing_extensions import TypedDict

from ec_agent.rollouts import rollout
from ec_agent.rollouts.agents import Agent
from ec_agent.rollouts.choosing import choose
from ec_agent.rollouts.record import Record
from ec_agent.rollouts.rollout import Session
from ec_agent.rollouts.selection import Selection


class FanOutState(TypedDict):
    """What the fan-out graph checkpoints: the records, and then the receipt."""

    records: Annotated[list[Record], operator.add]
    selection: dict[str, Any] | None


class _Drawn(RunnableLambda[Any, Any]):
    """A node that shows a graph inside it when drawn."""

    def __init__(self, func: Any, afunc: Any, name: str, inside: Runnable[Any, Any] | None) -> None:
        super().__init__(func, afunc=afunc, name=name)
        self._inside = inside

    @property
    def deps(self) -> list[Runnable[Any, Any]]:
        return [self._inside] if self._inside is not None else []


def fan_out_graph(agent: Agent) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> n x rollout -> select -> END. The question travels as the run's context, a ``Session``."""

    def run(task: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return {"records": [rollout.run(_session(), task["index"], config)]}

    async def arun(task: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return {"records": [await rollout.arun(_session(), task["index"], config)]}

    def select(state: FanOutState, config: RunnableConfig) -> dict[str, Any]:
        selection = _choose(state)
        dispatch_custom_event("ec_agent.selection", selection, config=config)
        return {"selection": selection}

    async def aselect(state: FanOutState, config: RunnableConfig) -> dict[str, Any]:
        selection = _choose(state)
        await adispatch_custom_event("ec_agent.selection", selection, config=config)
        return {"selection": selection}

    builder = StateGraph(FanOutState, context_schema=Session)
    builder.add_node("rollout", _Drawn(run, arun, "rollout", agent.drawn))
    builder.add_node("select", RunnableLambda(select, afunc=aselect, name="select"))
    builder.add_conditional_edges(START, _send_all, ["rollout"])
    builder.add_edge("rollout", "select")
    builder.add_edge("select", END)
    return builder.compile(name="best_of_n")


def _session() -> Session:
    return get_runtime(Session).context


def _send_all(_: FanOutState) -> list[Send]:
    return [Send("rollout", {"index": index}) for index in range(_session().n)]


def _choose(state: FanOutState) -> dict[str, Any]:
    session = _session()
    selection: Selection = choose(state["records"], session.options, session.errors)
    for candidate in selection.candidates:
        session.emit(
            {
                "type": "ec_agent.rollout.scored",
                "index": candidate.index,
                "score": candidate.score,
                "centroid": candidate.centroid,
                "reason": candidate.reason,
            }
        )
    plain = selection.to_dict()
    session.emit({"type": "ec_agent.selection", "selection": plain})
    return plain
