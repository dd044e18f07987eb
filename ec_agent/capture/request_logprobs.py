"""Adds the parameters for logprobs to requests, and tries other ways if an endpoint refuses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from openai import APIStatusError

# How many candidates to ask for, one number after the other if an endpoint refuses: the limit of OpenAI, vLLM and
# llama.cpp; of xAI; of OpenAI's legacy completions and Fireworks; and then no logprobs at all.
LADDER = (20, 8, 5, None)
INCLUDE = "message.output_text.logprobs"

# Keys under which a refusal says what is wrong. Other keys may only repeat the request. OpenRouter puts the refusal of
# the provider into ``metadata.raw``.
_TOLD = ("message", "msg", "detail", "error", "errors", "param", "loc", "type", "code", "metadata", "raw")
# Words of refusals that are about logprobs. text-generation-inference uses the second.
ABOUT_LOGPROBS = ("logprob", "top_n_tokens")
_SAYS_NOTHING = "request contains an invalid argument"  # Google says only this, also about logprobs


@dataclass(frozen=True, slots=True)
class Manner:
    """A way of asking for logprobs.

    Attributes:
        rung: index in ``LADDER``, the number of candidates to ask for.
        whole: whether to ask for a whole answer although the reader wants a stream.
        usage: whether to ask for the usage of a streamed answer.
    """

    rung: int = 0
    whole: bool = False
    usage: bool = True


_lock = threading.Lock()
_manners: dict[tuple[Any, ...], Manner] = {}


class Asker:
    """Adds the parameters for logprobs to one request, if its endpoint accepts them.

    If the endpoint refuses, the request is sent again in another way. The way that worked is remembered in this process
    for requests of the same kind: same endpoint and model, with or without tools, streamed or not.

    Args:
        base_url: address of the client.
        path: path of the request, without its query.
        body: body of the request, as it will be sent.
        raw: whether the reader reads the bytes of the answer. Then they must not hold a usage that it did not ask for.
    """

    def __init__(self, base_url: str, path: str, body: Mapping[str, Any], raw: bool = False) -> None:
        self._body = body
        self._path = path.rstrip("/").rpartition("/")[2]
        self._streams = bool(body.get("stream"))
        self._key = (base_url, path, str(body.get("model")), bool(body.get("tools")), self._streams)
        self._usable = self._path == "completions" and self._streams and not body.get("stream_options") and not raw
        self._known = _manners.get(self._key)
        self._manner = self._known or Manner(rung=_first_rung(self._key))

    @property
    def whole(self) -> bool:
        """Whether to ask for a whole answer although the reader wants a stream."""
        return self._manner.whole and self._asked

    @property
    def asks_usage(self) -> bool:
        """Whether to ask for the usage of a streamed answer. Only the usage shows hidden tokens."""
        return self._usable and self._manner.usage

    @property
    def _asked(self) -> bool:
        return bool(self._logprobs() or self._body.get("logprobs"))

    def additions(self) -> dict[str, Any]:
        """Return the parameters to add to the request's body."""
        return {**self._logprobs(), **({"stream_options": {"include_usage": True}} if self.asks_usage else {})}

    def _logprobs(self) -> dict[str, Any]:
        k, body = LADDER[self._manner.rung], self._body
        if k is None:
            return {}
        if self._path == "responses":
            include, given = list(body.get("include") or ()), body.get("top_logprobs")
            if INCLUDE in include and given:
                return {}
            return {"include": list(dict.fromkeys([*include, INCLUDE])), "top_logprobs": given or k}
        if "prompt" in body:
            return {"logprobs": k} if body.get("logprobs") is None else {}
        asks = body.get("logprobs") and body.get("top_logprobs")
        return {} if asks or type(body.get("logprobs")) is int else {"logprobs": True, "top_logprobs": k}

    def refused(self, error: BaseException) -> bool:
        """Choose another way of asking after a refusal.

        Args:
            error: what the request raised.

        Returns:
            ``False`` if there is no other way, or the error is not about the parameters that were added.
        """
        if not isinstance(error, APIStatusError):
            return False
        said = " ".join(told(error.body)).lower()
        manner = self._manner
        if "stream_options" in said and self.asks_usage:
            self._manner = replace(manner, usage=False)
        elif not any(words in said for words in (*ABOUT_LOGPROBS, _SAYS_NOTHING)):
            return False
        elif self._streams and self._path == "completions" and "stream" in said and not manner.whole and self._asked:
            self._manner = replace(manner, whole=True)
        elif self._logprobs():
            self._manner = replace(manner, rung=manner.rung + 1)
        else:
            return False  # the agent itself asked for logprobs
        return True

    def taken(self) -> None:
        """Remember the way of asking, because the request was answered."""
        if self._manner != self._known:
            with _lock:
                _manners[self._key] = self._manner


def _first_rung(key: tuple[Any, ...]) -> int:
    """Return the index in ``LADDER`` to begin with for a new kind of request.

    The largest number of candidates depends on the model. So it is the number that worked for another kind of request
    to the same model, such as one without tools.
    """
    with _lock:
        kin = [manner.rung for other, manner in _manners.items() if other[:3] == key[:3]]
    return max((rung for rung in kin if LADDER[rung] is not None), default=0)


def forget() -> None:
    """Forget all refusals, and the ways that worked."""
    with _lock:
        _manners.clear()


def told(body: Any) -> Iterator[str]:
    """Yield the texts in the body of a refusal, the message first. The body may have any form."""
    if isinstance(body, Mapping):
        for name in _TOLD:
            yield from told(body.get(name))
    elif isinstance(body, list | tuple):
        for each in body:
            yield from told(each)
    elif isinstance(body, str):
        inside = _loaded(body)
        yield from [body] if inside is None else told(inside)


def _loaded(text: str) -> Mapping[str, Any] | list[Any] | None:
    """Return the JSON value that a text holds, if it is an object or a list; else ``None``."""
    try:
        held = json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, Mapping | list) else None
