"""What is on offer under a ``tool_choice``, and what counts as a protocol."""

from __future__ import annotations

import pytest

from ec_agent.errors import ConfigError
from ec_agent.prompted import HermesProtocol, JsonSchemaProtocol, Offer, ToolProtocol
from ec_agent.prompted.protocol import offered, tool_names

TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("price_of", "fit")]
BOTH = ["price_of", "fit"]


@pytest.mark.parametrize(
    ("choice", "names", "answers"),
    [
        (None, BOTH, True),
        (False, BOTH, True),
        ("auto", BOTH, True),
        ({"type": "auto"}, BOTH, True),
        ("none", [], True),
        ({"type": "none"}, [], True),
        ("any", BOTH, False),
        ("required", BOTH, False),
        (True, BOTH, False),
        ({"type": "any"}, BOTH, False),
        ("fit", ["fit"], False),
        ({"type": "function", "function": {"name": "fit"}}, ["fit"], False),
        ({"type": "function", "name": "fit"}, ["fit"], False),
        ({"type": "tool", "name": "fit"}, ["fit"], False),
    ],
)
def test_tool_choice(choice, names, answers):
    offer = offered(TOOLS, choice)
    assert (tool_names(offer.choices), offer.may_answer) == (names, answers)
    assert tool_names(offer.tools) == BOTH
    assert offer.names == (BOTH if names else [])


@pytest.mark.parametrize("choice", ["fly", {"type": "function", "function": {"name": "fly"}}, {"type": "tool"}])
def test_a_choice_of_no_tool_is_told(choice):
    with pytest.raises(ConfigError, match="price_of"):
        offered(TOOLS, choice)


def test_a_providers_own_tool_is_told():
    with pytest.raises(ConfigError, match="bind functions"):
        offered([*TOOLS, {"type": "web_search"}], None)


def test_the_protocols_are_protocols():
    assert isinstance(JsonSchemaProtocol(), ToolProtocol)
    assert isinstance(HermesProtocol(), ToolProtocol)
    assert not isinstance(Offer(), ToolProtocol)
