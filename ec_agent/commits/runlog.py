"""The acts of one run, on one line: of several who resume it, each either goes the same way or does nothing.

Before an act its step is written into the run's log, which all who resume the run share. Then whoever wrote sees what
else is there. A step that lies on the way here, or beside it, is past; the same step, come to by another worker, is
the same act under the same keys; any other step was come to on another way, and only one of the two ways may go on.
It is this one if it can close the other's keys for good, that is, if nothing was begun under them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ec_agent.commits.journal import Entry, Journal
from ec_agent.commits.lineage import Standing
from ec_agent.errors import CommitError, CommitUncertain
from ec_agent.support.plans import Plan, call

CLOSED = "closed"
STEP = "step"


def status_of(entry: Entry | None) -> str:
    """How an attempt stands: ``"none"``, ``"open"``, ``"closed"``, or what its outcome says."""
    if entry is None:
        return "none"
    if entry.intent.get(CLOSED):
        return CLOSED
    return str((entry.outcome or {}).get("status", "open"))


# Nothing was done under a key that stands so, and it may be claimed.
UNDONE = ("none", "paused", "not done")
# It may have been done, and nobody knows.
UNCERTAIN = ("open", "raised")


def told(key: str, entry: Entry) -> dict[str, Any]:
    """An attempt as an error has it: ``key``, ``tool``, ``args``, ``at`` and ``error``."""
    error = None if entry.outcome is None else entry.outcome.get("value")
    return {"key": key, **{name: entry.intent.get(name) for name in ("tool", "args", "at")}, "error": error}


def advice(keys: Sequence[str]) -> str:
    """What to do about actions that nobody knows the end of."""
    settle = "; ".join(f"settle_commit(journal, {key!r}, ...)" for key in keys)
    each = "it" if len(keys) == 1 else "each of them"
    return (
        f"look whether {each} took effect, and note what you found with {settle}: the result if it was done, None if "
        "it was not; or with `ec-agent commits settle`"
    )


@dataclass(frozen=True, slots=True)
class RunLog:
    """The log of the run that somebody is about to act in.

    Attributes:
        journal: where it is kept.
        standing: where in the run that is.
    """

    journal: Journal
    standing: Standing

    @property
    def key(self) -> str:
        """Under which the journal has it."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.standing.run}/acts"))

    def enter(self, what: str, calls: Sequence[tuple[str, Any]], keys: Sequence[str]) -> Plan[list[str]]:
        """Put a step on the line of the run's acts.

        Args:
            what: which step of the task it is.
            calls: names and arguments of all its calls.
            keys: the idempotency keys they would have.

        Returns:
            The keys that they have: another worker may have come to the same step first.

        Raises:
            CommitError: the run has acted on another way.
        """
        said = [[name, repr(args)] for name, args in calls]
        bare = {"place": f"{self.standing.place}/{what}", "calls": said}
        while True:
            entries: list[Entry] = yield call(self.journal, "read", self.key)
            steps: list[dict[str, Any]] = [entry.intent[STEP] for entry in entries]
            theirs = [each["keys"] for each in steps if _is_same(each, bare)]
            taken = {key for each in steps if each["calls"] != said for key in each["keys"]}
            chosen = yield from self._free(theirs[-1] if theirs else keys, taken)
            step = {**bare, "keys": chosen, "position": self.standing.position}
            if step in steps:
                break
            if (yield call(self.journal, "claim", self.key, len(entries), self._intent(step))):
                steps.append(step)
                break
        # What was logged later sees this step, and gives way or closes its keys; what follows it may lie before us yet.
        first = next(place for place, each in enumerate(steps) if _is_same(each, step) and each["keys"] == chosen)
        yield from self._close_others(steps[:first], steps, step)
        return chosen

    def _intent(self, step: Mapping[str, Any]) -> dict[str, Any]:
        by = {"at": time.time(), "by": uuid.uuid4().hex, "key": self.key}
        return {"tool": "a step of the run", "args": step["place"], **by, STEP: dict(step)}

    def keys(self) -> Plan[list[str]]:
        """All keys that the run has acted under, or may have."""
        entries: list[Entry] = yield call(self.journal, "read", self.key)
        return list(dict.fromkeys(key for entry in entries for key in entry.intent[STEP]["keys"]))

    def _free(self, keys: Sequence[str], taken: Collection[str]) -> Plan[list[str]]:
        """These keys; in the place of one that is another step's, or was closed, one that comes of it."""
        free: list[str] = []
        for key in keys:
            tried, number = key, 0
            while tried in taken or status_of((yield from last_of(self.journal, tried))) == CLOSED:
                number += 1
                tried = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{key}/{number}"))
            free.append(tried)
        return free

    def _close_others(
        self, before: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]], step: Mapping[str, Any]
    ) -> Plan[None]:
        for other in before:
            # One message whose calls are made at two places is one act: the journal answers for the second.
            if _is_same(other, step) or other["keys"] == step["keys"]:
                continue
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
            if status not in UNDONE:
                raise _elsewhere(entries[-1], key, step)
            intent = {"tool": name, "args": args, "at": time.time(), "by": uuid.uuid4().hex, "key": key, CLOSED: True}
            if (yield call(self.journal, "claim", key, len(entries), intent)):
                return


def last_of(journal: Journal, key: str) -> Plan[Entry | None]:
    """The last attempt at what has this key."""
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
            "nothing was done here. Let that run end and read the thread again; if something is left to do, begin a "
            "new turn, or a new thread"
        )
    return CommitUncertain(
        f"{other} and has begun {theirs}; {ours} would come in its place, so nothing was done here. Let that run end; "
        f"if it has died, {advice([key])}",
        key,
        [told(key, entry)],
    )
