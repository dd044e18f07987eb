"""Under a checkpointer: what is written, what is resumed, what the next turn sees."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import warnings
from contextlib import nullcontext
from typing import Any

import aiosqlite
import kit
import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send

from ec_agent import AllRolloutsFailedError, DurabilityWarning, Limits, Selection, best_of_n, read_only
from ec_agent.testing import Reply, ScriptedChatModel, message_of

PEAKS = (15, 3, 9, 12)  # rollout 1 wins
THREAD = {"configurable": {"thread_id": "t"}}
ONE_AT_A_TIME = Limits(max_concurrency=1)


class OneLoop(kit.Async):
    """Runs everything on one event loop, as an async saver needs it."""

    def __init__(self, runner):
        self.loop = runner

    def invoke(self, runnable, *args, **kwargs):
        return self.loop.run(runnable.ainvoke(*args, **kwargs))


class Kept:
    """A runner, its saver, and a look at all that the saver holds."""

    def __init__(self, run, saver, everything):
        self.run, self.saver, self.everything = run, saver, everything

    def invoke(self, graph, *args, **kwargs):
        return self.run.invoke(graph, *args, **kwargs)


@pytest.fixture(params=["sync-memory", "sync-sqlite", "async-memory", "async-sqlite"])
def kept(request, tmp_path):
    """Drives a graph under each saver."""
    how, kind = request.param.split("-")
    path = tmp_path / "checkpoints.sqlite"

    def rows():
        with sqlite3.connect(path) as connection:
            return [connection.execute(f"SELECT * FROM {t}").fetchall() for t in ("checkpoints", "writes")]

    with asyncio.Runner() as runner:
        run = kit.Sync() if how == "sync" else OneLoop(runner)
        if kind == "memory":
            saver = InMemorySaver()
            yield Kept(run, saver, lambda: [dict(saver.storage), dict(saver.writes), dict(saver.blobs)])
        elif how == "sync":
            connection = sqlite3.connect(path, check_same_thread=False)
            yield Kept(run, SqliteSaver(connection), rows)
            connection.close()
        else:

            async def opened():
                return AsyncSqliteSaver(await aiosqlite.connect(path))

            saver = runner.run(opened())
            yield Kept(run, saver, rows)
            runner.run(saver.conn.close())


@read_only
@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def adder():
    return create_agent(
        ScriptedChatModel(
            [
                [
                    Reply(f"so {i}", tool_calls=[("add", {"a": i, "b": i})], entropies=kit.peak(at)),
                    Reply(f"answer {i}", entropies=[0.1] * 20),
                ]
                for i, at in enumerate(PEAKS)
            ]
        ),
        [add],
    )


class Receipt(MessagesState, total=False):
    receipt: dict[str, Any]


def test_no_checkpoint_has_logprobs(kept):
    graph = kit.outer(best_of_n(adder(), n=4, selection_key="receipt"), Receipt, checkpointer=kept.saver)
    done = kept.invoke(graph, {"messages": "go"}, THREAD)
    assert [m.content for m in done["messages"]] == ["go", "so 1", "2", "answer 1"]
    held = repr(kept.everything())
    assert "top_logprobs" not in held
    assert "'logprobs'" not in held
    assert "\\x08logprobs" not in held
    assert "answer 1" in held  # the look sees what is there


def test_logprobs_are_in_the_outer_state_when_asked_for(kept):
    graph = kit.outer(best_of_n(adder(), n=4, keep_logprobs=True), checkpointer=kept.saver)
    kept.invoke(graph, {"messages": "go"}, THREAD)
    assert "top_logprobs" in repr(kept.everything())


@pytest.mark.parametrize(
    "shape",
    [
        lambda m: {"messages": [m]},
        lambda m: Command(update={"messages": [m]}),
        lambda m: [Command(update={"messages": [m]})],
        lambda m: Command(update={"messages": [m]}, goto=Send("next", {"messages": [m]})),
        lambda m: {"messages": [m], "receipt": {"raw": m, "all": [m], "pair": (m, 1)}},
        lambda m: {"messages": [m.model_dump()]},
    ],
)
def test_no_function_agents_output_has_logprobs(kept, shape):
    def function(state):
        index = kit.rollout_index()
        return shape(message_of(Reply(f"answer {index}", entropies=kit.peak(PEAKS[index]))))

    builder = StateGraph(Receipt)
    builder.add_node("solve", best_of_n(function, n=3), destinations=("next",))
    builder.add_node("next", lambda s: {})
    builder.add_edge(START, "solve")
    done = kept.invoke(builder.compile(checkpointer=kept.saver), {"messages": "go"}, THREAD)
    assert kit.answers(done["messages"]) == ["answer 1"]
    assert "top_logprobs" not in repr(kept.everything())


def test_no_final_action_or_mapped_output_has_logprobs(kept):
    node = best_of_n(
        adder(),
        n=2,
        final_action=lambda state, writes: [state["messages"][-1], writes[-1]],
        output=lambda final: {"messages": final["messages"][-1:]},
    )
    done = kept.invoke(kit.outer(node, checkpointer=kept.saver), {"messages": "go"}, THREAD)
    assert kit.answers(done["messages"]) == ["answer 1"]
    assert "top_logprobs" not in repr(kept.everything())


def test_records_serialise_without_a_warning(kept, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        graph = kit.outer(best_of_n(adder(), n=3, selection_key="receipt"), Receipt, checkpointer=kept.saver)
        kept.invoke(graph, {"messages": "go"}, THREAD)
        state = read(kept, graph)
    assert Selection.from_dict(state["receipt"]).winner == 1
    assert not [r for r in caplog.records if "serializ" in r.message.lower() or "msgpack" in r.message.lower()]


def read(kept, graph):
    if isinstance(kept.run, OneLoop):
        return kept.run.loop.run(graph.aget_state(THREAD)).values
    return graph.get_state(THREAD).values


def test_several_turns_on_one_thread(kept):
    model = ScriptedChatModel(
        lambda messages, index: Reply(f"{index} sees {len(messages)}", entropies=kit.peak(PEAKS[index]))
    )
    graph = kit.outer(best_of_n(kit.chat(model), n=4), checkpointer=kept.saver)
    for turn in ("one", "two", "three"):
        done = kept.invoke(graph, {"messages": [HumanMessage(turn)]}, THREAD)
    assert [m.content for m in done["messages"]] == ["one", "1 sees 1", "two", "1 sees 3", "three", "1 sees 5"]
    assert [m.id for m in read(kept, graph)["messages"]] == [m.id for m in done["messages"]]


class Crash(BaseException):
    """What a kill looks like from inside."""


def crashing(at, ran, kind=Crash):
    """An agent that dies once, in rollout ``at``."""
    model = kit.say(*PEAKS)

    def one(state):
        index = kit.rollout_index()
        ran.append((index, state["messages"][0].id))
        if index == at and [i for i, _ in ran].count(at) == 1:
            raise kind
        return {"messages": [model.invoke(state["messages"])], "count": 1, "answer": f"{index}"}

    return kit.graph(kit.Talk, one=one)


@pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited")  # LangGraph, at a crash
@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("at", [0, 2, 3])
def test_after_a_crash_only_unfinished_rollouts_run(kept, at, durability):
    ran = []
    node = best_of_n(crashing(at, ran), n=4, limits=ONE_AT_A_TIME)
    builder = StateGraph(kit.Talk)
    builder.add_node("before", lambda s: {"count": 100})
    builder.add_node("solve", node)
    builder.add_edge(START, "before")
    builder.add_edge("before", "solve")
    graph = builder.compile(checkpointer=kept.saver)
    with pytest.raises(Crash):
        kept.invoke(graph, {"messages": "go", "count": 0, "answer": ""}, THREAD, durability=durability)
    done = kept.invoke(graph, None, THREAD, durability=durability)
    assert sorted(i for i, _ in ran) == sorted([0, 1, 2, 3, at])
    assert len({message_id for _, message_id in ran}) == 1
    assert (kit.answers(done["messages"]), done["count"], done["answer"]) == (["answer 1"], 101, "1")


def test_a_keyboard_interrupt_is_no_failed_rollout():
    ran = []
    graph = kit.outer(
        best_of_n(crashing(2, ran, KeyboardInterrupt), n=4, limits=ONE_AT_A_TIME),
        kit.Talk,
        checkpointer=InMemorySaver(),
    )
    with pytest.raises(KeyboardInterrupt):
        graph.invoke({"messages": "go"}, THREAD)
    done = graph.invoke(None, THREAD)
    assert sorted(i for i, _ in ran) == [0, 1, 2, 2, 3]
    assert kit.answers(done["messages"]) == ["answer 1"]


def test_scores_are_the_same_after_a_crash(kept):
    ran = []
    node = best_of_n(crashing(3, ran), n=4, limits=ONE_AT_A_TIME, selection_key="receipt")

    class Both(kit.Talk, Receipt):
        pass

    graph = kit.outer(node, Both, checkpointer=kept.saver)
    with pytest.raises(Crash):
        kept.invoke(graph, {"messages": "go"}, THREAD)
    receipt = Selection.from_dict(kept.invoke(graph, None, THREAD)["receipt"])
    assert [c.centroid for c in receipt.candidates] == [kit.centroid(at) for at in PEAKS]
    assert [c.index for c in receipt.candidates] == [0, 1, 2, 3]


def test_resuming_keeps_goto_and_sends(kept):
    died = []

    def function(state):
        kit.say(*PEAKS).invoke("?")
        index = kit.rollout_index()
        if index == 3 and not died:
            died.append(1)
            raise Crash
        return Command(update={"items": [index]}, goto=[Send("next", {"plain": index})])

    builder = StateGraph(kit.Items)
    builder.add_node("solve", best_of_n(function, n=4, limits=ONE_AT_A_TIME), destinations=("next",))
    builder.add_node("next", lambda s: {"items": [f"next {s['plain']}"]})
    builder.add_edge(START, "solve")
    graph = builder.compile(checkpointer=kept.saver)
    with pytest.raises(Crash):
        kept.invoke(graph, {"items": []}, THREAD)
    assert kept.invoke(graph, None, THREAD)["items"] == [1, "next 1"]


def test_failures_stay_failures_after_a_crash(kept):
    def function(state):
        index = kit.rollout_index()
        if index == 1 and not died:
            died.append(1)
            raise Crash
        raise LookupError(f"lost {index}")

    died: list[int] = []
    graph = kit.outer(best_of_n(function, n=2, limits=ONE_AT_A_TIME), kit.Items, checkpointer=kept.saver)
    with pytest.raises(Crash):
        kept.invoke(graph, {"items": []}, THREAD)
    with pytest.raises(AllRolloutsFailedError, match=r"lost 0\n.*lost 1"):
        kept.invoke(graph, None, THREAD)


def test_an_agent_on_its_own_thread_resumes_too(kept):
    ran = []
    builder = crashing(2, ran).builder
    node = best_of_n(builder.compile(checkpointer=kept.saver), n=4, limits=ONE_AT_A_TIME)
    with pytest.raises(Crash):
        kept.invoke(node, {"messages": "go"}, THREAD)
    done = kept.invoke(node, None, THREAD)
    assert sorted(i for i, _ in ran) == [0, 1, 2, 2, 3]
    assert (kit.answers(done["messages"]), done["count"]) == (["answer 1"], 1)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_every_durability(run, durability):
    graph = kit.outer(best_of_n(adder(), n=2), checkpointer=InMemorySaver())
    gives_up = pytest.warns(DurabilityWarning, match="a kill loses every rollout")
    with gives_up if durability == "exit" else nullcontext():
        done = run.invoke(graph, {"messages": "go"}, THREAD, durability=durability)
    assert kit.answers(done["messages"]) == ["so 1", "answer 1"]
