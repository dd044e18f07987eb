"""Carry an action out at most once: write its intent into the journal before it, and its outcome after it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import ToolMessage
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.types import Command

from ec_agent.commits.gate import Done
from ec_agent.commits.journal import Entry, Journal
from ec_agent.commits.runlog import CLOSED, UNCERTAIN, UNDONE, RunLog, action_of, advice, intent_of, last_of, status_of
from ec_agent.errors import CommitError, CommitUncertain, JournalError, PromotionError
from ec_agent.insides.executors import uninterrupted
from ec_agent.support.plans import Plan, Step, call

OnUncertain = Literal["raise", "retry"]

_key: ContextVar[str | None] = ContextVar("ec_agent_idempotency_key", default=None)


def get_idempotency_key() -> str | None:
    """Return the idempotency key of the commit that is being carried out; call it inside the tool.

    The key is the same at every attempt. Send it with the request: a receiver that has seen the key before can ignore
    the repetition. Outside a commit this returns ``None``.
    """
    return _key.get()


@dataclass(frozen=True, slots=True)
class Once:
    """Carries calls out at most once, by a journal.

    Attributes:
        journal: where intents and outcomes are written down.
        on_uncertain: what to do about an intent without an outcome: ``"raise"``, or ``"retry"`` with the same key.
        log: the log of the run that acts; ``None`` where the run has no checkpoints to identify it by.
    """

    journal: Journal
    on_uncertain: OnUncertain = "raise"
    log: RunLog | None = None

    def enter(self, what: str, calls: Sequence[tuple[str, Any]], keys: Sequence[str]) -> Plan[list[str]]:
        """Begin a step of the run, before any of its calls is carried out.

        The arguments and the result are those of ``RunLog.enter``. Without a log, the keys are used as proposed.

        Raises:
            CommitUncertain: one of the calls may have taken effect in an earlier attempt. The error names every action
                of the run whose outcome is not known.
            CommitError: another run of this thread went another way and has acted already.
        """
        if self.log is not None:
            keys = yield from self.log.enter(what, calls, keys)
        if self.on_uncertain == "raise":
            for key in keys:
                if status_of((yield from last_of(self.journal, key))) in UNCERTAIN:
                    raise (yield from self._uncertain(keys))
        return list(keys)

    def plan(self, key: str, what: str, args: Any, execute: Step, call_id: str | None = None) -> Plan[Any]:
        """Return the result of the action with this key: from the journal if it is done, else by carrying it out.

        Args:
            key: its idempotency key.
            what: the tool's name.
            args: the tool's arguments.
            execute: carries the action out.
            call_id: id of the model's tool call that the result answers.

        Raises:
            CommitUncertain: the action may have taken effect already, and its outcome is not known; or another
                action was carried out under this key.
            CommitError: another run of this thread went another way, and closed this key.
        """
        entries: list[Entry] = yield call(self.journal, "read", key)
        last = entries[-1] if entries else None
        status = status_of(last)
        if last is not None and status not in UNDONE:
            if status == CLOSED:
                raise CommitError(_overtaken(key, what, args))
            # The key is made of places, not of arguments. So another action here means that the step was repeated and
            # the model has answered differently: doing that action too would be a second one in place of the first.
            if (last.intent["tool"], last.intent["args"]) != (what, repr(args)):
                raise CommitUncertain(_another(key, last, what, args), key, [action_of(key, last)])
            if status == "done":
                return readdressed((last.outcome or {})["value"], last.intent.get("call"), call_id)
            if status == "handed over":
                raise ParentCommand(readdressed((last.outcome or {})["value"], last.intent.get("call"), call_id))
            if self.on_uncertain == "raise":
                raise (yield from self._uncertain([key]))
        intent = intent_of(key, what, repr(args), call=call_id)
        if not (yield call(self.journal, "claim", key, len(entries), intent)):
            mine = action_of(key, Entry(intent))
            raise CommitUncertain(
                f"another run is committing {what!r} right now (key {key}); let it end first", key, [mine]
            )
        return (yield from self._done(key, len(entries), intent, execute))

    def _done(self, key: str, attempt: int, intent: dict[str, Any], execute: Step) -> Plan[Any]:
        token = _key.set(key)
        try:
            with uninterrupted():
                value = yield execute
        except ParentCommand as stop:  # the action is done, and its result sends the run to another agent
            yield from self._keep(key, attempt, intent, stop.args[0], "handed over")
            raise
        except (GraphBubbleUp, PromotionError):  # it asks a person first, or failed without changing anything
            yield call(self.journal, "note", key, attempt, {"status": "paused"})
            raise
        except Exception as error:
            self._warn_in(error, key, intent)
            yield call(self.journal, "note", key, attempt, {"status": "raised", "value": repr(error)})
            raise
        finally:
            _key.reset(token)
        yield from self._keep(key, attempt, intent, value)
        return value

    def _warn_in(self, error: Exception, key: str, intent: dict[str, Any]) -> None:
        """Add to a tool's own error that the tool may have acted before it failed, and what a resumed run will do."""
        if self.on_uncertain == "raise":
            then = f"raises CommitUncertain and repeats nothing, until it is settled: {advice([key])}"
        else:
            then = 'sends it again under the same key (on_uncertain="retry")'
        error.add_note(
            f"{intent['tool']}({intent['args']}) raised this while it was carried out as the chosen action. It may "
            f"have taken effect before it raised (idempotency key {key}). Resuming the run, or "
            f"trying its node again, {then}"
        )

    def outcome(self, done: Done) -> Plan[Any]:
        """Return the result of a call that an earlier round carried out.

        Raises:
            CommitUncertain: the journal no longer has the result.
        """
        key = str(done["key"])
        last: Entry | None = yield from last_of(self.journal, key)
        if last is None or status_of(last) != "done":
            raise CommitUncertain(
                f"{done['name']}({done['args']}) was carried out, and its outcome is no longer in the journal; use a "
                f"journal that lasts, or begin a new turn (idempotency key {key})",
                key,
            )
        return readdressed((last.outcome or {})["value"], last.intent.get("call"), done["id"])

    def _keep(self, key: str, attempt: int, intent: dict[str, Any], value: Any, status: str = "done") -> Plan[None]:
        try:
            try:
                yield call(self.journal, "note", key, attempt, {"status": status, "value": value})
            except (TypeError, ValueError):  # the value cannot be serialised; keep the text that the model gets of it
                said = value.model_copy(update={"artifact": None}) if isinstance(value, ToolMessage) else str(value)
                yield call(self.journal, "note", key, attempt, {"status": "done", "value": said})
        except JournalError as error:
            raise CommitUncertain(
                f"{intent['tool']}({intent['args']}) was carried out, but that could not be written down ({error}). "
                f"Repair the journal, then write the result into it: settle_commit(journal, {key!r}, ...)",
                key,
                [action_of(key, Entry(intent))],
            ) from error

    def _uncertain(self, keys: Sequence[str]) -> Plan[CommitUncertain]:
        """Return the error that names every uncertain action of the run, those with these keys first."""
        every = [*keys, *((yield from self.log.keys()) if self.log is not None else [])]
        found = []
        for key in dict.fromkeys(every):
            last: Entry | None = yield from last_of(self.journal, key)
            if last is not None and status_of(last) in UNCERTAIN:
                found.append((key, last))
        return CommitUncertain(_named(found), found[0][0] if found else keys[0], [action_of(*each) for each in found])


