"""Reads logs of Inspect (inspect_ai), ``.eval`` and ``.json``. A sample is a task, and each epoch of it is a rollout.

The calls are the model events of the agent, in order (``inspect_events``). If a log has no events, the sample's last
output is the only call. A sample that ended in an error is not a candidate, and is skipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from math import isfinite
from typing import Any

from ec_agent.capture.shapes import call_of, get, listed, payload_of_response
from ec_agent.capture.shapes.values import count
from ec_agent.errors import ConfigError
from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.inspect_events import of_the_agent
from ec_agent.logs.source import Source, Trouble, elements, first_keys
from ec_agent.numbers.signals import ENTROPY, SURPRISAL
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.support.extras import installing

_ZIP = b"PK\x03\x04"
_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # Inspect's grades: correct, partial, incorrect, no answer


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    packed = source.head(len(_ZIP)) == _ZIP
    for where, sample in _of_zip(source, trouble) if packed else _of_json(source, trouble):
        try:
            if (error := get(sample, "error")) is not None:
                said = " ".join(str(get(error, "message") or error).split())[:80]
                trouble(where, f"ended in an error ({said}), so it is no candidate")
                continue
            yield _rollout(sample)
        except ODD as error:
            trouble(where, f"is not a sample that can be read ({type(error).__name__}: {error})")


def _of_zip(source: Source, trouble: Trouble) -> Iterator[tuple[str, Any]]:
    """Yield the samples of an ``.eval`` file.

    Raises:
        ConfigError: what unpacks Zstandard is missing. Who has Inspect has click and rich, and so our command, too.
    """
    try:
        from ec_agent.logs.inspect_zip import samples_of
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "backports":
            raise
        hint = f"install it ({installing('ec-agent[cli]')}), or save the log as .json (`inspect log convert`)"
        raise ConfigError(f"{source.label} is packed with Zstandard, which needs backports.zstd; {hint}") from error
    return samples_of(source, trouble)


def _of_json(source: Source, trouble: Trouble) -> Iterator[tuple[str, Any]]:
    return ((each.where, each.value) for each in elements(source, "samples", trouble))


def _rollout(sample: Any) -> Found:
    task = str(sample["id"])
    return Found(
        name=f"{task} epoch {sample.get('epoch', 1)}",
        trajectory=Trajectory(list(_calls(sample))),
        task=task,
        outcome=next(
            (grade for score in (sample.get("scores") or {}).values() if (grade := _grade(score)) is not None), None
        ),
        record={name: sample.get(name) for name in ("id", "epoch", "metadata")},
    )


def _calls(sample: Any) -> Iterator[Call]:
    events = listed(sample.get("events"))
    if not any(event.get("event") == "model" for event in events):
        if get(sample, "output", "choices"):
            yield _call(sample["output"])
        return
    pool = listed(get(sample, "events_data", "messages"))
    for event in of_the_agent(events, listed(sample.get("messages")), pool):
        call = _call(event["output"], count(get(event, "config", "top_logprobs")))
        yield replace(call, started=_seconds(event.get("timestamp")), ended=_seconds(event.get("completed")))


def _call(output: Any, top_k: int | None = None) -> Call:
    payload = payload_of_response(output)  # the first answer, with which the agent went on
    return call_of(replace(payload, top_k=top_k), (ENTROPY, SURPRISAL))


def _grade(score: Any) -> float | None:
    value = get(score, "value")
    if isinstance(value, str):
        return _GRADES.get(value)
    return float(value) if isinstance(value, int | float) and isfinite(value) else None  # NaN means "not scored"


def _seconds(moment: Any) -> float | None:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (TypeError, ValueError):
        return None


def _knows(source: Source) -> bool:
    return source.head(len(_ZIP)) == _ZIP or {"eval", "status"} <= set(itertools.islice(first_keys(source), 3))


READER = Reader(
    knows=_knows,
    read=_read,
)
