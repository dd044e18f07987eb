"""Anthropic's Messages API, version 2023-06-01: it has no logprobs at all."""

from __future__ import annotations

from typing import Any

from said import Turn
from wire import Asked, Reply, as_json, as_typed_events


def messages(turn: Turn, asked: Asked) -> Reply:
    blocks: list[dict[str, Any]] = []
    if turn.thinking:
        blocks.append({"type": "thinking", "thinking": turn.thought, "signature": "none"})
    if turn.content:
        blocks.append({"type": "text", "text": turn.text})
    if turn.call:
        blocks.append({"type": "tool_use", "id": "toolu_1", "name": turn.name, "input": turn.arguments})
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": blocks,
        "stop_reason": "tool_use" if turn.call else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": len(turn.tokens)},
    }
    if not asked.streamed:
        return as_json(whole)
    started = {**whole, "content": [], "stop_reason": None, "usage": {"input_tokens": 7, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": started}]
    for index, block in enumerate(blocks):
        events += _block(index, block, turn)
    events += [
        {
            "type": "message_delta",
            "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
            "usage": {"output_tokens": len(turn.tokens)},
        },
        {"type": "message_stop"},
    ]
    return as_typed_events(events)


def _block(index: int, block: dict[str, Any], turn: Turn) -> list[dict[str, Any]]:
    empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
    delta = {
        "text": {"type": "text_delta", "text": turn.text},
        "thinking": {"type": "thinking_delta", "thinking": turn.thought},
        "tool_use": {"type": "input_json_delta", "partial_json": turn.encoded_arguments},
    }[block["type"]]
    return [
        {"type": "content_block_start", "index": index, "content_block": {**block, **empty[block["type"]]}},
        {"type": "content_block_delta", "index": index, "delta": delta},
        {"type": "content_block_stop", "index": index},
    ]
