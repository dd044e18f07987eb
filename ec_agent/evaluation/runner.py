"""The run of an evaluation: every rollout that is not stored yet, so many at once, each stored when it ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

from langchain_core.runnables import Runnable

from ec_agent.commits.undeclared import Notices, SummedQuestions
from ec_agent.engines.base import Engine, Lost, Runs, is_engine
from ec_agent.engines.in_process import InProcess
from ec_agent.errors import ConfigError, EvaluationError, NotStoredError, TraceError, WorkerLostError
from ec_agent.evaluation.agent_identity import CHANGED, SAID, about_agent, differences, refuse_another
from ec_agent.evaluation.agent_place import AgentPlace, loaded, placed, places_of
from ec_agent.evaluation.one_rollout import OnEvent, is_factory, standing_alone
from ec_agent.evaluation.remaining import count_planned, count_stored
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.schedule import Schedule
from ec_agent.evaluation.shards import tasks_of
from ec_agent.evaluation.task_texts import asked_of
from ec_agent.evaluation.tasks import Task, checked_tasks
from ec_agent.evaluation.work import Ended, job_of, never_ended
from ec_agent.rollouts.messages import fingerprint
from ec_agent.rollouts.several_agents import check_several
from ec_agent.support.checks import flag, function, instance, json_mapping, or_none, refusal, text
from ec_agent.support.loop import on_loop, run_to_its_end
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.opening import open_store
from ec_agent.traces.places import is_url
from ec_agent.traces.stored import Key, StoredRollout, TaskTotals


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """Where a run stands, after a rollout was stored or at its start.

    Attributes:
        stored: rollouts in the file.
        total: rollouts of the whole run.
        generated_tokens: tokens that the run has generated so far.
        last: the one that has just been stored; ``None`` at the start.
        lost: what was lost with workers of ``engine=`` that died since the start, and runs again.
    """

    stored: int
    total: int
    generated_tokens: int
    last: StoredRollout | None = None
    lost: Lost = field(default_factory=Lost)


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run came to.

    Attributes:
        path: the file with the rollouts; of a database its URL, without passwords.
        stored: rollouts in the file; of a shard its own, as in all but ``costs``.
        total: rollouts of the whole run, without those that a stopping plan spared; more than ``stored`` where a budget
            was spent.
        tasks: totals of each task.
        failures: the rollouts that failed, with what they failed with.
        costs: of the whole run, by the names of ``COSTS``; failed rollouts that were run again since are included.
        lost: what was lost with workers of ``engine=`` that died, in this call alone; it is not among the costs.
    """

    path: Path | str
    stored: int
    total: int
    tasks: tuple[TaskTotals, ...]
    failures: tuple[tuple[Key, str], ...]
    costs: Mapping[str, float] = field(default_factory=dict)
    lost: Lost = field(default_factory=Lost)

    @property
    def finished(self) -> bool:
        """Whether every rollout is there."""
        return self.stored == self.total


class EvaluateOptions(TypedDict, total=False):
    """What ``evaluate`` and ``aevaluate`` may be told besides.

    Attributes:
        agent_name: what the agent is called in the file; a file goes on with an agent of the same name only.
        agent_about: what else tells the agent from one that was changed, plain JSON; a file goes on with the same only.
            ``about_agent`` makes it of a module.
        same_agent: go on though ``agent_about`` has changed; the file keeps what was different.
        retry_failed: run the stored rollouts that failed again, each with its seed. For outages: the failures that are
            the agent's own are results.
        on_progress: called at the start and after each stored rollout.
        on_event: called with each progress event of each rollout, as ``run(on_event=...)`` is, and which one it is of.
        engine: where the rollouts run: ``RayEngine(...)`` of ``ec_agent.engines``, say; ``None`` runs them in this
            process, ``settings.concurrency`` at once. An engine says itself how many run at once.
    """

    agent_name: str | None
    agent_about: Mapping[str, Any]
    same_agent: bool
    retry_failed: bool
    on_progress: Callable[[Progress], None]
    on_event: OnEvent
    engine: Engine | None