def _named(found: Sequence[tuple[str, Entry]]) -> str:
    lines = "\n".join(f"{_begun(entry)} (idempotency key {key})" for key, entry in found)
    return (
        f"{lines}\n{_capital(advice([key for key, _ in found]))}. If the receiver ignores a key it has seen, "
        'on_uncertain="retry" sends '
        + ("it again" if len(found) == 1 else "all of them again: look at each of them first")
    )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _begun(entry: Entry) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(entry.intent["at"]))
    how = "the run ended before its outcome was known, or another run is carrying it out now"
    if entry.outcome:
        how = f"it raised {entry.outcome['value']}"
    return f"{entry.intent['tool']}({entry.intent['args']}) was begun at {when}, and {how}: it may have taken effect"


def _another(key: str, entry: Entry, what: str, args: Any) -> str:
    theirs = f"{entry.intent['tool']}({entry.intent['args']})"
    seen = "" if status_of(entry) not in UNCERTAIN else f", which may have taken effect: {advice([key])};"
    return (
        f"an earlier attempt of this step, or another run of the thread, committed {theirs}{seen} and this one would "
        f"commit {what}({args!r}) in its place; nothing was done. Begin a new turn, or a new thread "
        f"(idempotency key {key})"
    )


def _overtaken(key: str, what: str, args: Any) -> str:
    return (
        f"another run of this thread, for the same input, went another way before {what}({args!r}) was begun, so it "
        f"was not done. Read the thread again; if the action is still needed, begin a new turn (idempotency key {key})"
    )


def readdressed(value: Any, old: str | None, new: str | None) -> Any:
    """Change the call id in a tool's answer from ``old`` to ``new``.

    The answer may come from another run of the thread, which has its own ids for the same calls.
    """
    if old is None or new is None or old == new:
        return value
    if isinstance(value, ToolMessage):
        return value.model_copy(update={"tool_call_id": new}) if value.tool_call_id == old else value
    if isinstance(value, list | tuple):
        return type(value)(readdressed(each, old, new) for each in value)
    if isinstance(value, dict):
        return {name: readdressed(each, old, new) for name, each in value.items()}
    if isinstance(value, Command):
        return Command(value.graph, readdressed(value.update, old, new), value.resume, value.goto)
    return value
