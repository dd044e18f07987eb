"""Run a question's rollouts on the workers of an engine. All else stays in this process: the choice, commits, routing.

The worker's side is ``worker_side``, and ``relayed`` tells observers what happens there.
"""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tracers.langchain import LangChainTracer
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.store.memory import InMemoryStore

from ec_agent.capture.recorder import current_recorder
from ec_agent.commits.durability import written_down
from ec_agent.engines.base import Engine, Job, Lost
from ec_agent.engines.standing import Ready, StandingWorkers
from ec_agent.errors import CommitError, CommitUncertain, ConfigError, EnvironmentGoneError, WorkerLostError
from ec_agent.insides.langgraph import own_configurable, own_tags, saver_of
from ec_agent.insides.streams import without_streaming
from ec_agent.rollouts.agent_places import check_places
from ec_agent.rollouts.attempt import Attempt, Start
from ec_agent.rollouts.cancelling import Brake
from ec_agent.rollouts.options import Options
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import Record, was_cancelled
from ec_agent.rollouts.record_of_attempt import failed_record
from ec_agent.rollouts.relayed import Relay, Wanted
from ec_agent.rollouts.worker_side import Back, Errand, QuestionWork, Reads, Subject, look, never_promoted
from ec_agent.support.checks import repr_of
from ec_agent.support.plans import Plan
from ec_agent.support.prompt_leader import Lead


class Workers:
    """The workers of one ``best_of_n``. They start with its first question, and stand ready for the next ones.

    Args:
        agent: the place of the agent, or the places of several.
        engine: where the workers are.
        options: the options of ``best_of_n``.

    Raises:
        ConfigError: the agent is an object, or an option cannot be had on workers.
    """

    def __init__(self, agent: Any, engine: Engine, options: Options) -> None:
        places = check_places(agent)
        _check_options(options)
        arguments = places, _needed_there(options)
        job = Job(make=QuestionWork, look=look, arguments=arguments, on_event=_hear, on_lost=_lose)
        self._standing = StandingWorkers(engine, job)

    def close(self) -> None:
        """End the workers. The next question starts others."""
        self._standing.close()

    def open(self, question: Question) -> Plan[None]:
        """Start the workers, if none are there, and give them the question.

        Raises:
            ConfigError: the workers cannot be had, or the question needs what they cannot reach.
        """
        _check_question(question)
        ready: Ready = yield question.executors.result_of(self._standing.ready())
        question.elsewhere = partial(_on_worker, ready, ready.prepared(_subject(question)))


def _needed_there(options: Options) -> Options:
    """Return the options without what only the driver needs, which may be nothing that can be pickled."""
    return replace(
        options,
        engine=None,
        selector=Reads(options.selector.name, options.signals),
        preflight=False,
        share_prompt=False,
        probability=None,
        stop=None,
        cancel=False,
        route=None,
        selection_key=None,
        commit=None,
        journal=None,
        promote=None if options.promote is None else never_promoted,
    )


def _on_worker(
    ready: Ready,
    subject: Any,
    question: Question,
    start: Start,
    config: RunnableConfig,
    brake: Brake | None,
    leads: Lead | None,
) -> Plan[Record]:
    """Run one rollout on a worker; all arguments but the first two are those of ``tried``.

    Raises:
        RunLeft: the run around has ended early.
    """
    question.executors.check()
    question.ran.add(start["index"])
    piece = yield from _piece(question, start, config, brake, leads)
    future = ready.run(subject, piece)
    if brake is not None:
        brake.also(partial(ready.stop, piece))
    try:
        back: Back = pickle.loads((yield question.executors.result_of(future)))
    except WorkerLostError as error:
        question.errors[start["index"]] = error
        record = failed_record(Attempt(question, start, config), error)
        piece.relay.end(record, error)
    except BaseException:
        piece.relay.leave()
        raise
    else:
        record = yield from _taken_in(question, back, piece)
    if piece.lost.rollouts:
        record["facts"]["lost"] = {"rollouts": piece.lost.rollouts, "tokens": piece.lost.tokens}
    return record


@dataclass(eq=False, slots=True, repr=False)
class _Piece:
    """A rollout under way; what is pickled of it is its errand."""

    question: Question
    errand: Errand
    config: RunnableConfig
    relay: Relay
    lost: Lost = field(default_factory=Lost)

    def __repr__(self) -> str:
        return f"what rollout {self.errand.start['index']} is given (its state, configurable, metadata)"

    def __reduce__(self) -> tuple[Any, ...]:
        # As things are by now: after the death of a worker it is sent again.
        return _arrived, (replace(self.errand, spent=self.question.budget.spent),)


def _arrived(errand: Errand) -> Errand:
    return errand


def _piece(
    question: Question, start: Start, config: RunnableConfig, brake: Brake | None, leads: Lead | None
) -> Plan[_Piece]:
    thread = start.get("thread")
    parked: list[CheckpointTuple] = []
    if thread is not None and not (parked := (yield from question.parking.found(thread))):
        raise CommitError(
            f"the stopped rollout (thread {thread!r}) is no longer in the checkpointer, so it cannot go on; ask the "
            "question again"
        )
    outcomes: dict[str, Any] = {}
    for done in start.get("done") or []:
        if done["key"] is not None:
            try:
                outcomes[str(done["key"])] = yield from question.once.outcome(done)
            except CommitUncertain as error:
                outcomes[str(done["key"])] = error
    index, agents = start["index"], question.agents
    label = agents.label_of(agents.place_of(start.get("agent", index)))
    audience = partial(question.told.rollout, index, start["round"], acting=False, agent=label)
    relay = Relay(audience, lambda error: failed_record(Attempt(question, start, config), error), leads)
    errand = Errand(
        start=start,
        config=_own_of(config),
        parked=parked,
        held=question.held.get(thread or "", {}),
        outcomes=outcomes,
        spent=question.budget.spent,
        leads=leads is not None,
        brake=brake,
    )
    return _Piece(question, errand, config, relay)


