"""A conversation written in a protocol."""

from __future__ import annotations

from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from ec_agent.prompted import HermesProtocol, JsonSchemaProtocol, Offer
from ec_agent.prompted.protocol import offered
from ec_agent.prompted.turns import conversation, needs_rendering

TOOLS = [{"type": "function", "function": {"name": "price_of", "parameters": {"properties": {"name": {}}}}}]
OFFER = offered(TOOLS, None)
CALL = {"name": "price_of", "args": {"name": "mug"}, "id": "1"}
TALK = [
    SystemMessage("Be a shop."),
    HumanMessage("mug?"),
    AIMessage("", tool_calls=[CALL]),
    ToolMessage("4.50", tool_call_id="1"),
    HumanMessage("now"),
    AIMessage("é"),
    ChatMessage(role="user", content="thanks"),
    ChatMessage(role="assistant", content="bye"),
    FunctionMessage("ok", name="f"),
]
EXAMPLE = (HumanMessage("lamp?"), AIMessage("28"))


def written(turns):
    return [(turn.type, turn.content) for turn in turns]


def test_as_steps():
    turns = conversation(JsonSchemaProtocol(), TALK, OFFER, examples=EXAMPLE, preamble="GUIDE")
    guide = 'GUIDE\n{"price_of": {"name": "..."}}\n{"answer": "..."}: The final answer.'
    assert written(turns) == [
        ("system", f"Be a shop.\n\n{guide}"),
        ("human", "lamp?"),
        ("ai", '{"answer": "28"}'),
        ("human", "mug?"),
        ("ai", '{"price_of": {"name": "mug"}}'),
        ("human", "4.50\nnow"),
        ("ai", '{"answer": "é"}'),
        ("human", "thanks"),
        ("ai", '{"answer": "bye"}'),
        ("human", "function: ok"),
    ]


def test_as_hermes_writes_it():
    calls = AIMessage("Let me see.", tool_calls=[CALL, CALL])
    results = [ToolMessage("4.50", tool_call_id="1"), ToolMessage("4.60", tool_call_id="2")]
    turns = conversation(HermesProtocol(), [HumanMessage("mug?"), calls, *results], OFFER)
    block = '<tool_call>\n{"name": "price_of", "arguments": {"name": "mug"}}\n</tool_call>'
    assert written(turns)[1:] == [
        ("human", "mug?"),
        ("ai", f"Let me see.\n{block}\n{block}"),
        ("human", "<tool_response>\n4.50\n</tool_response>\n<tool_response>\n4.60\n</tool_response>"),
    ]


def test_without_tools_nothing_is_added_to_the_conversation():
    talk = [HumanMessage("a"), AIMessage("b"), *TALK[2:4]]
    assert written(conversation(JsonSchemaProtocol(), talk, Offer(), preamble="GUIDE")) == [
        ("human", "a"),
        ("ai", 'b\n{"price_of": {"name": "mug"}}'),
        ("human", "4.50"),
    ]


def test_user_messages_keep_images():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    seen = HumanMessage([{"type": "text", "text": "this?"}, picture], name="ann")
    alone = conversation(JsonSchemaProtocol(), [seen], OFFER)
    assert alone[1] is seen
    merged = conversation(JsonSchemaProtocol(), [ToolMessage("4.50", tool_call_id="1"), seen], OFFER)
    assert merged[1].content == [{"type": "text", "text": "4.50"}, {"type": "text", "text": "this?"}, picture]


def test_a_role_of_its_own_is_left_alone():
    odd = ChatMessage(role="critic", content="no")
    turns = conversation(JsonSchemaProtocol(), [ChatMessage(role="system", content="S"), odd, odd], Offer())
    assert written(turns) == [("system", "S"), ("chat", "no"), ("chat", "no")]


def test_the_callers_messages_are_not_changed():
    before = [message.model_copy(deep=True) for message in TALK]
    conversation(HermesProtocol(), TALK, OFFER)
    assert before == TALK


def test_which_conversations_need_it():
    broken = {"name": "a", "args": "", "id": "1", "error": "e"}
    assert needs_rendering([TALK[2]])
    assert needs_rendering([TALK[3]])
    assert needs_rendering([AIMessage("", invalid_tool_calls=[broken])])
    assert not needs_rendering([TALK[0], TALK[1], TALK[5]])
