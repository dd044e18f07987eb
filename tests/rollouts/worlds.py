"""Worlds for rollouts, which remember who came and whether they left, and an agent to be in them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager

import kit
from kit import PEAKS
from langgraph.graph import MessagesState


class Thing:
    """An environment that no serialiser takes."""

    def __init__(self, index):
        self.index, self.open, self.lock, self.marks = index, True, threading.Lock(), []

    def __reduce__(self):
        raise AssertionError("the environment is being serialised")

    def __deepcopy__(self, memo):
        raise AssertionError("the environment is being copied")


class Worlds:
    """A factory that remembers what it made."""

    def __init__(self, asynchronous=False, entering=None, leaving=None):
        self.made, self.inputs = [], []
        self._entering, self._leaving = entering or {}, leaving or {}
        self._make = asynccontextmanager(self._alater) if asynchronous else contextmanager(self._at_once)

    def __call__(self, index, known):
        self.inputs.append(known)
        return self._make(index)

    def _at_once(self, index):
        if index in self._entering:
            raise self._entering[index]
        self.made.append(thing := Thing(index))
        try:
            yield thing
        finally:
            thing.open = False
            if index in self._leaving:
                raise self._leaving[index]

    async def _alater(self, index):
        await asyncio.sleep(0)
        with contextmanager(self._at_once)(index) as thing:
            try:
                yield thing
            finally:
                await asyncio.sleep(0)

    @property
    def left_open(self):
        return [thing.index for thing in self.made if thing.open]


def talk(**nodes):
    return kit.graph(MessagesState, **nodes, model=lambda s: {"messages": [kit.say(*PEAKS).invoke("?")]})
