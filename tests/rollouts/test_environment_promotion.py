"""The winner's world becomes the real one: once, with what its commits did, and never from a rollout that may lose."""

from __future__ import annotations

import asyncio

import kit
import pytest
from kit import PEAKS, SAME, THREAD
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.prebuilt import ToolNode
from worlds import Worlds, talk

from ec_agent import PromotionError, best_of_n, commit_tool, get_environment
from ec_agent.testing import Reply, ScriptedChatModel


def test_promotion_happens_once_and_for_the_winner(kind):
    run, worlds = kind
    world, promoted = worlds(), []
    graph = kit.outer(best_of_n(talk(), n=3, environment=world, promote=promoted.append), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    assert [environment.index for environment in promoted] == [1]
    run.invoke(graph, None, THREAD)
    assert len(promoted) == 1
    run.invoke(graph, {"messages": "again"}, THREAD)
    assert [environment.index for environment in promoted] == [1, 1]


def test_promote_may_be_async_in_async_runs():
    promoted = []

    async def promote(environment):
        await asyncio.sleep(0)
        promoted.append((environment.index, environment.open))

    asyncio.run(best_of_n(talk(), n=3, environment=Worlds(), promote=promote).ainvoke({"messages": "go"}))
    assert promoted == [(1, True)]


def test_promote_may_not_be_async_in_sync_runs():
    promoted = []

    async def promote(environment):
        promoted.append(environment.index)

    refused = None
    try:
        best_of_n(talk(), n=3, environment=Worlds(), promote=promote).invoke({"messages": "go"})
    except Exception as error:
        refused = str(error)
    assert promoted == [1] if refused is None else "async" in refused


def test_an_error_of_promote_is_raised(run):
    def promote(environment):
        raise PromotionError("the world has changed")

    with pytest.raises(PromotionError, match="the world has changed"):
        run.invoke(best_of_n(talk(), n=3, environment=Worlds(), promote=promote), {"messages": "go"})


def test_a_failed_promotion_can_be_tried_again(run):
    tried = []

    def promote(environment):
        tried.append(environment.index)
        if len(tried) == 1:
            raise PromotionError("locked; nothing was changed")

    node = best_of_n(talk(), n=3, environment=Worlds(), promote=promote)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    with pytest.raises(PromotionError):
        run.invoke(graph, {"messages": "go"}, THREAD)
    done = run.invoke(graph, None, THREAD)
    assert tried == [1, 1]
    assert kit.answers(done["messages"]) == ["answer 1"]


@SAME
def test_the_commit_happens_before_the_promotion(kind):
    run, worlds = kind
    world, log = worlds(), []

    @commit_tool
    @tool
    def ship() -> str:
        """Ship."""
        log.append(("ship", get_environment().index, get_environment().open))
        get_environment().marks.append("shipped")
        return "shipped"

    model = ScriptedChatModel([[Reply(tool_calls=[("ship", {})], entropies=kit.peak(at))] for at in PEAKS])
    agent = kit.graph(
        MessagesState, model=lambda s: {"messages": [model.invoke(s["messages"])]}, tools=ToolNode([ship])
    )
    promote = lambda e: log.append(("promote", e.index, e.marks))  # noqa: E731
    node = best_of_n(agent, n=3, environment=world, promote=promote, on_commit="execute")
    done = run.invoke(kit.outer(node), {"messages": "go"})
    assert log == [("ship", 1, True), ("promote", 1, ["shipped"])]
    assert done["messages"][-1].content == "shipped"
    assert world.left_open == []
    assert [thing.marks for thing in sorted(world.made, key=lambda t: t.index)] == [[], ["shipped"], []]


@SAME
def test_inside_a_rollout_nothing_is_promoted(run):
    promoted = []
    inner = best_of_n(talk(), n=2, environment=Worlds(), promote=promoted.append)
    run.invoke(best_of_n(kit.graph(MessagesState, inner=inner), n=3), {"messages": "go"})
    assert len(promoted) <= 1