def evaluate(
    tasks: Sequence[Task],
    agent: Any,
    path: str | Path,
    settings: RunSettings | None = None,
    **options: Unpack[EvaluateOptions],
) -> RunReport:
    """Run an agent n times on each task and store every rollout with its verdict; go on where a file has some.

    Each rollout is one of ``best_of_n``'s own: the same capture, isolation and limits. What the agent's rollouts raise
    is a failed rollout; what a task's verdict or environment raises stops the run. The tools of every rollout really
    run: of those that are not declared one warning tells, for the whole evaluation (``UndeclaredToolWarning``). It runs
    on an event loop in a thread of its own, the same for every evaluation of the process, for a chat model keeps its
    connections.

    Args:
        tasks: what is asked; see ``ec_agent.evaluation.tasks``.
        agent: anything ``best_of_n`` takes, or a function of one parameter named ``task`` that makes such an agent; or
            the place of one, ``"module:name"``, which an engine needs. Of a place, the file keeps what ``about_agent``
            says. Of a list, rollout ``i`` of each task runs agent ``i``, in turn, and the greedy one the first.
        path: the SQLite file, or the URL of a PostgreSQL database; ``load_results`` reads it.
        settings: how.
        **options: see ``EvaluateOptions``.

    Raises:
        ConfigError: no task, two with the same id, or the call is made inside an event loop.
        TraceError: the file holds another run, or cannot be used.
        EvaluationError: a task or the harness failed, or code of theirs called ``sys.exit``; what was stored stays.
        NotStoredError: the file could not be written any more. Rollouts under way came to their ends, and are in the
            error's ``rollouts`` as far as they are not in the file; no further one was begun.
    """
    if on_loop():
        raise ConfigError(
            "evaluate() was called inside an event loop, a notebook's perhaps; write: await aevaluate(...)"
        )
    try:
        return run_to_its_end(aevaluate(tasks, agent, path, settings, **options))
    except SystemExit as error:
        raise EvaluationError(
            f"the agent, a tool or a verdict ended the process (sys.exit({error.code!r})); raise an error "
            "there instead, and the same call goes on from here"
        ) from error


async def aevaluate(
    tasks: Sequence[Task],
    agent: Any,
    path: str | Path,
    settings: RunSettings | None = None,
    **options: Unpack[EvaluateOptions],
) -> RunReport:
    """The async twin of ``evaluate``, on this event loop and its threads."""
    agent = placed(agent)
    usable = loaded(agent)
    _check(usable, settings, options)
    settings = settings or RunSettings()
    engine = options.get("engine") or InProcess(settings.concurrency)
    job = job_of(agent if engine.elsewhere else usable, settings, engine, options.get("on_event"))
    run = _Evaluation(tasks, partial(engine.opened, job), settings, options.get("on_progress") or (lambda _: None))
    options = {"agent_about": _about(agent), **options}
    with open_store(path, create=True) as store:
        named = {"agent": options.get("agent_name") or name_of(agent), **run.settings.lasting()}
        _begin(store, run, named, options)
        if options.get("retry_failed"):
            store.forget_failed([task.id for task in run.own])
        await run.to_its_end(store)
        store.see_in_place()
        return run.report(store, store.name if is_url(path) else Path(path))


