"""The bytes of a chat completion -> centroid."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from benchmarks import baseline
from benchmarks.data import completion_of, drawn_logprobs
from benchmarks.harness import Case, at_least, at_most
from ec_agent.evaluator import trajectory_of


class Candidate(msgspec.Struct, gc=False):
    """As little as there can be of a candidate."""

    logprob: float


class Token(msgspec.Struct, gc=False):
    """As little as there can be of a token."""

    logprob: float
    top_logprobs: list[Candidate]


class Logprobs(msgspec.Struct):
    """Of a choice."""

    content: list[Token]


class Choice(msgspec.Struct):
    """Of a completion."""

    logprobs: Logprobs


class Completion(msgspec.Struct):
    """As little as there can be of a completion."""

    choices: list[Choice]


def cases() -> Iterator[Case]:
    """At 2,000 and at 32,000 tokens."""
    for name, tokens, goal in (("2k", 2_000, 7.5), ("32k", 32_000, 15)):
        yield _case(f"JSON bytes to centroid, {name} tokens", completion_of(drawn_logprobs(tokens)), tokens, goal)


def _case(name: str, body: bytes, tokens: int, goal: float) -> Case:
    decode = msgspec.json.Decoder(Completion).decode
    return Case(
        name,
        {
            "baseline": lambda: baseline.centroid_of_json(body),
            "ours": lambda: trajectory_of(body).centroid(),
            "typed decoding alone": lambda: decode(body),
        },
        [at_least("baseline", "ours", goal), at_most("ours", "typed decoding alone", 1.7)],
        per=tokens,
    )
