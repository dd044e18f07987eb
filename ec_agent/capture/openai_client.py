"""Records LLM calls made with an ``openai`` client, and sets the rollout's parameters on its requests.

All public methods of the client (``create``, ``parse``, ``.stream()`` helpers, copies made by ``with_options()``, raw
and streaming responses) call one ``request`` method. That method is patched at the first rollout of the process.
Outside of rollouts the patch does nothing.
"""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from langchain_core.globals import get_llm_cache
from openai import Timeout
from openai._base_client import AsyncAPIClient, SyncAPIClient
from openai._constants import RAW_RESPONSE_HEADER
from openai._legacy_response import LegacyAPIResponse
from openai._response import BaseAPIResponse
from openai.types.chat import ChatCompletion

from ec_agent.capture.beneath import generates, give_back, read_stream, reading_first
from ec_agent.capture.filters import call_info
from ec_agent.capture.http_bodies import Marking, as_stream, end_marked, listen, parts_of
from ec_agent.capture.mergeable_parts import make_mergeable
from ec_agent.capture.open_calls import Request, open_call
from ec_agent.capture.plain_parts import light
from ec_agent.capture.recorder import Recorder, current_recorder
from ec_agent.capture.request_logprobs import Asker
from ec_agent.capture.request_params import asked_of
from ec_agent.capture.shapes import Payload, finished, listed
from ec_agent.capture.taken_logprobs import RECORDED, take_into
from ec_agent.errors import StreamCutError
from ec_agent.insides.patching import put_on
from ec_agent.support.plans import Plan, Step, adrive, drive

_STREAMING = ("stream", "stream_options")
_WHOLE_ANSWER = 600.0  # seconds to wait for an answer that is not streamed; the client's default


