"""One question on its way through ``best_of_n``: what its rollouts share, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from ec_agent.commits.durability import written_down
from ec_agent.commits.effects import CommitPolicy
from ec_agent.commits.lineage import standing
from ec_agent.commits.once import Once
from ec_agent.commits.runlog import RunLog
from ec_agent.commits.undeclared import Notices, UndeclaredListener
from ec_agent.environments.worlds import World
from ec_agent.errors import EnvironmentGoneError
from ec_agent.insides.executors import Executors, executors_here
from ec_agent.insides.langgraph import Channel
from ec_agent.numbers.plain import unpack_calls
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.agents import Agent
from ec_agent.rollouts.choosing import candidate_of
from ec_agent.rollouts.limits import Budget
from ec_agent.rollouts.memory import Memory
from ec_agent.rollouts.messages import private_copy
from ec_agent.rollouts.observer import Chosen
from ec_agent.rollouts.observing import Audience
from ec_agent.rollouts.options import Options
from ec_agent.rollouts.parking import Parking
from ec_agent.rollouts.record import Record, was_cancelled
from ec_agent.rollouts.remotes import Given
from ec_agent.rollouts.selection import Seen, Selection
from ec_agent.selectors import Candidate
from ec_agent.support.leading import Lead
from ec_agent.support.plans import Plan

# Environments that are left as they are: collected as garbage, they would be closed.
_kept: list[World] = []


@dataclass(eq=False, slots=True)
class Session:
    """One question. Lives in memory only; nothing of it is checkpointed.

    Attributes:
        name: thread and place of the question, the same when it is resumed or tried again; threads and keys derive
            from it.
        number: which question of its task it is.
        config: of the task that asks it.
        agent: what runs.
        options: how.
        n: how many times.
        known: what the agent is asked.
        outer: the channels of the graph around.
        policy: which tool calls commit.
        given: what the user gave, where rollouts have something of ours.
        executes: whether the winner's commit is carried out here.
        within: whether this is inside a rollout of another question.
        root: whether the graph around is that of ``as_agent()``, and none is around that.
        once: how commits are carried out.
        memory: where the agent keeps what it remembers over turns, if anything is kept.
        parking: where stopped rollouts are kept.
        breakpoints: the agent's that were given at run time.
        worlds: the rollouts' environments that are open, by index.
        ran: which rollouts ran here and now; those missing were found in a checkpoint.
        errors: exceptions themselves, by rollout: records carry only their text.
        seen: tools that rollouts stopped at, by name.
        notices: who is told of undeclared tools that ran in several rollouts.
        told: those who observe it.
        unchosen: the state of the fan-out graph in which none could be chosen.
        executors: whose leaving stops it. What its own rollouts raise does not stop those beside them.
        due: the rollouts of the next wave, once it is known that there is one.
        fleeting: what a rollout's record leaves out, for it is not to be checkpointed: writes, and where it wants to go
            with them.
        leads: by round, which rollout asks first, where they share their prompt.
        held: the same of a rollout that goes on after an action, by the thread it is parked on: a state.
    """

    name: str
    number: int
    config: RunnableConfig
    agent: Agent
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
    executors: Executors = field(default_factory=executors_here)
    due: Sequence[int] = ()
    fleeting: dict[int, tuple[list[tuple[str, Any]], list[Any]]] = field(default_factory=dict)
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    leads: dict[int, Lead] = field(default_factory=dict)
    _read: dict[int, tuple[Record, Candidate]] = field(default_factory=dict, init=False, repr=False)

    def candidates(self, records: Iterable[Record]) -> list[Candidate]:
        """The records as a selector sees them, by index, less those cancelled; each record is read once."""
        found = []
        for record in sorted(records, key=lambda record: record["index"]):
            if was_cancelled(record):
                continue
            known, candidate = self._read.get(record["index"], (None, None))
            if candidate is None or known is not record:  # a checkpoint makes another of it
                candidate = candidate_of(record, self.options)
                self._read[record["index"]] = record, candidate
            found.append(candidate)
        return found

    def chosen(self, selection: Selection, records: Sequence[Record], config: RunnableConfig) -> Chosen:
        """A choice as observers are told of it; ``config`` is of the task in which it was made."""
        candidates = self.candidates(records)
        seen = Seen(
            tuple(candidate.trajectory for candidate in candidates),
            tuple(candidate.final_action for candidate in candidates),
        )
        trajectories, actions = seen.trajectories, seen.final_actions
        if len(candidates) < len(records):  # some were cancelled: what they said until then stands in their places
            said = {record["index"]: unpack_calls(record["calls"]) for record in records if was_cancelled(record)}
            said |= {candidate.index: candidate.trajectory for candidate in candidates}
            ended = {candidate.index: candidate.final_action for candidate in candidates}
            trajectories = tuple(said.get(index, Trajectory()) for index in range(max(said) + 1))
            actions = tuple(ended.get(index) for index in range(max(said) + 1))
        return Chosen(replace(selection, seen=seen), trajectories, actions, records, config)

    def thread(self, round: int, index: int | str) -> str:
        """The thread of one rollout."""
        return f"{self.name}/{round}/{index}"

    def key(self, round: int, place: int | str) -> str:
        """The idempotency key of one commit."""
        return str(uuid5(NAMESPACE_URL, f"{self.name}/{round}/commit/{place}"))

    def stand(self, config: RunnableConfig) -> Plan[None]:
        """Find out where in which run of the thread the task with this config, in which somebody acts, stands.

        Raises:
            CommitError: the checkpoints that led here do not arrive.
        """
        yield from written_down(config)
        here = yield from standing(self.config, config)
        if here is not None:
            here = replace(here, place=f"{here.place}/{self.number}")
            self.once = replace(self.once, log=RunLog(self.once.journal, here))

    @property
    def outer_store(self) -> Any:
        """The store that the rollouts read from and the winner writes to."""
        return self.store if self.store is not None else self.agent.store

    def lead(self, round: int) -> Lead | None:
        """Which rollout of a round asks first, where they share their prompt."""
        return self.leads.setdefault(round, Lead()) if self.options.share_prompt is not False else None

    def environment(self, index: int) -> Any:
        """The environment of a rollout, if it has one."""
        world = self.worlds.get(index)
        return None if world is None else world.environment

    def enter(self, index: int) -> Plan[None]:
        """Enter the rollout's environment, unless it is open."""
        if self.options.environment is not None and index not in self.worlds:
            self.worlds[index] = world = World(self.options.environment(index, private_copy(self.known)))
            yield world.enter()

    def reopen(self, index: int, token: str | None) -> Plan[bool]:
        """Have a rollout's environment open that ended before the process did; whether that can be done."""
        reopen = getattr(self.options.environment, "reopen", None)
        if self.options.environment is None or index in self.worlds:
            return True
        if reopen is None or token is None:
            return False
        try:
            world = World(reopen(token))
            yield world.enter()
        except Exception:  # it is gone: the rollout counts as unfinished
            return False
        self.worlds[index] = world
        return True

    def token(self, index: int) -> str | None:
        """What the rollout's environment can be reopened with."""
        token = getattr(self.environment(index), "token", None)
        return token if isinstance(token, str) else None

    def check_sent(self, gone: Iterable[int]) -> None:
        """See that rollouts whose environments are gone are worth running again.

        Raises:
            EnvironmentGoneError: some of them ran just now, so the next try would come to the same.
        """
        again = sorted(self.ran.intersection(gone))
        if again:
            raise EnvironmentGoneError(
                f"the environments of rollouts {again} are gone although they ended just now, so running them again "
                "would never end: keep what environment= gives open until it is left, see that nothing else closes or "
                "removes it, and resume the run"
            )

    def can_wait(self, index: int) -> bool:
        """Whether the rollout's environment, if any, can be opened again after the run was left."""
        lasts = hasattr(self.options.environment, "reopen") and self.token(index) is not None
        return lasts or self.options.environment is None

    def leave(self, index: int) -> Plan[None]:
        """Leave the rollout's environment."""
        if (world := self.worlds.pop(index, None)) is not None:
            yield world.close()

    def keep(self) -> None:
        """Leave environments that can be reopened as they are."""
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
            except BaseException as error:  # cancelled in the middle: the others are left all the same
                stopped = stopped or error
        if stopped is not None:
            raise stopped
