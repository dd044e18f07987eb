"""A step as text: the schema, the chat, the reply."""

from __future__ import annotations

import json
import re
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from ec_agent.errors import ConfigError
from ec_agent.local import steps


class Size(BaseModel):
    width: int
    unit: str = Field(pattern="cm|mm")


@tool
def price_of(name: Annotated[str, Field(pattern="^[a-z]+$")]) -> str:
    """The price.

    More about it.
    """
    return "1"


@tool
def fit(size: Size, deep: bool = False) -> str:
    """Fit it."""
    return "1"


TOOLS = [convert_to_openai_tool(price_of), convert_to_openai_tool(fit)]


def test_the_schema_has_a_branch_per_tool_and_one_for_the_answer():
    branches = steps.step_schema(TOOLS, "answer")["anyOf"]
    assert [list(branch["properties"]) for branch in branches] == [["price_of"], ["fit"], ["answer"]]
    assert all(branch["required"] == list(branch["properties"]) for branch in branches)
    assert all(branch["additionalProperties"] is False for branch in branches)
    assert branches[0]["properties"]["price_of"]["properties"]["name"]["pattern"] == "^[a-z]+$"
    assert branches[0]["properties"]["price_of"]["additionalProperties"] is False
    assert len(steps.step_schema(TOOLS, None)["anyOf"]) == 2


def test_nested_schemas_stand_by_themselves():
    text = json.dumps(steps.step_schema(TOOLS, "answer"))
    assert "$ref" not in text
    assert "$defs" not in text


@pytest.mark.parametrize("pattern", ["cm|mm", "^cm|mm", "cm|mm$", "^a$", "b", r"5\$"])
def test_a_pattern_that_searches_keeps_its_matches_when_anchored(pattern):
    anchored = steps._anchored({"type": "string", "pattern": pattern})["pattern"]
    assert anchored.startswith("^")
    assert anchored.endswith("$")
    if pattern in ("cm|mm", "b", r"5\$", "^a$"):
        for text in ("cm", "xcm", "mm!", "abc", "a", "cost 5$ more", ""):
            assert bool(re.search(pattern, text)) == bool(re.fullmatch(anchored, text))


def test_a_property_called_pattern_is_left_alone():
    schema = {"type": "object", "properties": {"pattern": {"type": "string"}}}
    assert steps._anchored(schema) == schema


def test_the_answer_key_gives_way_to_a_tool_of_that_name():
    named = {"type": "function", "function": {"name": "answer", "parameters": {}}}
    assert steps.answer_key(TOOLS) == "answer"
    assert steps.answer_key([named]) == "final_answer"


@pytest.mark.parametrize(
    ("choice", "names", "answers"),
    [
        (None, ["price_of", "fit"], True),
        ("auto", ["price_of", "fit"], True),
        ("none", [], True),
        ("any", ["price_of", "fit"], False),
        ("required", ["price_of", "fit"], False),
        (True, ["price_of", "fit"], False),
        ("fit", ["fit"], False),
        ({"type": "function", "function": {"name": "fit"}}, ["fit"], False),
    ],
)
def test_tool_choice(choice, names, answers):
    tools, may_answer = steps.offered(TOOLS, choice)
    assert (steps.tool_names(tools), may_answer) == (names, answers)


def test_a_choice_of_no_tool_is_told():
    with pytest.raises(ConfigError, match="price_of"):
        steps.offered(TOOLS, "fly")


def test_instructions_show_the_form_of_each_step():
    assert steps.instructions("Do it.", TOOLS, "answer").splitlines() == [
        "Do it.",
        '{"price_of": {"name": "..."}}: The price.',
        '{"fit": {"size": "...", "deep": "..."}}: Fit it.',
        '{"answer": "..."}: The final answer.',
    ]


def test_the_conversation_as_plain_chat():
    call = {"name": "price_of", "args": {"name": "mug"}, "id": "1"}
    example = [HumanMessage("lamp?"), AIMessage("28")]
    chat = steps.chat_messages(
        [
            SystemMessage("Be a shop."),
            HumanMessage("mug?"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("4.50", tool_call_id="1"),
            HumanMessage([{"type": "text", "text": "now"}]),
            AIMessage("é"),
            ChatMessage(role="user", content="thanks"),
        ],
        examples=example,
        guide="GUIDE",
        key="answer",
    )
    assert [(turn["role"], turn["content"]) for turn in chat] == [
        ("system", "Be a shop.\n\nGUIDE"),
        ("user", "lamp?"),
        ("assistant", '{"answer": "28"}'),
        ("user", "mug?"),
        ("assistant", '{"price_of": {"name": "mug"}}'),
        ("user", "4.50\nnow"),
        ("assistant", '{"answer": "é"}'),
        ("user", "thanks"),
    ]


def test_chat_without_tools_is_left_as_it_is():
    assert steps.chat_messages([HumanMessage("a"), AIMessage("b")]) == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]


NAMES = ["price_of", "fit"]


def test_a_tool_step():
    message = steps.parse_step('{"price_of": {"name": "mug"}}', NAMES, "answer")
    (call,) = message.tool_calls
    assert (call["name"], call["args"], message.content) == ("price_of", {"name": "mug"}, "")
    assert call["id"]


@pytest.mark.parametrize(
    ("reply", "content"),
    [
        ('{"answer": "4.50"}', "4.50"),
        ('{"answer": 4.5}', "4.5"),
        ('{"answer": "4.5', "4.5"),
        ('{"answer": "4.5"', "4.5"),
        ('{"answer": "a\\', "a"),
        ('{"answer": "a\\u00e', "a"),
        ('{"answer": "', ""),
        ('{"answer": [1', '{"answer": [1'),
        ("plain words", "plain words"),
        ('{"fly": {"to": "moon"}}', '{"fly": {"to": "moon"}}'),
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 2}'),
        ("[1]", "[1]"),
        ('{"ans', '{"ans'),
        ("", ""),
    ],
)
def test_replies_that_are_content(reply, content):
    message = steps.parse_step(reply, NAMES, "answer")
    assert (message.content, message.tool_calls, message.invalid_tool_calls) == (content, [], [])


@pytest.mark.parametrize("reply", ['{"price_of": {"name": "mu', '{"price_of": ', '{"price_of": "mug"}', '{"fit": {}'])
def test_replies_that_are_spoilt_tool_calls(reply):
    message = steps.parse_step(reply, NAMES, "answer")
    (call,) = message.invalid_tool_calls
    assert call["name"] in NAMES
    assert call["error"]
    assert message.content == reply
    assert message.tool_calls == []


@given(st.text() | st.text().map(lambda text: '{"answer": "' + text) | st.text().map(lambda text: '{"fit": ' + text))
def test_no_reply_raises(reply):
    assert isinstance(steps.parse_step(reply, NAMES, "answer"), AIMessage)
