"""Final actions as JSON and back."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from pydantic import BaseModel

from ec_agent.traces.actions import action_from_json, action_to_json


class Answer(BaseModel):
    value: int
    inner: list[str] = []


@dataclass
class Point:
    x: int
    note: AIMessage


MESSAGE = AIMessage("é", id="1", tool_calls=[{"name": "f", "args": {"a": [1, None]}, "id": "c"}])


@pytest.mark.parametrize(
    ("action", "back"),
    [
        (None, None),
        ("text \ud800", "text \ud800"),
        (MESSAGE, MESSAGE),
        ({"messages": [MESSAGE, ToolMessage("r", tool_call_id="c")], "n": 1.5}, None),
        ((1, (2,)), [1, [2]]),
        ({3, 1}, [1, 3]),
        (Answer(value=2, inner=["a"]), {"value": 2, "inner": ["a"]}),
        (Point(1, MESSAGE), {"x": 1, "note": MESSAGE}),
        (b"x", "b'x'"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_round_trip(action, back):
    expected = action if isinstance(action, dict) and back is None else back
    assert action_from_json(action_to_json(action)) == expected


def test_a_cycle_becomes_text():
    action = []
    action.append(action)
    assert action_from_json(action_to_json(action)) == "[[...]]"
