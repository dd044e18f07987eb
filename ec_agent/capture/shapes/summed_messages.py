"""Corrects messages that LangChain added up from the parts of a stream.

LangChain adds up the usages and the logprobs of all parts, and joins all texts, even the model's name and the reason to
end. If a part came twice, or had a running total, the sums are wrong. The parts themselves show what is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any

from ec_agent.capture.shapes.cumulative_parts import added
from ec_agent.capture.shapes.messages import REASONS, payload_of_message
from ec_agent.capture.shapes.payload import ADDED_UP, Payload
from ec_agent.capture.shapes.pieces import Said, joined, said_by_message
from ec_agent.capture.shapes.repeated_parts import alike
from ec_agent.capture.shapes.usage import Usages
from ec_agent.capture.shapes.values import count, first, get


@dataclass(slots=True)
class MessageParts:
    """Collects the parts of a streamed message.

    Attributes:
        usages: the usages of the parts.
        texts: the texts that LangChain joins, such as the name of the model, of each part that has one, by their names.
        parts: the entries of each part.
        said: what each part says.
        mute: how many parts have text but no logprobs, minus the logprobs that came without text.
        silent: whether any part has text but no logprobs.
        repeated: indices of closing parts that came once more.
        closing: the entries of the part that closed the message.
    """

    usages: Usages = field(default_factory=Usages)
    texts: dict[str, list[str]] = field(default_factory=dict)
    parts: list[list[Any]] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    mute: int = 0
    silent: bool = False
    repeated: set[int] = field(default_factory=set)
    closing: Sequence[Any] | None = None

    def add(self, message: Any, generation_info: Any = None) -> None:
        """Add a part: a LangChain message chunk, as an object or JSON.

        Args:
            message: the part.
            generation_info: what LangChain keeps beside it.
        """
        part = payload_of_message(message, generation_info)
        metadata, usage = get(message, "response_metadata"), get(message, "usage_metadata")
        said = said_by_message(message, len(part.entries), count(get(usage, "output_tokens")))
        repeats = False
        if any(first(place, *REASONS) for place in (metadata, generation_info)):
            repeats = bool(part.entries) and self.closing is not None and alike(part.entries, self.closing)
            self.closing = part.entries
        if repeats:
            self.repeated.add(len(self.parts))
        elif not said.pieces[0].words:
            self.mute -= len(part.entries)  # logprobs without text belong to text of another part
        elif not part.entries:
            self.mute += 1
            self.silent = True
        self.parts.append(list(part.entries))
        self.said.append(said)
        for fact in ADDED_UP:
            told = getattr(part, fact.name) or first(generation_info, *fact.in_message)
            if isinstance(told, str):
                self.texts.setdefault(fact.name, []).append(told)
        speaks = bool(get(message, "content") or get(message, "tool_call_chunks") or part.entries)
        self.usages.add(usage or first(metadata, "token_usage", "usage"), speaks)

    def counted_once(self, payload: Payload) -> Payload:
        """Correct the message that LangChain made of these parts. A message that is not their sum is not changed.

        Args:
            payload: the message, as it was read.
        """
        new = self._new()
        if payload.entries and len(payload.entries) == sum(map(len, self.parts)):
            ends = accumulate(map(len, self.parts))
            kept = [e for end, size in zip(ends, new, strict=True) for e in payload.entries[end - size : end]]
            said = partial(self._said, new)
            payload = replace(payload, entries=kept, mute=max(self.mute, 0), silent=self.silent, said=said)
        summed = [name for name, told in self.texts.items() if getattr(payload, name) == "".join(told)]
        once: dict[str, Any] = {name: self.texts[name][0] for name in summed}
        payload = replace(payload, **once)
        usages = self.usages.told
        if len(usages) < 2 or (payload.tokens or 0) != sum(each.generated for each in usages):
            return payload
        # The entries of the parts decide, not those of the message: with LangChain's event protocol (v3), the message
        # has only the logprobs of its last part.
        total = self.usages.total(sum(new), adds_up=True)
        counted = payload_of_message({"usage_metadata": total, "response_metadata": {"token_usage": total}})
        return replace(
            payload,
            tokens=counted.tokens,
            prompt_tokens=counted.prompt_tokens,
            cached_tokens=counted.cached_tokens,
        )

    def _new(self) -> list[int]:
        """Return how many new tokens each part brought."""
        once = [[] if place in self.repeated else part for place, part in enumerate(self.parts)]
        tokens = partial(self.usages.generated, adds_up=True)
        return list(map(len, added(once, self._text, tokens)))

    def _text(self) -> str:
        return "".join(piece.text for said in self.said for piece in said.pieces)

    def _said(self, new: Sequence[int]) -> Said:
        """Return what the message says, part by part, given how many new tokens each part brought."""
        said = joined([each for place, each in enumerate(self.said) if place not in self.repeated])
        sizes = [size for place, size in enumerate(new) if place not in self.repeated]
        pieces = (piece._replace(entries=size) for piece, size in zip(said.pieces, sizes, strict=True))
        return said._replace(pieces=tuple(pieces))
