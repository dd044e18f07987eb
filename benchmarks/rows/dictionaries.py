"""OpenAI-format dictionaries -> centroid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import baseline
from benchmarks.data import drawn_logprobs, entries_of
from benchmarks.harness import Case, at_least, at_most
from ec_agent.capture.shapes import tokens_of
from ec_agent.numbers.entropy import token_entropy
from ec_agent.numbers.phases import entropy_centroid


def cases() -> Iterator[Case]:
    """Without and with the lists of bytes."""
    for name, with_bytes in (("", False), (", with bytes", True)):
        yield _case(
            f"dictionaries to centroid, 2k tokens{name}", entries_of(drawn_logprobs(2_000), with_bytes=with_bytes)
        )


def _case(name: str, entries: Sequence[Mapping[str, Any]]) -> Case:
    def traversal() -> None:
        for entry in entries:
            _ = entry["logprob"], [candidate["logprob"] for candidate in entry["top_logprobs"]]

    return Case(
        name,
        {
            "baseline": lambda: baseline.centroid_of_timeline(baseline.entropies_of_entries(entries)),
            "baseline, an array a token": lambda: baseline.centroid_of_timeline(
                baseline.entropies_by_array(baseline.rows_of_entries(entries))
            ),
            "ours": lambda: entropy_centroid(token_entropy(tokens_of(entries).top)),
            "traversal alone": traversal,
        },
        [
            at_least("baseline", "ours", 9),
            at_least("baseline, an array a token", "ours", 9),
            at_most("ours", "traversal alone", 1.4),
        ],
        per=len(entries),
    )
