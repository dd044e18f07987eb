"""Reads the parts of a streamed answer into a payload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial as bound
from typing import Any

from ec_agent.capture.shapes.alternatives import split, spoken
from ec_agent.capture.shapes.cumulative_parts import added
from ec_agent.capture.shapes.end_reasons import FINAL_EVENTS, ends
from ec_agent.capture.shapes.entries import entries_of
from ec_agent.capture.shapes.json_parts import JsonChoice, JsonKind, JsonPart
from ec_agent.capture.shapes.numbered_parts import in_place
from ec_agent.capture.shapes.payload import Payload, told_by_parts
from ec_agent.capture.shapes.pieces import said_by_stream
from ec_agent.capture.shapes.repeated_parts import alike, once, once_in_all
from ec_agent.capture.shapes.usage import Usages, usage_in
from ec_agent.capture.shapes.values import count, first, get, listed
from ec_agent.capture.shapes.whole_answers import (
    alternatives_of,
    believed,
    first_of,
    payload_of_one,
    uncounted,
    without_echo,
)

_SAID = ("content", "refusal", "reasoning_content", "reasoning")
_CALLED = ("name", "arguments", "input")


def payload_of_stream(chunks: Sequence[Any], prompts: int = 1, unreturned: int = 0) -> Payload:
    """Read the chunks or events of a streamed OpenAI answer, complete or not.

    Args:
        chunks: the chunks or events that came.
        prompts: how many prompts it answers.
        unreturned: how many alternatives were generated, but not returned (``best_of``).
    """
    each = split(chunks, prompts)
    if len(each) < 2 and not unreturned:
        return _stream_of_one(chunks)
    payloads = [_with_text(_stream_of_one(parts)) for parts in each]
    stream = stream_content(chunks)
    usage = stream.usages.total(sum(len(payload.entries) for payload in payloads))
    whole = payload_of_one({"usage": usage}, told_by_parts(chunks))
    return first_of(alternatives_of(each, _each_once(each, payloads, whole.tokens)), whole, unreturned)


def _with_text(payload: Payload) -> Payload:
    """Set how many tokens came without an entry, from the text: one of several answers has no count of its own."""
    if not payload.silent or payload.tokens is not None or payload.said is None:
        return payload
    return replace(payload, mute=uncounted(payload, payload.said()))


def _each_once(each: Sequence[Sequence[Any]], payloads: list[Payload], tokens: int | None) -> list[Payload]:
    """Remove parts that came twice from several answers, if the count of all tokens shows that there are some."""
    told = [[part for parts in stream_content(alone).choices.values() for part in parts] for alone in each]
    if [sum(map(len, parts)) for parts in told] != [len(payload.entries) for payload in payloads]:
        return payloads
    kept = [[entry for part in parts for entry in part] for parts in once_in_all(told, tokens)]
    return [replace(payload, entries=entries) for payload, entries in zip(payloads, kept, strict=True)]


def _stream_of_one(chunks: Sequence[Any]) -> Payload:
    """Read a streamed answer that has one alternative."""
    chunks = in_place(chunks)
    stream = stream_content(chunks)
    several = len(stream.choices) > 1
    choices = [added(parts) if several else _added(parts, chunks, stream.usages) for parts in stream.choices.values()]
    final = next((get(c, "response") for c in reversed(chunks) if get(c, "type") in FINAL_EVENTS), None)
    usage = stream.usages.total(sum(len(part) for parts in choices for part in parts))
    whole = payload_of_one({"usage": usage}, told_by_parts(chunks)) if final is None else payload_of_one(final)
    if not several:
        choices = [once(parts, whole.tokens) for parts in choices]
    entries = without_echo([[entry for part in parts for entry in part] for parts in choices], whole.tokens)
    whole = replace(whole, tokens=believed(whole.tokens, entries, stream.usages.spoken > 0))
    if whole.entries and len(whole.entries) >= len(entries):
        return whole
    # If there are several alternatives, nobody knows which of them lacks tokens.
    sizes = stream.sizes([part for parts in choices for part in parts])
    said = None if several and final is None else bound(said_by_stream, chunks, sizes)
    # A part with text and without an entry holds at least one token.
    mute = max(stream.mute, 0) if entries else 0
    # If each part repeats the logprobs of all earlier parts, a part without new entries has no logprobs of its own.
    came = [part for parts in stream.choices.values() for part in parts]
    silent = stream.silent or any(map(_repeats, came, (part for parts in choices for part in parts)))
    return replace(whole, entries=entries, mute=mute, silent=bool(entries) and silent, said=said)


def _repeats(part: Sequence[Any], added_by_it: Sequence[Any]) -> bool:
    return bool(part) and not added_by_it


def _added(parts: Sequence[list[Any]], chunks: Sequence[Any], usages: Usages) -> list[list[Any]]:
    return added(parts, bound(spoken, chunks), usages.generated)


@dataclass(slots=True)
class StreamContent:
    """The content of the parts of a streamed answer.

    Attributes:
        choices: for each choice or output, the entries of each of its parts.
        sources: the choices of chunks, or the events, that these entries came in.
        usages: the usages of the parts.
        mute: how many parts have text but no logprobs, minus the logprobs that came without text.
        silent: whether any part has text but no logprobs.
    """

    choices: dict[Any, list[list[Any]]] = field(default_factory=dict)
    sources: list[Any] = field(default_factory=list)
    usages: Usages = field(default_factory=Usages)
    mute: int = 0
    silent: bool = False

    def add(self, place: Any, source: Any, entries: list[Any]) -> None:
        """Add the entries of a part."""
        self.choices.setdefault(place, []).append(entries)
        self.sources.append(source)

    def add_bare(self, place: int, choice: JsonChoice) -> None:
        """Add a part with nothing but a text and logprobs; as ``stream_content`` adds parts of any kind."""
        entries = choice.entries
        if not choice.said:
            self.mute -= len(entries)
        elif not entries:
            self.mute += 1
            self.silent = True
        self.add(place, choice, entries)
        self.usages.spoken += bool(choice.said or entries)

    def sizes(self, parts: Sequence[Sequence[Any]]) -> dict[int, int]:
        """Return the number of entries by the Python id of their source. Empty if parts were removed."""
        if len(parts) != len(self.sources):
            return {}
        return {id(source): len(part) for source, part in zip(self.sources, parts, strict=True)}


def stream_content(chunks: Sequence[Any]) -> StreamContent:
    """Collect the content of chunks or events. A closing part that came twice counts once."""
    stream = StreamContent()
    closing: dict[Any, tuple[Any, list[Any]]] = {}
    for chunk in chunks:
        if type(chunk) is JsonPart and _bare(chunk.kind):
            (choice,) = chunk.choices
            stream.add_bare(count(chunk.kind.choice.get("index")) or 0, choice)
            continue
        speaks_here = False
        for choice in listed(get(chunk, "choices")):
            place, entries = count(get(choice, "index")) or 0, streamed_entries(choice)
            if ends(choice):
                said = get(choice, "text") or get(choice, "delta", "content"), entries
                if place in closing and said[0] == closing[place][0] and alike(entries, closing[place][1]):
                    continue
                closing[place] = said
            speaks = _speaks(choice)
            speaks_here = speaks_here or speaks or bool(entries)
            if not speaks:
                stream.mute -= len(entries)  # logprobs without text belong to text of another part
            elif not entries:
                stream.mute += 1
                stream.silent = True
            stream.add(place, choice, entries)
        if str(get(chunk, "type")).endswith(".delta"):
            entries = entries_of(get(chunk, "logprobs"))
            stream.add(count(get(chunk, "output_index")), chunk, entries)
            mute = bool(get(chunk, "delta")) and not entries
            stream.mute, stream.silent = stream.mute + mute, stream.silent or mute
        stream.usages.add(usage_in(chunk), speaks_here)
    return stream


def _bare(kind: JsonKind) -> bool:
    """Tell whether parts of this kind have no usage, no reason to end, and no answer but their text."""
    if kind.bare is None:
        choice = {**kind.choice, "delta": kind.delta}
        told = usage_in({**kind.part, "choices": [choice]}), ends(choice), _speaks(choice), kind.part.get("type")
        kind.bare = not any(told)
    return kind.bare


def streamed_entries(choice: Any) -> list[Any]:
    """Return the entries of one part. Together sends a plain number as logprob, with the candidates beside it."""
    logprobs = get(choice, "logprobs")
    if not isinstance(logprobs, float):
        return entries_of(logprobs)
    tops = get(choice, "top_logprobs")
    candidates = [{"token": t, "logprob": lp} for t, lp in tops.items()] if isinstance(tops, Mapping) else []
    text = first(choice, "text") or get(choice, "delta", "content") or ""
    return [{"token": text, "logprob": logprobs, "top_logprobs": candidates}]


def _speaks(choice: Any) -> bool:
    delta = get(choice, "delta")
    if any(get(delta, name) for name in _SAID) or get(choice, "text"):
        return True
    called = (get(tool, kind) for tool in listed(get(delta, "tool_calls")) for kind in ("function", "custom"))
    return any(get(each, name) for each in (*called, get(delta, "function_call")) for name in _CALLED)
