"""An agent whose rollouts ask people, and what was asked and said."""

from __future__ import annotations

import threading

import kit
from kit import PEAKS
from langgraph.graph import MessagesState
from langgraph.types import interrupt

from ec_agent.testing import Reply, ScriptedChatModel


class Asking:
    """An agent that asks its model, then people, then its model again; counts the model's calls by rollout."""

    def __init__(self, ask=None, saver=None, indices=(0, 1, 2), after=True, **nodes):
        self.calls = []
        self.indices = indices
        lock = threading.Lock()

        def script(messages, index):
            with lock:
                self.calls.append(index)
            return Reply(f"answer {index}", entropies=kit.peak(PEAKS[index % 3]))

        model = ScriptedChatModel(script)

        def say(state):
            return {"messages": [model.invoke(state["messages"])]}

        nodes = nodes or {"b_ask": ask or self.ask}
        self.graph = kit.graph(
            MessagesState, a_say=say, **nodes, **({"c_say": say} if after else {}), checkpointer=saver
        )

    def ask(self, state):
        index = kit.rollout_index()
        if index not in self.indices:
            return {"messages": [("ai", f"{index} asks nobody")]}
        return {"messages": [("human", f"{index} was told {interrupt({'ask': index})!r}")]}


def texts(done):
    return [message.content for message in done["messages"]]


def asked(done):
    return [each.value for each in done.get("__interrupt__", [])]
