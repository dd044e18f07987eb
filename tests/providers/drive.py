"""Runs a row's code against the local server, the way a user's program would."""

from __future__ import annotations

import functools
import importlib
from types import SimpleNamespace
from typing import Any

import openai
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.tools import tool
from said import PLAIN, REASONING, TOOLS, Turn
from table import CLIENT, Row
from wire import Server

MESSAGES = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


def turn_of(mode: str) -> Turn:
    return {"tools": TOOLS, "thinking": REASONING}.get(mode.partition("+")[0], PLAIN)


def streams(mode: str) -> bool:
    return mode.endswith("stream")


class Driven:
    """A row in one of its modes, ready to be asked, on a server that will answer that mode's turn."""

    def __init__(self, row: Row, mode: str, server: Server) -> None:
        self.row, self.mode, self.url = row, mode, server.url
        server.wire, server.turn = row.wire, turn_of(mode)

    def ask(self) -> Any:
        """One question, sync. Returns the answer, of a stream its pieces."""
        if self.row.integration == CLIENT:
            with openai.OpenAI(**self._here(), max_retries=0) as client:
                answer = self._of_client(client)
                return list(answer) if streams(self.mode) else answer
        model = self.model()
        return list(model.stream("hi")) if streams(self.mode) else model.invoke("hi")

    async def aask(self) -> Any:
        """One question, async."""
        if self.row.integration == CLIENT:
            async with openai.AsyncOpenAI(**self._here(), max_retries=0) as client:
                answer = await self._of_client(client)
                return [piece async for piece in answer] if streams(self.mode) else answer
        model = self.model()
        return [piece async for piece in model.astream("hi")] if streams(self.mode) else await model.ainvoke("hi")

    def model(self) -> Runnable[Any, Any]:
        """The model that the row's code makes, with a tool bound where the mode has one."""
        module, _, name = self.row.integration.rpartition(".")
        package = importlib.import_module(module)
        made: Any = getattr(package, name)
        at_hand = {**vars(package), name: lambda *args, **kwargs: made(*args, **{**kwargs, **self._here()})}
        model = eval(self.row.code.replace("http://localhost:8080", self.url), at_hand)
        if not self.mode.startswith("tools"):
            return model
        if isinstance(model, RunnableBinding):
            return model.bound.bind_tools([look_up]).bind(**model.kwargs)  # type: ignore[attr-defined]
        return model.bind_tools([look_up])

    def _here(self) -> dict[str, str]:
        return {name: value.format(url=self.url) for name, value in self.row.here.items()}

    def _of_client(self, client: Any) -> Any:
        more: dict[str, Any] = {"stream": True} if streams(self.mode) else {}
        if streams(self.mode) and "responses" not in self.row.code:
            more["stream_options"] = {"include_usage": True}
        if self.mode.startswith("tools"):
            more["tools"] = [TOOL]

        def asking(create: Any) -> Any:
            return SimpleNamespace(create=functools.partial(create, **more))

        chat = SimpleNamespace(completions=asking(client.chat.completions.create))
        completions, responses = asking(client.completions.create), asking(client.responses.create)
        at_hand = SimpleNamespace(chat=chat, completions=completions, responses=responses)
        return eval(self.row.code, {"client": at_hand, "messages": MESSAGES})
