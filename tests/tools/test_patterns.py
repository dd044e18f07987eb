"""What holds a small model's arguments in shape must reach it: LangChain drops some ways of saying it."""

from __future__ import annotations

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool

from ec_agent.prompted.json_steps import step_schema
from graphs.agent import TOOLS


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_argument_has_its_pattern(tool):
    properties = convert_to_openai_tool(tool)["function"]["parameters"]["properties"]
    assert properties
    assert all(each["pattern"] and each["description"] and each["type"] == "string" for each in properties.values())


def test_the_patterns_are_in_the_schema_of_a_step():
    tools = [convert_to_openai_tool(tool) for tool in TOOLS]
    assert str(step_schema(tools, "answer")).count("'pattern'") == sum(len(tool.args) for tool in TOOLS)


def test_what_does_not_fit_is_told_by_the_tool_and_not_refused():
    for tool in TOOLS:
        assert str(tool.invoke(dict.fromkeys(tool.args, "?!"))).startswith("Error")
