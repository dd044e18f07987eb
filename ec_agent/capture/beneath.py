"""Reads the logprobs of whole answers before the ``openai`` client makes objects of them.

The client is given the answer without logprobs. Its objects get them back as soon as somebody looks at them, so that
an agent which reads logprobs itself does not notice (``ec_agent.insides.openai_objects``). The HTTP response is not
changed: ``with_raw_response`` has all of its bytes.

If anything about the logprobs is unusual, nothing is done, and they are read from the client's objects.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from functools import partial
from inspect import isclass
from typing import Any, get_origin

from openai import BaseModel
from openai.types.chat import ChatCompletionChunk

from ec_agent.capture.decoded import Read
from ec_agent.capture.made_later import LaterLogprobs, Path, ReadyLogprobs
from ec_agent.capture.shapes import get
from ec_agent.capture.shapes.json_parts import PackedPart
from ec_agent.capture.taken_logprobs import RECORDED, TakenLogprobs, take_into
from ec_agent.capture.transport.decoding import DECODER, usual_content
from ec_agent.insides.openai_chunks import Heard, QuickChunks
from ec_agent.insides.openai_objects import dump_later, put_later
from ec_agent.insides.unheard_streams import held_for as streams_unheard

Came = Callable[[PackedPart], None]
_GENERATING = ("/chat/completions", "/completions", "/responses")


def generates(options: Any) -> bool:
    """Tell whether a request with these options asks a model for an answer."""
    return options.method.lower() == "post" and str(options.url).split("?")[0].endswith(_GENERATING)


def reading_first(process: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the method of a client that turns a response into objects, so that logprobs are read before."""

    @functools.wraps(process)
    def reading(self: Any, **kwargs: Any) -> Any:
        taken = take_into.get()
        if taken is not None and not kwargs["stream"] and generates(kwargs["options"]) and _model(kwargs["cast_to"]):
            _read(kwargs["response"], taken)
        return process(self, **kwargs)

    return reading


def _model(cast_to: Any) -> bool:
    origin = get_origin(cast_to) or cast_to
    return isclass(origin) and issubclass(origin, BaseModel)


def _read(response: Any, taken: TakenLogprobs) -> None:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if taken.by_transport or not kind.endswith("json"):
        return
    body = response.content
    found = DECODER.of_whole(body)
    if found is not None:
        emptied, taken.whole = found
        taken.took = True
        taken.whole_from = response
        response.json = lambda **kwargs: json.loads(emptied, **kwargs)


def give_back(answer: Any, taken: TakenLogprobs, to_langchain: bool) -> None:
    """Let the answer have the logprobs that were taken out of it, made when somebody looks at them.

    Args:
        answer: the client's object.
        taken: what was taken.
        to_langchain: whether a chat model of LangChain asked for it, and will turn it into a dict.
    """
    response, taken.whole_from = taken.whole_from, None
    if response is None:
        return
    del response.json
    body = response.content
    reads = []
    for path, logprobs in taken.whole:
        again = partial(_again, body, path)
        read = Read(logprobs, again)
        _put(get(answer, *path), LaterLogprobs(body, path, read, again))
        reads.append((path, read))
    taken.whole = reads
    if to_langchain and isinstance(answer, BaseModel):
        dump_later(answer)


def read_stream(stream: Any, taken: TakenLogprobs, to_langchain: bool, came: Came | None = None) -> None:
    """Make the chunks of a stream of chat completions quickly, and let their logprobs be made later.

    Args:
        stream: the client's stream, of which nothing was read yet.
        taken: gets the JSON of each event.
        to_langchain: as for ``give_back``.
        came: gets parts that are passed on later, together with others. ``None`` to pass on each part when it comes.
    """
    if stream._cast_to is not ChatCompletionChunk:
        return
    if taken.by_transport:  # it has noted all events, and taken out the usual logprobs
        QuickChunks(stream, Heard(), to_langchain=False)
    else:
        taken.entries_of = DECODER.of_content
        held_for = streams_unheard() if to_langchain and came is not None else None
        QuickChunks(stream, _Noted(taken, came), to_langchain=to_langchain, held_for=held_for)


class _Noted(Heard):
    """Notes the events of a stream."""

    def __init__(self, taken: TakenLogprobs, came: Came | None) -> None:
        self._taken, self._came = taken, came

    def usual(self, logprobs: bytes) -> bool:
        return usual_content(logprobs)

    def later(self, logprobs: list[bytes]) -> ReadyLogprobs:
        return ReadyLogprobs(logprobs)

    def kind(self, event: dict[str, Any], choice: dict[str, Any], delta: dict[str, Any]) -> int:
        return self._taken.kind(event, choice, delta)

    def made(self, kind: int = -1, text: str = "", logprobs: bytes | None = None) -> None:
        self._taken.made(kind, text, logprobs)

    def came(self, kind: int, text: str, logprobs: bytes | None) -> None:
        self._taken.took = self._taken.took or logprobs is not None
        if self._came is not None:
            self._came((kind, text, logprobs))

    def joined(self) -> None:
        self._taken.events.append(RECORDED)


def _put(holder: Any, later: LaterLogprobs) -> None:
    if isinstance(holder, dict):
        holder["logprobs"] = later.value()
    elif isinstance(holder, BaseModel) and "logprobs" in vars(holder):
        put_later(holder, later)
    elif isinstance(holder, BaseModel) and holder.model_extra is not None and "logprobs" in holder.model_extra:
        holder.model_extra["logprobs"] = later.value()


def _again(body: bytes, path: Path) -> Any:
    found = DECODER.of_whole(body)
    return next((logprobs for place, logprobs in found[1] if place == path), None) if found else None
