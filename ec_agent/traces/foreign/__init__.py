"""Reads logs of other tools as rollouts that can be scored. One record of a file is in memory at a time.

source        reads files, lines and large JSON documents as a stream of JSON values
bounds        limits for the depth and the size of a record
splitting     splits a large JSON document into the elements of an array
base          the interface of a reader, and what it finds
responses     saved responses, messages, entropies
nested        finds answers anywhere in a record
langsmith     runs exported from LangSmith
spool         keeps calls on disk until the calls of a rollout are complete
inspect_log   logs of Inspect
reference     entropy_results.jsonl of the method's reference code
own           our own trace stores
dropping      tools that leave logprobs out of what they write
"""

from __future__ import annotations

from collections.abc import Iterator

from ec_agent.errors import LogprobsError
from ec_agent.traces.foreign import inspect_log, langsmith, own, reference, responses
from ec_agent.traces.foreign.base import Found, Reader
from ec_agent.traces.foreign.source import Source, Trouble, opened

__all__ = ["READERS", "Found", "Reader", "Source", "Trouble", "found_in", "opened"]

READERS: tuple[Reader, ...] = (own.READER, inspect_log.READER, langsmith.READER, reference.READER, responses.READER)
"""The readers, in the order in which they are tried. The last one accepts every file."""


def found_in(source: Source, trouble: Trouble, format: str | None = None) -> Iterator[Found]:
    """Read the rollouts in a file, one at a time.

    Args:
        source: the file.
        trouble: called for each record that cannot be read, with its place and what is wrong. The record is skipped.
        format: name of the reader. ``None`` means to recognise the format from the content.

    Raises:
        LogprobsError: there is no reader of that name.
        TraceError: the file is a trace store, but cannot be read.
    """
    reader = next((r for r in READERS if (r.knows(source) if format is None else r.name == format)), None)
    if reader is None:
        raise LogprobsError(f"unknown format {format!r}; the formats are {', '.join(r.name for r in READERS)}")
    return reader.read(source, trouble)
