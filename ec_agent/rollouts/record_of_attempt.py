"""Make the record of an attempt that has ended, and park the rollout if it may go on later."""

from __future__ import annotations

import time
from typing import Any, cast

from ec_agent.commits.durability import written_down
from ec_agent.errors import MissingLogprobsError, RolloutError
from ec_agent.insides.langgraph import lasting
from ec_agent.numbers.call_fields import pack_calls
from ec_agent.rollouts.attempt import Attempt, described
from ec_agent.rollouts.cancelling import cancelled
from ec_agent.rollouts.memory import RecallingSaver, named
from ec_agent.rollouts.outcome import outcome_of
from ec_agent.rollouts.parking import copied, memory_saver
from ec_agent.rollouts.record import End, Record, usage_of
from ec_agent.support.plans import Plan, drive


def record_of(attempt: Attempt) -> Plan[Record]:
    """Make the record of an attempt that has ended or failed, and park the rollout if it may go on later.

    Raises:
        MissingLogprobsError: a call came back without logprobs and ``on_missing="raise"`` was set.
    """
    if attempt.cancelled:
        record = _record(attempt, end={"kind": "cancelled"}, calls=_counted(attempt))
    else:
        record = yield from _come_to_its_end(attempt)
    if attempt.cancelled:  # also if it was cancelled at the moment when it ended
        record = cancelled(record, None)
        yield from attempt.question.leave(attempt.index)
    attempt.recorder.release()
    attempt.halts.clear()  # breaks a reference cycle, so that messages with logprobs are freed now
    if attempt.brake is not None:  # stops threads that an async rollout has left behind, at their next call
        attempt.halts.append(attempt.brake.check)
    attempt.told.ended(record, None if attempt.cancelled else attempt.error or attempt.failure)
    return record


def _come_to_its_end(attempt: Attempt) -> Plan[Record]:
    if isinstance(attempt.recorder.failure, MissingLogprobsError):
        raise attempt.recorder.failure
    try:
        if attempt.failure is None:
            attempt.recorder.settle()
        if (failure := attempt.failure) is not None:
            raise failure
        parts = outcome_of(attempt)
        yield from _park(attempt, parts["end"])
        return _record(attempt, **parts, store=attempt.store.writes if attempt.store is not None else [])
    except Exception as error:
        if error is attempt.recorder.failure and isinstance(error, MissingLogprobsError):
            raise  # a message of a call in another process came without logprobs
        attempt.question.errors[attempt.index] = attempt.error = error
        record = _record(attempt, error=described(error), end={"kind": "failed"}, calls=_counted(attempt))
        if attempt.winner_gate is None:
            yield from attempt.question.leave(attempt.index)
        return record


def _counted(attempt: Attempt) -> list[dict[str, Any]]:
    """Return the attempt's calls that count, in packed form.

    If the user's ``calls=`` raised an error, it is not known which calls count, so none is returned.
    """
    failure = attempt.recorder.failure
    filtered = failure is not None and not isinstance(failure, RolloutError)
    return [] if filtered else pack_calls(attempt.recorder.counted_calls())


def _park(attempt: Attempt, end: End) -> Plan[None]:
    """Park a rollout that may go on, and separately its agent's memory, until the winner is known."""
    if (thread := end.get("thread")) is not None and attempt.saver is not None:
        yield from written_down(attempt.config)  # otherwise a run that starts over would leave an orphan behind
        yield from attempt.question.parking.park(thread, attempt.saver, attempt.thread, attempt.agent.sieve)
        attempt.hold(end)
    if isinstance(attempt.saver, RecallingSaver) and end["kind"] != "interrupt":
        yield from _park_memory(attempt, attempt.saver, end)


def _park_memory(attempt: Attempt, saver: RecallingSaver, end: End) -> Plan[None]:
    left, proposal = saver.left(), attempt.gate.proposal
    if proposal is not None and end["kind"] == "commit" and attempt.winner_gate is None:
        # A nested graph was stopped in the middle, at a call whose result it will never get. Its memory must not keep
        # that state: the next turn would start from a call without an answer.
        within = lasting(proposal.task)
        if halved := [namespace for namespace in left if namespace and within.startswith(f"{namespace}|")]:
            end["forgotten"] = [named(namespace) for namespace in halved]
            left = {namespace: tuples for namespace, tuples in left.items() if namespace not in halved}
    if not left:
        return
    carried = " committed" if attempt.winner_gate is not None else ""
    end["memory"] = attempt.question.thread(attempt.start["round"], f"{attempt.index}{carried} memory")
    kept = memory_saver()
    drive(copied([found for tuples in left.values() for found in tuples], kept, attempt.thread))
    yield from written_down(attempt.config)  # otherwise a run that starts over would leave an orphan behind
    yield from attempt.question.parking.park(end["memory"], kept, attempt.thread, attempt.agent.sieve)


def failed_record(attempt: Attempt, error: Exception) -> Record:
    """Make the record of an attempt of which nothing is known but that it failed."""
    return _record(attempt, error=described(error), end={"kind": "failed"})


def _record(attempt: Attempt, **parts: Any) -> Record:
    record: Record = {
        "index": attempt.index,
        "seconds": time.perf_counter() - attempt.started,
        "error": None,
        "calls": [],
        "usage": usage_of(attempt.recorder.every_call()),
        "writes": [],
        "goto": [],
        "final_action": None,
        "facts": attempt.facts(),
        "fingerprint": None,
        "end": {"kind": "answer"},
        "store": [],
        "token": attempt.question.token(attempt.index),
    }
    return cast("Record", {**record, **parts})
