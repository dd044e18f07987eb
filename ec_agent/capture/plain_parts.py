"""Turns streamed parts into plain dicts before they are kept, to save the time of the garbage collector.

The client makes about sixty objects of the logprobs of each token with 20 candidates. As long as they are kept, the
garbage collector visits all of them many times. That cost more time than making them. It does not visit plain dicts
that hold only texts and numbers.
"""

from __future__ import annotations

from typing import Any

from ec_agent.capture.shapes.json_parts import packed
from ec_agent.capture.shapes.repeated_candidates import NUMBERS


def light(chunk: Any) -> Any:
    """Return a part as dicts, which ``shapes.get`` reads like objects. Other values are returned unchanged."""
    try:
        return {**_fields(chunk), "choices": [_choice(choice) for choice in chunk.choices]}
    except (AttributeError, TypeError):
        return chunk


def _choice(choice: Any) -> dict[str, Any]:
    fields = _fields(choice)
    if fields.get("logprobs") is not None:
        held = _fields(fields["logprobs"]).items()
        fields["logprobs"] = {name: list(map(_entry, v)) if type(v) is list else v for name, v in held}
    return fields


def _entry(entry: Any) -> Any:
    try:
        tops = entry.top_logprobs
        if type(tops) is not list:
            return entry
        candidates = [_candidate(candidate) for candidate in tops]
        own = {"token": entry.token, "logprob": entry.logprob, "bytes": packed(entry.bytes)}
        return {**own, "top_logprobs": candidates}
    except AttributeError:
        return entry


def _candidate(candidate: Any) -> dict[str, Any]:
    kept = {"token": candidate.token, "logprob": candidate.logprob, "bytes": packed(candidate.bytes)}
    extra = candidate.model_extra
    return {**kept, **{name: extra[name] for name in NUMBERS if name in extra}} if extra else kept


def _fields(model: Any) -> dict[str, Any]:
    return {**vars(model), **(model.model_extra or {})}
