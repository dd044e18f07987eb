"""Reads one saved conversation: an array of messages, or messages one a line. All of it is one rollout.

A file of answers alone is no conversation: these may be answers to one question (``responses``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ec_agent.errors import LogprobsError
from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.messages import LOOKED_AT, begins_again, is_conversation
from ec_agent.logs.responses import found_within
from ec_agent.logs.source import Source, Trouble, first_values, layout_of, values


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    messages: list[Any] = []
    size = 0
    for each in values(source, trouble):
        size += each.size
        try:
            source.bounds.check_size(size)
        except ODD as error:
            trouble(each.where, str(error))
            return
        messages.append(each.value)
    if begins := begins_again(messages):
        raise LogprobsError(
            f"{source.label} holds several conversations: message {begins} is a system message once more, after an "
            "answer. Give each conversation an array of its own in a line, or --format responses to score each answer"
        )
    try:
        yield from (replace(found, line=False) for found in found_within("0", messages, source.bounds))
    except ODD as error:
        trouble(source.label, f"cannot be read: {error}")


def _knows(source: Source) -> bool:
    if layout_of(source) not in ("array", "lines"):
        return False
    return is_conversation(list(itertools.islice(first_values(source), LOOKED_AT)))


READER = Reader(
    knows=_knows,
    read=_read,
)
