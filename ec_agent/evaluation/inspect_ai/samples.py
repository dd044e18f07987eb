"""Between Inspect and LangGraph: a sample becomes a task of ours, an agent's messages and answer become Inspect's."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    ChatMessageTool,
    ModelOutput,
    ModelUsage,
    execute_tools,
    messages_from_openai,
    messages_to_openai,
)
from inspect_ai.solver import TaskState
from inspect_ai.tool import Tool, ToolCall, ToolDef
from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.tools import StructuredTool
from langgraph.graph import add_messages

from ec_agent.evaluation.jsonl import final_text
from ec_agent.evaluation.tasks import BaseTask, Outcome

ToInput = Callable[[TaskState], Any]


class SampleTask(BaseTask):
    """One epoch of a sample of an Inspect task, as an agent factory sees it: ``def agent(task): ...``.

    Attributes:
        id: the sample's id.
        input: the agent's input.
        tools: the tools that the Inspect task gave the sample, as LangChain tools.
        epoch: the epoch, from 1.
        metadata: the sample's metadata.
        outcome: what the rollout came to, once it has ended.
    """

    def __init__(self, state: TaskState, input: Any) -> None:
        super().__init__(str(state.sample_id), input)
        self.tools = [langchain_tool(tool) for tool in state.tools]
        self.epoch: int = state.epoch
        self.metadata: dict[str, Any] = state.metadata
        self.outcome: Outcome | None = None

    def verdict(self, outcome: Outcome) -> bool:
        """Kept, and not judged: that is for Inspect's scorers."""
        self.outcome = outcome
        return False


async def task_of(state: TaskState, to_input: ToInput | None = None) -> SampleTask:
    """The sample as a task.

    Args:
        state: the sample's state.
        to_input: makes the agent's input; without it, that is ``{"messages": [...]}``, the conversation so far.
    """
    if to_input is None:
        given: Any = {"messages": await messages_to_openai(state.messages)}
    else:
        given = to_input(state)
    if isinstance(given, Mapping) and "messages" in given:
        # With ids, the agent's new messages can be told from the given ones, whatever it does to these.
        given = {**given, "messages": add_messages([], given["messages"])}
    return SampleTask(state, given)


def langchain_tool(tool: Tool) -> StructuredTool:
    """An Inspect tool as a LangChain tool; run by Inspect, so that its approvals, limits and log see each call."""
    made = ToolDef(tool)

    async def run(**arguments: Any) -> str:
        call = ToolCall(id=str(uuid.uuid4()), function=made.name, arguments=arguments)
        done = await execute_tools([ChatMessageAssistant(content="", tool_calls=[call])], [tool])
        (result,) = (message for message in done.messages if isinstance(message, ChatMessageTool))
        return f"Error: {result.error.message}" if result.error else str(result.text)

    schema = made.parameters.model_dump(mode="json", exclude_none=True)
    return StructuredTool(name=made.name, description=made.description, args_schema=schema, coroutine=run)


async def write_answer(
    state: TaskState, task: SampleTask, outcome: Outcome, *, seconds: float, usage: dict[str, int]
) -> None:
    """Write a rollout's new messages and its final action into the sample's state, where scorers look for them.

    Args:
        state: the sample's state.
        task: what was asked.
        outcome: what the rollout came to.
        seconds: how long it took.
        usage: prompt, cached and generated tokens.
    """
    model = str(state.model)
    said: Any = [_plain(message) for message in convert_to_openai_messages(_new(task.input, outcome.output))]
    messages = await messages_from_openai(said, model)
    action = outcome.final_action
    last = messages[-1] if messages and isinstance(action, BaseMessage) else None
    if not isinstance(
        last, ChatMessageAssistant
    ):  # a structured answer, a function's update, an agent without messages
        last = ChatMessageAssistant(content=final_text(action), model=model, source="generate")
        messages.append(last)
    state.messages.extend(messages)
    state.output = ModelOutput(
        model=model,
        choices=[ChatCompletionChoice(message=last, stop_reason="tool_calls" if last.tool_calls else "stop")],
        usage=ModelUsage(
            input_tokens=usage["prompt_tokens"],
            input_tokens_cache_read=usage["cached_tokens"],
            output_tokens=usage["generated_tokens"],
            total_tokens=usage["prompt_tokens"] + usage["generated_tokens"],
        ),
        time=seconds,
    )


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """The message without what Inspect does not read from it: thinking, and a provider's own blocks."""
    if isinstance(message.get("content"), list):
        known = [block for block in message["content"] if block.get("type") in ("text", "image_url")]
        return {**message, "content": known or ""}
    return message


def _new(input: Any, output: Any) -> list[BaseMessage]:
    given = {message.id for message in _messages(input)}
    return [message for message in _messages(output) if message.id not in given]


def _messages(state: Any) -> list[BaseMessage]:
    held = state.get("messages") if isinstance(state, Mapping) else getattr(state, "messages", None)
    held = held if isinstance(held, list) else [held]
    return [message for message in held if isinstance(message, BaseMessage)]
