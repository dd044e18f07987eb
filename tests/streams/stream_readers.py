"""All ways in which a stream is read: by the clients, with and without our transport, by LangChain, from a saved log.

Nothing is sent anywhere: the clients' network hands out the bytes that were put in.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from langchain_openai import ChatOpenAI
from langchain_openai import OpenAI as CompletionModel
from openai import AsyncOpenAI, OpenAI
from stream_answers import CANDIDATES
from stream_mutations import Stream

from ec_agent import EcAgentError, EcAgentWarning, record_calls
from ec_agent.capture.transport import AsyncEntropyTransport, EntropyTransport
from ec_agent.logs import found_in, opened
from ec_agent.numbers.trajectory import Trajectory

SIGNALS = ("entropy", "surprisal")
FORMS = ("lines", "array", "event stream")
MESSAGES = [{"role": "user", "content": "hi"}]
USAGE = {"stream_options": {"include_usage": True}}
INCLUDE = {"include": ["message.output_text.logprobs"], "top_logprobs": CANDIDATES}


@dataclass
class Told:
    """What a reader makes of a stream.

    Attributes:
        error: the error of ours that it raised or that ends the rollout.
        foreign: any other error.
        signals: each per-token signal; NaN for tokens without.
        shares: the share of the tokens that have it.
        centroids: of each signal.
        partial: whether it says that the answer broke off.
        warned: what it warned of.
    """

    error: str | None = None
    foreign: str | None = None
    signals: dict[str, np.ndarray] = field(default_factory=dict)
    shares: dict[str, float | None] = field(default_factory=dict)
    centroids: dict[str, float | None] = field(default_factory=dict)
    partial: bool = False
    warned: tuple[str, ...] = ()

    @classmethod
    def of(cls, trajectory: Trajectory, **more: Any) -> Told:
        return cls(
            signals={name: trajectory.signal(name) for name in SIGNALS},
            shares={name: trajectory.share(name) for name in SIGNALS},
            centroids={name: trajectory.centroid(signal=name) for name in SIGNALS},
            partial=any(call.partial for call in trajectory.calls),
            **more,
        )

    def same(self, other: Told) -> bool:
        """Whether the numbers are the same to the last bit."""
        return all(np.array_equal(self.signals[n], other.signals[n], equal_nan=True) for n in SIGNALS)


class _Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    def close(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class Readers:
    """All ways to read a stream, each with clients of its own."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        network = httpx2.MockTransport(lambda request: self._answer())
        options: dict[str, Any] = {"base_url": "http://x/v1", "api_key": "none", "max_retries": 0}
        self._client = OpenAI(**options, http_client=httpx2.Client(transport=network))
        self._below = OpenAI(**options, http_client=httpx2.Client(transport=EntropyTransport(network)))
        self._aclient = AsyncOpenAI(**options, http_client=httpx2.AsyncClient(transport=network))
        abelow = httpx2.AsyncClient(transport=AsyncEntropyTransport(network))
        self._abelow = AsyncOpenAI(**options, http_client=abelow)
        model = {**options, "model": "m", "http_client": httpx2.Client(transport=network)}
        model["http_async_client"] = httpx2.AsyncClient(transport=network)
        self._models = {
            "chat": ChatOpenAI(**model, logprobs=True, top_logprobs=CANDIDATES, stream_usage=True),
            "responses": ChatOpenAI(**model, use_responses_api=True, **INCLUDE),
            "legacy": CompletionModel(**model, logprobs=CANDIDATES, model_kwargs=USAGE),
        }
        self._loop = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory(prefix="ec_agent_streams_")

    def close(self) -> None:
        self._loop.close()
        self._folder.cleanup()

    def _answer(self) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=_Pieces(self._pieces))

    def live(self, stream: Stream, chance: random.Random, *, turn: int | None, langchain: bool) -> dict[str, Told]:
        """What the ways make of it that hear it as it comes, from pieces that end anywhere.

        Args:
            stream: what comes.
            chance: decides where the pieces end.
            turn: reads it in two of the four ways of the clients, by turns; ``None`` in all.
            langchain: reads it by LangChain, too.
        """
        if stream.form.api == "gemini":
            return {}
        body = stream.body()
        cuts = sorted(chance.choices(range(len(body)), k=3))
        self._pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        ways: dict[str, Callable[[], Any]] = {
            "client": lambda: self._read(self._client, stream),
            "transport": lambda: self._read(self._below, stream),
            "async client": lambda: self._run(self._aread(self._aclient, stream)),
            "async transport": lambda: self._run(self._aread(self._abelow, stream)),
        }
        if turn is not None:
            left = ("client", "async transport") if turn % 2 else ("async client", "transport")
            ways = {name: way for name, way in ways.items() if name in left}
        if langchain:
            model = self._models[stream.form.api]
            more = {"n": len(stream.said.choices)} if len(stream.said.choices) > 1 else {}
            ways["LangChain"] = lambda: list(model.stream("hi", **more))
            ways["async LangChain"] = lambda: self._run(_all(model.astream("hi", **more)))
        return {name: _heard(way) for name, way in ways.items()}

    def _run(self, reading: Coroutine[Any, Any, None]) -> None:
        self._loop.run(reading, context=copy_context())  # in which the recorder is

    def _read(self, client: OpenAI, stream: Stream) -> None:
        for _ in _asking(client, stream):
            pass

    async def _aread(self, client: AsyncOpenAI, stream: Stream) -> None:
        async for _ in await _asking(client, stream):
            pass

    def saved(self, stream: Stream, form: str) -> list[Told]:
        """What ``ec-agent score`` makes of its parts, saved: its rollouts, alternatives apart."""
        path = Path(self._folder.name) / "log.json"
        if form == "event stream":
            path.write_bytes(stream.body())
        elif form == "lines":
            path.write_text("".join(json.dumps(chunk) + "\n" for chunk in stream.chunks()))
        else:
            path.write_text(json.dumps(stream.chunks()))
        troubles: list[str] = []
        try:
            with opened(path) as source:
                found = list(found_in(source, lambda where, what: troubles.append(what)))
        except EcAgentError as error:
            return [Told(error=repr(error))]
        except Exception as error:
            return [Told(foreign=repr(error))]
        return [Told.of(each.trajectory, warned=tuple(troubles)) for each in found]


async def _all(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


def _asking(client: Any, stream: Stream) -> Any:
    more = {"n": len(stream.said.choices)} if len(stream.said.choices) > 1 else {}
    if stream.form.api == "responses":
        return client.responses.create(model="m", input="hi", stream=True, **INCLUDE)
    if stream.form.api == "legacy":
        return client.completions.create(model="m", prompt="hi", logprobs=CANDIDATES, stream=True, **USAGE, **more)
    ask = client.chat.completions.create
    return ask(model="m", messages=MESSAGES, logprobs=True, top_logprobs=CANDIDATES, stream=True, **USAGE, **more)


def _heard(read: Callable[[], Any]) -> Told:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EcAgentWarning)
        error: Exception | None = None
        with record_calls(signals=SIGNALS) as recorder:
            try:
                read()
            except Exception as raised:
                error = raised
        try:
            told = Told.of(recorder.trajectory())
        except EcAgentError as refused:
            told = Told(error=repr(refused))
    if isinstance(error, EcAgentError):
        told.error = repr(error)
    elif error is not None:
        told.foreign = repr(error)
    told.warned = tuple(str(each.message) for each in caught if issubclass(each.category, EcAgentWarning))
    return told
