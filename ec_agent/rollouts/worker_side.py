"""What a worker does for questions: it runs their rollouts, as this process would, and sends back what came of each.

The driver's side is ``on_workers``. A rollout comes as a subject, which all of its question share, and an errand.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple

from ec_agent.commits.declared_tools import CommitPolicy
from ec_agent.commits.gate import Done
from ec_agent.engines.base import Tell
from ec_agent.engines.pickling import pickled
from ec_agent.errors import CommitUncertain, ConfigError
from ec_agent.insides.langgraph import Channel
from ec_agent.rollouts.agent_places import loaded
from ec_agent.rollouts.attempt import Start
from ec_agent.rollouts.cancelling import Brake
from ec_agent.rollouts.limits import Budget
from ec_agent.rollouts.observing import Audience
from ec_agent.rollouts.options import Options
from ec_agent.rollouts.parking import Parking
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import Record, was_cancelled
from ec_agent.rollouts.relayed import TellingLead, Wanted, sendable, told_by
from ec_agent.rollouts.remote_graphs import Given, install
from ec_agent.rollouts.rollout import tried
from ec_agent.rollouts.several_agents import Agents
from ec_agent.selectors import Candidate, Ranking
from ec_agent.support.agent_code import code_of, models_named, versions
from ec_agent.support.plans import Plan, adrive


@dataclass(frozen=True, slots=True)
class Reads:
    """Stands for the driver's selector on a worker: nothing is chosen there, but rollouts keep the signals it reads."""

    name: str
    signals: Sequence[str]

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Is never called."""
        raise NotImplementedError


def never_promoted(environment: Any) -> None:
    """Stand for the driver's ``promote=`` on a worker: the driver alone calls its own."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Subject:
    """What all rollouts of a question share. The fields that ``Question`` has too mean the same.

    Attributes:
        mark: differs from question to question.
        whole: whether the outer graph gets the agent's whole state; see ``Agent``.
        commits: the names of the tools given as ``commit=``, whether ``"unknown"``, and whether ``[]`` was given.
        lasting: whether parked rollouts outlast the question.
        wanted: what the driver's observers want to be told.
    """

    mark: str
    name: str
    number: int
    n: int
    known: Any
    outer: Mapping[str, Channel]
    given: Given
    executes: bool
    root: bool
    context: Any
    max_concurrency: int | None
    breakpoints: dict[str, Any]
    whole: bool
    commits: tuple[frozenset[str], bool, bool]
    lasting: bool
    wanted: Wanted

    def __repr__(self) -> str:
        return "what all rollouts of this question are given (its state and context=)"


@dataclass(slots=True, eq=False)
class Errand:
    """A rollout that is to be run.

    Attributes:
        start: how it starts.
        config: the user's own values of the config.
        parked: the checkpoints of the parked rollout that it goes on from.
        held: untracked values of that rollout, which its checkpoints lack.
        outcomes: the results of calls that earlier rounds carried out, or the error of one that is not known, by
            idempotency key.
        spent: tokens that the question's rollouts have generated so far.
        leads: whether others wait until its model has read the prompt.
        brake: stops it early; ``None`` without ``cancel=True``.
    """

    start: Start
    config: RunnableConfig
    parked: list[CheckpointTuple]
    held: dict[str, Any]
    outcomes: dict[str, Any]
    spent: int
    leads: bool
    brake: Brake | None

    def stop(self) -> None:
        """Stop the rollout: enough is known."""
        if self.brake is not None:
            self.brake.pull()


@dataclass(slots=True)
class Back:
    """What came of a rollout.

    Attributes:
        record: its record.
        last: the record's usage and error of the last attempt alone, and when it ended, in seconds since the epoch.
        failure: the exception of a failed rollout.
        fleeting: as in ``Question``, of this rollout.
        parked: the checkpoints of parked rollouts, by the threads they are parked on.
        held: as in ``Question``.
    """

    record: Record
    last: tuple[Mapping[str, int], BaseException | None, float]
    failure: Exception | None = None
    fleeting: tuple[list[tuple[str, Any]], list[Any]] | None = None
    parked: dict[str, list[CheckpointTuple]] = field(default_factory=dict)
    held: dict[str, dict[str, Any]] = field(default_factory=dict)


