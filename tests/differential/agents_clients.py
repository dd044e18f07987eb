"""Agent frameworks beside LangChain, as functions: they ask an endpoint through the ``openai`` client."""

from __future__ import annotations

import functools
import json
from typing import Any

import agents as openai_agents
import fake_openai
import smolagents
from diff_cast import LOSER, TOKENS, UNSURE_AT, WINNER, Cast
from diff_rows import Table
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

TABLE = Table()
# The seed tells the endpoint which rollout asks; the agent alone sends none.
SEEDED = {"sampling": lambda index: {"seed": index}, "request_logprobs": True}


@functools.cache
def endpoint() -> fake_openai.FakeOpenAI:
    """One for all rows; it ends with the process."""
    return fake_openai.FakeOpenAI(otherwise=_answered)


def _answered(body: dict[str, Any]) -> fake_openai.Answer:
    """Call the first tool once, then say what came of it."""
    index = body.get("seed", WINNER)
    mark = "" if index == WINNER else f"{LOSER}-{index} "
    entropies = [2.0 if place == UNSURE_AT[index] else 0.1 for place in range(TOKENS)]
    talk = body["messages"]
    last = talk[-1]
    if body.get("tools") and last["role"] == "user":
        name = body["tools"][0]["function"]["name"]
        return fake_openai.Answer(entropies, tool_calls=[(name, {"text": f"{mark}{_text(last)}"})])
    return fake_openai.Answer(entropies, text=f"{mark}{len(talk)} messages, the last: {_text(last)}")


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else json.dumps(content)


def note(text: str) -> str:
    """Write something down.

    Args:
        text: what.
    """
    return f"noted {text}"


def question_in(state: Any) -> str:
    return str(state["messages"][-1].text)


@TABLE.row(ways=["node"], sync=False, options=SEEDED)
def pydantic_ai(cast: Cast, **compiled: Any):
    client = AsyncOpenAI(base_url=endpoint().url, api_key="none", max_retries=0)
    model = OpenAIChatModel(fake_openai.MODEL, provider=OpenAIProvider(openai_client=client))
    agent = Agent(model, tools=[note])

    async def ask(state: Any) -> dict[str, Any]:
        done = await agent.run(question_in(state))
        return {"messages": [("ai", done.output)]}

    return ask


@TABLE.row(ways=["node"], sync=False, options=SEEDED)
def openai_agents_sdk(cast: Cast, **compiled: Any):
    client = AsyncOpenAI(base_url=endpoint().url, api_key="none", max_retries=0)
    openai_agents.set_tracing_disabled(True)
    agent = openai_agents.Agent(
        name="clerk",
        instructions="Be brief.",
        model=openai_agents.OpenAIChatCompletionsModel(model=fake_openai.MODEL, openai_client=client),
        tools=[openai_agents.function_tool(note)],
    )

    async def ask(state: Any) -> dict[str, Any]:
        done = await openai_agents.Runner.run(agent, question_in(state))
        return {"messages": [("ai", done.final_output)]}

    return ask


@TABLE.row(ways=["node"], asynchronous=False, options=SEEDED)
def smolagents_model(cast: Cast, **compiled: Any):
    model = smolagents.OpenAIModel(fake_openai.MODEL, api_base=endpoint().url, api_key="none")

    def ask(state: Any) -> dict[str, Any]:
        talk = [{"role": "user", "content": [{"type": "text", "text": question_in(state)}]}]
        first = model.generate(talk)
        second = model.generate([*talk, {"role": "assistant", "content": [{"type": "text", "text": first.content}]}])
        return {"messages": [("ai", first.content), ("ai", second.content)]}

    return ask
