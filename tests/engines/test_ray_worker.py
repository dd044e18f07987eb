"""A worker alone, as its actor runs it. Without Ray."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from concurrent.futures import CancelledError

from fake_cluster import FakeCluster

from ec_agent.engines.base import Job
from ec_agent.engines.ray_worker import Worker, shippable
from ec_agent.errors import ConfigError

RAN = []


class Noting:
    """Notes what it runs."""

    def prepared(self, subject):
        return subject

    async def run(self, prepared, piece, hear):
        RAN.append(piece)
        return piece


def run(worker, ticket):
    return worker.run(ticket, pickle.dumps("a task"), pickle.dumps(ticket))


def test_what_comes_after_its_end_does_not_begin():
    """A piece may be on its way when its worker is told to leave. Its environment would be left open."""
    RAN.clear()
    worker = FakeCluster(Job(make=Noting, look=dict)).new_actor().worker
    assert worker.hello().error is None
    assert run(worker, 1).result == 1
    worker.leave(0.1)
    assert isinstance(run(worker, 2).error, CancelledError | asyncio.CancelledError)
    assert RAN == [1]


def test_errors_of_ours_that_cannot_travel_keep_their_text():
    class LocalError(ConfigError):
        pass

    assert str(shippable(LocalError("what to do"))) == "what to do"


def test_no_method_of_a_worker_is_a_coroutine_function():
    methods = [getattr(Worker, name) for name in dir(Worker)]
    assert not any(map(inspect.iscoroutinefunction, methods)), "Ray would run its methods one after the other"
