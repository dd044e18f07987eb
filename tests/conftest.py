from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from pathlib import Path

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
    temporary_files_are_kept_in_memory(config)


def temporary_files_are_kept_in_memory(config):
    """The tests' databases and files, where there is room: most of the time of a small commit is the disk's.

    Workers inherit it from their controller. Who sets TMPDIR chooses the place, and finds there what tests left.
    """
    memory, small = Path("/dev/shm"), 4 << 30
    if "TMPDIR" in os.environ or not os.access(memory, os.W_OK):
        return
    state = os.statvfs(memory)
    if state.f_bavail * state.f_frsize < small or state.f_flag & os.ST_NOEXEC:
        return
    home = tempfile.TemporaryDirectory(prefix="ec-agent-", dir=memory, ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    os.environ["TMPDIR"] = tempfile.tempdir = home.name


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
