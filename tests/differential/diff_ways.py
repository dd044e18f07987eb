"""The ways of running a row: alone or in ``best_of_n``, as an agent or as a node, sync or async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from diff_cast import LOSER, Cast, N
from diff_gist import Gist
from diff_rows import GO_ON, Row
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel import Pregel
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from ec_agent import best_of_n


@dataclass
class Run:
    """What a run left.

    Attributes:
        moments: after each input and each answer: what came back, what is asked, the state.
        requests: what the winner's models were asked.
        stored: what is in the store.
        saver: the checkpointer, for a look into it.
        problems: what is wrong whatever the agent alone does.
    """

    moments: dict[str, Any] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)
    stored: list[Any] = field(default_factory=list)
    saver: Any = None
    problems: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """All that is compared."""
        return {**self.moments, "requests": self.requests, "store": self.stored}


Start = Callable[[], Any]


def run(row: Row, way: str, wrapped: bool, api: str) -> Run:
    """Run all turns of a row on one thread."""
    if api == "async":
        return asyncio.run(_run(row, way, wrapped, _awaited))
    coroutine = _run(row, way, wrapped, _called)
    try:
        coroutine.send(None)  # nothing in it waits
    except StopIteration as end:
        done: Run = end.value
        return done
    raise AssertionError("a sync run waited for something")


async def _called(runnable: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(runnable, method)(*args, **kwargs)


async def _awaited(runnable: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    return await getattr(runnable, f"a{method}")(*args, **kwargs)


Call = Callable[..., Coroutine[Any, Any, Any]]


@dataclass
class Stage:
    """A row made ready: what is invoked, and what keeps its threads, if anything does."""

    runnable: Any
    keeper: Any
    saver: InMemorySaver
    store: InMemoryStore | None
    cast: Cast

    @classmethod
    def of(cls, row: Row, way: str, wrapped: bool) -> Stage:
        cast, saver, store = Cast(), InMemorySaver(), InMemoryStore() if row.store else None
        compiled = {"checkpointer": saver, **({"store": store} if store else {})}
        wrap = partial(best_of_n, n=N, **{"commit": [], **row.options}) if wrapped else _as_it_is
        if way == "node":
            graph = row.graph_around(wrap(row.agent(cast)), **compiled)
            return cls(graph, graph, saver, store, cast)
        agent = wrap(row.agent(cast, **compiled))
        keeper = agent.as_agent() if wrapped else agent
        keeps = isinstance(keeper, Pregel) and keeper.checkpointer is not None
        return cls(agent, keeper if keeps else None, saver, store, cast)


def _as_it_is(agent: Any) -> Any:
    return agent


async def _run(row: Row, way: str, wrapped: bool, call: Call) -> Run:
    stage = Stage.of(row, way, wrapped)
    done, gist = Run(saver=stage.saver), Gist()
    config = {**row.config, "configurable": {"thread_id": "thread", **row.config.get("configurable", {})}}
    more = {} if row.context is None else {"context": row.context}
    for number, turn in enumerate(row.turns, 1):
        given: Any = turn.input()
        answers = list(turn.answers)
        for answer in range(len(answers) + 1):
            label = f"turn {number}" + (f", answer {answer}" if answer else "")
            moment, pending = await _moment(stage, given, config, more, call, gist)
            done.moments[label] = moment
            if not pending:
                break
            if answers:
                given = _answer(answers.pop(0), pending)
    done.requests = stage.cast.requests()
    if stage.store is not None:
        found = [(item.namespace, item.key, item.value) for item in stage.store.search((), limit=100)]
        done.stored = sorted(map(repr, gist.of(found)))
    if LOSER in repr(done.told()):
        done.problems.append("a loser's words are in what the run left")
    return done


async def _moment(stage: Stage, given: Any, config: Any, more: Any, call: Call, gist: Gist) -> tuple[Any, Any]:
    """What came of one input, and the interrupts that wait for an answer, or ``True`` at a breakpoint."""
    try:
        output = await call(stage.runnable, "invoke", given, config, **more)
    except Exception as error:
        output = error
    moment: dict[str, Any] = {"output": gist.of(output)}
    asked = list(output.get("__interrupt__") or ()) if isinstance(output, dict) else []
    if stage.keeper is None:
        return moment, asked
    if asked:  # several have no order of their own: LangGraph lists those of a subgraph as they come
        moment["output"]["__interrupt__"].sort(key=repr)
    state = await call(stage.keeper, "get_state", config)
    pending = sorted((each for task in state.tasks for each in task.interrupts), key=lambda each: repr(each.value))
    moment |= {
        "state": gist.of(state.values),
        "paused": bool(state.next),
        "asked": sorted(gist.of(pending), key=repr),
        "ids of what is asked are unique, and those of the output": sorted(each.id for each in pending)
        == sorted(each.id for each in asked)
        and len({each.id for each in pending}) == len(pending),
    }
    return moment, pending or bool(state.next)


def _answer(answer: Any, pending: Any) -> Any:
    if answer is GO_ON:
        return None
    return Command(resume=answer(pending) if callable(answer) else answer)