class _Watched:
    """One request made inside a rollout: it is recorded, and sent with what the rollout adds.

    Args:
        recorder: the recorder of the rollout.
        options: the options with which the client was about to send the request.
        client: the client.
    """

    def __init__(self, recorder: Recorder, options: Any, client: Any) -> None:
        self._given, self._client = options, client
        body = options.json_data if isinstance(options.json_data, dict) else {}
        self._body = {**body, **(options.extra_json or {})}
        prompts = self._body.get("prompt")
        above = open_call() or recorder.call_list.waiting([prompts] if isinstance(prompts, str) else listed(prompts))
        if above is not None and above.speaking:
            above = None  # that run already has its request, so this one is made by the reader of its stream
        self.recorder = recorder
        # A request made during a LangChain run belongs to that run. Otherwise the request is a call of its own.
        self.own = above is None
        self.call = above or recorder.begin(call_info(model=body.get("model")), self._body)
        settings, counted = recorder.requests, self.call.counted
        self.request = Request(sampled=bool(settings.sampling) and counted)
        self.call.batch.requests.append(self.request)
        self._sampling = settings.sampling if counted else {}
        self._asker: Asker | None = None
        if self.call.asks_logprobs:
            path, raw = str(options.url).split("?")[0], _raw_response(options) == "stream"
            self._asker = Asker(str(client.base_url), path, self._body, raw)
        self.request.taken.streamed = bool(self._body.get("stream"))

    def sent(self, request: Any, cast_to: Any, kwargs: dict[str, Any]) -> Plan[Any]:
        """Send the request. If the endpoint refuses to return logprobs, send it again in another way."""
        while True:
            try:
                if self._asker is not None and self._asker.whole:
                    response = yield from self._sent_whole(request, kwargs, cast_to)
                else:
                    step = partial(request, self._client, cast_to, self._options(), **kwargs)
                    response = yield from self._over_transport(Step(step, step))
            except BaseException as error:
                if self._asker is not None and self._asker.refused(error):
                    continue
                self.failed(error)
                raise
            if self._asker is not None:
                self._asker.taken()
            return self.came_back(response)

    def _over_transport(self, step: Step) -> Plan[Any]:
        """Take a step, and tell ``beneath`` and a transport whether they may take the logprobs out of the answer.

        They must not if somebody else needs them: ``keep_logprobs`` is set; the call does not count; the reader reads
        raw bytes; an LLM cache stores the answer; a chat model wraps this one, and is recognised by its tokens; or
        several runs share the request, and only LangChain knows which tokens belong to which run.
        """
        others = (
            self.recorder.requests.keep_logprobs
            or not self.call.counted
            or self.call.outer is not None
            or self.call.batch.size > 1
            or _raw_response(self._given) == "stream"
            or get_llm_cache() is not None
        )
        before = take_into.get()
        self.request.taken.wanted = not others
        take_into.set(None if others else self.request.taken)
        try:
            return (yield step)
        finally:
            take_into.set(before)

    def _sent_whole(self, request: Any, kwargs: dict[str, Any], cast_to: Any) -> Plan[Any]:
        """Ask for a whole answer in place of a stream, and give the reader a stream made of it.

        Some servers return logprobs only in whole answers.
        """
        options = self._options(_WHOLE_ANSWER)
        options.json_data = {name: v for name, v in options.json_data.items() if name not in _STREAMING}
        options.extra_json = {name: v for name, v in (options.extra_json or {}).items() if name not in _STREAMING}
        options._strip_raw_response_header()
        step = partial(
            request, self._client, ChatCompletion, options, **{**kwargs, "stream": False, "stream_cls": None}
        )
        completion = yield Step(step, step)
        wanted = (self._body.get("stream_options") or {}).get("include_usage")
        ours = self._asker is not None and self._asker.asks_usage
        made_up = as_stream(completion, self._given, self._client.base_url, bool(wanted or ours))
        process = partial(
            self._client._process_response,
            cast_to=cast_to,
            options=self._given,
            response=made_up,
            stream=True,
            stream_cls=kwargs.get("stream_cls"),
        )
        return (yield Step(process, process))

    def _options(self, at_least: float = 0.0) -> Any:
        """Return the options to send: the given ones, with what the rollout adds.

        Args:
            at_least: seconds that reading may take at least, even if the given timeout is shorter.
        """
        asked = {} if self._asker is None else self._asker.additions()
        added = {**asked, **self._sampling}
        self.request.asked = asked_of({**self._body, **added})
        self.request.sent += 1
        options = copy.copy(self._given)
        if added:
            options.extra_json = {**(options.extra_json or {}), **added}
        if callable(options.post_parser):
            options.post_parser = self._before(options.post_parser)
        left = self.recorder.guard.remaining if self.recorder.guard is not None else None
        if left is not None or at_least:
            known = isinstance(options.timeout, float | int | Timeout | None)
            options.timeout = _bounded(options.timeout if known else self._client.timeout, left, at_least)
        return options

    def _before(self, parser: Any) -> Any:
        """Wrap the parser to keep the answer first. It was generated, even if the parser refuses it."""

        def parsing(answer: Any) -> Any:
            self.request.response = answer
            return parser(answer)

        return parsing

    def failed(self, error: BaseException) -> None:
        """Record that the request raised. An answer that could not be parsed still counts."""
        self.request.response = getattr(error, "completion", None) or self.request.response
        give_back(self.request.response, self.request.taken, not self.own)
        self._over(broken_off=isinstance(error, asyncio.CancelledError))

    def came_back(self, response: Any) -> Any:
        """Record a response of the client, and return it. The parts of a stream are recorded while it is read."""
        if isinstance(response, BaseAPIResponse):  # with_streaming_response: the user reads the body
            self._read_along(response.http_response)
            return response
        answer = response
        if isinstance(response, LegacyAPIResponse):  # with_raw_response: parse() caches its result
            try:
                answer = response.parse()
            except Exception as error:
                self.failed(error)
                return response  # the caller gets the error when it calls parse() itself
        iterator = getattr(answer, "_iterator", None)
        if iterator is None:
            self.request.response = answer
            give_back(answer, self.request.taken, not self.own)
            self._read_whole()
            self._over()
            return response
        if self.request.taken.wanted:
            told = self.recorder.told
            came = None if told is not None and told.parts else self._came
            read_stream(answer, self.request.taken, not self.own, came)
        answer._decoder = Marking(answer._decoder, self._marked)
        if hasattr(iterator, "__anext__"):
            answer._iterator = self._alisten(iterator)
        else:
            answer._iterator = self._listen(iterator)
        return response

    def _read_whole(self) -> None:
        """Read an answer for LangChain, whose call ends later. Without LangChain it ends, and is read, in a moment."""
        if not self.own:
            top_k = self.request.asked.top_k or None
            with suppress(Exception):  # an error of our reading is told at the end of the call
                self.request.read_whole(self.call.recorder.reading(self.call, top_k))

    def _over(self, *, broken_off: bool = False) -> None:
        # LangChain does not report the end of a cancelled run. It ends here, when its request is cancelled.
        if self.own or broken_off:
            self.recorder.end(self.call, None)

    def _marked(self) -> None:
        self.request.marked = True

    def _came_whole(self) -> None:
        # If the connection breaks, the client ends the stream without an error. So the end is checked here.
        if not finished(self.request.parts, self.request.marked):
            self.recorder.fail(StreamCutError("a streamed answer broke off in the middle; see the server's log"))

    def _read_along(self, response: Any) -> None:
        """Record the body of a raw response while the user reads it."""
        request, parts = self.request, list[bytes]()
        request.cut = True  # until its end was read
        kind, packed = (response.headers.get(f"content-{name}") for name in ("type", "encoding"))

        def hear(part: bytes) -> None:
            parts.append(part)
            self.recorder.check()

        def body_ended(to_its_end: bool) -> None:
            body = b"".join(parts)
            request.response, request.chunks = parts_of(body, kind or "", packed)
            request.marked = end_marked(body, packed)
            parts.clear()
            # The client stops reading after the last event, before the end of the body.
            ended = request.response is not None or (bool(request.chunks) and finished(request.parts, request.marked))
            request.cut = not (to_its_end or ended)
            if to_its_end:
                self._came_whole()
            if self.own:
                self.recorder.end(self.call, None if request.answered else Payload())

        if response.is_stream_consumed:  # the body was read already, and is not compressed any more
            packed = None
            parts.append(response.content)
            body_ended(to_its_end=True)
        else:
            listen(response, hear, body_ended)

    def _came(self, part: Any) -> None:
        """Record a part that the reader gets later, together with others."""
        self.request.chunks.append(part)
        self.recorder.answered(self.call)
        self.recorder.check()

    def _record_part(self, chunk: Any) -> None:
        part = self.request.taken.put_back(chunk)
        if part is RECORDED:
            return
        self.request.chunks.append(light(part))
        self.recorder.answered(self.call)
        if not self.own and part is chunk:  # else its logprobs were usual
            make_mergeable(chunk)

    def _unasked(self, chunk: Any) -> bool:
        """Tell whether a part came only because we asked for the usage. The reader must not get it."""
        asked = self._asker is not None and self._asker.asks_usage
        return asked and getattr(chunk, "usage", None) is not None and not getattr(chunk, "choices", True)

    def _listen(self, iterator: Iterator[Any]) -> Iterator[Any]:
        try:
            for chunk in iterator:
                self._record_part(chunk)
                self.recorder.check()  # nothing else can end a synchronous stream whose parts keep coming
                if not self._unasked(chunk):
                    yield chunk
            self._came_whole()
        finally:
            iterator.close()  # type: ignore[attr-defined]  # the streams of the client are generators
            self._over()

    async def _alisten(self, iterator: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            async for chunk in iterator:
                self._record_part(chunk)
                if not self._unasked(chunk):
                    yield chunk
            self._came_whole()
        except (asyncio.CancelledError, GeneratorExit):
            self._over(broken_off=True)
            raise
        finally:
            await iterator.aclose()  # type: ignore[attr-defined]
            self._over()


def _bounded(given: Any, left: float | None, at_least: float) -> Timeout:
    """Return a timeout that is within the rollout's time limit.

    Args:
        given: the timeout of the request or the client.
        left: seconds that the rollout has left, or ``None`` without a limit.
        at_least: seconds that reading may take at least, within ``left``.
    """
    parts = Timeout(given).as_dict()
    if parts["read"] is not None:
        parts["read"] = max(parts["read"], at_least)
    if left is not None:
        parts = {name: left if seconds is None else min(seconds, left) for name, seconds in parts.items()}
    return Timeout(**parts)


def _raw_response(options: Any) -> str | None:
    return options.headers.get(RAW_RESPONSE_HEADER) if isinstance(options.headers, dict) else None


def _watch(options: Any, client: Any) -> _Watched | None:
    recorder = current_recorder.get()
    return _Watched(recorder, options, client) if recorder is not None and generates(options) else None


def install_patch() -> None:
    """Patch the methods of the sync and the async client that send requests and make objects of answers."""
    for client, listening in ((SyncAPIClient, _listening), (AsyncAPIClient, _alistening)):
        put_on(client, {"request": listening, "_process_response": reading_first}, subclasses=True)


def _listening(request: Any) -> Any:
    @functools.wraps(request)
    def listening(self: Any, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        watched = _watch(options, self)
        if watched is None:
            return request(self, cast_to, options, **kwargs)
        return drive(watched.sent(request, cast_to, kwargs))

    return listening


def _alistening(request: Any) -> Any:
    @functools.wraps(request)
    async def listening(self: Any, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        watched = _watch(options, self)
        if watched is None:
            return await request(self, cast_to, options, **kwargs)
        return await adrive(watched.sent(request, cast_to, kwargs))

    return listening