def _check(agent: Any, settings: Any, options: Mapping[str, Any]) -> None:
    agents = agent if isinstance(agent, list | tuple) else [agent]
    if not agents or not all(callable(each) or isinstance(each, Runnable) for each in agents):
        raise refusal(
            "agent", agent, "a compiled graph, a Runnable, or a function, as best_of_n takes, or a list of them"
        )
    if len(agents) > 1:
        check_several([standing_alone(each) for each in agents if not is_factory(each)])
    or_none("settings", settings, instance, RunSettings, "RunSettings(...), or None")
    or_none("agent_name", options.get("agent_name"), text, empty=True)
    json_mapping("agent_about", options.get("agent_about", {}))
    for name in ("same_agent", "retry_failed"):
        flag(name, options.get(name, False))
    or_none("on_progress", options.get("on_progress"), function, of=1)
    or_none("on_event", options.get("on_event"), function, of=2)
    if (engine := options.get("engine")) is not None and not is_engine(engine):
        raise refusal("engine", engine, "RayEngine(...) of ec_agent.engines, or None")


def _about(agent: Any) -> dict[str, Any]:
    """What tells an agent that is named by its place from one that was changed; nothing is known of an object."""
    places = places_of(agent) or ()
    return {name: value for place in places for name, value in about_agent(place.name, place.model).items()}


def _begin(store: TraceStoreProtocol, run: _Evaluation, named: Mapping[str, Any], options: EvaluateOptions) -> None:
    """Begin the run, or go on with one of the same settings, tasks and agent."""
    here = json.loads(json.dumps(dict(options.get("agent_about", {}))))
    there = store.settings()
    kept = {name: there[name] for name in (SAID, CHANGED) if name in there} if there else {SAID: here}
    asked = {task.id: asked_of(task) for task in run.tasks}
    store.begin({**named, **kept}, {task.id: task_fingerprint(task) for task in run.tasks}, asked)
    if changes := differences(kept.get(SAID, {}), here):
        if not options.get("same_agent"):
            refuse_another(store.name, changes)
        store.amend({CHANGED: list(dict.fromkeys([*kept.get(CHANGED, []), *changes]))})


def name_of(agent: Any) -> str:
    """What an agent is called where nobody says; several have ``+`` between their names."""
    if isinstance(agent, list | tuple):
        return "+".join(map(name_of, agent))
    if isinstance(agent, AgentPlace):
        return agent.name
    named = getattr(agent, "get_name", None)
    return str(named() if callable(named) else getattr(agent, "__name__", type(agent).__name__))


def task_fingerprint(task: Task) -> str:
    """Equal for tasks that ask the same; a task may have a text of its own for it in ``fingerprint``."""
    own = getattr(task, "fingerprint", None)
    said = own if isinstance(own, str) else fingerprint(_addressless(task.input))
    return hashlib.sha256(said.encode(errors="replace")).hexdigest()[:16]


