"""Settling by hand what became of a commit, once somebody has looked."""

from __future__ import annotations

import uuid

from ec_agent.commits.journal import Entry, Journal, check_journal, check_key
from ec_agent.commits.runlog import CLOSED, status_of
from ec_agent.errors import CommitError, ConfigError
from ec_agent.support.checks import or_none, refusal, repr_of, text
from ec_agent.support.plans import Plan, adrive, call, drive

BY_HAND = "by hand"


def settle_commit(journal: Journal, key: str, result: str | None) -> None:
    """Note by hand how an uncertain commit turned out.

    Args:
        journal: the journal; the one in a checkpointer is ``SaverJournal(saver, thread_id)``.
        key: the idempotency key that ``CommitUncertain`` names.
        result: what the tool would have returned: a resumed run takes that for its result. ``None`` says that it was
            not done: a resumed run does it then, once, under the same key.

    Raises:
        ConfigError: no commit with this key was begun, or its outcome is known.
        CommitError: it was settled otherwise before, which a run may have gone by; the same answer again does nothing.
        JournalError: the journal cannot be read or written.
    """
    drive(_settled(journal, key, result))


async def asettle_commit(journal: Journal, key: str, result: str | None) -> None:
    """The async twin of ``settle_commit``."""
    await adrive(_settled(journal, key, result))


def _settled(journal: Journal, key: str, result: str | None) -> Plan[None]:
    if journal is None:
        raise refusal("journal", journal, "the journal in which the commit was begun")
    check_journal(journal)
    check_key(key)
    rather = "what the tool would have said, as text, or None: not done"
    or_none("the result", result, text, rather, empty=True)
    entries: list[Entry] = yield call(journal, "read", key)
    if not entries or entries[-1].intent.get("step"):
        raise ConfigError(f"no commit with the key {repr_of(key)} was begun; give the key that CommitUncertain names")
    last = entries[-1]
    status = status_of(last)
    if status in (CLOSED, "paused"):
        raise ConfigError(f"nothing was done under the key {key!r}, so there is nothing to settle; resume the run")
    outcome = {"status": "not done"} if result is None else {"status": "done", "value": result}
    if last.outcome is not None and last.outcome.get(BY_HAND):
        if last.outcome == {**outcome, BY_HAND: True}:
            return
        raise CommitError(_settled_before(key, last, result))
    if status in ("done", "handed over"):
        raise ConfigError(f"the outcome of {key!r} is known: it was done; resume the run, which takes it from there")
    intent = {**last.intent, "by": uuid.uuid4().hex}
    if not (yield call(journal, "claim", key, len(entries), intent)):
        raise ConfigError(f"something has just happened under the key {key!r}; look again")
    yield call(journal, "note", key, len(entries), {**outcome, BY_HAND: True})


def _settled_before(key: str, last: Entry, result: str | None) -> str:
    before = "not done" if status_of(last) == "not done" else f"done, with the result {(last.outcome or {})['value']!r}"
    now = "not done" if result is None else f"done, with the result {result!r}"
    return (
        f"{last.intent['tool']}({last.intent['args']}) was settled by hand before, as {before}; a run may have gone by "
        f"that, so it is not settled as {now} (idempotency key {key}). Nothing was changed. If what was said before is "
        "wrong, do not resume the run: begin a new turn, or a new thread"
    )
