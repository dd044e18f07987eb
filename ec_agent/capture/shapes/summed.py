"""Messages that LangChain added up of the parts of a stream, with each fact counted once.

LangChain adds up usage and logprobs and joins texts, the model's name and the reason why it ended among them. Where a
part came twice or told a running total, the sum is no count. The parts show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ec_agent.capture.shapes.doubled import alike
from ec_agent.capture.shapes.messages import REASONS, payload_of_message
from ec_agent.capture.shapes.payloads import Payload
from ec_agent.capture.shapes.reading import first, get
from ec_agent.capture.shapes.usage import Usages


@dataclass(slots=True)
class MessageParts:
    """What the parts of a streamed message tell, as they come.

    Attributes:
        usages: of the usage.
        models: the names of the model.
        entries: how many tokens came with logprobs.
        again: of these, the places of those that came again with a closing part that came again.
        closing: the tokens of the part that closed the message.
    """

    usages: Usages = field(default_factory=Usages)
    models: list[str] = field(default_factory=list)
    entries: int = 0
    again: list[range] = field(default_factory=list)
    closing: Sequence[Any] | None = None

    def hear(self, message: Any, generation_info: Any = None) -> None:
        """A part comes, as an object or as its JSON form."""
        part = payload_of_message(message, generation_info)
        metadata = get(message, "response_metadata")
        if any(first(place, *REASONS) for place in (metadata, generation_info)):
            if part.entries and self.closing is not None and alike(part.entries, self.closing):
                self.again.append(range(self.entries, self.entries + len(part.entries)))
            self.closing = part.entries
        self.entries += len(part.entries)
        if isinstance(named := part.model or first(generation_info, "model_name", "model"), str):
            self.models.append(named)
        speaks = bool(get(message, "content") or get(message, "tool_call_chunks") or part.entries)
        usage = get(message, "usage_metadata") or first(metadata, "token_usage", "usage")
        self.usages.hear(usage, speaks)

    def counted_once(self, payload: Payload) -> Payload:
        """The message that LangChain made of the parts; as it is where it was made in another way.

        Args:
            payload: what it holds.
        """
        if self.again and len(payload.entries) == self.entries:
            again = {place for places in self.again for place in places}
            kept = [entry for place, entry in enumerate(payload.entries) if place not in again]
            payload = replace(payload, entries=kept)
        if payload.model is not None and payload.model == "".join(self.models):
            payload = replace(payload, model=self.models[0])
        told = self.usages.told
        if len(told) < 2 or (payload.tokens or 0) != sum(each.generated for each in told):
            return payload
        # Not by the message: LangChain's event protocol (v3) leaves it the logprobs of its last part alone.
        total = self.usages.total(self.entries - sum(map(len, self.again)), adds_up=True)
        once = payload_of_message({"usage_metadata": total, "response_metadata": {"token_usage": total}})
        return replace(
            payload,
            tokens=once.tokens,
            prompt_tokens=once.prompt_tokens,
            cached_tokens=once.cached_tokens,
        )
