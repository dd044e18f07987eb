"""A step as text: the schema, the forms, the reply."""

from __future__ import annotations

import json
import re
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from ec_agent.prompted import json_steps


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


def test_the_schema_has_branches_for_tools_and_answer():
    branches = json_steps.step_schema(TOOLS, "answer")["anyOf"]
    assert [list(branch["properties"]) for branch in branches] == [["price_of"], ["fit"], ["answer"]]
    assert all(branch["required"] == list(branch["properties"]) for branch in branches)
    assert all(branch["additionalProperties"] is False for branch in branches)
    assert branches[0]["properties"]["price_of"]["properties"]["name"]["pattern"] == "^[a-z]+$"
    assert branches[0]["properties"]["price_of"]["additionalProperties"] is False
    assert len(json_steps.step_schema(TOOLS, None)["anyOf"]) == 2


def test_nested_schemas_stand_by_themselves():
    text = json.dumps(json_steps.step_schema(TOOLS, "answer"))
    assert "$ref" not in text
    assert "$defs" not in text


@pytest.mark.parametrize("pattern", ["cm|mm", "^cm|mm", "cm|mm$", "^a$", "b", r"5\$"])
def test_a_pattern_that_searches_keeps_its_matches_when_anchored(pattern):
    anchored = json_steps._anchored({"type": "string", "pattern": pattern})["pattern"]
    assert anchored.startswith("^")
    assert anchored.endswith("$")
    if pattern in ("cm|mm", "b", r"5\$", "^a$"):
        for text in ("cm", "xcm", "mm!", "abc", "a", "cost 5$ more", ""):
            assert bool(re.search(pattern, text)) == bool(re.fullmatch(anchored, text))


def test_a_property_called_pattern_is_left_alone():
    schema = {"type": "object", "properties": {"pattern": {"type": "string"}}}
    assert json_steps._anchored(schema) == schema


def test_the_answer_key_avoids_names_of_tools():
    named = {"type": "function", "function": {"name": "answer", "parameters": {}}}
    assert json_steps.answer_key(TOOLS) == "answer"
    assert json_steps.answer_key([named]) == "final_answer"


def test_instructions_show_the_form_of_each_step():
    assert json_steps.instructions("Do it.", TOOLS, "answer").splitlines() == [
        "Do it.",
        '{"price_of": {"name": "..."}}: The price.',
        '{"fit": {"size": "...", "deep": "..."}}: Fit it.',
        '{"answer": "..."}: The final answer.',
    ]


def test_a_wrapped_steps_root_is_a_plain_object():
    schema = json_steps.step_schema(TOOLS, "answer", "step")
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["step"], False)
    assert schema["properties"]["step"] == json_steps.step_schema(TOOLS, "answer")
    assert json_steps.instructions("", TOOLS[:1], "answer", "step").splitlines() == [
        '{"step": {"price_of": {"name": "..."}}}: The price.',
        '{"step": {"answer": "..."}}: The final answer.',
    ]


CALLS = [{"name": "fit", "args": {"a": 1}, "id": "1"}, {"name": "fit", "args": {"a": 2}, "id": "2"}]


@pytest.mark.parametrize(
    ("message", "plain", "wrapped"),
    [
        (AIMessage("é"), '{"answer": "é"}', '{"step": {"answer": "é"}}'),
        (
            AIMessage("thus", tool_calls=CALLS),
            '{"fit": {"a": 1}}\n{"fit": {"a": 2}}',
            '{"step": {"fit": {"a": 1}}}\n{"step": {"fit": {"a": 2}}}',
        ),
        (
            AIMessage('{"fit": ', invalid_tool_calls=[{"name": "fit", "args": "", "id": "1", "error": "cut"}]),
            '{"fit": ',
            '{"fit": ',
        ),
    ],
)
def test_earlier_messages_are_the_steps_they_were(message, plain, wrapped):
    assert json_steps.said(message, "answer") == plain
    assert json_steps.said(message, "answer", "step") == wrapped


