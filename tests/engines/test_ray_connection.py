"""What in one process runs on Ray shares a connection, for a process has one. Ray is a stand-in here."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import types
from contextlib import AsyncExitStack

import pytest
from ray_cluster import did_not_start

from ec_agent import ConfigError
from ec_agent.engines import RayEngine
from ec_agent.engines.ray import _connected

HERE = "10.0.0.1:6379"


@pytest.fixture
def ray(monkeypatch):
    """A package that only connects."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    fake = types.ModuleType("ray")
    fake.there, fake.starts, fake.fails, fake.gate = None, [], False, threading.Event()
    fake.gate.set()

    def init(address, **options):
        fake.gate.wait(20)
        if fake.fails:
            raise ConnectionError("nobody is there")
        assert fake.there is None
        fake.there = "10.0.0.9:1" if address in ("local", None, "auto") else address
        fake.starts.append(options.get("num_cpus"))

    fake.init = init
    fake.is_initialized = lambda: fake.there is not None
    fake.shutdown = lambda: setattr(fake, "there", None)
    fake.get_runtime_context = lambda: types.SimpleNamespace(gcs_address=fake.there)
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


async def entered(engine):
    stack = AsyncExitStack()
    return stack, await stack.enter_async_context(_connected(engine))


@pytest.mark.parametrize("first", [None, HERE, "auto"])
@pytest.mark.parametrize("second", ["the same", None])
def test_the_first_who_leaves_does_not_end_what_others_use(ray, first, second):
    async def both():
        one, connection = await entered(RayEngine(address=first))
        two, again = await entered(RayEngine(address=first if second else None))
        assert again is connection
        await one.aclose()
        assert ray.is_initialized()
        await two.aclose()
        assert not ray.is_initialized()
        three, other = await entered(RayEngine(address=first))
        assert other is not connection
        await three.aclose()

    asyncio.run(both())
    assert len(ray.starts) == 2


def test_those_who_come_while_it_connects_wait_for_it(ray):
    ray.gate.clear()

    async def both():
        asked = [asyncio.ensure_future(entered(RayEngine(address=HERE))) for _ in range(3)]
        await asyncio.sleep(0.02)
        asked[0].cancel()  # who started it
        ray.gate.set()
        held = await asyncio.gather(*asked[1:])
        assert ray.there == HERE
        for stack, _ in held:
            await stack.aclose()

    asyncio.run(both())
    assert len(ray.starts) == 1
    assert ray.there is None


def test_who_comes_while_the_last_one_leaves_connects_anew(ray):
    shut, gate = ray.shutdown, threading.Event()
    ray.shutdown = lambda: (gate.wait(20), shut())

    async def both():
        one, _ = await entered(RayEngine(address=HERE))
        leaving = asyncio.ensure_future(one.aclose())
        await asyncio.sleep(0.02)
        coming = asyncio.ensure_future(entered(RayEngine(address=HERE)))
        await asyncio.sleep(0.02)
        gate.set()
        await leaving
        two, _ = await coming
        assert ray.there == HERE
        await two.aclose()

    asyncio.run(both())
    assert len(ray.starts) == 2


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_another_cluster_is_refused_and_the_one_that_is_there_is_left_alone(ray, whose):
    async def both():
        if whose == "theirs":
            ray.there = HERE
        one, _ = await entered(RayEngine(address=HERE))
        with pytest.raises(
            ConfigError, match=r"connected to the Ray cluster 10\.0\.0\.1:6379 already.* leave address="
        ):
            await entered(RayEngine(address="10.0.0.2:6379"))
        assert ray.there == HERE
        await one.aclose()

    asyncio.run(both())
    assert ray.there == (None if whose == "ours" else HERE)


def test_after_a_failure_the_next_one_tries_again(ray):
    ray.fails = True

    async def twice():
        with pytest.raises(ConfigError, match="nobody is there"):
            await entered(RayEngine(address=HERE))
        ray.fails = False
        stack, _ = await entered(RayEngine(address=HERE))
        await stack.aclose()

    asyncio.run(twice())
    assert len(ray.starts) == 1


def test_a_local_cluster_has_room_for_workers_of_its_first_user_and_sets_no_cpus_aside_for_others(ray, monkeypatch):
    monkeypatch.setattr("ec_agent.engines.ray.os.cpu_count", lambda: 2)

    async def both():
        one, connection = await entered(RayEngine(workers=6))
        with connection.room(6) as first, connection.room(1) as second:
            assert (first, second) == (True, False)
        with connection.room(5) as first, connection.room(1) as second:
            assert (first, second) == (True, True)
        await one.aclose()
        two, connection = await entered(RayEngine(address=HERE))
        with connection.room(1000) as of_a_real_cluster:
            assert of_a_real_cluster
        await two.aclose()

    asyncio.run(both())
    assert ray.starts == [6, None]


@pytest.mark.parametrize(
    ("last", "leaves"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: '/x/ray/ray_current_cluster'", pytest.fail),
        ("TypeError: Cluster.__init__() got an unexpected keyword argument 'head_node_args'", pytest.fail),
        ("ModuleNotFoundError: No module named 'ray.cluster_utils'", pytest.fail),
        ("RuntimeError: Failed to start GCS.", pytest.skip),
        ("PermissionError: [Errno 1] Operation not permitted", pytest.skip),
        ("Alarm clock", pytest.skip),
        ("", pytest.skip),
    ],
)
def test_a_test_is_left_out_where_ray_does_not_start_and_fails_where_it_is_started_wrongly(last, leaves):
    with pytest.raises(leaves.Exception, match=rf"Ray cannot start here[\s\S]*{re.escape(last)}$"):
        did_not_start(f"Traceback (most recent call last):\n  TypeError: an earlier one\n{last}")