def _addressless(value: Any) -> Any:
    """Objects without a ``repr`` of their own say where they lie in memory, which is another place in each run."""
    if isinstance(value, Mapping):
        return {key: _addressless(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_addressless(item) for item in value]
    return type(value).__qualname__ if repr(value) == object.__repr__(value) else value


class _Evaluation:
    """One part of a run, from its start or resumption to its end.

    Args:
        tasks: what is asked.
        opened: makes the workers ready.
        settings: how.
        on_progress: who is told of stored rollouts.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        opened: Callable[[], AbstractAsyncContextManager[Runs]],
        settings: RunSettings,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.tasks = checked_tasks(tasks)
        self.settings = settings
        self.own = tasks_of(settings.shard, self.tasks)
        self.total = self._planned = count_planned(self.own, settings)
        self._opened = opened
        self._on_progress = on_progress
        self._lost = Lost()
        self._stored = 0
        self._unstored: list[StoredRollout] = []
        self._failure: TraceError | None = None
        self._tokens = self._calls = 0
        notices = Notices()
        self._undeclared = {task.id: SummedQuestions(notices) for task in self.tasks}

    async def to_its_end(self, store: TraceStoreProtocol) -> None:
        """Run what is not stored yet."""
        self._stored = count_stored(store, self.own, self.settings)
        costs = store.costs()
        self._tokens, self._calls = int(costs["generated_tokens"]), int(costs["model_calls"])
        self._on_progress(Progress(self._stored, self.total, self._tokens))
        if self._stored == self.total:
            return
        async with self._opened() as runs:
            schedule = Schedule(self.own, self.settings, store, runs.prepared)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(runs.slots):
                        group.create_task(self._work(schedule, store, runs))
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from several.exceptions[0].__cause__
            finally:
                self._lost = runs.lost
        if self._failure is not None:
            self._try_again(store, self._failure)
        schedule.settle()
        self.total = self._planned - schedule.spared

    async def _work(self, schedule: Schedule, store: TraceStoreProtocol, runs: Runs) -> None:
        while (found := await self._next(schedule)) is not None:
            task, prepared, key = found
            try:
                if self._is_there(key, store):  # another process was here first
                    continue
                ended = await self._ended(runs, prepared, key)
                # No await here: what was judged is stored, whoever cancels us.
                self._lost = runs.lost
                self._undeclared[task.id].hear(ended.undeclared)
                try:
                    if self._failure is None:
                        self._keep(ended.rollout, store)
                        continue
                except TraceError as error:  # those under way come to their ends: they are paid for; no other begins
                    self._failure = error
                self._unstored.append(ended.rollout)
            finally:
                schedule.over(key)

    async def _ended(self, runs: Runs, prepared: Any, key: Key) -> Ended:
        begun = time.time()
        try:
            ended: Ended = await runs.run(prepared, key)
        except WorkerLostError as error:
            return never_ended(key, self.settings, error, begun)
        return ended

    def _over(self) -> bool:
        return self._failure is not None or self._spent()

    def _spent(self) -> bool:
        tokens, calls = self._tokens + self._lost.tokens, self._calls + self._lost.calls
        return self.settings.spent(tokens, calls) is not None

    async def _next(self, schedule: Schedule) -> tuple[Task, Any, Key] | None:
        try:
            return await schedule.next(self._over)
        except TraceError as error:  # as where a rollout cannot be stored
            self._failure = error
            return None
        finally:
            self.total = self._planned - schedule.spared

    def _is_there(self, key: Key, store: TraceStoreProtocol) -> bool:
        try:
            return store.has(key)
        except TraceError as error:
            self._failure = error
            return True

    def _try_again(self, store: TraceStoreProtocol, failure: TraceError) -> None:
        """Store what could not be stored while rollouts ran.

        Raises:
            NotStoredError: always, for the evaluation is not at its end; with what still cannot be stored.
        """
        try:
            while self._unstored:
                self._keep(self._unstored[0], store)
                del self._unstored[0]
        except TraceError as error:
            failure = error
        left, few = self._unstored, 5
        names = "; ".join(f"task {each.key.task!r}, {each.key}" for each in left[:few])
        more = f" and {len(left) - few} more" if len(left) > few else ""
        lost = f"Not stored, though finished: {names}{more}. " if left else ""
        raise NotStoredError(
            f"{failure}\n{lost}What was stored before is kept, and the same call goes on from there. The error has "
            "those that are not stored as .rollouts: TraceStore(path).add(each) stores one, else they are run again",
            left,
        ) from failure

    def _keep(self, rollout: StoredRollout, store: TraceStoreProtocol) -> None:
        if store.add(rollout):
            self._stored += 1
        self._tokens += rollout.usage.get("generated_tokens", 0)
        self._calls += len(rollout.trajectory.calls)
        self._on_progress(Progress(self._stored, self.total, self._tokens, rollout, self._lost))

    def report(self, store: TraceStoreProtocol, path: Path | str) -> RunReport:
        """What it came to."""
        own = {task.id for task in self.own}
        return RunReport(
            path=path,
            stored=count_stored(store, self.own, self.settings),
            total=self.total,
            tasks=tuple(each for each in store.totals() if each.task in own),
            failures=tuple((key, error) for key, error in store.failures() if key.task in own),
            costs=store.costs(),
            lost=self._lost,
        )
