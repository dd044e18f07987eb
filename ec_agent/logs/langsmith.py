"""Reads runs exported from LangSmith, one JSON object each. A trace is a rollout, and its ``llm`` runs are the calls.

Exports have runs in any order. So calls are kept on disk until the file has been read. They are then sorted by the time
they started: by the last part of ``dotted_order``, which begins with that time, or else by ``start_time``. Runs of the
same example of a dataset (``reference_example_id``) are rollouts of one task.

A call that failed or never ended is skipped, as during capture. A trace whose root run failed is not a candidate. If a
call has several generations, the first one is used, because the agent went on with it.

LangSmith has two APIs for runs. The newer one (``client.runs.query``) writes types and statuses in upper case, and
of each run only the fields that were selected.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ec_agent.capture.shapes import call_of, get, listed
from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.dropping import why_none
from ec_agent.logs.outputs import payload_of_outputs
from ec_agent.logs.source import Source, Trouble, first_keys, values
from ec_agent.logs.spool import Spool
from ec_agent.numbers.signals import ENTROPY, SURPRISAL
from ec_agent.numbers.trajectory import Call

_HINT = (
    "give runs as LangSmith's API returns them, one JSON each; of `client.runs.query` select at least ID, TRACE_ID, "
    "RUN_TYPE, STATUS, ERROR, DOTTED_ORDER and OUTPUTS"
)
_ENDED, _LACKING, _RECORD = "ended", "lacking", "record"  # notes


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    """Keep the calls of all runs on disk first, because a trace is complete only at the end of the file."""
    with Spool() as spool:
        for where, run, _ in values(source, trouble):
            if not isinstance(run, Mapping) or not (trace := _trace(run)):
                trouble(where, f"is not a run with a trace_id; {_HINT}")
                continue
            if (task := run.get("reference_example_id")) is not None:
                spool.name_task(trace, str(task))
            if str(run.get("id")) == trace:  # the root run has the id of the trace
                spool.note(trace, _RECORD, json.dumps(_facts(run, source), default=str))
                if _failed(run):
                    spool.note(trace, _ENDED, " ".join(str(run.get("error")).split())[:80])
            if _word(run, "run_type") != "llm":
                continue
            try:
                call = _call(run, source)
            except ODD as error:
                trouble(where, f"has outputs that cannot be read ({type(error).__name__}: {error})")
                continue
            if call is None:
                continue
            spool.add(trace, _start(run), call)
            if call.capability == "none" and (lacking := _why_none(run)) is not None:
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
    facts = {name: run.get(name) for name in ("name", "session_id", "project_id", "tags", "reference_example_id")}
    try:
        metadata = _metadata(run, source)
        return {**facts, "metadata": metadata, "extra": {"metadata": metadata}}
    except ODD:
        return facts


def _why_none(run: Mapping[str, Any]) -> str | None:
    if run.get("outputs") is None and not run.get("error"):
        return "its LLM runs have no outputs in this export; select OUTPUTS, too"
    return why_none(run)


def _metadata(run: Mapping[str, Any], source: Source) -> Any:
    """Return what the user wrote beside a run. The newer API has it in a field of its own, too."""
    return get(_plain(run.get("extra"), source), "metadata") or _plain(run.get("metadata"), source)


def _trace(run: Mapping[str, Any]) -> str | None:
    """Return the id of a run's trace, which is that of its root run. ``None`` if the run does not tell it."""
    if trace := run.get("trace_id"):
        return str(trace)
    if len(root := str(run.get("dotted_order") or "").partition(".")[0].partition("Z")) == 3 and root[2]:
        return root[2]
    if parents := listed(run.get("parent_run_ids")):
        return str(parents[0])
    return str(run["id"]) if run.get("id") and not run.get("parent_run_id") else None


def _word(run: Mapping[str, Any], name: str) -> str:
    return str(run.get(name)).lower()


def _failed(run: Mapping[str, Any]) -> bool:
    return bool(run.get("error")) or _word(run, "status") == "error"


def _call(run: Mapping[str, Any], source: Source) -> Call | None:
    """Make the call of an ``llm`` run. ``None`` if the run failed or was killed before any token came."""
    payload = payload_of_outputs(_plain(run.get("outputs"), source))
    if _failed(run) or _word(run, "status") == "pending":  # a run that was killed stays pending
        if not payload.entries and not payload.tokens:
            return None
        payload = replace(payload, partial=True)
    node = get(_metadata(run, source), "langgraph_node")
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
