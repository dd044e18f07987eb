"""Stopping plans and agents for the tests of ``stop=``: what was asked, who was started."""

from __future__ import annotations

import threading

import kit
from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState

from ec_agent.stopping import More, Stop
from ec_agent.testing import Reply, ScriptedChatModel


class Killed(BaseException):
    """Ends a run in the middle, as a kill does: nothing handles it."""


class Upto:
    """A plan of ten lines: so many rollouts at a time, until so many have ended; it remembers what it was asked."""

    def __init__(self, wave, enough, among=None):
        self.wave, self.after, self.among, self.asked = wave, enough, among, []

    def enough(self, candidates, running, n):
        self.asked.append(([candidate.index for candidate in candidates], running, n))
        if len(candidates) >= self.after:
            return Stop(f"{len(candidates)} ended", self.among)
        return More(self.wave)


class Started:
    """An agent that tells which of its rollouts were started; rollout 0 is the least sure, the last the surest."""

    def __init__(self, said=lambda index: f"answer {index}", kill=None, fail=(), **compiled):
        self.indices, self.kill = [], kill
        self._lock, self._fail = threading.Lock(), fail if isinstance(fail, dict) else dict.fromkeys(fail, 99)
        self.model = ScriptedChatModel(lambda _, index: Reply(said(index), entropies=kit.peak(19 - index)))
        self.graph = kit.graph(MessagesState, say=(self.say, self.asay), **compiled)

    def say(self, state):
        self._begin()
        return {"messages": [self.model.invoke(state["messages"])]}

    async def asay(self, state):
        self._begin()
        return {"messages": [await self.model.ainvoke(state["messages"])]}

    def _begin(self):
        index = kit.rollout_index()
        with self._lock:
            self.indices.append(index)
            count, times = len(self.indices), self.indices.count(index)
        if count == self.kill:
            raise Killed
        if times <= self._fail.get(index, 0):
            raise LookupError(f"rollout {index} is lost")

    @property
    def counts(self):
        return {index: self.indices.count(index) for index in sorted(set(self.indices))}


def answer(done):
    return next(m.content for m in reversed(done["messages"]) if isinstance(m, AIMessage))
