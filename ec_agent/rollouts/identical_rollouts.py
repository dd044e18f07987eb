"""Find rollouts that repeat an earlier one, and the likely cause: nothing is gained by choosing among copies."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

from ec_agent.errors import IdenticalRolloutsWarning
from ec_agent.rollouts.record import Record, asked_a_model

NEARLY_CERTAIN = "the model is nearly certain here, or it does not sample; a higher temperature spreads the rollouts"


def identical_to(fingerprints: Mapping[int, str | None]) -> list[int | None]:
    """Return for each rollout the lowest index of an earlier one with the same fingerprint; ``None`` without one."""
    first: dict[str, int] = {}
    same: list[int | None] = []
    for index, mark in fingerprints.items():
        same.append(None if mark is None or mark not in first else first[mark])
        if mark is not None:
            first.setdefault(mark, index)
    return same


def likely_cause(facts: Sequence[Mapping[str, Any]], *, cached: bool) -> str | None:
    """Return why rollouts may have the same result, judged by their calls; ``None`` if no cause is visible.

    Args:
        facts: the facts of each rollout that ended.
        cached: whether a rollout that repeats another got all its answers from an LLM cache.
    """
    if cached:
        return "an LLM cache answered; switch it off for these rollouts (cache=False on the model)"
    temperatures = {t for fact in facts for t in fact["temperatures"]}
    if temperatures == {0} or temperatures == {0.0}:
        return "the temperature is 0; set it to 0.7 or more, or pass sampling=lambda i: {'temperature': 0.8}"
    seeds = [tuple(fact["seeds"]) for fact in facts]
    if any(seeds) and len(set(seeds)) == 1:
        return "all rollouts use the same seed; pass sampling=lambda i: {'seed': i}"
    return None


def identical_note(records: Sequence[Record], same: Sequence[int | None]) -> list[str]:
    """Warn that rollouts repeat one another, with the likely cause, and return the sentence for the receipt.

    Args:
        records: those of all rollouts that were not cancelled.
        same: for each of them what ``identical_to`` says.
    """
    # Rollouts without a model call are left out: without a model they have no way to differ.
    asked = [record["error"] is None and asked_a_model(record) for record in records]
    ended = list(compress(records, asked))
    copies = sum(earlier is not None for earlier in compress(same, asked))
    if not copies:
        return []
    cause = likely_cause([record["facts"] for record in ended], cached=_from_a_cache(records, same))
    note = f"{copies} of {len(ended)} rollouts repeat an earlier one: {cause or NEARLY_CERTAIN}"
    if cause or copies == len(ended) - 1:
        warnings.warn(note, IdenticalRolloutsWarning, stacklevel=2)
    return [note]


def _from_a_cache(records: Sequence[Record], same: Sequence[int | None]) -> bool:
    """Whether a rollout that repeats another got all its answers from an LLM cache."""
    repeats = [record["calls"] for place, record in enumerate(records) if same[place] is not None]
    return any(calls and all(call.get("from_cache") for call in calls) for calls in repeats)
