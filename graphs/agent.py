"""A parcel clerk: an agent that weighs a shop's parcels, on your model or on the embedded one.

With ``EC_AGENT_MODEL`` and ``OPENAI_API_KEY`` or ``OPENAI_BASE_URL`` set it runs on that endpoint; otherwise on the
embedded 135M model, which is fetched and started at the first question, not at the import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph
from pydantic import SecretStr

from tools import calculate, convert, product, weigh

DEMO_QUESTION = "Parcel: 3 mugs + 2 lamps + 4 teapots"
DEMO_ANSWER = "14.84"  # pounds: 3 * 350 g + 2 * 1200 g + 4 * 820 g = 6730 g

SYSTEM_PROMPT = "You weigh the parcels of a shop. Answer in pounds."
TOOLS: tuple[BaseTool, ...] = (weigh, convert, calculate, product)
MAX_CALLS = 8  # model calls for one question; a rollout that goes in circles ends there

_EXAMPLE_PARCELS = ("6 cushions", "2 bowls + 4 candles + 1 tray", "1 vase", "5 trays + 1 mirror + 2 clocks")


def make_agent(model: BaseChatModel | None = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Build the agent.

    Args:
        model: any chat model that can call tools; ``None`` takes ``default_model()``.

    Returns:
        A ``create_agent`` graph over ``{"messages": [...]}``.
    """
    limit: AgentMiddleware[Any, Any, Any] = ModelCallLimitMiddleware(run_limit=MAX_CALLS, exit_behavior="end")
    return create_agent(
        model or default_model(), list(TOOLS), system_prompt=SYSTEM_PROMPT, middleware=[limit], name="parcel_clerk"
    )


def default_model() -> BaseChatModel:
    """The model the environment names, else the embedded one. Both return the top 20 logprobs of each token."""
    name = os.environ.get("EC_AGENT_MODEL")
    if name and (os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY")):
        from langchain_openai import ChatOpenAI

        key = SecretStr(os.environ.get("OPENAI_API_KEY") or "none")  # endpoints of one's own often ask for none
        return ChatOpenAI(model=name, api_key=key, logprobs=True, top_logprobs=20, disable_streaming=True)
    from ec_agent.local import LocalChatModel
    from ec_agent.prompted import PromptedToolModel

    return PromptedToolModel(model=LocalChatModel(max_tokens=64), examples=tuple(worked_examples(_EXAMPLE_PARCELS)))


def worked_examples(parcels: Sequence[str]) -> list[AnyMessage]:
    """Conversations in which the parcels are weighed and converted, every result given by the real tools."""
    messages: list[AnyMessage] = []
    for parcel in parcels:
        messages.append(HumanMessage(f"Parcel: {parcel}"))
        kind, left = "Parcel", parcel
        while kind == "Parcel":
            result = _example_call(messages, weigh, {"parcel": left})
            kind, left = result.split(": ")
        messages.append(AIMessage(_example_call(messages, convert, {"quantity": left, "to": "pounds"})))
    return messages


def _example_call(messages: list[AnyMessage], tool: BaseTool, args: dict[str, Any]) -> str:
    call_id = f"example_{len(messages)}"
    result = str(tool.invoke(args))
    messages.append(AIMessage("", tool_calls=[{"name": tool.name, "args": args, "id": call_id}]))
    messages.append(ToolMessage(result, tool_call_id=call_id))
    return result


agent = make_agent()
