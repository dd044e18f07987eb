"""A chat model that says what it is told and keeps what it was asked; it streams, if anyone makes it."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field


class Inner(BaseChatModel):
    """Attributes: ``says`` (one reply a call, the last one stays), ``asked`` (messages, stop, options)."""

    says: list[Any] = Field(default_factory=list)
    asked: list[Any] = Field(default_factory=list)
    info: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self):
        return "inner"

    @property
    def _identifying_params(self):
        return {"model": "inner-model", "temperature": 0.5}

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.asked.append((messages, stop, kwargs))
        reply = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        message = reply if isinstance(reply, AIMessage) else AIMessage(reply)
        return ChatResult(
            generations=[ChatGeneration(message=message, generation_info=dict(self.info))], llm_output={"told": 1}
        )

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        raise AssertionError("nobody was to stream")
        yield ChatGenerationChunk(message=AIMessageChunk(""))


def inner(*says, **kwargs):
    return Inner(says=list(says), asked=[], **kwargs)
