"""Run one rollout: make attempts until one succeeds or ``retry=`` allows no more; the last attempt gives the record."""

from __future__ import annotations

from collections.abc import Mapping

from langchain_core.runnables import RunnableConfig

from ec_agent.commits.undeclared import Ran
from ec_agent.rollouts.attempt import Attempt, Start, described
from ec_agent.rollouts.ending import record_of
from ec_agent.rollouts.limits import retry_pause
from ec_agent.rollouts.record import Record, total
from ec_agent.rollouts.running import run
from ec_agent.rollouts.session import Session
from ec_agent.support.leading import Lead
from ec_agent.support.plans import Plan


def rollout(session: Session, start: Start, config: RunnableConfig) -> Plan[Record]:
    """Run one rollout to its end, and start it anew if it fails and ``retry=`` allows that.

    The record's usage counts the tokens of all attempts.

    Raises:
        RunLeft: the run has ended early. An attempt that still waits for its start does not start then.
    """
    # One that goes on with answers has a prompt of its own.
    shared = session.lead(start["round"]) if start.get("thread") is None else None
    if shared is None or shared.followed:
        return (yield from _tried(session, start, config))
    if not shared.take():
        most = session.options.share_prompt
        yield shared.wait(None if most is True else most, lambda: session.executors.left)
        return (yield from _tried(session, start, config))
    try:
        return (yield from _tried(session, start, config, leads=shared))
    finally:
        shared.follow()


def _tried(session: Session, start: Start, config: RunnableConfig, leads: Lead | None = None) -> Plan[Record]:
    spent: list[Mapping[str, int]] = []
    ran = Ran(session.thread(start["round"], start["index"]))
    while True:
        session.executors.check()
        attempt = Attempt(session, start, config, ran=ran)
        attempt.recorder.lead = leads
        yield from run(attempt)
        if leads is not None:
            leads.follow()  # it may have asked no model, and may begin anew
        record = yield from record_of(attempt)
        spent.append(record["usage"])
        try:
            again = retry_pause(session.options.retries(), attempt.failure, len(spent))
        except Exception as error:  # the user's retry_on= raised, so whether to retry is not known: do not
            record, again = {**record, "error": described(error)}, None
        if again is None:
            whole: Record = {**record, "usage": total(spent)}
            if "wave" in start:
                whole["wave"] = start["wave"]
            return whole
        yield session.executors.pause(again)
