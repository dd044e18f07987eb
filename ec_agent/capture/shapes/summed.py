"""Messages that LangChain added up of the parts of a stream, with each fact counted once.

LangChain adds up usage and logprobs and joins texts, the model's name and the reason why it ended among them. Where a
part came twice or told a running total, the sum is no count. The parts show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any

from ec_agent.capture.shapes.cumulative import added
from ec_agent.capture.shapes.doubled import alike
from ec_agent.capture.shapes.messages import REASONS, payload_of_message
from ec_agent.capture.shapes.payloads import Payload
from ec_agent.capture.shapes.pieces import Said, joined, said_by_message
from ec_agent.capture.shapes.reading import count, first, get
from ec_agent.capture.shapes.usage import Usages


@dataclass(slots=True)
class MessageParts:
    """What the parts of a streamed message tell, as they come.

    Attributes:
        usages: of the usage.
        models: the names of the model.
        parts: the tokens that came with logprobs, part by part.
        said: what each part says.
        mute: how many parts say something and have no logprobs, less what came of those at another time.
        silent: whether any does.
        repeated: which parts are closing ones that came again.
        closing: the tokens of the part that closed the message.
    """

    usages: Usages = field(default_factory=Usages)
    models: list[str] = field(default_factory=list)
    parts: list[list[Any]] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    mute: int = 0
    silent: bool = False
    repeated: set[int] = field(default_factory=set)
    closing: Sequence[Any] | None = None

    def hear(self, message: Any, generation_info: Any = None) -> None:
        """A part comes, as an object or as its JSON form."""
        part = payload_of_message(message, generation_info)
        metadata, usage = get(message, "response_metadata"), get(message, "usage_metadata")
        said = said_by_message(message, len(part.entries), count(get(usage, "output_tokens")))
        again = False
        if any(first(place, *REASONS) for place in (metadata, generation_info)):
            again = bool(part.entries) and self.closing is not None and alike(part.entries, self.closing)
            self.closing = part.entries
        if again:
            self.repeated.add(len(self.parts))
        elif not said.pieces[0].words:
            self.mute -= len(part.entries)  # the logprobs of what is said later
        elif not part.entries:
            self.mute += 1
            self.silent = True
        self.parts.append(list(part.entries))
        self.said.append(said)
        if isinstance(named := part.model or first(generation_info, "model_name", "model"), str):
            self.models.append(named)
        speaks = bool(get(message, "content") or get(message, "tool_call_chunks") or part.entries)
        self.usages.hear(usage or first(metadata, "token_usage", "usage"), speaks)

    def counted_once(self, payload: Payload) -> Payload:
        """The message that LangChain made of the parts; as it is where it was made in another way.

        Args:
            payload: what it holds.
        """
        new = self._new()
        if payload.entries and len(payload.entries) == sum(map(len, self.parts)):
            ends = accumulate(map(len, self.parts))
            kept = [e for end, size in zip(ends, new, strict=True) for e in payload.entries[end - size : end]]
            said = partial(self._said, new)
            payload = replace(payload, entries=kept, mute=max(self.mute, 0), silent=self.silent, said=said)
        if payload.model is not None and payload.model == "".join(self.models):
            payload = replace(payload, model=self.models[0])
        usages = self.usages.told
        if len(usages) < 2 or (payload.tokens or 0) != sum(each.generated for each in usages):
            return payload
        # Not by the message: LangChain's event protocol (v3) leaves it the logprobs of its last part alone.
        total = self.usages.total(sum(new), adds_up=True)
        once = payload_of_message({"usage_metadata": total, "response_metadata": {"token_usage": total}})
        return replace(
            payload,
            tokens=once.tokens,
            prompt_tokens=once.prompt_tokens,
            cached_tokens=once.cached_tokens,
        )

    def _new(self) -> list[int]:
        """How many tokens each part adds to those before it."""
        once = [[] if place in self.repeated else part for place, part in enumerate(self.parts)]
        tokens = partial(self.usages.generated, adds_up=True)
        return list(map(len, added(once, self._text, tokens)))

    def _text(self) -> str:
        return "".join(piece.text for said in self.said for piece in said.pieces)

    def _said(self, new: Sequence[int]) -> Said:
        """What the message says, part by part; ``new`` tells how many tokens each part adds."""
        said = joined([each for place, each in enumerate(self.said) if place not in self.repeated])
        sizes = [size for place, size in enumerate(new) if place not in self.repeated]
        pieces = (piece._replace(entries=size) for piece, size in zip(said.pieces, sizes, strict=True))
        return said._replace(pieces=tuple(pieces))