class QuestionWork:
    """Runs rollouts of questions with one agent, or several.

    Args:
        places: where the agents are.
        options: the options of ``best_of_n``, as far as rollouts need them.
    """

    def __init__(self, places: Sequence[str], options: Options) -> None:
        install()
        if options.environment is not None:
            options = replace(options, environment=_PlainWorlds(options.environment))
        self._agents = {whole: Agents([loaded(place) for place in places], whole) for whole in (False, True)}
        self._options = options

    def prepared(self, subject: Subject) -> Subject:
        """Return the subject."""
        return subject

    async def run(self, prepared: Subject, piece: Errand, tell: Tell | None) -> bytes:
        """Run one rollout, and return what came of it, pickled.

        Raises:
            ConfigError: what came of it cannot be pickled.
            MissingLogprobsError: a call came back without logprobs, with ``on_missing="raise"``.
        """
        tell = tell or _untold
        told, sender = told_by(tell, prepared.wanted)
        parking = _CarriedParking(prepared.lasting, self._options.keep_logprobs)
        question = self._question(prepared, piece, told, parking)
        start = piece.start
        if (thread := start.get("thread")) is not None:
            parking.bring(thread, piece.parked)
            question.held[thread] = piece.held
        lead = TellingLead(tell) if piece.leads else None
        try:
            record = await adrive(tried(question, start, piece.config, piece.brake, lead))
            _check_token(question, record)
            question.keep()  # the driver opens it, too, and leaves it when the question is over
        finally:
            await adrive(question.close())
        last, error, ended = sender.last or (record, None, time.time())
        failure = question.errors.get(start["index"])
        return _packed(
            Back(
                record,
                (last["usage"], None if error is None else sendable(error), ended),
                None if failure is None else sendable(failure),
                question.fleeting.get(start["index"]),
                parking.carried,
                question.held,
            ),
            start["index"],
        )

    def _question(self, prepared: Subject, piece: Errand, told: Audience, parking: Parking) -> Question:
        names, unknown, none = prepared.commits
        agents = self._agents[prepared.whole]
        once: Any = _KnownOutcomes(piece.outcomes)
        return Question(
            name=prepared.name,
            number=prepared.number,
            config=piece.config,
            agents=agents,
            options=self._options,
            n=prepared.n,
            known=prepared.known,
            outer=prepared.outer,
            policy=CommitPolicy(names, unknown, none, agents.tools),
            given=prepared.given,
            executes=prepared.executes,
            within=False,
            root=prepared.root,
            once=once,
            parking=parking,
            context=prepared.context,
            told=told,
            max_concurrency=prepared.max_concurrency,
            breakpoints=prepared.breakpoints,
            budget=Budget(self._options.limits.token_budget, piece.spent),
        )


def look(places: Sequence[str], options: Options) -> dict[str, Any]:
    """What must be the same on every worker: packages, the source files of agents and options, the model's name.

    Args:
        places: where the agents are; they have been imported.
        options: the options of ``best_of_n``.
    """
    about: dict[str, Any] = {**versions(), **models_named()}
    given = (options.sampling, options.calls, options.final_action, options.output, options.environment)
    modules = [place.partition(":")[0] for place in places] + [_module_of(each) for each in given if each is not None]
    for module in modules:
        if module != "__main__":  # what a script defines is sent along
            about |= {f"file {name}": mark for name, mark in code_of(module).items()}
    return about


def _module_of(function: Any) -> str:
    return str(getattr(function, "__module__", None) or type(function).__module__)


def _untold(event: Mapping[str, Any]) -> None:
    return None


class _PlainWorlds:
    """Makes environments that are entered in a thread: one that a task holds open would be left when the task ends.

    Args:
        given: what the user gave as ``environment=``.
    """

    def __init__(self, given: Any) -> None:
        self._given, self.reopen = given, given.reopen

    def __call__(self, index: int, known: Any) -> Any:
        manager = self._given(index, known)
        if not hasattr(manager, "__aenter__"):
            return manager
        if not hasattr(manager, "__enter__"):
            raise ConfigError(
                "environment= gave an async context manager, which a worker cannot keep open until this question is "
                "over; with engine=, give one with __enter__ and __exit__"
            )
        return _entered_plainly(manager)


@contextmanager
def _entered_plainly(manager: Any) -> Iterator[Any]:
    with manager as environment:
        yield environment


def _check_token(question: Question, record: Record) -> None:
    ended = record["error"] is None and not was_cancelled(record)
    if question.options.environment is not None and ended and record["token"] is None:
        raise ConfigError(
            "what environment= gives has no token, by which the process that asks could open it; give it an attribute "
            "token, a text that reopen(token) takes, or leave engine= out"
        )


class _CarriedParking(Parking):
    """Keeps parked rollouts until they are sent to the driver, which stores them.

    Attributes:
        carried: the rollouts that were parked here. One that went on may be parked on its old thread again.
    """

    def __init__(self, lasting: bool, logprobs: bool) -> None:
        super().__init__(None, logprobs)
        self._lasts = lasting
        self.carried: dict[str, list[CheckpointTuple]] = {}

    @property
    def lasting(self) -> bool:
        """Whether the driver stores them in a checkpointer."""
        return self._lasts

    def bring(self, thread: str, tuples: list[CheckpointTuple]) -> None:
        """Take in the rollout that is to go on."""
        self._here[thread] = tuples

    def put(self, thread: str, tuples: list[CheckpointTuple]) -> Plan[None]:
        """Note a rollout that is parked."""
        self.carried[thread] = tuples
        yield from super().put(thread, tuples)


class _KnownOutcomes:
    """Stands for ``Once`` on a worker, where nothing is carried out: it knows the results of what was."""

    def __init__(self, outcomes: Mapping[str, Any]) -> None:
        self._outcomes = outcomes

    def outcome(self, done: Done) -> Plan[Any]:
        """Return the result of a call that an earlier round carried out."""
        yield from ()
        outcome = self._outcomes[str(done["key"])]
        if isinstance(outcome, CommitUncertain):
            raise outcome
        return outcome


def _packed(back: Back, index: int) -> bytes:
    try:
        return pickled(back)
    except Exception as error:
        raise ConfigError(
            f"what came of rollout {index} cannot be sent from its worker ({type(error).__name__}: {error}); keep open "
            "files, connections and locks out of the agent's state"
        ) from error
