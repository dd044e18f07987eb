"""What a rollout leaves behind: plain enough to be checkpointed, whole enough to select and replay from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from ec_agent.commits.gate import Done
from ec_agent.numbers.trajectory import Call


class End(TypedDict, total=False):
    """How a rollout ended.

    Attributes:
        kind: ``"answer"``; ``"commit"``: at calls that commit; ``"interrupt"``; ``"rest"``: its calls carried out,
            before it went on; ``"failed"``; ``"cancelled"``: stopped on its way, or before it began.
        commits: ids of the calls that commit.
        message: the message they are in, unless it is the final action.
        made_up: whether no model sent that message.
        talk: state key and messages of the conversation it is in, as far as the agent had not written them yet: a
            nested graph writes when it ends.
        again: whether the step it stopped in can be taken up again.
        interrupts: ids, values and, where given, schemas of its interrupts; none where it stopped at a breakpoint.
        paused: whether it ended at a breakpoint, having carried its calls out or with nobody to go on.
        thread: the thread it is parked on, if it may go on.
        carried: whether this is the winner carrying its calls out, rather than proposing.
        done: the calls it carried out, for when the step they are in is run again.
        memory: the thread on which is laid by what it remembers.
        forgotten: the graphs within it that remember nothing of this turn.
        open: writes of the step it stopped in, by tasks that were done: it makes them itself if it goes on.
        whole: whether its writes stand for those of the rounds before it, too.
        unbegun: whether it was cancelled before it began.
    """

    kind: Literal["answer", "commit", "interrupt", "rest", "failed", "cancelled"]
    commits: list[str]
    message: Any
    made_up: bool
    talk: list[Any]
    again: bool
    interrupts: list[list[Any]]
    paused: bool
    thread: str
    carried: bool
    done: list[Done]
    memory: str
    forgotten: list[str]
    open: list[list[Any]]
    whole: bool
    unbegun: bool


class Record(TypedDict):
    """One rollout that ended, failed or was cancelled. Numbers are plain, writes are the agent's own objects."""

    index: int
    seconds: float
    error: str | None
    calls: list[dict[str, Any]]
    usage: dict[str, int]
    writes: list[list[Any]]
    goto: list[Any]
    final_action: Any
    facts: dict[str, Any]
    fingerprint: str | None
    end: End
    store: list[list[Any]]
    token: str | None
    wave: NotRequired[int]  # in which it was started, from 0; left out in the first


def was_cancelled(record: Record) -> bool:
    """Whether the rollout was stopped on its way because enough was known: it is neither a candidate nor failed."""
    return record["end"]["kind"] == "cancelled"


def writes_of(record: Record) -> list[tuple[str, Any]]:
    """All its writes, those of the step it stopped in included."""
    return [(key, value) for key, value in (*record["writes"], *record["end"].get("open", ()))]


def merged(old: list[Record], new: list[Record]) -> list[Record]:
    """Records by index; one that comes again stands for the one before it."""
    return list({record["index"]: record for record in [*old, *new]}.values())


def total(usages: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Usages added up."""
    names = dict.fromkeys(name for usage in usages for name in usage)
    return {name: sum(usage.get(name, 0) for usage in usages) for name in names}


def usage_of(calls: Sequence[Call]) -> dict[str, int]:
    """Tokens over all calls, as far as the provider reported them; those of answers from an LLM cache apart.

    ``cached_answer_tokens`` is there where a cache answered; ``cached_tokens`` are of prompts, and paid for.
    """
    made = [call for call in calls if not call.from_cache]
    usage = {
        "prompt_tokens": sum(call.prompt_tokens or 0 for call in made),
        "cached_tokens": sum(call.cached_tokens or 0 for call in made),
        "generated_tokens": sum(call.generated for call in made),
    }
    if len(made) < len(calls):
        usage["cached_answer_tokens"] = sum((call.tokens or 0) + call.beside for call in calls if call.from_cache)
    return usage
