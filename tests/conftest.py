from __future__ import annotations

import gc
import signal
import ssl
import sys
from functools import lru_cache
from importlib.util import find_spec
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
    if find_spec("hypothesis"):  # not in Inspect AI's environment
        draw_part_of_the_examples()
    files_in_memory.settle(config)
    # Each client that a test makes would read the certificates, for 20 ms, and then speak to this machine without them.
    ssl.create_default_context = lru_cache(ssl.create_default_context)


def pytest_collection_modifyitems(config, items):
    short_form.shorten(config, items)


def draw_part_of_the_examples():
    from hypothesis import settings

    settings.register_profile("this form", max_examples=short_form.part_of(settings().max_examples))
    settings.load_profile("this form")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection():
    """Nothing of what is imported and collected is garbage: to look for it takes a tenth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish(session):
    """The suite and what it imported stay to the end. Collecting garbage, which some tests do, need not look at it.

    Of itself it is done more seldom, for it is a tenth of a test's time; tests that need it say so.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.fixture(autouse=True)
def modules_of_users_are_forgotten():
    """Many tests write a module such as ``my_module.py`` and import it; the next test has another one of that name."""
    before = len(sys.modules)
    yield
    if len(sys.modules) != before:  # there are nine thousand
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
