"""Asking for logprobs where an agent does not, and stepping around endpoints that refuse."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from openai import APIStatusError

# The most OpenAI, vLLM and llama.cpp give; xAI; OpenAI's legacy completions and Fireworks; and then none at all.
LADDER = (20, 8, 5, None)
INCLUDE = "message.output_text.logprobs"

# Where refusals say what they are about; what they repeat of the request says nothing. OpenRouter wraps the provider's
# own in ``metadata.raw``.
_TOLD = ("message", "msg", "detail", "error", "errors", "param", "loc", "type", "code", "metadata", "raw")
# In what words they are about logprobs: everybody's, and text-generation-inference's.
ABOUT_LOGPROBS = ("logprob", "top_n_tokens")
_SAYS_NOTHING = "request contains an invalid argument"  # all that Google says, of logprobs too


@dataclass(frozen=True, slots=True)
class Manner:
    """How to ask.

    Attributes:
        rung: the place on the ladder.
        whole: whether to ask for one piece where its reader wants a stream.
        usage: whether to ask for the length of a stream.
    """

    rung: int = 0
    whole: bool = False
    usage: bool = True


_lock = threading.Lock()
_manners: dict[tuple[Any, ...], Manner] = {}


class Asker:
    """Adds to one request what it lacks, as far as its endpoint takes it.

    A refusal is answered by asking in another way. The way that was taken in the end is remembered for the process, for
    requests of the same kind: same endpoint and model, tools or not, streamed or not.

    Args:
        base_url: the client's.
        path: the request's, without its query.
        body: the request's, as it will be sent.
        raw: whether its reader reads the bytes themselves, which then hold what was asked for and no more.
    """

    def __init__(self, base_url: str, path: str, body: Mapping[str, Any], raw: bool = False) -> None:
        self._body = body
        self._path = path.rstrip("/").rpartition("/")[2]
        self._streams = bool(body.get("stream"))
        self._key = (base_url, path, str(body.get("model")), bool(body.get("tools")), self._streams)
        self._usable = self._path == "completions" and self._streams and not body.get("stream_options") and not raw
        self._known = _manners.get(self._key)
        self._manner = self._known or Manner(rung=_limit(self._key))

    @property
    def whole(self) -> bool:
        """Whether the answer is to be asked for in one piece, though its reader wants a stream."""
        return self._manner.whole and self._asked

    @property
    def asks_usage(self) -> bool:
        """Whether the length of a streamed answer is asked for: hidden tokens show in nothing else."""
        return self._usable and self._manner.usage

    @property
    def _asked(self) -> bool:
        return bool(self._logprobs() or self._body.get("logprobs"))

    def additions(self) -> dict[str, Any]:
        """What to add to the request's body."""
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
        """Take a refusal to heart; whether it is worth asking again in another way."""
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
            return False  # the agent asked by itself
        return True

    def taken(self) -> None:
        """The request was answered: the way it was asked is the way to ask."""
        if self._manner != self._known:
            with _lock:
                _manners[self._key] = self._manner


def _limit(key: tuple[Any, ...]) -> int:
    """Where to begin with a new kind of request: how many candidates there are at most is the model's own affair."""
    with _lock:
        kin = [manner.rung for other, manner in _manners.items() if other[:3] == key[:3]]
    return max((rung for rung in kin if LADDER[rung] is not None), default=0)


def forget() -> None:
    """Forget every refusal."""
    with _lock:
        _manners.clear()


def told(body: Any) -> Iterator[str]:
    """What the body of a refusal says, its message first, whatever its form."""
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
    """The refusal that a text holds as JSON."""
    try:
        held = json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, Mapping | list) else None
