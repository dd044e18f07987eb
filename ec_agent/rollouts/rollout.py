"""One rollout: as many attempts as ``retry=`` allows, and the record of the last."""

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
from ec_agent.support.plans import Plan


def rollout(session: Session, start: Start, config: RunnableConfig) -> Plan[Record]:
    """Run one rollout to its end, again where it fails and ``retry=`` says so.

    Raises:
        RunLeft: nobody waits for it any more; one that has waited for its turn, or for its next try, does not start.
    """
    spent: list[Mapping[str, int]] = []
    ran = Ran(session.thread(start["round"], start["index"]))
    while True:
        session.around.check()
        attempt = Attempt(session, start, config, ran=ran)
        yield from run(attempt)
        record = yield from record_of(attempt)
        spent.append(record["usage"])
        try:
            again = retry_pause(session.options.retries(), attempt.failure, len(spent))
        except Exception as error:  # retry_on= raised: nobody can tell
            record, again = {**record, "error": described(error)}, None
        if again is None:
            return {**record, "usage": total(spent)}
        yield session.around.pause(again)
