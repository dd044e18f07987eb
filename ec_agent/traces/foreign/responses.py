"""Saved responses of OpenAI and others, messages, bare entropies: whatever ``trajectory_of`` reads, one a record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ec_agent.capture.shapes import get
from ec_agent.evaluator import trajectory_of
from ec_agent.traces.foreign.base import ODD, Found, Reader
from ec_agent.traces.foreign.source import Source, Trouble, values
from ec_agent.trajectory import Trajectory

_NUMBER = int | float | None


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    for place, (where, record, _) in enumerate(values(source, trouble)):
        named = get(record, "custom_id") or get(record, "id")
        name = str(place) if named is None else str(named)
        answer = _unwrapped(record)
        try:
            choices = get(answer, "choices")
            if isinstance(choices, list) and len(choices) > 1:  # alternatives, each a rollout; usage is their sum
                for number, choice in enumerate(choices):
                    alone = {"model": get(answer, "model"), "choices": [choice]}
                    yield Found(f"{name} choice {number}", _trajectory(alone))
            else:
                yield Found(name, _trajectory(answer))
        except ODD as error:
            trouble(where, f"cannot be read: {error}")


def _unwrapped(record: Any) -> Any:
    """The answer in a line of a Batch API output file; anything else as it is."""
    body = get(record, "response", "body")
    return record if body is None else body


def _trajectory(record: Any) -> Trajectory:
    if isinstance(record, dict) and "entropies" in record:
        record = record["entropies"]
    if isinstance(record, list) and record:
        if all(isinstance(item, _NUMBER) for item in record):
            return Trajectory.from_entropies(record)
        if all(isinstance(item, list) for item in record):
            return Trajectory.from_entropies(*record)
        if all(isinstance(item, dict) and "entropies" in item for item in record):
            return Trajectory.from_entropies(*(item["entropies"] for item in record))
    return trajectory_of(record)


READER = Reader(
    name="responses",
    looks="JSON or JSONL: OpenAI's responses (Ollama's, Gemini's, llama.cpp's), Batch API output, messages, entropies",
    knows=lambda source: True,
    read=_read,
)
