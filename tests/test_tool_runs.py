"""Who hears of a tool's run: the gate around the span, sync and async, each with the id of the call."""

from __future__ import annotations

import pytest
from langchain_core.tools import tool

from ec_agent.insides import tool_runs


@tool
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@pytest.fixture
def told(monkeypatch):
    """Both places log the runs that they see; the listeners there were are put back afterwards."""
    monkeypatch.setattr(tool_runs, "_around", {})
    log = []

    def listener(place):
        def around(run, execute):
            def plan():
                log.append((place, run.call_id, run.given))
                return (yield execute)

            return plan()

        return around

    for place in ("span", "gate"):
        tool_runs.hear_tools(place, listener(place))
    return log


def expected(*seen):
    return [(place, *seen) for place in ("gate", "span")]


def test_the_gate_is_outside_whoever_came_first(told):
    assert double.run({"number": 2}, tool_call_id="c1").content == "4"
    assert told == expected("c1", {"number": 2})


async def test_so_it_is_async(told):
    assert (await double.arun({"number": 2}, tool_call_id="c1")).content == "4"
    assert told == expected("c1", {"number": 2})


async def test_one_that_leaves_a_run_alone_is_passed_by(told):
    tool_runs.hear_tools("gate", lambda run, execute: None)
    assert (double.run({"number": 2}), await double.arun({"number": 3})) == (4, 6)
    assert told == [("span", None, {"number": 2}), ("span", None, {"number": 3})]
