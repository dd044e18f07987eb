"""A streamed part as it is kept until its answer is over: without the objects that the client makes of logprobs.

With 20 candidates these are some sixty for each token, and the garbage collector visits all that are kept again and
again: that cost more than all that the client does to make them. Plain dicts of text and numbers it leaves alone.
"""

from __future__ import annotations

from typing import Any

from ec_agent.capture.shapes.candidates import NUMBERS


def light(chunk: Any) -> Any:
    """The part as dicts, for ``shapes.get``, which takes keys as attributes; itself, if it is not a client's object."""
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
        own = {"token": entry.token, "logprob": entry.logprob, "bytes": _packed(entry.bytes)}
        return {**own, "top_logprobs": candidates}
    except AttributeError:
        return entry


def _candidate(candidate: Any) -> dict[str, Any]:
    kept = {"token": candidate.token, "logprob": candidate.logprob, "bytes": _packed(candidate.bytes)}
    extra = candidate.model_extra
    return {**kept, **{name: extra[name] for name in NUMBERS if name in extra}} if extra else kept


def _packed(raw: Any) -> Any:
    """A list of bytes as one object: they only tell tokens apart."""
    try:
        return bytes(raw) if type(raw) is list else raw
    except (TypeError, ValueError):
        return raw


def _fields(model: Any) -> dict[str, Any]:
    return {**vars(model), **(model.model_extra or {})}
