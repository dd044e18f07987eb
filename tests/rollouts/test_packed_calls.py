"""Calls packed in this process are not unpacked for the choice; those from a checkpoint are. Both are equal."""

from __future__ import annotations

import kit
import numpy as np
import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from ec_agent import best_of_n, read_only
from ec_agent.numbers.call_fields import PLAIN_FIELDS, pack_calls, unpack_calls
from ec_agent.rollouts import question
from ec_agent.selectors import MeanLogprob
from ec_agent.testing import Reply, ScriptedChatModel


@read_only
@tool
def look_up(what: str) -> str:
    """Look a thing up."""
    return f"{what}: 14.84"


def with_tools():
    call = ("look_up", {"what": "price"})
    said = [Reply("", entropies=kit.peak(3), tool_calls=[call]), Reply("14.84", entropies=kit.peak(9))]
    return create_agent(ScriptedChatModel([said, said]), [look_up])


AGENTS = {
    "one call": (lambda: kit.chat(kit.say(9, 3)), {}),
    "tools, texts and candidates": (with_tools, {"keep_text": True, "keep_candidates": 2}),
    "another signal": (lambda: kit.chat(kit.say(9, 3)), {"selector": MeanLogprob()}),
    "no model": (lambda: lambda state: {"messages": [("ai", "hi")]}, {}),
}


@pytest.fixture
def unpacked(monkeypatch):
    """How many rollouts' calls are unpacked."""
    found = []
    monkeypatch.setattr(question, "unpack_calls", lambda packed: found.append(1) or unpack_calls(packed))
    return found


def assert_equal(one, other):
    assert len(one.calls) == len(other.calls)
    for mine, its in zip(one.calls, other.calls, strict=True):
        assert all(getattr(mine, each.name) == getattr(its, each.name) for each in PLAIN_FIELDS)
        assert (mine.texts, mine.tools, mine.candidates) == (its.texts, its.tools, its.candidates)
        assert mine.signals.keys() == its.signals.keys()
        for name in ("entropy", *mine.signals):
            np.testing.assert_array_equal(mine.signal(name), its.signal(name))


@kit.SAME
@pytest.mark.parametrize(("agent", "options"), AGENTS.values(), ids=AGENTS.keys())
def test_they_are_what_unpacking_gives(run, agent, options, unpacked):
    result = run.run(best_of_n(agent(), n=2, **options), {"messages": "go"})
    assert unpacked == []
    for trajectory in result.trajectories:
        assert_equal(trajectory, unpack_calls(pack_calls(trajectory)))


def test_a_resumed_run_unpacks_those_of_its_checkpoint(run, unpacked):
    """The choice fails once, so that the resumed run has records that it did not make."""
    failing = [True]

    class Fails(MeanLogprob):
        def select(self, candidates):
            if failing.pop():
                raise KeyboardInterrupt
            return super().select(candidates)

    node = best_of_n(kit.chat(kit.say(9, 3)), n=2, selector=Fails())
    graph = kit.outer(node, checkpointer=InMemorySaver())
    with pytest.raises(KeyboardInterrupt):
        run.invoke(graph, {"messages": "go"}, kit.THREAD)
    assert unpacked == []
    failing.append(False)
    done = run.invoke(graph, None, kit.THREAD)
    assert len(unpacked) == 2
    assert kit.answers(done["messages"])
