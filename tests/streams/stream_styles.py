"""The same answers as streams, in the ways in which servers send them."""

from __future__ import annotations

import codecs
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from stream_answers import CALLS, MODEL, Form, Said, Token, entry, gemini, lists, text_of, usage_of

Kind = Literal["role", "said", "empty", "finish", "usage", "comment", "done"]
Usage = Literal["none", "alone", "in finish", "both", "twice", "every", "zeros"]
Finish = Literal["own", "last", "twice", "none", "with usage"]
Where = Literal["with", "behind", "ahead", "last"]


@dataclass(frozen=True)
class Sent:
    """One piece of a stream.

    Attributes:
        kind: what it is there for.
        body: the chunk; of a comment, its text.
        tokens: those whose logprobs are in it.
        counts: how many of the answer's tokens its text stands for.
    """

    kind: Kind
    body: Any
    tokens: tuple[Token, ...] = ()
    counts: int = 0


@dataclass(frozen=True)
class Style:
    """How a stream is sent.

    Attributes:
        most: tokens a chunk, at most.
        role: whether a chunk with the role alone comes first.
        empties: whether chunks in which nothing is said come in between.
        usage: where it comes.
        finish: where the finish reason comes.
        done: whether ``[DONE]`` comes at the end.
        comments: whether comments keep the connection alive.
        entries: where the logprobs come, as seen from their text.
        cumulative: whether each chunk has all logprobs so far.
        hold: whether a token waits until its character is complete.
        together: whether the alternatives come in one chunk.
        wire: how the lines of an event are written.
    """

    most: int = 1
    role: bool = True
    empties: bool = False
    usage: Usage = "alone"
    finish: Finish = "own"
    done: bool = True
    comments: bool = False
    entries: Where = "with"
    cumulative: bool = False
    hold: bool = False
    together: bool = False
    wire: Literal["usual", "crlf", "no space"] = "usual"


def style(chance: random.Random, form: Form, kind: str) -> Style:
    """A way in which a server of this form may send."""
    odd = chance.random()
    made = Style(
        most=1 if form.bare else chance.choice((1, 1, 1, 2, 4)),
        role=chance.random() < 0.7,
        empties=chance.random() < 0.2,
        usage=chance.choice(("none", "alone", "alone", "in finish", "both", "twice", "every", "zeros")),
        finish=chance.choice(("own", "own", "last", "twice", "none", "with usage")),
        done=chance.random() < 0.85,
        comments=chance.random() < 0.2,
        hold=kind == "characters in parts" and not form.bare and chance.random() < 0.5,
        together=kind == "n = 2" and chance.random() < 0.3,
        wire=chance.choice(("usual", "usual", "usual", "crlf", "no space")),
    )
    if form.bare or form.api != "chat" or kind == "schema":
        return made
    if odd < 0.25:
        return replace(made, entries=chance.choice(("behind", "ahead", "last")))
    return replace(made, cumulative=odd > 0.92)


def streamed(said: Said, how: Style, chance: random.Random) -> list[Sent]:
    """The answer in pieces."""
    if said.form.api == "responses":
        return _events(said, how, chance)
    if said.form.api == "gemini":
        return _gemini(said, how, chance)
    lanes = [_lane(said, place, how, chance) for place in range(len(said.choices))]
    pieces = _interleaved(lanes, how, chance)
    if how.role and said.form.api == "chat":
        deltas = [{"role": "assistant", "content": chance.choice(("", None))} for _ in lanes]
        roles = [_chunk(said, place, delta) for place, delta in enumerate(deltas)]
        pieces = [*(Sent("role", role) for role in roles), *pieces]
    pieces = _ended(pieces, said, how)
    if how.usage in ("every", "zeros"):
        pieces = _counting(pieces, said, how)
    return _with_noise(pieces, said, how, chance)


def _base(said: Said) -> dict[str, Any]:
    legacy = said.form.api == "legacy"
    return {
        "id": "cmpl-1" if legacy else "chatcmpl-1",
        "object": "text_completion" if legacy else "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
    }


