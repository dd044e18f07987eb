from __future__ import annotations

import dataclasses
import enum

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.types import Interrupt
from pydantic import BaseModel

from ec_agent.errors import ConfigError
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, final_answer
from ec_agent.selectors.normalize import answer_of

pytestmark = pytest.mark.filterwarnings("error")


def calls(*named, ids="a"):
    return AIMessage(
        "let me see",
        tool_calls=[{"name": n, "args": a, "id": f"{ids}{i}", "type": "tool_call"} for i, (n, a) in enumerate(named)],
    )


class Colour(enum.Enum):
    RED = "red"


class Parcel(BaseModel):
    price: float
    colour: Colour = Colour.RED


@dataclasses.dataclass
class Order:
    price: float
    tags: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("yes", "  yes\n"),
        (AIMessage("yes", id="1"), AIMessage(" yes", id="2")),
        (AIMessage("yes"), "yes"),
        (AIMessage("yes"), {"type": "ai", "content": "yes", "id": "7"}),
        (AIMessage([{"type": "text", "text": "ye"}, {"type": "text", "text": "s"}]), "yes"),
        (AIMessage([{"type": "reasoning", "reasoning": "hm"}, "yes"]), "yes"),
        (calls(("send", {"to": "a", "n": 1})), calls(("send", {"n": 1, "to": "a"}), ids="b")),
        (calls(("a", {}), ("b", {"x": [1]})), calls(("b", {"x": [1]}), ("a", {}))),
        (calls(("a", {})), {"type": "ai", "content": "", "tool_calls": [{"name": "a", "args": {}, "id": "z"}]}),
        ({"x": 1, "y": {"b": None, "a": 2}}, {"y": {"a": 2, "b": None}, "x": 1}),
        (Parcel(price=1), Parcel(price=1.0)),
        ({"answer": Parcel(price=1)}, {"answer": {"price": 1.0, "colour": "red"}}),
        (Order(1.5, frozenset("abc")), Order(1.5, frozenset("cba"))),
        ({"c": Colour.RED}, {"c": "red"}),
        ({"messages": [AIMessage("yes", id="1")]}, {"messages": [AIMessage("yes", id="2")]}),
        (
            {"messages": [ToolMessage("1", tool_call_id="a", id="1")]},
            {"messages": [ToolMessage("1", tool_call_id="b")]},
        ),
        (Interrupt("sure?", id="1"), Interrupt("sure?", id="2")),
        ([Interrupt({"ask": 1}, id="1"), Interrupt(2, id="1")], [Interrupt({"ask": 1}, id="2"), Interrupt(2, id="3")]),
        (42, 42),
    ],
)
def test_the_same_answer(one, other):
    assert final_answer(one) == final_answer(other) is not None
    assert hash(final_answer(one)) == hash(final_answer(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("yes", "Yes"),
        ("1", 1),
        ("{}", {}),
        (calls(("a", {"x": 1})), calls(("a", {"x": 2}))),
        (calls(("a", {})), calls(("a", {}), ("a", {}))),
        (calls(("a", {})), AIMessage("let me see")),
        (Parcel(price=1), Parcel(price=2)),
        (Interrupt("sure?", id="1"), Interrupt("really?", id="1")),
        (Interrupt("sure?", id="1"), "sure?"),
    ],
)
def test_another_answer(one, other):
    assert None not in (final_answer(one), final_answer(other))
    assert final_answer(one) != final_answer(other)


def looped():
    value = {}
    value["itself"] = value
    return value


@pytest.mark.parametrize(
    "action", [None, "", " \n", AIMessage(""), AIMessage([]), object(), {"x": object()}, {1: "a", "b": 2}, looped()]
)
def test_no_vote(action):
    assert final_answer(action) is None


def answer(normalize, action="x"):
    return answer_of(Candidate(3, Trajectory(), action), normalize)


def test_whatever_normalize_returns_is_the_answer():
    assert answer(lambda action: (action, 1)) == ("x", 1)
    assert answer(lambda action: None) is None


@pytest.mark.parametrize("returned", [[1], {"a": 1}, ([],)])
def test_an_answer_that_cannot_be_counted(returned):
    with pytest.raises(ConfigError, match=r"returned a \w+ for .* rollout 3 \(str\); return something"):
        answer(lambda action: returned)


def test_a_normalize_that_fails():
    with pytest.raises(ConfigError, match=r"failed with KeyError.*rollout 3 \(dict\); return something") as caught:
        answer(lambda action: action["price"], {})
    assert isinstance(caught.value.__cause__, KeyError)
