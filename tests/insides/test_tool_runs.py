"""Who hears of a tool's run: the gate around the span, sync and async, each with the id of the call."""

from __future__ import annotations

import pytest
from langchain_core.tools import tool
from pydantic import ValidationError

from ec_agent.insides import tool_runs


@tool
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@pytest.fixture
def told(monkeypatch):
    """Both places log the runs that they see; the listeners there were are put back afterwards."""
    monkeypatch.setattr(tool_runs, "_hooks", {})
    log = []

    def listener(place):
        def hook(run, execute):
            def plan():
                log.append((place, run.call_id, run.given))
                return (yield execute)

            return plan()

        return hook

    for place in ("span", "gate"):
        tool_runs.hook_tools(place, listener(place))
    return log


def expected(*seen):
    return [(place, *seen) for place in ("gate", "span")]


def test_the_gate_is_outside_whoever_came_first(told):
    assert double.run({"number": 2}, tool_call_id="c1").content == "4"
    assert told == expected("c1", {"number": 2})


async def test_the_gate_is_outside_in_async_runs_too(told):
    assert (await double.arun({"number": 2}, tool_call_id="c1")).content == "4"
    assert told == expected("c1", {"number": 2})


async def test_a_hook_that_returns_none_changes_nothing(told):
    tool_runs.hook_tools("gate", lambda run, execute: None)
    assert (double.run({"number": 2}), await double.arun({"number": 3})) == (4, 6)
    assert told == [("span", None, {"number": 2}), ("span", None, {"number": 3})]


@pytest.mark.parametrize(
    ("given", "refused"),
    [({"number": 2}, False), ({"number": "2"}, False), ({"number": "two"}, True), ({}, True), ("two", True)],
)
def test_a_tools_schema_is_asked_as_the_tool_asks_it(given, refused):
    assert tool_runs.refuses(double, given, "c1") is refused
    if refused:
        with pytest.raises(ValidationError):
            double.run(given, tool_call_id="c1")
    else:
        assert double.run(given, tool_call_id="c1").content == "4"
