"""Rollouts on a Ray cluster, one that is there or a local one that is started for the run."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ec_agent.engines.pickling import pickled
from ec_agent.errors import ConfigError
from ec_agent.support.checks import checked, mapping, number, or_none, repr_of, seconds, text, whole
from ec_agent.support.lazy import needed
from ec_agent.support.number_formats import many

if TYPE_CHECKING:
    from ec_agent.engines.base import Job, Runs

_NAMED = {"GPU": "num_gpus", "memory": "memory"}
"""Resources that Ray wants in arguments of their own."""

_CONTROL = 4  # threads of an actor beside those of its pieces: for news, for leaving


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine:
    """Runs rollouts on Ray actors, each of which runs several at once. The driver stores them and shows the progress.

    The agent is given as ``"module:name"``, for the workers import it themselves. Before the first rollout, each worker
    compares its packages and the agent's source files with the driver's. If a worker dies its rollouts run again on
    another, and count once.

    Attributes:
        address: of a cluster that runs, such as ``"10.0.0.1:6379"`` or ``"auto"``. ``None`` takes the cluster to which
            this process is connected, or that ``RAY_ADDRESS`` names, or else starts one on this machine for the run.
        workers: how many actors; ``None`` makes as many as the cluster's CPUs allow at the start.
        per_worker: how many rollouts run at once on each. Rollouts mostly wait for a model.
        num_cpus: CPUs that Ray sets aside for each worker. A local cluster is made large enough.
        resources: what else it sets aside for each: ``{"GPU": 1}``, ``{"memory": 2e9}``, or resources of your own.
        tries: how many workers a rollout may take with it; after that it is a failed one (``WorkerLostError``). The
            last time it runs alone, so that it is not blamed for what another rollout did.
        wait: seconds that workers may take to start.

    Raises:
        ConfigError: a value it cannot have.
    """

    address: str | None = None
    workers: int | None = None
    per_worker: int = 8
    num_cpus: float = 1
    resources: Mapping[str, float] = field(default_factory=dict)
    tries: int = 3
    wait: float = 120.0

    def __post_init__(self) -> None:
        or_none("address", self.address, text, 'the address of a cluster, such as "10.0.0.1:6379", or None')
        if self.address is not None and "://" in self.address:
            raise ConfigError(
                f"address is {repr_of(self.address)}, that of a Ray client; run this on a machine of the cluster, for "
                "example with `ray job submit`, and give host:port or auto"
            )
        checked(self, "workers", or_none, whole)
        checked(self, "per_worker", whole)
        checked(self, "num_cpus", number, "a number of CPUs, 0 or more", least=0)
        mapping("resources", self.resources, "a dict from names of resources to numbers")
        for name, amount in self.resources.items():
            number(f"resources[{name!r}]", amount, "a number of 0 or more", least=0)
        if "CPU" in self.resources:
            raise ConfigError("resources has CPU; give num_cpus= instead")
        checked(self, "tries", whole, 2)
        checked(self, "wait", seconds)

    @property
    def elsewhere(self) -> bool:
        """``True``: workers are other processes."""
        return True

    def __str__(self) -> str:
        """Say where and how much, for people."""
        where = self.address or os.environ.get("RAY_ADDRESS") or "here"
        workers = "as many workers as fit" if self.workers is None else many(self.workers, "worker")
        return f"Ray ({where}), {workers} of {many(self.per_worker, 'rollout')} at once"

    @asynccontextmanager
    async def opened(self, job: Job) -> AsyncIterator[Runs]:
        """Connect, start the workers, and end them when the block is left.

        Raises:
            ConfigError: Ray is not installed, the cluster cannot be reached, it has no room for the workers, they
                cannot be given the job, or one of them has other code.
        """
        from ec_agent.engines.ray_pool import Pool

        async with _connected(self) as connection:
            calls = _Calls(self, job)
            workers = self.workers or calls.most_workers()
            with connection.room(workers * self.num_cpus) as there_is:
                if not there_is:
                    calls.set_no_cpus_aside()
                pool = Pool(job, calls, workers=workers, per_worker=self.per_worker, tries=self.tries, wait=self.wait)
                try:
                    await pool.open()
                    yield pool
                finally:
                    await pool.close()


@asynccontextmanager
async def _connected(engine: RayEngine) -> AsyncIterator[_Connection]:
    """Connect this process to a cluster for a ``with`` block. All blocks share a connection; a process can have one.

    Raises:
        ConfigError: Ray is not installed, the cluster cannot be reached, or the process is connected to another one.
    """
    ray = needed("ray", "engine=RayEngine(...) needs", "ec-agent[ray]")
    while (connection := _Connection.joined(engine, ray.is_initialized)) is None:
        await asyncio.sleep(0.05)  # the last one is leaving
    try:
        await connection.wait()
        there = ray.get_runtime_context().gcs_address if engine.address not in (None, connection.where) else None
        if there is not None and there != engine.address:
            raise ConfigError(
                f"this process is connected to the Ray cluster {there} already, and cannot be to {engine.address} as "
                "well; leave address= out to use that one, or first close() what uses it"
            )
        yield connection
    finally:
        await connection.left()


class _Connection:
    """This process's connection to a cluster; nothing is done where the user's own code has connected it already.

    All of it happens on one thread, which lives as long as the connection. Linux ends the processes of a local cluster
    when the thread that started them ends.
    """

    _lock = threading.Lock()
    _shared: ClassVar[_Connection | None] = None

    def __init__(self, engine: RayEngine, theirs: bool = False) -> None:
        self._engine = engine
        self._users, self._taken = 1, 0.0
        self._host: threading.Thread | None = None
        self._leave, self._done = threading.Event(), threading.Event()
        self._failure: Exception | None = None
        self.where = None if theirs else engine.address or os.environ.get("RAY_ADDRESS")
        here = max(os.cpu_count() or 1, math.ceil((engine.workers or 1) * engine.num_cpus))
        self._cpus = math.inf if theirs or self.where else here
        if theirs:
            self._done.set()

    @classmethod
    def joined(cls, engine: RayEngine, connected: Callable[[], bool]) -> _Connection | None:
        """Return the connection that is there, or else a new one; ``None`` while the last one is leaving."""
        with cls._lock:
            shared = cls._shared
            if shared is not None and shared._host is not None and shared._host.is_alive():
                if shared._leave.is_set():
                    return None
                shared._users += 1
                return shared
            if connected():
                return cls(engine, theirs=True)
            cls._shared = made = cls(engine)
            made._host = threading.Thread(target=made._connect, name="ec_agent-ray", daemon=True)
            made._host.start()
            return made

    async def wait(self) -> None:
        """Wait until the connection is there.

        Raises:
            ConfigError: the cluster cannot be reached.
        """
        await asyncio.to_thread(self._done.wait)
        if self._failure is not None:
            raise self._refused(self._failure) from self._failure

    async def left(self) -> None:
        """Note that one of those who share it needs it no more. The last one ends it."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            self._leave.set()
        if self._host is not None and self._done.is_set():  # else it still connects, and then leaves at once
            await asyncio.to_thread(self._host.join)

    @contextmanager
    def room(self, cpus: float) -> Iterator[bool]:
        """Take so many CPUs of a local cluster for a ``with`` block, and say whether it has them.

        It was made large enough for the first who wanted it; of other clusters, Ray knows better.
        """
        with self._lock:
            self._taken += cpus
            there_is = self._taken <= self._cpus
        try:
            yield there_is
        finally:
            with self._lock:
                self._taken -= cpus

    def _refused(self, failure: Exception) -> ConfigError:
        """Ray's error in one of ours, with its first cause, for the last one only says that something failed."""
        first: BaseException = failure
        while first.__cause__ is not None:
            first = first.__cause__
        *_, last = str(first).strip().splitlines() or [""]  # Ray puts a whole traceback into the text of some
        why = last if first is failure else f"{failure}: {last}"
        if self.where is None:
            return ConfigError(f"a local Ray cluster cannot be started ({why}); `ray start --head` may show why")
        if "AuthenticationError" in f"{type(first).__name__} {first}":
            return ConfigError(
                f"the Ray cluster {self.where} wants a token ({why}). Set RAY_AUTH_MODE=token, with the cluster's "
                "token in ~/.ray/auth_token or RAY_AUTH_TOKEN"
            )
        return ConfigError(f"the Ray cluster {self.where} cannot be used ({why}); see that it runs, with `ray status`")

    def _connect(self) -> None:
        import ray

        try:
            ray.init(**self._how())
        except Exception as error:
            self._failure = error
            return
        finally:
            self._done.set()
        self._leave.wait()
        ray.shutdown()

    def _how(self) -> dict[str, Any]:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.where is not None:
            return {"address": self._engine.address, **quiet}
        return {"address": "local", "num_cpus": self._cpus, "include_dashboard": False, **quiet}


