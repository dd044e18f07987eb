"""Run one rollout: make attempts until one succeeds or ``retry=`` allows no more; the last attempt gives the record."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from langchain_core.runnables import RunnableConfig

from ec_agent.commits.undeclared import Ran
from ec_agent.insides.langgraph import taken_up_again, written_beside
from ec_agent.rollouts.attempt import Attempt, Start, described
from ec_agent.rollouts.cancelling import Brake, unbegun
from ec_agent.rollouts.observer import Observer
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import End, Record, total, was_cancelled
from ec_agent.rollouts.record_of_attempt import record_of
from ec_agent.rollouts.retrying import retry_pause
from ec_agent.rollouts.running import run
from ec_agent.support.plans import Plan
from ec_agent.support.prompt_leader import Lead


def rollout(question: Question, start: Start, config: RunnableConfig) -> Plan[Record]:
    """Run one rollout to its end, and start it anew if it fails and ``retry=`` allows that.

    The record's usage counts the tokens of all attempts.

    Raises:
        RunLeft: the run has ended early. An attempt that still waits for its start does not start then.
    """
    watch = question.watch(start)
    if watch is None:
        return (yield from _led(question, start, config))
    again = taken_up_again(question.config)
    if again:
        watch.recall((yield from written_beside(config, "records")))
    brake = Brake()
    begun = None
    if (stopped := watch.begin(start["index"], brake)) is not None:
        record = unbegun(start["index"], stopped)
    else:
        record, begun = watch.end((yield from _led(question, start, config, brake)))
        if was_cancelled(record):
            yield from question.leave(start["index"])
    if begun is not None:
        question.told.tell(Observer.enough_known, record["stopped"]["reason"], begun)
    return _naming_threads(question, start, record) if again and was_cancelled(record) else record


def _naming_threads(question: Question, start: Start, record: Record) -> Record:
    """Name the threads of a cancelled rollout, so that they are deleted.

    The process that was killed may have parked the rollout and not saved its record.
    """
    index = start["index"]
    thread, memory = (question.thread(start["round"], place) for place in (index, f"{index} memory"))
    end: End = {"thread": thread, "memory": memory}
    return {**record, "end": {**end, **record["end"]}}


def _led(question: Question, start: Start, config: RunnableConfig, brake: Brake | None = None) -> Plan[Record]:
    """Run a rollout; with ``share_prompt``, only after the first rollout's prompt was read by the server."""
    # A parked rollout that goes on has another prompt, so it does not wait.
    shared = question.lead(start["round"]) if start.get("thread") is None else None
    if shared is None or shared.followed:
        return (yield from _run(question, start, config, brake))
    if not shared.take():
        most = question.options.share_prompt
        over = partial(_over, question, brake)
        wait = shared.wait(None if most is True else most, over)
        yield wait if brake is None else brake.unless_pulled(wait)
        return (yield from _run(question, start, config, brake))
    try:
        return (yield from _run(question, start, config, brake, leads=shared))
    finally:
        shared.follow()


def _over(question: Question, brake: Brake | None) -> bool:
    return question.executors.left or (brake is not None and brake.pulled)


def _run(
    question: Question, start: Start, config: RunnableConfig, brake: Brake | None, leads: Lead | None = None
) -> Plan[Record]:
    """Run a rollout where the question's rollouts run: here, or on a worker."""
    record = yield from (question.elsewhere or tried)(question, start, config, brake, leads)
    return {**record, "wave": start["wave"]} if "wave" in start else record


def tried(
    question: Question, start: Start, config: RunnableConfig, brake: Brake | None, leads: Lead | None = None
) -> Plan[Record]:
    """Make attempts at a rollout in this process.

    Args:
        question: the question.
        start: how the rollout starts.
        config: the config of the task in which it runs.
        brake: stops it early; ``None`` without ``cancel=True``.
        leads: lets other rollouts follow when the server has read the prompt; ``None`` if it leads none.
    """
    spent: list[Mapping[str, int]] = []
    ran = Ran(question.thread(start["round"], start["index"]))
    while True:
        question.executors.check()
        attempt = Attempt(question, start, config, ran=ran, brake=brake)
        attempt.recorder.lead = leads
        yield from run(attempt)
        if leads is not None:
            leads.follow()  # it may have called no model; the others must not wait for its next attempt
        record = yield from record_of(attempt)
        spent.append(record["usage"])
        try:
            failure = None if attempt.cancelled else attempt.failure
            again = retry_pause(question.options.retries(), failure, len(spent))
        except Exception as error:  # the user's retry_on= raised, so whether to retry is not known: do not
            record, again = {**record, "error": described(error)}, None
        if again is not None:
            yield question.executors.pause(again) if brake is None else brake.pause(question.executors, again)
        if again is None or attempt.cancelled:
            return {**record, "usage": total(spent)}
