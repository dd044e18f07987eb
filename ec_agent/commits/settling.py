"""Write into the journal by hand how an uncertain commit ended, once somebody has found out."""

from __future__ import annotations

import uuid

from ec_agent.commits.journal import Entry, Journal, check_journal, check_key
from ec_agent.commits.runlog import CLOSED, status_of
from ec_agent.errors import CommitError, ConfigError
from ec_agent.support.checks import or_none, refusal, repr_of, text
from ec_agent.support.plans import Plan, adrive, call, drive

BY_HAND = "by hand"


def settle_commit(journal: Journal, key: str, result: str | None) -> None:
    """Write the outcome of an uncertain commit into the journal by hand.

    A commit is uncertain where the run ended before its outcome was written down. Only a person can find out whether
    it took effect; this function records what they found.

    Args:
        journal: the journal; the one in a checkpointer is ``SaverJournal(saver, thread_id)``.
        key: the idempotency key that ``CommitUncertain`` names.
        result: what the tool returned or would have returned; a resumed run uses it as the tool's result. ``None``
            says that the action was not done; a resumed run then does it, once, under the same key.

    Raises:
        ConfigError: no commit with this key was begun, or its outcome is known.
        CommitError: the commit was settled before with another result, and a run may have used that result. Settling
            it again with the same result does nothing.
        JournalError: the journal cannot be read or written.
    """
    drive(_settled(journal, key, result))


async def asettle_commit(journal: Journal, key: str, result: str | None) -> None:
    """The async twin of ``settle_commit``."""
    await adrive(_settled(journal, key, result))


def _settled(journal: Journal, key: str, result: str | None) -> Plan[None]:
    if journal is None:  # which check_journal lets through
        raise refusal("journal", journal, "the journal in which the commit was begun")
    check_journal(journal)
    check_key(key)
    rather = "what the tool returned, as text, or None if the action was not done"
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
        raise ConfigError(
            f"a run wrote to the journal under the key {key!r} at the same moment; read the journal again, then settle"
        )
    yield call(journal, "note", key, len(entries), {**outcome, BY_HAND: True})


def _settled_before(key: str, last: Entry, result: str | None) -> str:
    before = "not done" if status_of(last) == "not done" else f"done, with the result {(last.outcome or {})['value']!r}"
    now = "not done" if result is None else f"done, with the result {result!r}"
    return (
        f"{last.intent['tool']}({last.intent['args']}) was settled by hand before, as {before}. A run may have used "
        f"that, so it is not settled as {now} (idempotency key {key}). Nothing was changed. If the earlier result is "
        "wrong, do not resume the run: begin a new turn, or a new thread"
    )
