"""Runs exported from LangSmith, one JSON object a run: a trace is a rollout, its ``llm`` runs are the calls.

They may come in any order, as exports do: calls wait on disk until the file has been read, and are put in call-start
order by the last part of ``dotted_order``, which begins with the run's own start, else by ``start_time``. Repetitions
of a dataset's example (``reference_example_id``) are rollouts of one task.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ec_agent.capture.shapes import (
    Payload,
    call_of,
    get,
    listed,
    merge_payloads,
    payload_of_message,
    payload_of_response,
)
from ec_agent.signals import ENTROPY, SURPRISAL
from ec_agent.traces.foreign.base import ODD, Found, Reader
from ec_agent.traces.foreign.source import Source, Trouble, first_keys, values
from ec_agent.traces.foreign.spool import Spool


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    with Spool() as spool:
        for where, run, _ in values(source, trouble):
            if not isinstance(run, Mapping) or not (trace := run.get("trace_id") or run.get("id")):
                trouble(where, "is no run with a trace_id; give runs as LangSmith's API returns them, one JSON each")
                continue
            if (task := run.get("reference_example_id")) is not None:
                spool.name_task(str(trace), str(task))
            if run.get("run_type") != "llm":
                continue
            try:
                call = call_of(_payload(_plain(run.get("outputs"), source)), (ENTROPY, SURPRISAL))
                node = get(_plain(run.get("extra"), source), "metadata", "langgraph_node")
            except ODD as error:
                trouble(where, f"has outputs that cannot be read ({type(error).__name__}: {error})")
                continue
            spool.add(str(trace), _start(run), replace(call, node=node if isinstance(node, str) else None))
        for trace, task_of_it, trajectory in spool.rollouts():
            yield Found(trace, trajectory, task_of_it)


def _start(run: Mapping[str, Any]) -> str:
    return str(run.get("dotted_order") or "").rpartition(".")[2] or str(run.get("start_time") or "")


def _plain(value: Any, source: Source) -> Any:
    # Tables of runs have their JSON as text.
    return source.bounds.parsed(value) if isinstance(value, str) and value else value


def _payload(outputs: Any) -> Payload:
    generations = [one for prompt in listed(get(outputs, "generations")) for one in _listed(prompt)]
    messages = [message for one in generations if (message := _message(one)) is not None]
    if messages:
        return merge_payloads([payload_of_message(message, info) for message, info in messages])
    answer = get(outputs, "message") or next(iter(listed(get(outputs, "messages"))), None)
    if answer is not None:
        return payload_of_message(get(answer, "kwargs") or answer)
    return payload_of_response(outputs or {})  # of a wrapped openai client


def _listed(prompt: Any) -> list[Any]:
    return listed(prompt) or ([prompt] if isinstance(prompt, Mapping) else [])


def _message(generation: Any) -> tuple[Any, Any] | None:
    info, message = get(generation, "generation_info"), get(generation, "message")
    if message is not None:
        return get(message, "kwargs") or message, info
    # A completion model's: the logprobs are beside the text.
    return ({"content": get(generation, "text")}, info) if get(generation, "text") is not None else None


READER = Reader(
    name="langsmith",
    looks="runs exported from LangSmith, JSONL or a JSON array",
    knows=lambda source: "run_type" in itertools.islice(first_keys(source), 100),
    read=_read,
)
