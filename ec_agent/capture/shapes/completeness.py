"""Tells whether a streamed answer is complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ec_agent.capture.shapes.end_reasons import all_say_so
from ec_agent.capture.shapes.streamed_answers import payload_of_stream, stream_content
from ec_agent.capture.shapes.usage import thought_in, usage_in
from ec_agent.capture.shapes.values import get, listed


def finished(chunks: Sequence[Any], marked: bool = False) -> bool:
    """Tell whether a streamed answer is complete.

    It is, if one of these came: a reason why it ended (``finish_reason``), the mark ``[DONE]``, or a usage at the end
    that counts as many tokens as came. ``True`` also if no part came at all.

    Args:
        chunks: the chunks or events that came.
        marked: whether ``[DONE]`` came after them.
    """
    return marked or not chunks or all_say_so(chunks) or _all_counted(chunks)


def _all_counted(chunks: Sequence[Any]) -> bool:
    """Tell whether a usage at the end of the stream counts the tokens that came.

    A usage that comes with each part, as a running total, always does; it says nothing about the end.
    """
    with_usage = [chunk for chunk in chunks if usage_in(chunk)]
    if not with_usage:
        return False
    stream = stream_content(chunks)
    telling = [told for told in stream.usages.told if told.generated]
    if not telling:
        return False
    running = sum(told.speaks for told in telling) > 1
    alone = not listed(get(with_usage[-1], "choices"))
    if not alone and (running or (telling[-1].speaks and stream.usages.spoken < 2)):
        return False
    payload = payload_of_stream(chunks)
    each = [alternative.payload for alternative in payload.alternatives] or [payload]
    came = sum(entry is not None for one in each for entry in one.entries) + max(stream.mute, 0)
    if not any(_thinks(choice) for chunk in chunks for choice in listed(get(chunk, "choices"))):
        came += thought_in(stream.usages.total(came))
    # The end token of each answer may have no entry.
    return payload.tokens is not None and came >= payload.tokens + payload.beside - len(each)


def _thinks(choice: Any) -> bool:
    delta = get(choice, "delta")
    return bool(get(delta, "reasoning_content") or get(delta, "reasoning"))