class _Calls:
    """What the pool needs of Ray."""

    def __init__(self, engine: RayEngine, job: Job) -> None:
        import ray

        from ec_agent.engines.ray_worker import Worker

        self._ray, self._engine = ray, engine
        about = job.look(*job.arguments)
        packed = self.pickled((job.make, job.look, job.arguments))
        self._given = packed, about, (os.getcwd(), list(sys.path)), job.on_event is not None, engine.per_worker
        named = {_NAMED[name]: amount for name, amount in engine.resources.items() if name in _NAMED}
        own = {name: amount for name, amount in engine.resources.items() if name not in _NAMED}
        self._worker = ray.remote(Worker)
        self._options = {
            "num_cpus": engine.num_cpus,
            "resources": own or None,
            "max_concurrency": engine.per_worker + _CONTROL,
            "max_restarts": 0,  # we start another ourselves, so that what was lost is known
            "max_task_retries": 0,
            **named,
        }

    def most_workers(self) -> int:
        cpus = self._ray.cluster_resources().get("CPU", 0.0)
        return max(int(cpus // self._engine.num_cpus), 1) if self._engine.num_cpus else max(int(cpus), 1)

    def set_no_cpus_aside(self) -> None:
        self._options["num_cpus"] = 0

    def new_actor(self) -> Any:
        return self._worker.options(**self._options).remote(*self._given)

    def end(self, actor: Any) -> None:
        self._ray.kill(actor, no_restart=True)

    def is_lost(self, error: BaseException) -> bool:
        errors = self._ray.exceptions
        return isinstance(error, errors.RayError) and not isinstance(error, errors.RayTaskError)

    def pickled(self, value: Any) -> bytes:
        try:
            return pickled(value)
        except Exception as error:
            raise ConfigError(
                f"{repr_of(value)} cannot be sent to the workers ({type(error).__name__}: {error}); keep open files, "
                "connections and locks out of it, and open them where they are used"
            ) from error

    def resources(self) -> str:
        amounts = self._ray.cluster_resources()
        shown = {name: amount for name, amount in sorted(amounts.items()) if not name.startswith(("node:", "object"))}
        return ", ".join(f"{amount:g} {name}" for name, amount in shown.items()) or "nothing"
