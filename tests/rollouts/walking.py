"""An agent of many steps whose calls are counted, and ways to leave a run of it in the middle."""

from __future__ import annotations

import threading
import time

import kit
from langgraph.graph import END, START, MessagesState, StateGraph

from ec_agent.testing import Reply, ScriptedChatModel

N, STEPS, LEAVE_AT = 4, 15, 9  # of 60 calls; the run is left while the ninth or so is made


class Walk:
    """Counts the calls of its agents.

    Attributes:
        calls: rollouts that made one, in order.
        at: is called in the call of this number.
    """

    def __init__(self, delay=0.05, at=None):
        self.calls = []
        self.when_left = None
        self._at = at or {}
        self._lock = threading.Lock()
        self.model = ScriptedChatModel(self._reply)
        self._delay = delay

    def _reply(self, messages, index):
        with self._lock:
            self.calls.append(index)
            at = self._at.get(len(self.calls))
        if at is not None:
            at()
        return Reply(
            f"{index}: step {len(messages)}", entropies=kit.peak((3 * (index or 0) + 3) % 20), delay=self._delay
        )

    def graph(self, **compiled):
        """One call a step."""

        def step(state):
            return {"messages": [self.model.invoke(state["messages"])]}

        async def astep(state):
            return {"messages": [await self.model.ainvoke(state["messages"])]}

        builder = StateGraph(MessagesState)
        builder.add_node("step", kit.RunnableLambda(step, afunc=astep, name="step"))
        builder.add_edge(START, "step")
        builder.add_conditional_edges("step", lambda s: "step" if len(s["messages"]) <= STEPS else END, ["step", END])
        return builder.compile(**compiled)

    def function(self):
        """All calls in one function."""

        def answer(state):
            return {"messages": [self.model.invoke(f"{number}") for number in range(STEPS)][-1:]}

        return answer

    def leave(self):
        """Note that the run is left here."""
        self.when_left = len(self.calls)

    def stopped(self, each=N):
        """Whether ``each`` rollout made one call more at most since then, and none makes any now."""
        made = len(self.calls)
        assert self.when_left is not None, "it was not left"
        assert 0 < self.when_left <= made <= self.when_left + each, (self.when_left, made)
        time.sleep(3 * self._delay)
        assert len(self.calls) == made, "calls were made after the run was over"