def _hear(piece: _Piece, event: Mapping[str, Any]) -> None:
    piece.relay.hear(event)


def _lose(piece: _Piece, lost: Lost) -> None:
    """Note what a worker took with it. Its tokens were paid for."""
    piece.lost += lost
    piece.question.budget.spend(lost.tokens)
    piece.relay.lose(WorkerLostError("its worker died; the rollout runs again on another"))


def _taken_in(question: Question, back: Back, piece: _Piece) -> Plan[Record]:
    """Take in what came of a rollout, as if it had run here."""
    record, index = back.record, back.record["index"]
    question.budget.spend(record["usage"].get("generated_tokens", 0))
    if back.failure is not None:
        question.errors[index] = back.failure
    if back.fleeting is not None:
        question.fleeting[index] = back.fleeting
    question.held |= back.held
    if record["token"] is not None and record["error"] is None and not was_cancelled(record):
        yield from _opened_here(question, index, record["token"])
    usage, failure, ended = back.last
    piece.relay.end({**record, "usage": dict(usage)}, failure, ended)
    for thread, tuples in back.parked.items():
        yield from written_down(piece.config)  # otherwise a run that starts over would leave an orphan behind
        yield from question.parking.put(thread, tuples)
    return record


def _opened_here(question: Question, index: int, token: str) -> Plan[None]:
    """Open the environment of a rollout in this process, too: here it is judged, promoted and left."""
    try:
        yield from question.open_again(index, token)
    except Exception as error:
        raise EnvironmentGoneError(
            f"the environment of rollout {index}, which ran on a worker, cannot be opened here: reopen({token!r}) "
            f"raised {type(error).__name__}: {error}. See that this process can reach what workers open, such as a "
            "folder or a server that all share"
        ) from error


def _own_of(config: RunnableConfig) -> RunnableConfig:
    """Return what a rollout needs of the config of its task: the user's own values."""
    return {
        "configurable": own_configurable(config),
        "tags": own_tags(config),
        "metadata": dict(config.get("metadata") or {}),
    }


def _subject(question: Question) -> Subject:
    policy = question.policy
    return Subject(
        mark=uuid.uuid4().hex,
        name=question.name,
        number=question.number,
        n=question.n,
        known=question.known,
        outer=question.outer,
        given=question.given,
        executes=question.executes,
        root=question.root,
        context=question.context,
        max_concurrency=question.max_concurrency,
        breakpoints=question.breakpoints,
        whole=question.agents.whole,
        commits=(policy.names, policy.unknown, policy.none),
        lasting=question.parking.lasting,
        wanted=Wanted.by(question.told),
    )


# What cannot be had on workers


def _check_options(options: Options) -> None:
    if options.limits.over_budget == "cut":
        raise ConfigError(
            'over_budget="cut" cannot be had with engine=: a worker does not know what rollouts on others spend; give '
            'over_budget="finish", or max_tokens= for each rollout'
        )
    if options.environment is not None and not hasattr(options.environment, "reopen"):
        raise ConfigError(
            "environment= has no reopen(token), so this process could not open what a worker made; give it one, as "
            "SQLiteCopies has, or leave engine= out"
        )


def _check_question(question: Question) -> None:
    if current_recorder.get() is not None:
        raise ConfigError(
            "engine= is given to a best_of_n inside a rollout of another one; leave it out there, and give it to the "
            "outermost"
        )
    _check_callbacks(question.config)
    if question.memory is not None and any(agent.remembers for agent in question.agents.all):
        raise ConfigError(
            f"the agent {question.agents.name!r} remembers over turns by itself (checkpointer=True, or an entrypoint), "
            "and workers cannot reach the run's checkpointer; keep what must last in the state of the outer graph, or "
            "leave engine= out"
        )
    saver = saver_of(question.config)
    if saver is not None and not isinstance(saver.get_next_version(None, None), str):
        raise ConfigError(
            f"the checkpointer {type(saver).__name__} numbers versions otherwise than LangGraph's own, so it could not "
            "go on from rollouts that stopped on workers; take one of LangGraph's, or leave engine= out"
        )
    _check_store(question.store, question.agents.store)


def _check_callbacks(config: RunnableConfig) -> None:
    callbacks = without_streaming(config.get("callbacks"))
    handlers: Sequence[Any] = getattr(callbacks, "inheritable_handlers", callbacks)
    own = [handler for handler in handlers if not isinstance(handler, LangChainTracer)]
    if own:
        raise ConfigError(
            f"the run's callbacks have {repr_of(own[0])}, which does not hear what happens on workers; give it to the "
            "agent where the agent is made, agent.with_config(callbacks=[...]), or follow the rollouts with on_event="
        )


def _check_store(store: Any, of_agent: Any) -> None:
    if store is not None and store is not of_agent:
        raise ConfigError(
            f"the graph around has a store ({type(store).__name__}), which workers cannot reach; compile the agent, at "
            "the place that engine= names, with a store that each worker can open by itself, such as PostgresStore"
        )
    if isinstance(of_agent, InMemoryStore):
        raise ConfigError(
            "the agent has an InMemoryStore, of which each worker would have another one; compile it with a store that "
            "all can reach, such as PostgresStore"
        )
