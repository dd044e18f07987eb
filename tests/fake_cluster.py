"""A cluster in this process: what the pool asks of Ray, with real workers in threads, which can be killed."""

from __future__ import annotations

import asyncio
import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from ec_agent.engines.ray_pool import Pool
from ec_agent.engines.ray_worker import Worker
from ec_agent.errors import ConfigError

try:
    from cloudpickle import dumps
except ImportError:
    from pickle import dumps

THREADS = ThreadPoolExecutor(1_000)  # asyncio's own are few, and workers that were killed hold theirs for a while


class GoneError(Exception):
    """What a caller gets from an actor that died."""


class Method:
    def __init__(self, actor, name):
        self.actor, self.name = actor, name

    def remote(self, *given):
        return self.actor.asked(self.name, given)


class Actor:
    """A worker in threads. Once it is killed, nobody hears of what its threads still do."""

    def __init__(self, cluster, worker):
        self.number = next(cluster.numbers)
        self.cluster, self.worker = cluster, worker
        self.gone = asyncio.Event()
        self.most = self.running = 0

    def __getattr__(self, name):
        return Method(self, name)

    async def asked(self, name, given):
        if self.gone.is_set():
            raise GoneError(name)
        if name == "run":
            self.running += 1
            self.most = max(self.most, self.running)
        work = asyncio.ensure_future(self._done(name, given))
        death = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait([work, death], return_when=asyncio.FIRST_COMPLETED)
        finally:
            death.cancel()
            if name == "run":
                self.running -= 1
        if self.gone.is_set() or (name in self.cluster.undelivered and self.cluster.lose(self)):
            work.cancel()
            raise GoneError(name)
        return pickle.loads(pickle.dumps(work.result()))

    async def _done(self, name, given):
        if name == "hello" and self.number in self.cluster.stillborn:
            raise GoneError(name)
        return await asyncio.get_running_loop().run_in_executor(THREADS, getattr(self.worker, name), *given)

    def kill(self):
        self.gone.set()
        for loop, task in list(self.worker._running.values()):  # no thread of it lives on
            loop.call_soon_threadsafe(task.cancel)


class FakeCluster:
    """What ``Pool`` needs of Ray.

    Args:
        job: what the workers are given.
        per_worker: pieces at once.
        rooms: how many actors find room.
    """

    def __init__(self, job, per_worker=4, rooms=10_000):
        self.job, self.per_worker, self.rooms = job, per_worker, rooms
        self.numbers = itertools.count()
        self.actors, self.stillborn, self.undelivered = [], set(), set()
        self.about = job.look(*job.arguments)

    def new_actor(self):
        packed = dumps((self.job.make, self.job.look, self.job.arguments))
        worker = Worker(packed, self.about, ("", []), self.job.on_event is not None, self.per_worker)
        actor = Actor(self, worker)
        self.actors.append(actor)
        if len(self.living) > self.rooms:
            actor.asked = never
        return actor

    @property
    def living(self):
        return [actor for actor in self.actors if not actor.gone.is_set()]

    def end(self, actor):
        actor.kill()

    def lose(self, actor):
        """Lose one result between execution and delivery."""
        self.undelivered.clear()
        actor.kill()
        return True

    def is_lost(self, error):
        return isinstance(error, GoneError)

    def pickled(self, value):
        try:
            return dumps(value)
        except Exception as error:
            raise ConfigError(f"{value!r} cannot be sent to the workers ({error}); keep it out") from error

    def resources(self):
        return f"{self.rooms} rooms"


async def never(name, given):
    await asyncio.Event().wait()


class FakeEngine:
    """An engine whose workers are in this process. Nothing is shared with them but what is pickled.

    Attributes:
        clusters: one for each time that workers were started.
    """

    elsewhere = True

    def __init__(self, workers=2, per_worker=4, tries=3, wait=20.0):
        self.given = {"workers": workers, "per_worker": per_worker, "tries": tries, "wait": wait}
        self.clusters = []

    @asynccontextmanager
    async def opened(self, job):
        cluster = FakeCluster(job, self.given["per_worker"])
        self.clusters.append(cluster)
        cluster.pickled((job.make, job.look, job.arguments))
        pool = Pool(job, cluster, **self.given)
        try:
            await pool.open()
            yield pool
        finally:
            await pool.close()

    @property
    def actors(self):
        return [actor for cluster in self.clusters for actor in cluster.living]
