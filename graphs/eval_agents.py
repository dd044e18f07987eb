"""Agents for the tasks of ``ec_agent.evaluation.adapters``, on your model or on the embedded one.

``ec-agent eval sums --agent graphs.eval_agents:make_agent --n 8``; with ``--model NAME --base-url URL``, or with
``EC_AGENT_MODEL`` set as for ``graphs.agent``, on that endpoint. Importing this starts nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode

from ec_agent.environments.worlds import get_environment, in_environment
from ec_agent.evaluation.adapters import long, sums, textworld
from ec_agent.evaluation.adapters.answers import AnswerTask
from ec_agent.evaluation.adapters.simulated_user import with_user
from ec_agent.evaluation.adapters.tau2 import ServiceTask
from ec_agent.evaluation.adapters.turns import in_turns
from ec_agent.evaluation.tasks import Task
from ec_agent.local import LocalChatModel
from ec_agent.prompted import PromptedToolModel
from graphs.agent import default_model
from tools import calculate

Agent = CompiledStateGraph[Any, Any, Any, Any]
MAX_CALLS = 20  # model calls of one turn, as in BFCL's own runner
WAIT = 7200.0  # seconds for a reply of this process's own server
THINK = "Think step by step."
ANSWER = "So what is the answer? Write the number alone."


def make_agent(task: Task, model: BaseChatModel | None = None) -> Agent:
    """The agent for a task of any of the adapters.

    Args:
        task: what it will be asked.
        model: any chat model that can call tools; ``None`` takes ``model_for()``'s.
    """
    if isinstance(task, sums.SumTask):
        return sums_agent(task, model)
    if isinstance(task, long.WeighTask):
        return long_agent(task, model)
    if isinstance(task, textworld.GameTask):
        return game_agent(task, model)
    if isinstance(task, AnswerTask):
        return one_answer(model or model_for(max_tokens=512))
    source = type(task).__name__
    if source == "SimpleTask":
        return one_call(model or model_for(max_tokens=160), task.tools)
    tools = list(task.tools) or [calculate]
    limit: AgentMiddleware[Any, Any, Any] = ModelCallLimitMiddleware(run_limit=MAX_CALLS, exit_behavior="end")
    asked = model or model_for(max_tokens=256)
    agent = create_agent(asked, tools, middleware=[limit])
    if isinstance(task, ServiceTask):
        return with_user(agent, task, asked)
    return in_turns(agent) if source == "MultiTurnTask" else agent


def sums_agent(task: sums.SumTask, model: BaseChatModel | None = None) -> Agent:
    """Works a sum off in exactly as many calls as it has steps."""
    examples = [sums.SumTask("example", sums.numbers(random.Random(k), 4)) for k in range(4)]
    hint = "Work off the sum. Calculate its first two numbers."
    return fixed_calls(model or model_for(hint, worked(examples), max_tokens=40), task.tools, task.steps)


def long_agent(task: long.WeighTask, model: BaseChatModel | None = None) -> Agent:
    """Weighs a list thing by thing, thinking before each, in exactly as many calls as there are things."""
    rng = random.Random(1)
    # Two short lists: with ten steps of the rollout they stay within the 2048 tokens of a slot.
    examples = [long.WeighTask("example", rng.sample(list(long.WEIGHTS), count)) for count in (4, 5)]
    # Without closing answers: with them the 135M model was right in 3 of 22 rollouts, without in 10 of 14.
    shown = worked(examples, closed=False)
    hint = "Think first, then weigh one thing of the list."
    return fixed_calls(model or model_for(hint, shown, max_tokens=140), task.tools, task.steps)


def game_agent(task: textworld.GameTask, model: BaseChatModel | None = None) -> Agent:
    """Says five times as many commands as the walkthrough needs, or fewer where it has won."""
    calls = 5 * len(task.gold)
    return fixed_calls(model or model_for(None, _games_played(task.size), max_tokens=40), task.tools, calls)


@cache
def _games_played(size: tuple[int, int, int]) -> list[AnyMessage]:
    """Three other games of the size, won as their walkthroughs say."""
    rooms, objects, commands = size
    return worked(textworld.load("", 3, seed=1_000_000, rooms=rooms, objects=objects, quest_length=commands))


def model_for(
    preamble: str | None = None, examples: Sequence[AnyMessage] = (), *, max_tokens: int | None = None
) -> BaseChatModel:
    """The model that the environment names as it is, else the embedded one with worked examples."""
    model = default_model()
    if not isinstance(model, PromptedToolModel):
        return model
    # A server of this process answers, however long that takes on a busy machine.
    inner = LocalChatModel(max_tokens=max_tokens, timeout=WAIT)
    return PromptedToolModel(model=inner, preamble=preamble, examples=tuple(examples))


def one_answer(model: BaseChatModel) -> Agent:
    """An agent that asks its model once, without tools: the reply is its final action."""
    builder = StateGraph(MessagesState)
    builder.add_node("answer", _asking(model))
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(name="one_answer")


def thinking_agent(task: Task, model: BaseChatModel | None = None) -> Agent:
    """Solves a question whose answer is a number: thinks in free text, then is asked for the number alone.

    Two calls, because small models that are shown how to mark an answer write the mark at once, and think nothing. The
    final action is the last number of the second reply, so that answers can be compared.
    """
    think, answer = (_asking(model or model_for(max_tokens=limit)) for limit in (700, 24))
    questions = {"think": THINK, "answer": ANSWER}

    def asked(state: MessagesState, name: str) -> MessagesState:
        return {"messages": [*state["messages"], HumanMessage(questions[name])]}

    def node(name: str, asking: RunnableLambda[Any, Any]) -> RunnableLambda[Any, Any]:
        def call(state: MessagesState) -> dict[str, Any]:
            return told(name, asking.invoke(asked(state, name)))

        async def acall(state: MessagesState) -> dict[str, Any]:
            return told(name, await asking.ainvoke(asked(state, name)))

        return RunnableLambda(call, afunc=acall)

    def told(name: str, replied: dict[str, Any]) -> dict[str, Any]:
        (reply,) = replied["messages"]
        if name == "think":
            return {"messages": [HumanMessage(THINK), reply]}
        return {"messages": [HumanMessage(ANSWER), AIMessage(last_number(reply.text))]}

    builder = StateGraph(MessagesState)
    builder.add_node("think", node("think", think))
    builder.add_node("answer", node("answer", answer))
    builder.add_edge(START, "think")
    builder.add_edge("think", "answer")
    builder.add_edge("answer", END)
    return builder.compile(name="thinking_agent")


def last_number(text: str) -> str:
    """The last number of a text, without thousands separators and needless zeros; without a number, the text."""
    found = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
    if not found:
        return text.strip()
    number: str = found[-1].replace(",", "")
    return number.rstrip("0").rstrip(".") if "." in number else number


def one_call(model: BaseChatModel, tools: Sequence[BaseTool]) -> Agent:
    """An agent that makes one call and does not carry it out: the call is its final action."""
    builder = StateGraph(MessagesState)
    builder.add_node("act", _acting(model, tools))
    builder.add_edge(START, "act")
    builder.add_edge("act", END)
    return builder.compile(name="one_call")


def fixed_calls(model: BaseChatModel, tools: Sequence[BaseTool], calls: int) -> Agent:
    """An agent that makes a given number of calls, each of them a tool's; the last result is its answer.

    Right and wrong rollouts stop after equally many calls, so that stopping says nothing about being right. Only an
    environment that says it is ``done``, as a game that is won does, ends it before.
    """

    def onward(state: MessagesState) -> str:
        last, said = state["messages"][-1], sum(isinstance(message, AIMessage) for message in state["messages"])
        if isinstance(last, AIMessage) and last.tool_calls:
            return "tools"
        return "answer" if said >= calls or getattr(get_environment(), "done", False) else "act"

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(state["messages"][-1].text)]}

    builder = StateGraph(MessagesState)
    builder.add_node("act", _acting(model, tools))
    builder.add_node("tools", ToolNode(tools))
    builder.add_node("answer", answer)
    builder.add_edge(START, "act")
    builder.add_conditional_edges("act", onward, ["tools", "act", "answer"])
    builder.add_conditional_edges("tools", onward, ["act", "answer"])
    builder.add_edge("answer", END)
    return builder.compile(name="fixed_calls")


def _acting(model: BaseChatModel, tools: Sequence[BaseTool]) -> RunnableLambda[Any, Any]:
    return _asking(model.bind_tools(tools, tool_choice="any"))


def _asking(bound: Runnable[Any, AIMessage]) -> RunnableLambda[Any, Any]:
    def act(state: MessagesState) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    async def aact(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    return RunnableLambda(act, afunc=aact)


def worked(tasks: Sequence[Any], *, closed: bool = True) -> list[AnyMessage]:
    """Conversations in which tasks are solved as their ``gold`` says, every result given by the real tools.

    Args:
        tasks: the tasks, which are none of those to be solved.
        closed: whether each ends with an answer. Otherwise its last result and the next question are one turn of the
            user's, which keeps to the tool's form, and lets the last result be taken for a part of the question.
    """
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
        if closed:
            messages.append(AIMessage(result))
    return messages
