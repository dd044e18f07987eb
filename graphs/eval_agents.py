"""Agents for the tasks of ``ec_agent.evaluation.adapters``, on your model or on the embedded one.

``ec-agent eval sums --agent graphs.eval_agents:make_agent --n 8``. Importing this starts nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode

from ec_agent.environments.worlds import in_environment
from ec_agent.evaluation.adapters import long, sums
from ec_agent.evaluation.tasks import Task
from ec_agent.local import LocalChatModel
from ec_agent.prompted import PromptedToolModel

Agent = CompiledStateGraph[Any, Any, Any, Any]


def make_agent(task: Task) -> Agent:
    """The agent for a task of any of the adapters, on the embedded model."""
    for kind, make in _MAKERS.items():
        if isinstance(task, kind):
            return make(task)
    raise TypeError(f"no agent for {type(task).__name__}; write a factory of your own with one parameter, task")


def sums_agent(task: sums.SumTask) -> Agent:
    """Works a sum off in exactly as many calls as it has steps."""
    model = PromptedToolModel(
        model=LocalChatModel(max_tokens=40),
        preamble="Work off the sum. Calculate its first two numbers.",
        examples=tuple(worked([sums.SumTask("example", sums.numbers(random.Random(k), 4)) for k in range(4)])),
    )
    return fixed_calls(model, task.tools, task.calls)


def long_agent(task: long.WeighTask) -> Agent:
    """Weighs a list thing by thing, thinking before each, in exactly as many calls as there are things."""
    rng = random.Random(1)
    model = PromptedToolModel(
        model=LocalChatModel(max_tokens=140),
        preamble="Think first, then weigh one thing of the list.",
        examples=tuple(worked([long.WeighTask("example", rng.sample(list(long.WEIGHTS), k)) for k in (4, 5)])),
    )
    return fixed_calls(model, task.tools, task.calls)


def fixed_calls(model: BaseChatModel, tools: Sequence[Any], calls: int) -> Agent:
    """An agent that makes a given number of calls, each of them a tool's; the last result is its answer.

    Right and wrong rollouts stop after equally many calls, so that stopping says nothing about being right.
    """
    bound = model.bind_tools(tools, tool_choice="any")

    def act(state: MessagesState) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    async def aact(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    def onward(state: MessagesState) -> str:
        said = [message for message in state["messages"] if isinstance(message, AIMessage)]
        if said[-1].tool_calls:
            return "tools"
        return "act" if len(said) < calls else "answer"

    def after_tools(state: MessagesState) -> str:
        said = sum(isinstance(message, AIMessage) for message in state["messages"])
        return "act" if said < calls else "answer"

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(state["messages"][-1].text)]}

    builder = StateGraph(MessagesState)
    builder.add_node("act", RunnableLambda(act, afunc=aact))
    builder.add_node("tools", ToolNode(tools))
    builder.add_node("answer", answer)
    builder.add_edge(START, "act")
    builder.add_conditional_edges("act", onward, ["tools", "act", "answer"])
    builder.add_conditional_edges("tools", after_tools, ["act", "answer"])
    builder.add_edge("answer", END)
    return builder.compile(name="fixed_calls")


def worked(tasks: Sequence[Any]) -> list[AnyMessage]:
    """Conversations in which tasks are solved as their ``gold`` says, every result given by the real tools."""
    messages: list[AnyMessage] = []
    for task in tasks:
        tools = {tool.name: tool for tool in task.tools}
        messages.append(HumanMessage(task.input["messages"][0][1]))
        with task.environment() as environment, in_environment(environment):
            for name, args in task.gold:
                call_id = f"example_{len(messages)}"
                result = str(tools[name].invoke(args))
                messages.append(AIMessage("", tool_calls=[{"name": name, "args": args, "id": call_id}]))
                messages.append(ToolMessage(result, tool_call_id=call_id))
    return messages


_MAKERS: dict[type[Any], Callable[[Any], Agent]] = {sums.SumTask: sums_agent, long.WeighTask: long_agent}
