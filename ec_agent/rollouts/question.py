"""The data that all rollouts of one question share, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from ec_agent.commits.at_most_once import Once
from ec_agent.commits.declared_tools import CommitPolicy
from ec_agent.commits.durability import written_down
from ec_agent.commits.keys import winner_key
from ec_agent.commits.lineage import standing
from ec_agent.commits.runlog import RunLog
from ec_agent.commits.undeclared import Notices, UndeclaredListener
from ec_agent.environments.worlds import World
from ec_agent.errors import EnvironmentGoneError
from ec_agent.insides.executors import Executors, executors_here
from ec_agent.insides.langgraph import Channel
from ec_agent.numbers.call_fields import pack_calls, unpack_calls
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.rollouts.agents import Agent
from ec_agent.rollouts.cancelling import Brake, Watch
from ec_agent.rollouts.choosing import candidate_of
from ec_agent.rollouts.limits import Budget
from ec_agent.rollouts.memory import Memory
from ec_agent.rollouts.messages import private_copy
from ec_agent.rollouts.observer import Chosen
from ec_agent.rollouts.observing import Audience
from ec_agent.rollouts.options import Options
from ec_agent.rollouts.parking import Parking
from ec_agent.rollouts.record import Record, was_cancelled
from ec_agent.rollouts.remote_graphs import Given
from ec_agent.rollouts.selection import Seen, Selection
from ec_agent.rollouts.several_agents import Agents
from ec_agent.selectors import Candidate
from ec_agent.support.plans import Plan
from ec_agent.support.prompt_leader import Lead

if TYPE_CHECKING:
    from ec_agent.rollouts.attempt import Start

# Environments that must stay open for a later ``reopen``. Without this list, garbage collection would close them.
_kept: list[World] = []


@dataclass(eq=False, slots=True)
class Question:
    """One question while it is answered. It lives in memory only; no checkpoint contains it.

    Attributes:
        name: identifies the question by its thread and place, so it stays the same when the question is resumed or
            retried. Rollouts' threads and idempotency keys are derived from it.
        number: the question's number among those of its graph task.
        config: the config of the graph task in which it is asked.
        agents: its agent, or several.
        options: the options of ``best_of_n``.
        n: the number of rollouts.
        known: the agent's input.
        outer: the channels of the outer graph.
        policy: which tool calls commit.
        given: the user's own values that rollouts' configs replace by ours.
        executes: whether the winner's commit is carried out here.
        within: whether the question is asked inside a rollout of another question.
        root: whether the outer graph is that of ``as_agent()`` and is itself the outermost one.
        once: carries commits out.
        parking: keeps stopped rollouts.
        memory: where the agent keeps its memory over turns; ``None`` without a checkpointer.
        context: the run's context.
        store: the run's long-term store.
        told: the question's observers.
        max_concurrency: the limit in the run's config, which holds for the agent's own parallel nodes.
        breakpoints: breakpoints for the agent that were given at run time.
        budget: counts the tokens that all rollouts have generated.
        worlds: the open environments, by rollout.
        ran: the rollouts that ran in this process; the records of the others came from a checkpoint.
        errors: the exceptions of failed rollouts, of which records keep only the text.
        seen: the tools at which rollouts stopped, by name.
        notices: is told of undeclared tools that ran in rollouts.
        unchosen: the state of the fan-out graph when no winner could be chosen.
        executors: the executors in which the question runs. When one is left by an exception, the rollouts stop.
            An error in one rollout does not stop the others.
        due: the rollouts of the next wave, once it is known that there is one.
        watches: by round, what cancels rollouts with ``cancel=True``.
        made: inside a rollout of another question, the calls that finished attempts made: that rollout may be stopped
            before this question is over, and has paid for them.
        fleeting: untracked writes of each rollout, which its record may not contain, and the nodes it wants to go to.
        leads: by round, the rollout that asks first, where rollouts share the beginning of their prompt.
        held: untracked values of each parked rollout, by the thread it is parked on.
        elsewhere: runs one of its rollouts on a worker; ``None`` runs them in this process.
        chose: the last receipt that was made here, after its plain form.
        heard: whether a callback handler hears the tasks of the fan-out graph.
    """

    name: str
    number: int
    config: RunnableConfig
    agents: Agents
    options: Options
    n: int
    known: Any
    outer: Mapping[str, Channel]
    policy: CommitPolicy
    given: Given
    executes: bool
    within: bool
    root: bool
    once: Once
    parking: Parking
    memory: Memory | None = None
    context: Any = None
    store: Any = None
    told: Audience = field(default_factory=Audience)
    max_concurrency: int | None = None
    breakpoints: dict[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=lambda: Budget(None))
    worlds: dict[int, World] = field(default_factory=dict)
    ran: set[int] = field(default_factory=set)
    errors: dict[int, Exception] = field(default_factory=dict)
    seen: dict[str, BaseTool] = field(default_factory=dict)
    notices: UndeclaredListener = field(default_factory=Notices)
    unchosen: Any = None
    heard: bool = True
    executors: Executors = field(default_factory=executors_here)
    due: Sequence[int] = ()
    made: list[Call] = field(default_factory=list)
    watches: dict[int, Watch] = field(default_factory=dict)
    fleeting: dict[int, tuple[list[tuple[str, Any]], list[Any]]] = field(default_factory=dict)
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    leads: dict[int, Lead] = field(default_factory=dict)
    elsewhere: Callable[[Question, Start, RunnableConfig, Brake | None, Lead | None], Plan[Record]] | None = None
    chose: tuple[Mapping[str, Any], Selection] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _read: dict[int, tuple[Record, Candidate]] = field(default_factory=dict, init=False, repr=False)
    _packed: dict[int, tuple[list[dict[str, Any]], Trajectory]] = field(default_factory=dict, init=False, repr=False)

    def packed(self, index: int, trajectory: Trajectory) -> list[dict[str, Any]]:
        """Pack a rollout's calls for its record, and remember what they were packed from."""
        calls = pack_calls(trajectory)
        self._packed[index] = calls, trajectory
        return calls

    def _unpacked(self, record: Record) -> Trajectory:
        """Return the calls of a record. Those that were packed in this process need not be unpacked."""
        calls, trajectory = self._packed.pop(record["index"], (None, Trajectory()))
        return trajectory if calls is record["calls"] else unpack_calls(record["calls"])

    def candidates(self, records: Iterable[Record]) -> list[Candidate]:
        """Return the records as candidates for a selector, in index order, without cancelled ones.

        Each record is read only once, because unpacking its calls takes time.
        """
        found = []
        for record in sorted(records, key=lambda record: record["index"]):
            if was_cancelled(record):
                continue
            known, candidate = self._read.get(record["index"], (None, None))
            if candidate is None or known is not record:  # a checkpointer may give a new record for the same rollout
                candidate = candidate_of(record, self.options, self.known, self._unpacked(record))
                self._read[record["index"]] = record, candidate
            found.append(candidate)
        return found

    def chosen(self, selection: Selection, records: Sequence[Record], config: RunnableConfig) -> Chosen:
        """Make what observers get to know of a choice; ``config`` belongs to the task in which it was made."""
        candidates = self.candidates(records)
        seen = Seen(
            tuple(candidate.trajectory for candidate in candidates),
            tuple(candidate.final_action for candidate in candidates),
        )
        trajectories, actions = seen.trajectories, seen.final_actions
        if len(candidates) < len(records):  # some were cancelled: include what they generated before that
            said = {record["index"]: unpack_calls(record["calls"]) for record in records if was_cancelled(record)}
            said |= {candidate.index: candidate.trajectory for candidate in candidates}
            ended = {candidate.index: candidate.final_action for candidate in candidates}
            trajectories = tuple(said.get(index, Trajectory()) for index in range(max(said) + 1))
            actions = tuple(ended.get(index) for index in range(max(said) + 1))
        return Chosen(replace(selection, seen=seen), trajectories, actions, records, config)

    def receipt(self, plain: Mapping[str, Any]) -> Selection:
        """Return the receipt whose plain form is in the fan-out graph's state; after a resume it is read back."""
        if self.chose is not None and self.chose[0] is plain:
            return self.chose[1]
        return Selection.from_dict(plain)

    def watch(self, start: Mapping[str, Any]) -> Watch | None:
        """Return what cancels rollouts of a round once enough is known; ``None`` without ``cancel=True``.

        Args:
            start: the start of one of its rollouts. A winner that goes on alone with an answer is not watched.
        """
        options, number = self.options, start["round"]
        if options.stop is None or not options.cancel or (start.get("answers") is not None and not start.get("all")):
            return None
        with self._lock:
            if number not in self.watches:
                self.watches[number] = Watch(options.stop, self.n, options.limits.quorum, self.candidates)
            return self.watches[number]

    def thread(self, round: int, index: int | str) -> str:
        """Return the thread id of one rollout."""
        return f"{self.name}/{round}/{index}"

    def key(self, round: int, place: int | str) -> str:
        """Return the idempotency key of one commit; ``place`` is the call's position in its message."""
        return winner_key(self.name, round, place)

    def stand(self, config: RunnableConfig) -> Plan[None]:
        """Find out the run and the place in it of a task that is about to act, and set the log for its commits.

        Raises:
            CommitError: the checkpoints that led to the task are not saved in time.
        """
        yield from written_down(config)
        here = yield from standing(self.config, config)
        if here is not None:
            here = replace(here, place=f"{here.place}/{self.number}")
            self.once = replace(self.once, log=RunLog(self.once.journal, here))

    @property
    def agent(self) -> Agent:
        """The agent; of several the first, whose schema all share. An attempt has the agent that it runs."""
        return self.agents.first

    @property
    def outer_store(self) -> Any:
        """The real long-term store, from which rollouts read, and into which the winner's writes go."""
        return self.store if self.store is not None else self.agents.store

    def lead(self, round: int) -> Lead | None:
        """Return what decides which rollout of a round asks its model first; ``None`` without ``share_prompt``."""
        return self.leads.setdefault(round, Lead()) if self.options.share_prompt is not False else None

    def environment(self, index: int) -> Any:
        """Return the open environment of a rollout; ``None`` without one."""
        world = self.worlds.get(index)
        return None if world is None else world.environment

    def enter(self, index: int) -> Plan[None]:
        """Make and enter the rollout's environment, unless it is open already."""
        if self.options.environment is not None and index not in self.worlds:
            self.worlds[index] = world = World(self.options.environment(index, private_copy(self.known)))
            yield world.enter()

    def reopen(self, index: int, token: str | None) -> Plan[bool]:
        """Open the environment of a rollout that ran in an earlier process. Return whether it is open now."""
        if self.options.environment is None or index in self.worlds:
            return True
        if not hasattr(self.options.environment, "reopen") or token is None:
            return False
        try:
            yield from self.open_again(index, token)
        except Exception:  # the environment no longer exists, so the rollout has to run again
            return False
        return True

    def open_again(self, index: int, token: str) -> Plan[None]:
        """Open the environment of a rollout that ran in another process, by its token.

        Raises:
            Exception: what ``reopen`` of the user's raised.
        """
        reopen: Any = self.options.environment
        world = World(reopen.reopen(token))
        yield world.enter()
        self.worlds[index] = world

    def token(self, index: int) -> str | None:
        """Return the token that reopens the rollout's environment; ``None`` if it cannot be reopened."""
        token = getattr(self.environment(index), "token", None)
        return token if isinstance(token, str) else None

    def check_sent(self, gone: Iterable[int]) -> None:
        """Check that it makes sense to run rollouts again whose environments are gone.

        Raises:
            EnvironmentGoneError: some of them ran in this process, so another try would lose its environment as well.
        """
        again = sorted(self.ran.intersection(gone))
        if again:
            raise EnvironmentGoneError(
                f"the environments of rollouts {again} are gone although they ended just now, so running them again "
                "would never end: keep what environment= gives open until its with block is left, make sure that "
                "nothing else closes or removes it, and resume the run"
            )

    def can_wait(self, index: int) -> bool:
        """Whether the rollout may wait for a person: it has no environment, or one that can be reopened later."""
        lasts = hasattr(self.options.environment, "reopen") and self.token(index) is not None
        return lasts or self.options.environment is None

    def leave(self, index: int) -> Plan[None]:
        """Leave the rollout's environment."""
        if (world := self.worlds.pop(index, None)) is not None:
            yield world.close()

    def keep(self) -> None:
        """Keep the environments that can be reopened from being closed at the end of the question."""
        if hasattr(self.options.environment, "reopen"):
            lasting = [index for index in self.worlds if self.token(index) is not None]
            _kept.extend(self.worlds.pop(index) for index in lasting)

    def close(self) -> Plan[None]:
        """Leave every environment that is still open."""
        stopped: BaseException | None = None
        while self.worlds:
            _, world = self.worlds.popitem()
            try:
                yield world.close()
            except BaseException as error:  # cancelled in the middle: still close the others
                stopped = stopped or error
        if stopped is not None:
            raise stopped
