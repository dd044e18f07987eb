"""The record of a finished rollout. Its values are plain, so that a checkpoint holds it until a winner is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from ec_agent.commits.gate import Done
from ec_agent.numbers.trajectory import Call


class End(TypedDict, total=False):
    """How a rollout ended.

    Attributes:
        kind: ``"answer"``: it finished; ``"commit"``: it stopped at calls that commit; ``"interrupt"``: it stopped at
            an interrupt or a breakpoint; ``"rest"``: it carried its calls out and then stopped; ``"failed"``;
            ``"cancelled"``: it was stopped early, or never started, because enough was known.
        commits: ids of the calls that commit.
        message: the message with these calls, unless it is the final action.
        made_up: whether that message was made for a call of the agent's own code, and no model sent it.
        talk: state key and messages of the conversation of that message, as far as the agent had not written them: a
            nested graph writes its messages only when it ends.
        repeatable: whether the step in which it stopped can be resumed.
        interrupts: one entry per interrupt: its id, its value and, if given, its schema; empty at a breakpoint.
        paused: whether it stopped at a breakpoint after it had carried its calls out, or with nobody to resume it.
        thread: the thread it is parked on, if it may go on.
        carried: whether the rollout has carried out its calls, and not only proposed them.
        done: the calls it carried out; the next round needs them if it runs their step again.
        memory: the thread on which the agent's memory is parked.
        forgotten: names of nested graphs that forget this turn.
        open: writes of the unfinished step, by tasks that had ended. The rollout makes them again if it goes on.
        whole: whether its writes replace those of the rounds before.
        unbegun: whether it was cancelled before it started.
    """

    kind: Literal["answer", "commit", "interrupt", "rest", "failed", "cancelled"]
    commits: list[str]
    message: Any
    made_up: bool
    talk: list[Any]
    repeatable: bool
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


class Stopped(TypedDict):
    """Why the remaining rollouts were cancelled.

    Attributes:
        reason: the plan's reason.
        among: the rollouts that may win; ``None`` allows all that ended.
        ended: the rollouts that were over at that moment, failed ones too.
    """

    reason: str
    among: list[int] | None
    ended: list[int]


class Record(TypedDict):
    """One rollout that ended, failed or was cancelled. Numbers are plain values, writes are the agent's own objects.

    Attributes:
        index: number of the rollout, from 0.
        seconds: how long it ran.
        error: type and text of its error; ``None`` without one.
        calls: its LLM calls in packed form.
        usage: its tokens, as in the receipt.
        writes: pairs of outer state key and value.
        goto: the nodes it wants the outer graph to go to next.
        final_action: what it would do next.
        facts: what was noted about its calls, for the receipt's warnings.
        fingerprint: equal for rollouts that came out the same; ``None`` for one that is unlike all others.
        end: how it ended.
        store: its writes to the long-term store.
        token: reopens its environment; ``None`` without one.
        wave: the wave in which it was started, from 0; left out in the first.
        stopped: why rollouts were cancelled; in the record of a cancelled rollout, and of the last that ended before.
    """

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
    wave: NotRequired[int]
    stopped: NotRequired[Stopped]


def was_cancelled(record: Record) -> bool:
    """Whether the rollout was stopped early because enough was known. It is no candidate, but did not fail either."""
    return record["end"]["kind"] == "cancelled"


def asked_a_model(record: Record) -> bool:
    """Whether a call of a model was seen in the rollout, also one that failed or does not count.

    Records of earlier versions do not tell about failed calls; for them the answer is yes.
    """
    return bool(record["facts"].get("asked", True) or record["calls"])


def writes_of(record: Record) -> list[tuple[str, Any]]:
    """Return all writes of a rollout, also those of the step in which it stopped."""
    return [(key, value) for key, value in (*record["writes"], *record["end"].get("open", ()))]


def merged(old: list[Record], new: list[Record]) -> list[Record]:
    """Join two lists of records. Of two records with one index the newer replaces the older."""
    return list({record["index"]: record for record in [*old, *new]}.values())


def total(usages: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Add up the usages of several attempts or rollouts."""
    names = dict.fromkeys(name for usage in usages for name in usage)
    return {name: sum([usage.get(name, 0) for usage in usages]) for name in names}


def usage_of(calls: Sequence[Call]) -> dict[str, int]:
    """Add up the tokens of all calls, as far as the provider reported them.

    Answers from an LLM cache cost nothing: their tokens are in ``cached_answer_tokens`` alone, which is left out where
    no cache answered. ``cached_tokens`` are something else: prompt tokens that the provider had cached, and charges.
    """
    made = [call for call in calls if not call.from_cache]
    usage = {
        "prompt_tokens": sum([call.prompt_tokens or 0 for call in made]),
        "cached_tokens": sum([call.cached_tokens or 0 for call in made]),
        "generated_tokens": sum([call.generated for call in made]),
    }
    if len(made) < len(calls):
        usage["cached_answer_tokens"] = sum((call.tokens or 0) + call.beside for call in calls if call.from_cache)
    return usage
