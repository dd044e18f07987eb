"""Selectors that ask a model, in every form that a selector may have. All prefer the last rollout."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

from ec_agent import Ranking
from ec_agent.testing import Reply, ScriptedChatModel

ASKED = {"messages": [("user", "go")]}
LAST = 2  # the rollout that a judge prefers, where nothing else is said; the lowest centroid is rollout 1


def judge(tokens=5, **reply):
    return ScriptedChatModel(lambda messages, index: Reply("fine", entropies=[0.1] * tokens, **reply))


def best_last(candidates):
    order = tuple(sorted((c.index for c in candidates), reverse=True))
    return Ranking(order, {index: float(index) for index in order}, {})


@dataclass
class Asking:
    """Asks its model once a candidate, in an async run without blocking."""

    model: Any
    on_failure: Any = "raise"
    name: str = "asking"
    signals: tuple[str, ...] = ()

    def __post_init__(self):
        self.seen, self.forms = [], []

    def _ranked(self, candidates, form):
        self.seen.append([candidate.index for candidate in candidates])
        self.forms.append(form)
        return best_last(candidates)

    def select(self, candidates):
        for candidate in candidates:
            self.model.invoke(f"{candidate.question['messages'][0].text}: {candidate.final_action.text}?")
        return self._ranked(candidates, "sync")

    async def aselect(self, candidates):
        await asyncio.gather(*(self.model.ainvoke(str(candidate.final_action.text)) for candidate in candidates))
        return self._ranked(candidates, "async")


class AsyncOnly:
    name, signals = "async only", ()

    def __init__(self, model):
        self.model, self.threads = model, []

    async def aselect(self, candidates):
        self.threads.append(threading.get_ident())
        await self.model.ainvoke("which?")
        return best_last(candidates)


class Coroutine(AsyncOnly):
    """The same under the name of the sync form."""

    aselect = None

    async def select(self, candidates):
        return await AsyncOnly.aselect(self, candidates)


class Awaitable(AsyncOnly):
    """A plain function that returns something to be awaited."""

    aselect = None

    def select(self, candidates):
        return AsyncOnly.aselect(self, candidates)


class SyncOnly(AsyncOnly):
    """Blocks while it asks."""

    aselect = None

    def select(self, candidates):
        self.threads.append(threading.get_ident())
        self.model.invoke("which?")
        return best_last(candidates)


FORMS = [Asking, AsyncOnly, Coroutine, Awaitable, SyncOnly]