def _chunk(
    said: Said, place: int, delta: dict[str, Any], logprobs: Any = None, finish: str | None = None
) -> dict[str, Any]:
    says = {"text": delta.get("content") or ""} if said.form.api == "legacy" else {"delta": delta}
    return {**_base(said), "choices": [{"index": place, **says, "logprobs": logprobs, "finish_reason": finish}]}


def _lane(said: Said, place: int, how: Style, chance: random.Random) -> list[Sent]:
    """What is said in one alternative."""
    groups = list(_groups(said.choices[place], how, chance))
    listed = [[t for t in group if t.listed and not _dropped_by_schema(said, t)] for group in groups]
    if how.entries == "last":
        listed = [[] for _ in groups[:-1]] + [[t for group in listed for t in group]]
    elif how.entries == "behind":
        listed = [[], *listed]
        groups = [*groups, ()]
    elif how.entries == "ahead":
        listed, groups = [*listed, []], [(), *groups]
    pieces, offset, so_far = [], 0, list[Token]()
    deltas = _deltas(said, groups)
    for group, tokens, delta in zip(groups, listed, deltas, strict=True):
        so_far += tokens
        if said.form.api == "legacy":
            logprobs: Any = lists(tokens, said.form, offset)
            offset += sum(len(t.raw.decode()) for t in tokens)
        else:
            logprobs = _logprobs(so_far if how.cumulative else tokens, said.form)
        pieces.append(Sent("said", _chunk(said, place, delta, logprobs), tuple(tokens), len(group)))
    return pieces


def _dropped_by_schema(said: Said, token: Token) -> bool:
    """llama.cpp streams no entries of what the schema's parser takes away."""
    return said.kind == "schema" and token.part == "mark"


def _groups(tokens: Sequence[Token], how: Style, chance: random.Random) -> Iterator[tuple[Token, ...]]:
    """The tokens as they share chunks: those of one part of the answer."""
    group: list[Token] = []
    size = chance.randint(1, how.most)
    for token in tokens:
        apart = group and (token.part, token.call) != (group[-1].part, group[-1].call)
        if group and (apart or (len(group) >= size and not (how.hold and _open_character(group)))):
            yield tuple(group)
            group, size = [], chance.randint(1, how.most)
        group.append(token)
    if group:
        yield tuple(group)


def _open_character(tokens: Sequence[Token]) -> bool:
    try:
        b"".join(t.raw for t in tokens).decode()
    except UnicodeDecodeError:
        return True
    return False


def _deltas(said: Said, groups: Sequence[Sequence[Token]]) -> list[dict[str, Any]]:
    """What each chunk says; a part of a character is said when it is complete."""
    decoders: dict[Any, Any] = {}
    deltas = []
    for group in groups:
        if not group or group[0].part == "mark":
            deltas.append({})
            continue
        part, call = group[0].part, group[0].call
        if part == "name":
            function = {"name": CALLS[call], "arguments": ""}
            header = {"index": call, "id": f"call_{call}", "type": "function", "function": function}
            deltas.append({"tool_calls": [header]})
            continue
        decoder = decoders.setdefault((part, call), codecs.getincrementaldecoder("utf-8")())
        text = decoder.decode(b"".join(t.raw for t in group))
        if part == "call":
            deltas.append({"tool_calls": [{"index": call, "function": {"arguments": text}}]})
        else:
            deltas.append({"content" if part == "content" else said.form.thought: text})
    return deltas


def _logprobs(tokens: Sequence[Token], form: Form) -> Any:
    if not tokens:
        return None
    if form.bare:
        return entry(tokens[0], form)
    if form.thought_apart:
        parts = {"content": [t for t in tokens if t.part != "thinking"]}
        parts["reasoning_content"] = [t for t in tokens if t.part == "thinking"]
        return {name: [entry(t, form) for t in each] for name, each in parts.items() if each}
    return {"content": [entry(t, form) for t in tokens]}


def _interleaved(lanes: list[list[Sent]], how: Style, chance: random.Random) -> list[Sent]:
    if len(lanes) == 1:
        return lanes[0]
    pieces = []
    while any(lanes):
        if how.together and all(lanes):
            both = [lane.pop(0) for lane in lanes]
            body = {**both[0].body, "choices": [c for each in both for c in each.body["choices"]]}
            tokens = tuple(t for each in both for t in each.tokens)
            pieces.append(Sent("said", body, tokens, sum(each.counts for each in both)))
        else:
            pieces.append(chance.choice([lane for lane in lanes if lane]).pop(0))
    return pieces