NAMES = ["price_of", "fit"]


def test_a_tool_step():
    message = json_steps.parse_step('{"price_of": {"name": "mug"}}', NAMES, "answer")
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
    message = json_steps.parse_step(reply, NAMES, "answer")
    assert (message.content, message.tool_calls, message.invalid_tool_calls) == (content, [], [])


@pytest.mark.parametrize("reply", ['{"price_of": {"name": "mu', '{"price_of": ', '{"price_of": "mug"}', '{"fit": {}'])
def test_replies_that_are_spoilt_tool_calls(reply):
    message = json_steps.parse_step(reply, NAMES, "answer")
    (call,) = message.invalid_tool_calls
    assert call["name"] in NAMES
    assert call["error"]
    assert message.content == reply
    assert message.tool_calls == []


@pytest.mark.parametrize(
    ("reply", "content", "name"),
    [
        ('{"step": {"answer": "4.50"}}', "4.50", None),
        ('{"answer": "4.50"}', "4.50", None),
        ('{"step": {"price_of": {"name": "mug"}}}', "", "price_of"),
        ('{"price_of": {"name": "mug"}}', "", "price_of"),
        ('{"step": {"answer": "4.5', "4.5", None),
        ('{"step": {"fly": 1}}', '{"step": {"fly": 1}}', None),
        ('{"step": {"fly": ', '{"step": {"fly": ', None),
        ('{"step": 1}', '{"step": 1}', None),
    ],
)
def test_wrapped_replies(reply, content, name):
    message = json_steps.parse_step(reply, NAMES, "answer", "step")
    assert message.content == content
    assert [call["name"] for call in message.tool_calls] == ([name] if name else [])
    assert message.invalid_tool_calls == []


def test_a_wrapped_call_that_was_cut():
    (call,) = json_steps.parse_step('{"step": {"fit": {"deep', NAMES, "answer", "step").invalid_tool_calls
    assert (call["name"], call["args"]) == ("fit", '{"deep')
    assert "max_tokens" in call["error"]


def test_a_tool_that_is_called_as_the_wrapper_is():
    (call,) = json_steps.parse_step('{"step": {"up": 1}}', ["step"], "answer", "step").tool_calls
    assert (call["name"], call["args"]) == ("step", {"up": 1})


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}```\n", " ```json {} ```"])
def test_a_code_fence_is_overlooked(fence):
    message = json_steps.parse_step(fence.replace("{}", '{"price_of": {"name": "mug"}}'), NAMES, "answer")
    assert message.tool_calls[0]["args"] == {"name": "mug"}


def test_half_a_surrogate_pair_can_be_sent_on():
    cut = json_steps.parse_step('{"answer": "so \\ud83d', NAMES, "answer")
    whole = json_steps.parse_step('{"answer": "so \\ud83d\\ude00"}', NAMES, "answer")
    call = json_steps.parse_step('{"fit": {"size": ["\\ude00"]}}', NAMES, "answer")
    assert (cut.content, whole.content) == ("so \ufffd", "so \U0001f600")
    assert call.tool_calls[0]["args"] == {"size": ["\ufffd"]}


def test_json_that_is_nested_too_deep():
    reply = '{"fit": ' + "[" * 100_000
    assert json_steps.parse_step(reply, NAMES, "answer").invalid_tool_calls[0]["name"] == "fit"


BEGINNINGS = ["", '{"answer": "', '{"fit": ', '{"step": {"fit": ', "```json\n{"]


@given(st.sampled_from(BEGINNINGS), st.text(st.characters(codec=None, categories=None)))
def test_no_reply_raises(beginning, rest):
    for wrapper in (None, "step"):
        message = json_steps.parse_step(beginning + rest, NAMES, "answer", wrapper)
        assert isinstance(message, AIMessage)
        str(message.content).encode()  # whatever it is, it can be sent
