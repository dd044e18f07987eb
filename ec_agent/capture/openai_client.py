"""Seeing LLM calls made with an ``openai`` client directly, and setting a rollout's sampling parameters.

Every public way into the client (``create``, ``parse``, ``.stream()`` helpers, copies made by
``with_options()``) comes through one ``request`` method, so that is where we look. The patch is installed at
the first rollout of the process and does nothing outside one.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from openai import Timeout
from openai._base_client import AsyncAPIClient, SyncAPIClient
from openai._legacy_response import LegacyAPIResponse
from openai._response import BaseAPIResponse

from ec_agent.capture.langchain import call_info
from ec_agent.capture.recorder import Recorder, Request, current_recorder, open_call
from ec_agent.capture.shapes import Payload, finished
from ec_agent.errors import StreamCutError

_GENERATING = ("/chat/completions", "/completions", "/responses")

_patch_lock = threading.Lock()
_patched = False


class _Watched:
    """One request made inside a rollout: its place in the record, and the options to send."""

    def __init__(self, recorder: Recorder, options: Any, client: Any) -> None:
        body = options.json_data if isinstance(options.json_data, dict) else {}
        above = open_call()
        if above is not None and above.speaking and not above.batch.requests:
            above = None  # it streams without this client, so the request is its reader's
        self.recorder = recorder
        # A LangChain run in progress owns the requests made below it; else the request is a call of its own.
        self.own = above is None
        self.call = above or recorder.begin(call_info(model=body.get("model")), {**body, **(options.extra_json or {})})
        self.request = Request(sampled=bool(recorder.sampling) and self.call.counted)
        self.call.batch.requests.append(self.request)
        self.options = options
        left = recorder.guard.remaining if recorder.guard is not None else None
        if self.request.sampled or left is not None:
            self.options = copy.copy(options)
        if self.request.sampled:
            self.options.extra_json = {**(options.extra_json or {}), **recorder.sampling}
        if left is not None:
            given = options.timeout if isinstance(options.timeout, float | int | Timeout | None) else client.timeout
            self.options.timeout = _shortened(given, left)

    def failed(self, error: BaseException) -> None:
        """The request raised; an answer that could not be parsed comes along with the error."""
        self.request.response = getattr(error, "completion", None)
        self._over(broken_off=isinstance(error, asyncio.CancelledError))

    def came_back(self, response: Any) -> Any:
        """Note a response, or put an ear on a stream."""
        if isinstance(response, BaseAPIResponse):  # with_streaming_response: the body is the user's to read
            if self.own:
                self.recorder.end(self.call, Payload())
            return response
        answer = response
        if isinstance(response, LegacyAPIResponse):  # with_raw_response: parse() keeps its result
            try:
                answer = response.parse()
            except Exception as error:
                self.failed(error)
                return response  # the caller meets the error at its own parse()
        iterator = getattr(answer, "_iterator", None)
        if iterator is None:
            self.request.response = answer
            self._over()
        elif hasattr(iterator, "__anext__"):
            answer._iterator = self._alisten(iterator)
        else:
            answer._iterator = self._listen(iterator)
        return response

    def _over(self, *, broken_off: bool = False) -> None:
        # A LangChain run is not told of its cancellation: it is over when its request is broken off.
        if self.own or broken_off:
            self.recorder.end(self.call, None)

    def _came_whole(self) -> None:
        # The clients take the end of the body for the end of the answer.
        if not finished(self.request.chunks):
            self.recorder.fail(StreamCutError("a streamed answer broke off in the middle; see the server's log"))

    def _listen(self, iterator: Iterator[Any]) -> Iterator[Any]:
        try:
            for chunk in iterator:
                self.request.chunks.append(chunk)
                self.recorder.check()  # the only way to end a synchronous stream that trickles on
                yield chunk
            self._came_whole()
        finally:
            iterator.close()  # type: ignore[attr-defined]  # the client's streams are generators
            self._over()

    async def _alisten(self, iterator: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            async for chunk in iterator:
                self.request.chunks.append(chunk)
                yield chunk
            self._came_whole()
        except (asyncio.CancelledError, GeneratorExit):
            self._over(broken_off=True)
            raise
        finally:
            await iterator.aclose()  # type: ignore[attr-defined]
            self._over()


def _shortened(given: Any, left: float) -> Timeout:
    """The timeout less what lies beyond the rollout's own."""
    parts = Timeout(given).as_dict()
    return Timeout(**{name: left if seconds is None else min(seconds, left) for name, seconds in parts.items()})


def _watch(options: Any, client: Any) -> _Watched | None:
    recorder = current_recorder.get()
    if recorder is None or options.method.lower() != "post":
        return None
    return _Watched(recorder, options, client) if str(options.url).split("?")[0].endswith(_GENERATING) else None


def install_patch() -> None:
    """Put the ear on the clients' one request method, once per process."""
    global _patched
    with _patch_lock:
        if _patched:
            return
        SyncAPIClient.request = _listening(SyncAPIClient.request)  # type: ignore[method-assign]
        AsyncAPIClient.request = _alistening(AsyncAPIClient.request)  # type: ignore[method-assign]
        _patched = True


def _listening(request: Any) -> Any:
    @functools.wraps(request)
    def listening(self: Any, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        watched = _watch(options, self)
        if watched is None:
            return request(self, cast_to, options, **kwargs)
        try:
            response = request(self, cast_to, watched.options, **kwargs)
        except BaseException as error:
            watched.failed(error)
            raise
        return watched.came_back(response)

    return listening


def _alistening(request: Any) -> Any:
    @functools.wraps(request)
    async def listening(self: Any, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        watched = _watch(options, self)
        if watched is None:
            return await request(self, cast_to, options, **kwargs)
        try:
            response = await request(self, cast_to, watched.options, **kwargs)
        except BaseException as error:
            watched.failed(error)
            raise
        return watched.came_back(response)

    return listening
