"""Reads logs of Inspect (inspect_ai), ``.eval`` and ``.json``. A sample is a task, and each epoch of it is a rollout.

The calls are the model events of the agent, in order (``inspect_events``). If a log has no events, the sample's last
output is the only call. A sample that ended in an error is not a candidate, and is skipped.
"""

from __future__ import annotations

import itertools
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from math import isfinite
from typing import Any

from ec_agent.capture.shapes import call_of, get, listed, payload_of_response
from ec_agent.capture.shapes.values import count
from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.bounds import BoundError, Bounds
from ec_agent.logs.inspect_events import of_the_agent
from ec_agent.logs.source import Source, Trouble, elements, first_keys
from ec_agent.numbers.signals import ENTROPY, SURPRISAL
from ec_agent.numbers.trajectory import Call, Trajectory

if sys.version_info >= (3, 14):
    import zipfile

    from compression import zstd
else:  # Inspect compresses with Zstandard, which the standard library of older Pythons lacks
    from backports import zstd
    from backports.zstd import zipfile

# These mean that the file is damaged, encrypted, or packed in an unknown way.
_NOT_UNPACKED = (zipfile.BadZipFile, RuntimeError, EOFError, OSError, zlib.error, zstd.ZstdError)
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_ZSTANDARD)
# Bytes of the packed file that are unpacked at a time. If all were unpacked at once, a hostile file could fill the
# memory before zipfile compares the size with the one that the file claims.
_PIECE = 4096
_ZIP = b"PK\x03\x04"
_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # Inspect's grades: correct, partial, incorrect, no answer


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    samples = _of_zip if source.head(len(_ZIP)) == _ZIP else _of_json
    for where, sample in samples(source, trouble):
        try:
            if (error := get(sample, "error")) is not None:
                said = " ".join(str(get(error, "message") or error).split())[:80]
                trouble(where, f"ended in an error ({said}), so it is no candidate")
                continue
            yield _rollout(sample)
        except ODD as error:
            trouble(where, f"is not a sample that can be read ({type(error).__name__}: {error})")


def _of_zip(source: Source, trouble: Trouble) -> Iterator[tuple[str, Any]]:
    """Yield the samples of an ``.eval`` file, which is a ZIP archive with one JSON file per sample."""
    try:
        with zipfile.ZipFile(source.path) as archive:
            for name in archive.namelist():
                if name.startswith("samples/") and name.endswith(".json"):
                    where = f"{source.label}, {name}"
                    try:
                        sample = source.bounds.parsed(_unpacked(archive, name, source.bounds))
                    except BoundError as error:
                        trouble(where, str(error))
                    except (ValueError, RecursionError) as error:
                        trouble(where, f"is not JSON ({error})")
                    except _NOT_UNPACKED as error:
                        trouble(where, f"cannot be unpacked ({error})")
                    else:
                        yield where, sample
                    source.advance(archive.getinfo(name).compress_size)
    except _NOT_UNPACKED as error:
        trouble(source.label, f"is not a complete .eval file ({error}); check that its run has ended")


def _unpacked(archive: Any, name: str, bounds: Bounds) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type not in _PACKED:
        raise zipfile.BadZipFile("no log of Inspect is packed in this way; pack it again with deflate or Zstandard")
    bounds.check_size(info.file_size, info.compress_size)
    with archive.open(info) as packed:  # zipfile raises if it unpacks to more than this size
        return b"".join(iter(lambda: packed.read(_PIECE), b""))


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
