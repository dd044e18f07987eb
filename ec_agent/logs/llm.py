"""Reads the logs of the command ``llm`` (``logs.db``, SQLite). A conversation is a rollout, its answers are the calls.

Version 0.36 has conversations in the table ``threads`` and answers in ``turns``; older ones have ``conversations`` and
``responses``. Both may be in one file. A streamed answer of a completion model is saved in a form of its own: its
logprobs by piece.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ec_agent.capture.shapes import call_of, count, get, listed, payload_of_response
from ec_agent.evaluator import KEPT
from ec_agent.logs.asked import asked_of
from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.source import Source, Trouble
from ec_agent.logs.sqlite_files import database, tables_of
from ec_agent.numbers.trajectory import Call, Trajectory

_TURNS = (
    "SELECT thread_id, id, parent_message_hash, NULL, model, output_tokens, response_json FROM turns "
    "ORDER BY thread_id, id"
)
_RESPONSES = (
    "SELECT conversation_id, id, NULL, coalesce(system, '') || char(10) || coalesce(prompt, ''), model, {tokens}, "
    "response_json FROM responses ORDER BY conversation_id, id"
)
_HINT = (
    "has no logprobs. llm asks completion models alone for them (-o logprobs 5), and leaves those of streamed chat "
    "answers out; record the answers with a TraceStore instead"
)


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    tables = tables_of(source)
    queries = [_TURNS] if "response_json" in tables.get("turns", ()) else []
    if "response_json" in tables.get("responses", ()):
        counted = "output_tokens" in tables["responses"]
        queries.append(_RESPONSES.format(tokens="output_tokens" if counted else "NULL"))
    with database(source) as file:
        for query in queries:
            for name, rows in itertools.groupby(file.rows(query), key=lambda row: row[0]):
                yield from _rollout(str(name), rows, source, trouble)


def _rollout(name: str, rows: Iterator[tuple[Any, ...]], source: Source, trouble: Trouble) -> Iterator[Found]:
    calls: list[Call] = []
    asked: list[str | None] = []
    models: list[Any] = []
    for _, answer, digest, prompt, model, tokens, text in rows:
        models.append(model)
        asked.append(digest or asked_of({"prompt": prompt}))
        try:
            calls.append(_call(source.bounds.parsed(text) if text else {}, tokens))
        except ODD as error:
            trouble(f"{source.label}, answer {answer}", f"cannot be read ({type(error).__name__}: {error})")
    if calls:
        trajectory = Trajectory(calls)
        lacking = None if trajectory.scored_tokens else _HINT
        record = {"conversation_id": name, "model": models[0]}
        yield Found(name, trajectory, lacking=lacking, asked=asked[0], record=record)


def _call(answer: Any, tokens: Any) -> Call:
    payload = payload_of_response(_joined(answer))
    return call_of(payload if payload.tokens else replace(payload, tokens=count(tokens)), KEPT)


def _joined(answer: Any) -> Any:
    """Return a streamed answer, saved by piece, in the form of a whole one; other answers unchanged."""
    pieces = listed(get(answer, "logprobs"))
    if not pieces or get(answer, "choices") is not None:
        return answer
    rows = [(get(piece, "text"), row) for piece in pieces for row in listed(get(piece, "top_logprobs"))]
    logprobs = {
        "tokens": [text for text, _ in rows],
        "token_logprobs": [row.get(text) if isinstance(row, Mapping) else None for text, row in rows],
        "top_logprobs": [row for _, row in rows],
    }
    return {**answer, "choices": [{"text": get(answer, "content"), "logprobs": logprobs}]}


def _knows(source: Source) -> bool:
    tables = tables_of(source)
    return "_llm_migrations" in tables or {"conversation_id", "response_json"} <= tables.get("responses", set())


READER = Reader(
    knows=_knows,
    read=_read,
)
