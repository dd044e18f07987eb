"""What is kept for people to look at: the tools between the calls, and each token's candidates."""

from __future__ import annotations

import asyncio

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool

from ec_agent import ConfigError, best_of_n, record_calls
from ec_agent.capture.shapes import tokens_of
from ec_agent.capture.tool_log import MOST_LETTERS
from ec_agent.numbers.call_fields import pack_calls, unpack_calls
from ec_agent.numbers.trajectory import ToolUse
from ec_agent.testing import Reply, ScriptedChatModel


@tool
def double(number: int) -> str:
    """Twice the number."""
    if number < 0:
        raise ValueError("below zero")
    return "x" * number if number > 1000 else str(2 * number)


def agent(*numbers):
    calls = [Reply(tool_calls=[("double", {"number": number})], entropies=[0.5]) for number in numbers]
    return create_agent(ScriptedChatModel([[*calls, Reply("done", entropies=[0.1])]]), [double])


def tools_of(trajectory):
    return [list(call.tools) for call in trajectory.calls]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_tools_stand_with_the_call_before_them(way):
    node = best_of_n(agent(2, 3), n=1, keep_text=True)
    asked = {"messages": [("user", "?")]}
    result = node.run(asked) if way == "sync" else asyncio.run(node.arun(asked))
    assert tools_of(result.trajectories[0]) == [
        [ToolUse("double", "{'number': 2}", "4")],
        [ToolUse("double", "{'number': 3}", "6")],
        [],
    ]


def test_without_texts_the_names_alone_are_kept():
    result = best_of_n(agent(2), n=1).run({"messages": [("user", "?")]})
    assert tools_of(result.trajectories[0]) == [[ToolUse("double")], []]


def test_one_that_raises_is_kept_with_its_error():
    with record_calls(keep_text=True) as recorder, pytest.raises(ValueError, match="below zero"):
        agent(-1).invoke({"messages": [("user", "?")]})
    ((use,),) = tools_of(recorder.trajectory())
    assert (use.name, use.result, use.error) == ("double", None, "ValueError: below zero")


def test_a_long_result_is_cut():
    with record_calls(keep_text=True) as recorder:
        agent(5000).invoke({"messages": [("user", "?")]})
    (use,) = tools_of(recorder.trajectory())[0]
    assert len(use.result) == MOST_LETTERS
    assert use.result.endswith("xxx ...")


def test_a_tool_before_any_call_has_no_place():
    with record_calls(keep_text=True) as recorder:
        double.invoke({"number": 1})
        agent(2).invoke({"messages": [("user", "?")]})
    assert [[use.arguments for use in uses] for uses in tools_of(recorder.trajectory())] == [["{'number': 2}"], []]
    assert recorder.tool_calls == 2


def test_the_likeliest_candidates_first_as_many_as_asked_for():
    top = [{"token": "b", "logprob": -2.0}, {"token": "a", "logprob": -0.5}, {"token": "z", "logprob": -9999.0}]
    entries = [{"token": "a", "top_logprobs": top}, {"token": "?"}, {"token": "c", "top_logprobs": "odd"}]
    rows = tokens_of(entries, keep_candidates=5).candidates
    assert [[(text, round(share, 3)) for text, share in row] for row in rows] == [[("a", 0.607), ("b", 0.135)], [], []]
    assert tokens_of(entries, keep_candidates=1).candidates[0] == rows[0][:1]
    assert tokens_of(entries).candidates is None


def test_candidates_reach_the_trajectory_and_survive_a_checkpoint():
    result = best_of_n(agent(2), n=1, keep_text=True, keep_candidates=3).run({"messages": [("user", "?")]})
    trajectory = result.trajectories[0]
    assert [text for text, _ in trajectory.calls[0].candidates[0]] == ["w0 ", "t1", "t2"]
    again = unpack_calls(pack_calls(trajectory))
    assert [(call.tools, call.candidates) for call in again.calls] == [
        (call.tools, call.candidates) for call in trajectory.calls
    ]


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "3"])
def test_a_number_of_candidates_that_cannot_be(wrong):
    with pytest.raises(ConfigError, match=r"keep_candidates is .*; give a whole number of at least 0"):
        best_of_n(agent(2), keep_candidates=wrong)
