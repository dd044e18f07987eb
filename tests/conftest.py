from __future__ import annotations

import gc
import signal
import sys
from pathlib import Path

import files_in_memory
import pytest
import short_form
from postgres import running_postgres
from ray_cluster import running_cluster

from ec_agent.local import LocalServer


def pytest_addoption(parser):
    short_form.add_options(parser)


def pytest_configure(config):
    """What a shell starts in the background ignores Ctrl-C, and so would every program that the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    short_form.settle(config)
    files_in_memory.settle(config)


def pytest_collection_modifyitems(config, items):
    short_form.shorten(config, items)


def pytest_collection_finish(session):
    """The suite and what it imported stay to the end. Collecting garbage, which some tests do, need not look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def modules_of_users_are_forgotten():
    """Many tests write a module such as ``my_module.py`` and import it; the next test has another one of that name."""
    yield
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def local_server():
    """The embedded model, served for the whole session; the first run ever fetches it."""
    with LocalServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres():
    """The URI of a real PostgreSQL server, one for the whole session; tests make databases or schemas of their own."""
    with running_postgres() as uri:
        yield uri


@pytest.fixture(scope="session")
def ray_cluster():
    """The address of a Ray cluster of one machine, one for the whole session."""
    here = Path(__file__).parent
    with running_cluster(paths=[here / "evaluation", here / "rollouts"]) as cluster:
        yield cluster.address
