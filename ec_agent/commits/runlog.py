"""Let several workers that resume one run act as one: each either takes the same steps or does nothing.

All workers share the run's log. Before a worker acts, it writes its step into the log and then reads the steps that
are there before its own:

- A step that came before in the same history, or beside it in the same superstep, is no conflict.
- The same step, written by another worker, is the same action: both use the same idempotency keys.
- Any other step belongs to a different continuation of the run. Only one of the two may go on. This worker goes on if
  it can close the keys of the other step for good, which it can while nothing was begun under them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ec_agent.commits.journal import Entry, Journal
from ec_agent.commits.keys import further_key, log_key
from ec_agent.commits.lineage import PlaceInRun
from ec_agent.errors import CommitError, CommitUncertain
from ec_agent.support.plans import Plan, call

CLOSED = "closed"
STEP = "step"


def status_of(entry: Entry | None) -> str:
    """Return the status of an attempt: ``"none"``, ``"open"``, ``"closed"``, or the status in its outcome."""
    if entry is None:
        return "none"
    if entry.intent.get(CLOSED):
        return CLOSED
    return str((entry.outcome or {}).get("status", "open"))


# With these statuses nothing was done under a key, so an attempt may claim it.
UNDONE = ("none", "paused", "not done")
# With these statuses the action may have taken effect, and nobody knows.
UNCERTAIN = ("open", "raised")


def intent_of(key: str, tool: str, args: str, **more: Any) -> dict[str, Any]:
    """Make the intent of an attempt that begins now. Its random id tells it from an equal one of another worker."""
    return {"tool": tool, "args": args, "at": time.time(), "by": uuid.uuid4().hex, "key": key, **more}


def action_of(key: str, entry: Entry) -> dict[str, Any]:
    """Return an attempt in the form of ``CommitUncertain.actions``: ``key``, ``tool``, ``args``, ``at``, ``error``."""
    error = None if entry.outcome is None else entry.outcome.get("value")
    return {"key": key, **{name: entry.intent.get(name) for name in ("tool", "args", "at")}, "error": error}


def advice(keys: Sequence[str]) -> str:
    """Return the sentence that tells what to do about actions whose outcome is not known."""
    settle = "; ".join(f"settle_commit(journal, {key!r}, ...)" for key in keys)
    each = "it" if len(keys) == 1 else "each of them"
    return (
        f"look whether {each} took effect, and note what you found with {settle}: the result if it was done, None if "
        "it was not. `ec-agent commits settle` does the same"
    )


@dataclass(frozen=True, slots=True)
class RunLog:
    """The log of one run: every step in which the run has acted or is about to.

    Attributes:
        journal: where the log is kept.
        standing: the run, and the place in it where this worker is about to act.
    """

    journal: Journal
    standing: PlaceInRun

    @property
    def key(self) -> str:
        """The key under which the journal keeps the log: the same for all workers that resume the run."""
        return log_key(self.standing.run)

    def enter(self, what: str, calls: Sequence[tuple[str, Any]], keys: Sequence[str]) -> Plan[list[str]]:
        """Write a step into the log, and make sure that no other continuation of the run acts as well.

        Args:
            what: names the step among the steps of its graph task.
            calls: names and arguments of all calls of the step.
            keys: the idempotency keys proposed for these calls.

        Returns:
            The keys to use: those of another worker where it has come to the same step first.

        Raises:
            CommitError: another continuation of the run has acted already.
        """
        said = [[name, repr(args)] for name, args in calls]
        place = f"{self.standing.place}/{what}"
        bare = {"place": place, "calls": said}
        while True:
            entries: list[Entry] = yield call(self.journal, "read", self.key)
            steps: list[dict[str, Any]] = [entry.intent[STEP] for entry in entries]
            theirs = [each["keys"] for each in steps if _is_same(each, bare)]
            taken = {key for each in steps if each["calls"] != said for key in each["keys"]}
            chosen = yield from self._free(theirs[-1] if theirs else keys, taken)
            step = {**bare, "keys": chosen, "position": self.standing.position}
            if step in steps:  # logged by an earlier attempt of this worker, or by another with the same history
                break
            intent = intent_of(self.key, "a step of the run", place, **{STEP: dict(step)})
            if (yield call(self.journal, "claim", self.key, len(entries), intent)):
                steps.append(step)
                break
            # Another worker has logged a step in between: read the log again.
        # Only earlier steps are looked at: whoever logs a step later will find this one, and deal with it.
        first = next(number for number, each in enumerate(steps) if _is_same(each, step) and each["keys"] == chosen)
        yield from self._close_others(steps[:first], steps, step)
        return chosen

    def keys(self) -> Plan[list[str]]:
        """Return all keys under which the run has acted, or may have."""
        entries: list[Entry] = yield call(self.journal, "read", self.key)
        return list(dict.fromkeys(key for entry in entries for key in entry.intent[STEP]["keys"]))

    def _free(self, keys: Sequence[str], taken: Collection[str]) -> Plan[list[str]]:
        """Return these keys. A key that another step has, or that was closed, is replaced by one derived from it."""
        free: list[str] = []
        for key in keys:
            tried, number = key, 0
            while tried in taken or status_of((yield from last_of(self.journal, tried))) == CLOSED:
                number += 1
                tried = further_key(key, number)
            free.append(tried)
        return free

    def _close_others(
        self, before: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]], step: Mapping[str, Any]
    ) -> Plan[None]:
        for other in before:
            # One message whose calls are made at two places is one action: its keys are equal, so the journal gives
            # the second place the result of the first.
            if _is_same(other, step) or other["keys"] == step["keys"]:
                continue
            # Several workers may have logged the same step, each at its own checkpoints. One that is in our history is
            # enough.
            ways = [each["position"] for each in steps if _is_same(each, other)]
            if other["place"] != step["place"] and any(self.standing.follows(way) for way in ways):
                continue
            for (name, args), key in zip(other["calls"], other["keys"], strict=True):
                yield from self._close(key, name, args, step)

    def _close(self, key: str, name: str, args: str, step: Mapping[str, Any]) -> Plan[None]:
        while True:
            entries: list[Entry] = yield call(self.journal, "read", key)
            status = status_of(entries[-1] if entries else None)
            if status == CLOSED:
                return
            if status not in UNDONE:  # too late to close it: the other action has begun, so this one may not
                raise _elsewhere(entries[-1], key, step)
            intent = intent_of(key, name, args, **{CLOSED: True})
            if (yield call(self.journal, "claim", key, len(entries), intent)):
                return


def last_of(journal: Journal, key: str) -> Plan[Entry | None]:
    """Return the latest attempt at the action with this key; ``None`` without any."""
    entries: list[Entry] = yield call(journal, "read", key)
    return entries[-1] if entries else None


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one["place"] == other["place"] and one["calls"] == other["calls"])


def _elsewhere(entry: Entry, key: str, step: Mapping[str, Any]) -> CommitError:
    theirs = f"{entry.intent['tool']}({entry.intent['args']})"
    ours = ", ".join(f"{name}({args})" for name, args in step["calls"])
    other = "another run of this thread, for the same input, went another way"
    if status_of(entry) not in UNCERTAIN:
        return CommitError(
            f"{other} and has carried out {theirs} (idempotency key {key}); {ours} would come in its place, so "
            "nothing was done here. Let that run end and read the thread again; if the action is still needed, begin "
            "a new turn, or a new thread"
        )
    return CommitUncertain(
        f"{other} and has begun {theirs}; {ours} would come in its place, so nothing was done here. Let that run end; "
        f"if it has died, {advice([key])}",
        key,
        [action_of(key, entry)],
    )
