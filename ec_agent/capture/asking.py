"""Asking for logprobs where an agent does not, and stepping around endpoints that refuse."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from openai import APIStatusError

# The most OpenAI, vLLM and llama.cpp give; xAI; OpenAI's legacy completions and Fireworks; and then none at all.
LADDER = (20, 8, 5, None)
INCLUDE = "message.output_text.logprobs"

_lock = threading.Lock()
_rungs: dict[tuple[str, str, str], int] = {}
_whole: set[str] = set()
_lengthless: set[str] = set()


class Asker:
    """Adds to one request what it lacks, as far as its endpoint is known to take it.

    What an endpoint refused is remembered for the process, so each refusal is met once.

    Args:
        base_url: the client's.
        path: the request's, without its query.
        body: the request's, as it will be sent.
    """

    def __init__(self, base_url: str, path: str, body: Mapping[str, Any]) -> None:
        self._body = body
        self._base_url = base_url
        self._path = path.rstrip("/").rpartition("/")[2]
        self._key = (base_url, path, str(body.get("model")))

    @property
    def whole(self) -> bool:
        """Whether the answer is to be asked for in one piece, though its reader wants a stream."""
        return self._conflicts and self._base_url in _whole

    @property
    def _conflicts(self) -> bool:
        return self._path == "completions" and bool(self._body.get("stream") and self._body.get("tools"))

    def additions(self) -> dict[str, Any]:
        """What to add to the request's body."""
        usage = {"stream_options": {"include_usage": True}} if self.asks_usage else {}
        return {**self._logprobs(), **usage}

    @property
    def asks_usage(self) -> bool:
        """Whether the length of a streamed answer is asked for: hidden tokens show in nothing else."""
        streams = self._path == "completions" and self._body.get("stream") and not self._body.get("stream_options")
        return bool(streams) and self._base_url not in _lengthless

    def _logprobs(self) -> dict[str, Any]:
        k = LADDER[_rungs.get(self._key, 0)]
        if k is None or not self._lacking:
            return {}
        if self._path == "responses":
            include = [*(self._body.get("include") or ()), INCLUDE]
            return {"include": list(dict.fromkeys(include)), "top_logprobs": k}
        return {"logprobs": k} if "prompt" in self._body else {"logprobs": True, "top_logprobs": k}

    @property
    def _lacking(self) -> bool:
        if self._path == "responses" or "prompt" not in self._body:
            return not self._body.get("top_logprobs") and type(self._body.get("logprobs")) is not int
        return self._body.get("logprobs") is None

    def refused(self, error: BaseException) -> bool:
        """Take a refusal to heart; whether it is worth asking again in another way."""
        if not isinstance(error, APIStatusError) or not 400 <= error.status_code < 500:
            return False
        said = str(error).lower()
        with _lock:
            if "stream_options" in said and self.asks_usage:
                _lengthless.add(self._base_url)
                return True
            if "logprob" not in said:
                return False
            if self._conflicts and "stream" in said and not self.whole:
                _whole.add(self._base_url)
                return True
            if not self._lacking:
                return False  # the agent asked by itself
            rung = _rungs.get(self._key, 0)
            if LADDER[rung] is None:
                return False
            _rungs[self._key] = rung + 1
            return True


def forget() -> None:
    """Forget every refusal."""
    with _lock:
        _rungs.clear()
        _whole.clear()
        _lengthless.clear()
