"""What is watched in these tests: agents that wait for a word before they go on, so that no test races them.

As a program: ``live_programs.py DIRECTORY [rollouts]`` runs one under ``live.view()``.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from ec_agent import best_of_n, read_only
from ec_agent.testing import Reply, ScriptedChatModel

NASTY = "down [bold]\x1b[31m\nand out"  # markup, colours, another line
PATIENCE = 60.0  # seconds


class Signs:
    """Files in a directory: what has come to pass here, and what may come to pass."""

    def __init__(self, directory):
        self.directory = Path(directory)

    def wait_for(self, name):
        until = time.monotonic() + PATIENCE
        while not (self.directory / name).exists():
            if time.monotonic() > until:
                raise TimeoutError(f"nobody gives {name}")
            time.sleep(0.01)

    def give(self, name):
        (self.directory / name).touch()


def entropies_of(index):
    """Early ones are higher for higher indices: the last rollout wins, where it has logprobs."""
    return [2.0 if place == 8 - index % 8 else 0.1 for place in range(10)]


def agent(signs=None, *, failing=1, without_logprobs=2):
    """A model that asks for a tool, the tool, and the model again; the tool waits for the sign ``go``.

    Rollout ``failing`` fails at its second call, rollout ``without_logprobs`` has none.
    """

    @read_only
    @tool
    def look_up_price(q: str) -> str:
        """The price of a thing."""
        if signs is not None:
            signs.wait_for("go")
        return "3"

    def script(messages, index):
        entropies = None if index == without_logprobs else entropies_of(index)
        if not isinstance(messages[-1], AIMessage) and len(messages) == 1:
            return Reply(tool_calls=[("look_up_price", {"q": "mug"})], entropies=entropies, tokens=10)
        if index == failing:
            return Reply(error=ValueError(NASTY))
        return Reply(f"answer {index}", entropies=entropies, tokens=10)

    model = ScriptedChatModel(script)

    def ask(state):
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_node("tools", ToolNode([look_up_price]))
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", tools_condition, ["tools", END])
    builder.add_edge("tools", "ask")
    return builder.compile(name="asker")


def outer(node):
    """A graph of a user's, with the node in it."""
    builder = StateGraph(MessagesState)
    builder.add_node("solve", node)
    builder.add_edge(START, "solve")
    return builder.compile()


def waiting_graph():
    """For ``ec-agent watch live_programs:waiting_graph``."""
    return outer(best_of_n(agent(Signs(os.environ["SIGNS"])), n=4))


def plain_graph():
    return outer(best_of_n(agent(), n=4))


def plain_agent():
    return agent()


def failing_agent():
    return agent(failing=0)


def waiting_agent():
    return agent(Signs(os.environ["SIGNS"]))


def node():
    return best_of_n(agent(), n=4)


def function(state):
    return {"answer": 3}


def nasty_agent():
    """Its model answers with what would order a terminal about."""
    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda state: {"messages": [AIMessage(NASTY)]})
    builder.add_edge(START, "ask")
    return builder.compile(name="nasty")


def main(directory, n="4"):
    from ec_agent import live

    with live.view() as on_event:
        result = best_of_n(agent(Signs(directory)), n=int(n)).run({"messages": [("user", "?")]}, on_event=on_event)
    print("winner", result.selection.winner)


if __name__ == "__main__":
    main(*sys.argv[1:])
