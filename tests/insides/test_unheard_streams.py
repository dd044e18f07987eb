"""What ``unheard_streams`` relies on in LangChain: who is called while a chat model reads a stream."""

from __future__ import annotations

import json

import httpx2
import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from openai._base_client import AsyncAPIClient, SyncAPIClient

from ec_agent.insides.unheard_streams import held_for

CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
DELTA = {"role": "assistant", "content": "a"}
SENT = b"data: " + json.dumps({**CHUNK, "choices": [{"index": 0, "delta": DELTA}]}).encode() + b"\n\n"
WRAPPER = "lambda *args, **kwargs: told.append(held_for()) or request(*args, **kwargs)"


@pytest.fixture
def held(monkeypatch):
    """What is said while each request is made."""
    told = []

    def told_by(request):
        # As in the wrapper of ``request``, whose module is ours.
        return eval(WRAPPER, {**names, "request": request})

    names = {"__name__": "ec_agent.capture", "told": told, "held_for": held_for}
    for kind in (SyncAPIClient, AsyncAPIClient):
        monkeypatch.setattr(kind, "request", told_by(kind.request))
    return told


def model(kind=ChatOpenAI, **kwargs):
    answer = lambda request: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=SENT)  # noqa: E731
    http = {"http_client": httpx2.Client(transport=httpx2.MockTransport(answer))}
    http |= {"http_async_client": httpx2.AsyncClient(transport=httpx2.MockTransport(answer))}
    return kind(model="m", api_key="none", streaming=True, **http, **kwargs)


class Deaf(BaseCallbackHandler):
    def on_llm_end(self, response, **kwargs):
        pass


class DeafAsync(AsyncCallbackHandler):
    pass


class Hears(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        pass


class HearsEvents(AsyncCallbackHandler):
    async def on_stream_event(self, event, **kwargs):
        pass


class Own(ChatOpenAI):
    def _stream(self, *args, **kwargs):
        yield from super()._stream(*args, **kwargs)

    async def _astream(self, *args, **kwargs):
        async for part in super()._astream(*args, **kwargs):
            yield part


class Converts(ChatOpenAI):
    def _convert_chunk_to_generation_chunk(self, *args, **kwargs):
        return super()._convert_chunk_to_generation_chunk(*args, **kwargs)


async def test_an_invoked_model_adds_up_the_parts(held):
    for handlers in ([], [Deaf()], [Deaf(), DeafAsync()]):
        model(callbacks=handlers).invoke("hi")
        await model(stream_chunk_timeout=30).ainvoke("hi", {"callbacks": handlers})
        model(stream_chunk_timeout=None).batch(["hi"])
    assert held[:3] == [1.2, 0.3, float("inf")]
    assert held == held[:3] * 3


@pytest.mark.parametrize("handler", [Hears, HearsEvents])
async def test_handlers_that_listen(handler, held):
    model(callbacks=[handler()]).invoke("hi")
    await model().ainvoke("hi", {"callbacks": [Deaf(), handler()]})
    assert held == [None, None]


@pytest.mark.filterwarnings("ignore:.*response_format is not default")
async def test_everybody_else_sees_the_parts(held):
    for own in (model(Own), model(Converts), model(response_format={"type": "json_object"})):
        own.invoke("hi")
        await own.ainvoke("hi")
    list(model().stream("hi"))
    assert [each async for each in model().astream("hi")]
    assert [each async for each in model().astream_events("hi", version="v2")]
    model().root_client.chat.completions.create(model="m", messages=[], stream=True)
    assert held == [None] * 10


def test_the_functions_that_add_up_have_their_names():
    assert all(hasattr(BaseChatModel, name) for name in ("_generate_with_cache", "_agenerate_with_cache"))
    assert held_for() is None
