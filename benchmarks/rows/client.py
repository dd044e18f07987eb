"""The whole client path: from the request to the entropies in hand and the message delivered.

Against the same client without us, which asks for the same logprobs and makes its objects of them; nothing is then
done with those there. CPU time of the client's process alone: the endpoint is in another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openai import OpenAI

from benchmarks.harness import Arm, Case, at_most
from benchmarks.serving import KINDS, TOKENS, serving
from ec_agent.capture.record_calls import record_calls
from ec_agent.capture.transport import http_client

ASKED: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "hi"}],
    "logprobs": True,
    "top_logprobs": 20,
}
GOALS = {"plain": 0.5, "bytes": 0.35}
BESIDE = 1.5
"""The goal against a client whose answers have no logprobs at all, which is what no reader of them can be below."""


def cases() -> Iterator[Case]:
    """Whole and streamed answers, without and with the lists of bytes."""
    with serving() as url:
        for stream in (False, True):
            for kind in KINDS:
                yield _case(url, kind, stream)


def _case(url: str, kind: str, stream: bool) -> Case:
    here = {"base_url": f"{url}/{kind}/v1", "api_key": "none"}
    plain, below = OpenAI(**here), OpenAI(**here, http_client=http_client())
    none = OpenAI(base_url=f"{url}/none/v1", api_key="none")
    name = f"client path, {'streamed' if stream else 'whole'}, {TOKENS // 1000}k tokens"
    arms = {
        "client alone": lambda: _delivered(plain, stream),
        "ours, below": _recorded(below, stream),
        "ours, objects": _recorded(plain, stream),
        "client, no logprobs": lambda: _delivered(none, stream),
    }
    return Case(
        name + (", with bytes" if kind == "bytes" else ""),
        arms,
        [
            at_most("ours, below", "client alone", GOALS[kind]),
            *([at_most("ours, below", "client, no logprobs", BESIDE)] if stream else []),
        ],
        per=TOKENS,
    )


def _recorded(client: OpenAI, stream: bool) -> Arm:
    def arm() -> None:
        with record_calls() as recorder:
            _delivered(client, stream)
        assert recorder.trajectory().scored_tokens == TOKENS

    return arm


def _delivered(client: OpenAI, stream: bool) -> int:
    """The length of the message."""
    if not stream:
        return len(client.chat.completions.create(**ASKED).choices[0].message.content or "")
    parts = client.chat.completions.create(**ASKED, stream=True)
    return sum(len(choice.delta.content or "") for part in parts for choice in part.choices)
