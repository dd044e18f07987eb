"""Reads runs exported from LangSmith, one JSON object each. A trace is a rollout, and its ``llm`` runs are the calls.

Exports have runs in any order. So calls are kept on disk until the file has been read. They are then sorted by the time
they started: by the last part of ``dotted_order``, which begins with that time, or else by ``start_time``. Runs of the
same example of a dataset (``reference_example_id``) are rollouts of one task.

A call that failed or never ended is skipped, as during capture. A trace whose root run failed is not a candidate. If a
call has several generations, the first one is used, because the agent went on with it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ec_agent.capture.shapes import call_of, get
from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.dropping import why_none
from ec_agent.logs.outputs import payload_of_outputs
from ec_agent.logs.source import Source, Trouble, first_keys, values
from ec_agent.logs.spool import Spool
from ec_agent.numbers.signals import ENTROPY, SURPRISAL
from ec_agent.numbers.trajectory import Call

_ENDED, _LACKING, _RECORD = "ended", "lacking", "record"  # notes


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    """Keep the calls of all runs on disk first, because a trace is complete only at the end of the file."""
    with Spool() as spool:
        for where, run, _ in values(source, trouble):
            if not isinstance(run, Mapping) or not (trace := run.get("trace_id") or run.get("id")):
                trouble(where, "is not a run with a trace_id; give runs as LangSmith's API returns them, one JSON each")
                continue
            trace = str(trace)
            if (task := run.get("reference_example_id")) is not None:
                spool.name_task(trace, str(task))
            if str(run.get("id")) == trace:  # the root run has the id of the trace
                spool.note(trace, _RECORD, json.dumps(_facts(run, source), default=str))
                if _failed(run):
                    spool.note(trace, _ENDED, " ".join(str(run.get("error")).split())[:80])
            if run.get("run_type") != "llm":
                continue
            try:
                call = _call(run, source)
            except ODD as error:
                trouble(where, f"has outputs that cannot be read ({type(error).__name__}: {error})")
                continue
            if call is None:
                continue
            spool.add(trace, _start(run), call)
            if call.capability == "none" and (lacking := why_none(run)) is not None:
                spool.note(trace, _LACKING, lacking)
        for trace, task_of_it, trajectory in spool.rollouts():
            if (said := spool.noted(trace, _ENDED)) is not None:
                trouble(f"{source.label}, trace {trace}", f"ended in an error ({said}), so it is no candidate")
                continue
            lacking = None if trajectory.scored_tokens else spool.noted(trace, _LACKING)
            record = json.loads(spool.noted(trace, _RECORD) or "{}")
            yield Found(trace, trajectory, task_of_it, lacking=lacking, record={**record, "id": trace})


def _facts(run: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """Return what may say of which task a trace is: all of its root run that is short."""
    facts = {name: run.get(name) for name in ("name", "session_id", "tags", "reference_example_id")}
    try:
        return {**facts, "extra": {"metadata": get(_plain(run.get("extra"), source), "metadata")}}
    except ODD:
        return facts


def _failed(run: Mapping[str, Any]) -> bool:
    return bool(run.get("error")) or run.get("status") == "error"


def _call(run: Mapping[str, Any], source: Source) -> Call | None:
    """Make the call of an ``llm`` run. ``None`` if the run failed or was killed before any token came."""
    payload = payload_of_outputs(_plain(run.get("outputs"), source))
    if _failed(run) or run.get("status") == "pending":  # a run that was killed stays pending
        if not payload.entries and not payload.tokens:
            return None
        payload = replace(payload, partial=True)
    node = get(_plain(run.get("extra"), source), "metadata", "langgraph_node")
    return replace(call_of(payload, (ENTROPY, SURPRISAL)), node=node if isinstance(node, str) else None)


def _start(run: Mapping[str, Any]) -> str:
    return str(run.get("dotted_order") or "").rpartition(".")[2] or str(run.get("start_time") or "")


def _plain(value: Any, source: Source) -> Any:
    # In exported tables, these columns hold JSON as text.
    return source.bounds.parsed(value) if isinstance(value, str) and value else value


READER = Reader(
    knows=lambda source: "run_type" in itertools.islice(first_keys(source), 100),
    read=_read,
)
