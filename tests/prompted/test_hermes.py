"""The Hermes format: what is said of the tools, and every way a reply can be spoilt."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inner import inner
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool

from ec_agent.prompted import HermesProtocol, Offer
from ec_agent.prompted.protocol import offered
from ec_agent.prompted.replies import CUT


@tool
def price_of(name: str) -> str:
    """The price."""
    return "1"


@tool
def fit(deep: bool = False) -> str:
    """Fit it."""
    return "1"


TOOLS = [convert_to_openai_tool(price_of), convert_to_openai_tool(fit)]
OFFER = offered(TOOLS, None)
HERMES = HermesProtocol()

# What Qwen2.5-7B-Instruct's chat template puts into the system message for these tools.
QWEN = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
    f"{json.dumps(TOOLS[0])}\n{json.dumps(TOOLS[1])}\n</tools>\n\n"
    "For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


def test_the_instructions_are_qwens():
    assert HERMES.instructions(OFFER, None) == QWEN


def test_the_preamble_opens_them():
    assert HERMES.instructions(OFFER, "Help.").startswith("Help.\n\nYou are provided with")
    assert HERMES.instructions(OFFER, "").startswith("You are provided with")


@pytest.mark.parametrize(
    ("choice", "names", "end"),
    [
        ("any", ["price_of", "fit"], "Call one or more of these functions now; do not answer yet."),
        ("fit", ["fit"], "Call this function now; do not answer yet."),
        ("none", [], "Do not call a function now; answer in plain text."),
    ],
)
def test_a_choice_is_said(choice, names, end):
    text = HERMES.instructions(offered(TOOLS, choice), None)
    assert text.endswith(end)
    assert [name for name in ("price_of", "fit") if f'"name": "{name}"' in text] == names


def test_under_none_nothing_is_a_call():
    reply = '<tool_call>{"name": "fit", "arguments": {}}</tool_call>'
    message = HERMES.parse(reply, offered(TOOLS, "none"))
    assert (message.content, message.tool_calls, message.invalid_tool_calls) == (reply, [], [])


def test_a_stop_of_its_own():
    assert HERMES.options(OFFER, inner("")) == {}
    assert HermesProtocol(stop=("<tool_response>",)).options(OFFER, inner("")) == {"stop": ["<tool_response>"]}


def test_results_stand_in_their_tags():
    assert HERMES.result(ToolMessage("4.50", tool_call_id="1")) == "<tool_response>\n4.50\n</tool_response>"


def call(name="price_of", args='{"name": "mug"}'):
    return f'{{"name": "{name}", "arguments": {args}}}'


@pytest.mark.parametrize(
    "block",
    [
        f"<tool_call>\n{call()}\n</tool_call>",
        f"<tool_call>{call()}</tool_call>",
        f"<tool_call>{call()}",  # stopped at the closing tag
        f"<tool_call>\n{call()}\n</tool_call>\n<|im_end|> and more",
        f"<think>I may <tool_call>{{</tool_call> it</think><tool_call>{call()}</tool_call>",
        '<tool_call>{"arguments": {"name": "mug"}, "name": "price_of", "id": 7}</tool_call>',
        '<tool_call>{"name": "price_of", "arguments": "{\\"name\\": \\"mug\\"}"}</tool_call>',
    ],
)
def test_a_call(block):
    message = HERMES.parse(block, OFFER)
    (got,) = message.tool_calls
    assert (got["name"], got["args"], got["type"]) == ("price_of", {"name": "mug"}, "tool_call")
    assert got["id"]
    assert message.invalid_tool_calls == []


@pytest.mark.parametrize("between", ["</tool_call>\n", "</tool_call> and then ", ""])
def test_several_calls_in_one_reply(between):
    text = f"So be it.\n\n<tool_call>{call()}{between}<tool_call>{call('fit', '{}')}</tool_call>\ndone"
    message = HERMES.parse(text, OFFER)
    assert message.content == "So be it."
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [("price_of", {"name": "mug"}), ("fit", {})]
    assert len({c["id"] for c in message.tool_calls}) == 2


@pytest.mark.parametrize("args", ["null", "{}"])
def test_a_call_without_arguments(args):
    assert HERMES.parse(f"<tool_call>{call('fit', args)}</tool_call>", OFFER).tool_calls[0]["args"] == {}
    assert HERMES.parse('<tool_call>{"name": "fit"}</tool_call>', OFFER).tool_calls[0]["args"] == {}


def test_an_argument_may_hold_the_tags():
    quoted = {"name": "</tool_call> <tool_call> </think>"}
    text = f"<tool_call>{call(args=json.dumps(quoted))}</tool_call><tool_call>{call('fit', '{}')}</tool_call>"
    assert [c["args"] for c in HERMES.parse(text, OFFER).tool_calls] == [quoted, {}]


def test_a_tool_nobody_bound_is_still_a_call():
    # As natively: the tool node answers that there is no such tool, and the model may do better.
    assert HERMES.parse(f"<tool_call>{call('fly')}</tool_call>", OFFER).tool_calls[0]["name"] == "fly"


@pytest.mark.parametrize(
    ("block", "name", "error"),
    [
        ('{"name": "price_of", "arguments": {"name": "mu', "price_of", CUT),
        ('{"name": "price_of", "argu', "price_of", CUT),
        ("", None, CUT),
        ('{"name": "fit", "arguments": {}}} </tool_call>', "fit", "something else"),
        ('{"name": "fit", "arguments": [1]}</tool_call>', "fit", "not a JSON object"),
        ('{"name": "fit", "arguments": "{"}</tool_call>', "fit", "again in the form"),
        ('{"function": "fit"}</tool_call>', None, "a call is"),
        ('["fit"]</tool_call>', None, "a call is"),
        ("{'name': 'fit'}</tool_call>", None, "again in the form"),
        ("fit()</tool_call>", None, "again in the form"),
        ("[" * 100_000 + "</tool_call>", None, "too deep"),
    ],
)
def test_spoilt_calls(block, name, error):
    message = HERMES.parse(f"Well: <tool_call>{block}", OFFER)
    (got,) = message.invalid_tool_calls
    assert (got["name"], got["args"]) == (name, block.removesuffix("</tool_call>").strip())
    assert error in got["error"]
    assert (message.content, message.tool_calls) == ("Well:", [])


def test_a_damaged_call_does_not_affect_the_next():
    text = f"<tool_call>oh <tool_call>{call()}</tool_call><tool_call>no</tool_call>"
    message = HERMES.parse(text, OFFER)
    assert len(message.tool_calls) == 1
    assert [c["args"] for c in message.invalid_tool_calls] == ["oh", "no"]


@pytest.mark.parametrize(
    "text", ["", "plain words ", "a < b", "<tool_call", "x <think><tool_call>{}</tool_call></think> y", "</tool_call>"]
)
def test_replies_that_are_content(text):
    message = HERMES.parse(text, OFFER)
    assert (message.content, message.tool_calls, message.invalid_tool_calls) == (text, [], [])


ARGS = st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none() | st.lists(st.text()))


@given(st.lists(st.tuples(st.sampled_from(["price_of", "fit"]), ARGS), min_size=1), st.sampled_from(["", "So."]))
def test_what_is_written_is_read_again(calls, content):
    told = [{"name": name, "args": args, "id": str(i), "type": "tool_call"} for i, (name, args) in enumerate(calls)]
    message = HERMES.parse(HERMES.said(AIMessage(content, tool_calls=told), OFFER), OFFER)
    assert [(c["name"], c["args"]) for c in message.tool_calls] == calls
    assert (message.content, message.invalid_tool_calls) == (content, [])


def test_a_spoilt_call_is_shown_again_as_it_was():
    text = "Well:\n<tool_call>\nfit()\n</tool_call>"
    assert HERMES.said(HERMES.parse(text, OFFER), Offer()) == text


PIECES = ["<tool_call>", "</tool_call>", "<think>", "</think>", call(), '{"name": "', '"arguments": ', "{", "}", "\n"]


@given(st.lists(st.sampled_from(PIECES) | st.text(st.characters(categories=None), max_size=5)))
def test_no_reply_raises(pieces):
    message = HERMES.parse("".join(pieces), OFFER)
    assert isinstance(message, AIMessage)
    json.dumps([message.content, message.tool_calls, message.invalid_tool_calls], ensure_ascii=False).encode()
