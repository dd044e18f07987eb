from __future__ import annotations

import kit
import mailing
import pytest
import worker_agents
from fake_cluster import FakeEngine
from langgraph.checkpoint.memory import InMemorySaver
from worlds import Worlds

from ec_agent import best_of_n
from ec_agent.engines import ray_pool, ray_worker
from ec_agent.engines.ray_worker import Worker


@pytest.fixture(params=[kit.Sync, kit.Async], ids=["sync", "async"])
def run(request):
    """Drives everything twice: synchronously and asynchronously."""
    return request.param()


@pytest.fixture(params=["sync run", "sync manager", "async manager"])
def kind(request):
    """What drives, and a factory of worlds for it."""
    run = kit.Sync() if request.param == "sync run" else kit.Async()
    return run, lambda **options: Worlds(request.param == "async manager", **options)


@pytest.fixture
def post():
    return mailing.Post()


@pytest.fixture(params=mailing.FORMS)
def form(request):
    """How the agent is built."""
    return request.param


@pytest.fixture(params=[False, True], ids=["bare", "saved"])
def saver(request):
    """The outer graph's checkpointer, or none."""
    return InMemorySaver() if request.param else None


@pytest.fixture
def quick(monkeypatch):
    """Workers in this process, without their pauses."""
    monkeypatch.setattr(ray_worker, "_IDLE", 0.05)
    monkeypatch.setattr(ray_pool, "_SOON", 0.01)
    monkeypatch.setattr(ray_pool, "_LIVE", 0.01)
    monkeypatch.setattr(Worker, "_settle_in", lambda self: None)  # it is in this process, which has its own warnings
    worker_agents.at.clear()


@pytest.fixture
def engine():
    """Two workers in this process."""
    return FakeEngine()


@pytest.fixture
def asked(engine):
    """Makes questions whose workers are ended with the test."""
    nodes = []

    def ask(place, n=4, **options):
        nodes.append(best_of_n(place, n, engine=options.pop("engine", engine), **options))
        return nodes[-1]

    yield ask
    for node in nodes:
        node.close()
