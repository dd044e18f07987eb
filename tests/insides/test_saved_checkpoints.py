"""What LangGraph's serializer writes is read as plain values, and nothing that a file names is imported or called."""

from __future__ import annotations

import enum
import pickle
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import ormsgpack
import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.serde import jsonplus
from langgraph.types import Send

from ec_agent.insides import saved_checkpoints
from ec_agent.insides.saved_checkpoints import plain_value


def test_the_numbers_are_langgraphs():
    theirs = {
        "EXT_CONSTRUCTOR_SINGLE_ARG": saved_checkpoints.ONE_ARGUMENT,
        "EXT_CONSTRUCTOR_POS_ARGS": saved_checkpoints.ARGUMENTS,
        "EXT_CONSTRUCTOR_KW_ARGS": saved_checkpoints.KEYWORDS,
        "EXT_METHOD_SINGLE_ARG": saved_checkpoints.METHOD,
        "EXT_PYDANTIC_V1": saved_checkpoints.PYDANTIC_1,
        "EXT_PYDANTIC_V2": saved_checkpoints.PYDANTIC_2,
        "EXT_NUMPY_ARRAY": saved_checkpoints.ARRAY,
        "EXT_DELTA_SNAPSHOT": saved_checkpoints.DELTA,
    }
    assert {name: getattr(jsonplus, name) for name in dir(jsonplus) if name.startswith("EXT_")} == theirs


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int


VALUES = {
    "a message": (
        AIMessage("x", id="1"),
        lambda value: (value["type"], value["content"], value["id"]) == ("ai", "x", "1"),
    ),
    "nested": ({"messages": [AIMessage("x")], "n": 1}, lambda value: value["messages"][0]["content"] == "x"),
    "an id": (UUID(int=5), lambda value: isinstance(value, str)),
    "a time": (datetime(2026, 1, 1, tzinfo=UTC), lambda value: value == "2026-01-01T00:00:00+00:00"),
    "an enum": (Colour.RED, lambda value: value == "red"),
    "a dataclass": (Point(3), lambda value: value == {"x": 3}),
    "a pattern": (re.compile("x"), lambda value: next(iter(value)) == "x"),
    "a task": (Send("node", {"a": 1}), lambda value: next(iter(value)) == "node"),
    "an array": ({"a": np.zeros(3)}, lambda value: value == {"a": None}),
    "nothing": (None, lambda value: value is None),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_are_plain(kind):
    value, is_right = VALUES[kind]
    assert is_right(plain_value(*jsonplus.JsonPlusSerializer().dumps_typed(value)))


def test_nothing_is_called_that_a_file_names(tmp_path):
    mark = tmp_path / "called"
    named = ormsgpack.packb(("pathlib", "Path", str(mark), "touch"))
    for code in range(8):
        plain_value("msgpack", ormsgpack.packb(ormsgpack.Ext(code, named)))
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["pickle", "msgpack+aes"])
def test_what_would_run_code_or_is_encrypted_is_refused(kind):
    with pytest.raises(ValueError, match="encrypted values and pickles are left alone"):
        plain_value(kind, pickle.dumps(1))


def test_damaged_bytes_are_no_value():
    with pytest.raises(ValueError, match=r"^.+$"):
        plain_value("msgpack", b"\xc1")
