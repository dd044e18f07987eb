"""Two workers that resume one thread: the late one has set out already when the first one acts."""

from __future__ import annotations

import threading
import uuid
from contextvars import ContextVar

import mailing
from kit import THREAD
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from ec_agent import CommitToolNode, best_of_n
from ec_agent.testing import ScriptedChatModel

worker: ContextVar[str] = ContextVar("worker", default="first")


def by_worker(**replies):
    """A model that says what the worker's list has, one after the other, in rollout 1, which wins."""

    def say(messages, index):
        said = replies.get(worker.get(), replies["first"])
        turn = max(place for place, m in enumerate(messages) if m.type == "human")
        told = sum(m.type == "tool" for m in messages[turn:])
        return mailing.reply(said[min(told, len(said) - 1)], 3) if index else mailing.reply("no", 9)

    return ScriptedChatModel(say)


def agent(model, tools):
    """A model and its tools; the calls have ids of their own each time, as those of real models do."""

    def numbered(message):
        calls = [{**each, "id": f"call_{uuid.uuid4().hex[:8]}"} for each in message.tool_calls]
        return {"messages": [message.model_copy(update={"tool_calls": calls, "id": str(uuid.uuid4())})]}

    def ask(state, config):
        return numbered(model.invoke(state["messages"], config))

    async def aask(state, config):
        return numbered(await model.ainvoke(state["messages"], config))

    builder = StateGraph(MessagesState)
    builder.add_node("model", RunnableLambda(ask, aask, name="model"))
    builder.add_node("tools", ToolNode(tools))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile()


class Race:
    """A graph with a node ``earlier`` in which the late worker waits until the first has ended."""

    def __init__(self, run, saver=None):
        self.run = run
        self.saver = saver or InMemorySaver()
        self.waiting, self.go = threading.Event(), threading.Event()
        self.detours = set()

    def earlier(self, state):
        if worker.get() == "late" and not self.go.is_set():
            self.waiting.set()
            assert self.go.wait(60)

    def graph(self, solve, tools=None, schema=MessagesState, **compiled):
        """START -> earlier (-> detour) -> solve (-> tools) -> after; those in ``detours`` take the way round."""
        builder = StateGraph(schema)
        builder.add_node("earlier", self.earlier)
        builder.add_node("detour", lambda state: None)
        builder.add_node("solve", solve)
        builder.add_node("after", lambda state: None)
        builder.add_edge(START, "earlier")
        builder.add_conditional_edges(
            "earlier", lambda _: "detour" if worker.get() in self.detours else "solve", ["detour", "solve"]
        )
        builder.add_edge("detour", "solve")
        if tools is None:
            builder.add_edge("solve", "after")
        else:
            builder.add_node("tools", tools)
            builder.add_conditional_edges("solve", tools_condition, {"tools": "tools", END: "after"})
            builder.add_edge("tools", "after")
        return builder.compile(checkpointer=self.saver, **compiled)

    def outer(self, how, post, model, **more):
        """A graph whose winner's calls are executed, or routed to a ``CommitToolNode``."""
        tools = [post.send, post.pay]
        options = {"commit": tools, "on_commit": how, **more}
        node = best_of_n(agent(model, [*tools, post.search]), n=2, **options)
        return self.graph(node, CommitToolNode(tools) if how == "route" else None, interrupt_before=["earlier"])

    def between(self, first, late=None):
        """Have both resume; how each ended: with a state or an error."""
        ended = {}

        def work(name, resume):
            worker.set(name)
            try:
                ended[name] = resume()
            except Exception as error:
                ended[name] = error

        slow = threading.Thread(target=work, args=("late", late or first))
        slow.start()
        assert self.waiting.wait(60)
        fast = threading.Thread(target=work, args=("first", first))
        fast.start()
        fast.join(60)
        self.go.set()
        slow.join(60)
        return ended["first"], ended["late"]

    @staticmethod
    def ok(*ended):
        for each in ended:
            if isinstance(each, Exception):
                raise each
        return ended

    def resuming(self, graph, given=None, config=THREAD):
        """What a worker does."""
        return lambda: self.run.invoke(graph, given, config)
