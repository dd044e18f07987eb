from __future__ import annotations

import kit
import mailing
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from worlds import Worlds


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
