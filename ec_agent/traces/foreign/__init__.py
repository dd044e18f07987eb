"""Logs of others as rollouts that can be scored: one reader a file, one registry, memory for one record at a time.

source        bytes, lines and large JSON documents as streams of values
base          what a reader is, and what it finds
responses     saved responses, messages, entropies
langsmith     exported runs; ``spool`` puts them in order
inspect_log   Inspect's logs
reference     the reference code's entropy_results.jsonl
own           our trace files
"""

from __future__ import annotations

from collections.abc import Iterator

from ec_agent.errors import LogprobsError
from ec_agent.traces.foreign import inspect_log, langsmith, own, reference, responses
from ec_agent.traces.foreign.base import Found, Reader
from ec_agent.traces.foreign.source import Source, Trouble, opened

__all__ = ["READERS", "Found", "Reader", "Source", "Trouble", "found_in", "opened"]

READERS: tuple[Reader, ...] = (own.READER, inspect_log.READER, langsmith.READER, reference.READER, responses.READER)
"""In the order in which they are asked whether they know a file; the last knows all."""


def found_in(source: Source, trouble: Trouble, format: str | None = None) -> Iterator[Found]:
    """The rollouts in a file, one at a time.

    Args:
        source: the file.
        trouble: called with the place and the fault of each record that cannot be read; it is left out.
        format: name of the reader; ``None`` to look at the file.

    Raises:
        LogprobsError: there is no such reader.
        TraceError: a trace file cannot be used.
    """
    reader = next((r for r in READERS if (r.knows(source) if format is None else r.name == format)), None)
    if reader is None:
        raise LogprobsError(f"unknown format {format!r}; the formats are {', '.join(r.name for r in READERS)}")
    return reader.read(source, trouble)