def _ended(pieces: list[Sent], said: Said, how: Style) -> list[Sent]:
    usage = usage_of(said.form, said.counted)
    silence: dict[str, Any] = {"content": ""} if said.form.api == "legacy" else {}
    ends = [Sent("finish", _chunk(said, i, silence, finish=said.finish)) for i in range(len(said.choices))]
    if how.finish == "last":
        pieces = _finish_in_last(pieces, said)
        ends = []
    elif how.finish in ("none", "with usage"):
        ends = []
    elif how.finish == "twice":
        ends = [end for end in ends for _ in range(2)]
    places = [{**c, "finish_reason": said.finish} for c in _chunk(said, 0, silence)["choices"]]
    alone = {**_base(said), "choices": places if how.finish == "with usage" else [], "usage": usage}
    pieces = [*pieces, *ends]
    if how.usage in ("in finish", "both"):
        pieces[-1] = replace(pieces[-1], body={**pieces[-1].body, "usage": usage})
    if how.usage in ("alone", "both", "zeros"):
        pieces.append(Sent("usage", alone))
    if how.usage == "twice":
        pieces += [Sent("usage", alone)] * 2
    return pieces


def _finish_in_last(pieces: list[Sent], said: Said) -> list[Sent]:
    last = {c["index"]: place for place, piece in enumerate(pieces) for c in piece.body["choices"]}
    for index, place in last.items():
        body = pieces[place].body
        ended = [{**c, "finish_reason": said.finish} if c["index"] == index else c for c in body["choices"]]
        pieces[place] = replace(pieces[place], body={**body, "choices": ended})
    return pieces


def _counting(pieces: list[Sent], said: Said, how: Style) -> list[Sent]:
    """Usage in every chunk: running totals, or zeros before the last."""
    so_far, counted = 0, []
    silent = said.counted - sum(piece.counts for piece in pieces)
    last = max(place for place, piece in enumerate(pieces) if piece.kind != "usage")
    for place, piece in enumerate(pieces):
        so_far += piece.counts + (silent if place == last else 0)
        usage = usage_of(said.form, so_far if how.usage == "every" else 0)
        counted.append(piece if piece.kind == "usage" else replace(piece, body={**piece.body, "usage": usage}))
    return counted


def _with_noise(pieces: list[Sent], said: Said, how: Style, chance: random.Random) -> list[Sent]:
    if how.empties and said.form.api in ("chat", "legacy"):
        for _ in range(chance.randint(1, 3)):
            delta = chance.choice(({}, {"content": ""}, {"content": None}))
            pieces.insert(chance.randint(1, max(1, len(pieces) - 2)), Sent("empty", _chunk(said, 0, delta)))
    if how.comments:
        for _ in range(chance.randint(1, 3)):
            text = chance.choice((": keep-alive\n\n", ": OPENROUTER PROCESSING\n\n", ":\n\n"))
            pieces.insert(chance.randint(0, len(pieces)), Sent("comment", text))
    return [*pieces, Sent("done", "data: [DONE]\n\n")] if how.done and said.form.api != "responses" else pieces


def _events(said: Said, how: Style, chance: random.Random) -> list[Sent]:
    """The Responses API: numbered events, the last with the whole answer."""
    (tokens,) = said.choices
    whole = response(said)
    kept = chance.choice((True, False))  # some gateways leave logprobs out of the last event
    if not kept:
        whole["output"][0]["content"][0].pop("logprobs")
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    pieces = [
        Sent("role", {"type": "response.created", "response": started}),
        Sent("role", {"type": "response.output_item.added", "output_index": 0, "item": item}),
        Sent("role", {"type": "response.content_part.added", **at, "part": part}),
    ]
    for group in _groups(tokens, how, chance):
        text = b"".join(t.raw for t in group).decode()
        listed = [entry(t, said.form) for t in group]
        event = {"type": "response.output_text.delta", **at, "delta": text, "logprobs": listed}
        pieces.append(Sent("said", event, group, len(group)))
    text = text_of(tokens, "content")
    pieces += [
        Sent("empty", {"type": "response.output_text.done", **at, "text": text, "logprobs": []}),
        Sent("empty", {"type": "response.content_part.done", **at, "part": whole["output"][0]["content"][0]}),
        Sent("empty", {"type": "response.output_item.done", "output_index": 0, "item": whole["output"][0]}),
        Sent("finish", {"type": f"response.{whole['status']}", "response": whole}),
    ]
    numbered = [replace(p, body={**p.body, "sequence_number": n}) for n, p in enumerate(pieces)]
    return _with_noise(numbered, said, how, chance)


