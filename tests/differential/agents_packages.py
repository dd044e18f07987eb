"""Agents of other people's packages on LangGraph."""

from __future__ import annotations

from typing import Any

from agents_create import NOTES, add, note
from agents_middleware import APPROVE, ASKING
from deepagents import create_deep_agent
from diff_cast import Cast
from diff_rows import Table, said
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_mcp_adapters.tools import load_mcp_tools
from langgraph.graph import MessagesState
from langgraph.prebuilt import create_react_agent
from langgraph_supervisor import create_supervisor
from langgraph_swarm import SwarmState, create_handoff_tool, create_swarm
from langmem import create_manage_memory_tool, create_search_memory_tool
from mcp.server.fastmcp import FastMCP
from mcp.shared.memory import create_connected_server_and_client_session
from pydantic import BaseModel
from trustcall import create_extractor

from ec_agent.testing import Reply

TABLE = Table()


def last_by(name: str, messages: Any) -> bool:
    return any(message.name == name for message in messages if message.type == "ai")


@TABLE.row()
def a_supervisor(cast: Cast, **compiled: Any):
    def lead(messages: Any) -> Reply:
        said_since = messages[max(i for i, m in enumerate(messages) if m.type == "human") :]
        if not last_by("clerk", said_since):
            return Reply("over to ~the clerk", tool_calls=[("transfer_to_clerk", {})])
        return Reply("all done ~with {q}")

    clerk = create_react_agent(cast.model(*NOTES, name="clerk"), [note], name="clerk")
    return create_supervisor([clerk], model=cast.model(script=lead, name="lead")).compile(**compiled)


@TABLE.row(state=SwarmState)
def a_swarm(cast: Cast, **compiled: Any):
    def ada(messages: Any) -> Reply:
        return Reply("~", tool_calls=[("transfer_to_bob", {})]) if messages[-1].type == "human" else Reply("ada ~again")

    alice = create_agent(cast.model(script=ada, name="ada"), [create_handoff_tool(agent_name="bob")], name="ada")
    bob = create_agent(
        cast.model(script=lambda messages: Reply(f"bob to {len(messages)}"), name="bob"),
        [create_handoff_tool(agent_name="ada")],
        name="bob",
    )
    return create_swarm([alice, bob], default_active_agent="ada").compile(**compiled)


@TABLE.row()
def a_deep_agent(cast: Cast, **compiled: Any):
    def lead(messages: Any) -> Reply:
        steps = [
            Reply(tool_calls=[("write_todos", {"todos": [{"content": "~look", "status": "pending"}]})]),
            Reply(tool_calls=[("write_file", {"file_path": "/{q}.txt", "content": "~text"})]),
            Reply(tool_calls=[("task", {"description": "~look {q} up", "subagent_type": "helper"})]),
            Reply(tool_calls=[("read_file", {"file_path": "/{q}.txt"})]),
            Reply("done ~with {q}"),
        ]
        asked = max(i for i, m in enumerate(messages) if m.type == "human")
        return steps[sum(m.type == "ai" for m in messages[asked:])]

    helper = {
        "name": "helper",
        "description": "Looks things up.",
        "system_prompt": "Look it up.",
        "model": cast.model(*NOTES, name="helper"),
        "tools": [note],
    }
    return create_deep_agent(cast.model(script=lead, name="lead"), [add], subagents=[helper], **compiled)


@TABLE.row(turns=[said("one", APPROVE), said("two", APPROVE)], differs=ASKING)
def a_deep_agent_that_asks(cast: Cast, **compiled: Any):
    return create_deep_agent(cast.model(*NOTES), [note], interrupt_on={"note": True}, **compiled)


class Person(BaseModel):
    """Who it is about."""

    name: str
    age: int


@TABLE.row(ways=["node"], sync=False)
def an_extractor(cast: Cast, **compiled: Any):
    wrong = Reply(tool_calls=[("Person", {"name": "~Ada", "age": "young"})])

    def script(messages: Any) -> Reply:
        if messages[-1].type == "human":
            return wrong
        call = next(m for m in reversed(messages) if m.type == "ai").tool_calls[0]
        patch = {"json_doc_id": call["id"], "planned_edits": "~", "patches": [_put("/age", 36)]}
        return Reply(tool_calls=[("PatchFunctionErrors", patch)])

    extractor = create_extractor(cast.model(script=script), tools=[Person], tool_choice="Person")

    async def extract(state: MessagesState) -> dict[str, Any]:
        done = await extractor.ainvoke({"messages": state["messages"][-1:]})
        return {"messages": [("ai", repr(done["responses"]))]}

    return extract


def _put(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


@TABLE.row(store=True)
def memories_in_the_store(cast: Cast, **compiled: Any):
    where = ("memories",)
    keep, find = create_manage_memory_tool(namespace=where), create_search_memory_tool(namespace=where)
    steps = (
        Reply(tool_calls=[("manage_memory", {"content": "~{q}", "action": "create"})]),
        Reply(tool_calls=[("search_memory", {"query": "~{q}"})]),
        Reply("remembered"),
    )
    return create_agent(cast.model(*steps), [keep, find], **compiled)


@TABLE.row(sync=False)
def tools_of_an_mcp_server(cast: Cast, **compiled: Any):
    server = FastMCP("notes")

    @server.tool()
    def jot(text: str) -> str:
        """Jot something down."""
        return f"jotted {text}"

    @tool
    async def jot_there(text: str) -> Any:
        """Jot something down, elsewhere."""
        async with create_connected_server_and_client_session(server._mcp_server) as session:
            (there,) = await load_mcp_tools(session)
            return await there.ainvoke({"text": text})

    steps = (Reply(tool_calls=[("jot_there", {"text": "~{q}"})]), Reply("done"))
    return create_agent(cast.model(*steps), [jot_there], **compiled)
