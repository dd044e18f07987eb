"""Stopping plans and agents for the tests of ``stop=``: what was asked, who was started."""

from __future__ import annotations

import threading

import kit
from langchain_core.messages import AIMessage

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
        self._lock, self._fail = threading.Lock(), dict.fromkeys(fail, -1) if not isinstance(fail, dict) else fail
        self._said = said
        self.graph = kit.chat(ScriptedChatModel(self._script), **compiled)

    def _script(self, messages, index):
        with self._lock:
            self.indices.append(index)
            count, times = len(self.indices), self.indices.count(index)
        if self.kill is not None and count == self.kill:
            raise Killed
        if index in self._fail and (self._fail[index] < 0 or times <= self._fail[index]):
            raise LookupError(f"rollout {index} is lost")
        return Reply(self._said(index), entropies=kit.peak(19 - index))

    @property
    def counts(self):
        return {index: self.indices.count(index) for index in sorted(set(self.indices))}


def answer(done):
    return next(m.content for m in reversed(done["messages"]) if isinstance(m, AIMessage))