def response(said: Said) -> dict[str, Any]:
    """A whole answer of the Responses API."""
    (tokens,) = said.choices
    status = "incomplete" if said.finish == "length" else "completed"
    part = {"type": "output_text", "text": text_of(tokens, "content"), "annotations": []}
    part["logprobs"] = [entry(t, said.form) for t in tokens]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": MODEL,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": [part]}],
        "usage": usage_of(said.form, said.counted),
    }


def _gemini(said: Said, how: Style, chance: random.Random) -> list[Sent]:
    """Parts of Gemini's array: its own tokens in each, and the usage so far."""
    lanes = []
    for place, tokens in enumerate(said.choices):
        lane = []
        for group in _groups(tokens, how, chance):
            content = {"parts": [{"text": b"".join(t.raw for t in group).decode()}], "role": "model"}
            candidate = {"index": place, "content": content, "logprobsResult": gemini(group)}
            body = {"candidates": [candidate], "modelVersion": MODEL, "responseId": "r1"}
            lane.append(Sent("said", body, group, len(group)))
        last = {**lane[-1].body["candidates"][0], "finishReason": "MAX_TOKENS" if said.finish == "length" else "STOP"}
        lane[-1] = replace(lane[-1], body={**lane[-1].body, "candidates": [last]})
        lanes.append(lane)
    pieces, so_far = _interleaved(lanes, replace(how, together=False), chance), 0
    for place, piece in enumerate(pieces):
        so_far = said.counted if place == len(pieces) - 1 else so_far + piece.counts
        pieces[place] = replace(piece, body={**piece.body, "usageMetadata": usage_of(said.form, so_far)})
    return pieces


def whole(said: Said) -> dict[str, Any]:
    """The answer as it comes unstreamed."""
    form, usage = said.form, usage_of(said.form, said.counted)
    if form.api == "responses":
        return response(said)
    if form.api == "gemini":
        candidates = [
            {"index": i, "content": {"parts": [{"text": text_of(tokens, "content")}]}, "logprobsResult": gemini(tokens)}
            for i, tokens in enumerate(said.choices)
        ]
        return {"candidates": candidates, "modelVersion": MODEL, "usageMetadata": usage}
    choices = []
    for place, tokens in enumerate(said.choices):
        choice: dict[str, Any] = {"index": place, "finish_reason": said.finish}
        if form.api == "legacy":
            choice |= {"text": text_of(tokens, "content"), "logprobs": lists(tokens, form)}
        else:
            choice |= {"message": _message(said, tokens)}
            listed = [t for t in tokens if t.listed]
            choice["logprobs"] = _logprobs(listed, replace(form, bare=False))
        choices.append(choice)
    kind = "text_completion" if form.api == "legacy" else "chat.completion"
    return {**_base(said), "object": kind, "choices": choices, "usage": usage}


def _message(said: Said, tokens: Sequence[Token]) -> dict[str, Any]:
    shown = [replace(t, part="content") for t in tokens] if said.kind == "schema" else tokens  # its fences, too
    message: dict[str, Any] = {"role": "assistant", "content": text_of(shown, "content")}
    if thought := text_of(tokens, "thinking"):
        message[said.form.thought] = thought
    for call in sorted({t.call for t in tokens if t.part == "call"}):
        function = {"name": CALLS[call], "arguments": text_of(tokens, "call", call)}
        called = {"id": f"call_{call}", "type": "function", "function": function}
        message.setdefault("tool_calls", []).append(called)
    return message
