"""Test your own graphs without a model: a chat model that gives the replies of a script, with logprobs.

    model = ScriptedChatModel(
        [
            [Reply(tool_calls=[("search", {"q": "x"})], entropies=[2.0, 0.1, 0.1]), Reply("late", entropies=[0.1])],
            [Reply("early", entropies=[2.0, 0.1, 0.1, 0.1])],
        ]
    )
    agent = create_agent(model, tools=[search])
    best_of_n(agent, n=2).invoke({"messages": "..."})

Rollout ``i`` gets the replies of script ``i``; a call outside a rollout gets those of script 0. The model keeps no
state of its own: it counts the AI messages in the conversation to find the next reply, so that rollouts that run at the
same time cannot disturb each other.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable

from ec_agent.capture.recorder import current_recorder
from ec_agent.errors import ConfigError
from ec_agent.support.checks import checked, function, instance, number, or_none, refusal, seconds, several, text, whole
from ec_agent.support.pydantic_errors import Refusing

CANDIDATES = 20
_OTHERS = tuple(f"t{place}" for place in range(1, CANDIDATES))


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer of the model.

    Attributes:
        content: the text of the answer.
        tool_calls: the tool calls of the answer, each ``(name, arguments)``.
        entropies: entropy of each generated token in nats, from 0 to ln 20; ``None`` for a token without
            candidates. ``entropies=None`` stands for a model that returns no logprobs at all.
        tokens: number of generated tokens that the answer's usage reports; by default the number of entropies.
        logprobs: a raw logprobs payload instead of ``entropies``, to test unusual shapes.
        error: an exception that the model raises instead of answering.
        delay: seconds to wait before the answer.

    Raises:
        ConfigError: an attribute has a value that is not allowed.
    """

    content: str = ""
    tool_calls: Sequence[tuple[str, dict[str, Any]]] = ()
    entropies: Sequence[float | None] | None = None
    tokens: int | None = None
    logprobs: Any = None
    error: Exception | None = None
    delay: float = 0.0

    def __post_init__(self) -> None:
        text("content", self.content, empty=True)
        calls = several("tool_calls", self.tool_calls, tuple, "a list of pairs (name, arguments)")
        for call in calls:
            if len(call) != 2 or not isinstance(call[0], str) or not isinstance(call[1], dict):
                raise refusal("tool_calls", self.tool_calls, "a list of pairs (name, arguments)")
        if self.entropies is not None:
            object.__setattr__(self, "entropies", several("entropies", self.entropies, object, "a list of numbers"))
            for entropy in self.entropies:
                _row(entropy)
        checked(self, "tokens", or_none, whole, 0)
        or_none("error", self.error, instance, Exception, "an exception, or None")
        checked(self, "delay", seconds, "seconds, 0 or more", least=0)


Script = Sequence[Sequence[Reply]] | Callable[[list[BaseMessage], int], Reply]


class ScriptedChatModel(Refusing, BaseChatModel):
    """A chat model that gives the replies of a script.

    Args:
        script: one sequence of replies per rollout; or a function that gets the messages and the rollout's index, and
            returns a ``Reply``. With fewer sequences than rollouts, the sequences are used again from the first.

    Raises:
        ConfigError: ``script`` is neither; or, at a call, a sequence has no reply left.
    """

    script: Any
    model_name: str = "scripted"

    def __init__(self, script: Script, **kwargs: Any) -> None:
        rather = "a list of replies per rollout, or a function of the messages and the rollout's index"
        if callable(script):
            function("script", script, "a function of the messages and the rollout's index,", of=2)
        else:
            for replies in several("script", script, object, rather) or [()]:
                if not several("script", replies, Reply, rather):
                    raise refusal("script", script, rather)
        super().__init__(**{"script": script, **kwargs})

    @property
    def _llm_type(self) -> str:
        return "ec-agent-scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model_name}

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model itself: the script has the tool calls, so binding tools changes nothing."""
        return self

    def _reply(self, messages: list[BaseMessage]) -> Reply:
        recorder = current_recorder.get()
        index = recorder.index if recorder is not None else 0
        if callable(self.script):
            reply = instance("what the script returned", self.script(messages, index), Reply, "a Reply(...)")
        else:
            replies = self.script[index % len(self.script)]
            asked = max((i for i, m in enumerate(messages) if isinstance(m, HumanMessage)), default=-1)
            step = sum(isinstance(message, AIMessage) for message in messages[asked + 1 :])
            if step >= len(replies):
                raise ConfigError(
                    f"the script of rollout {index} has {len(replies)} replies, and the agent asked for another one; "
                    "end the script with a reply without tool calls"
                )
            reply = replies[step]
        if reply.error is not None:
            raise reply.error
        return reply

    def _message(self, reply: Reply, messages: list[BaseMessage]) -> AIMessage:
        return message_of(reply, self.model_name, turn=len(messages))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self._reply(messages)
        time.sleep(reply.delay)
        return ChatResult(generations=[ChatGeneration(message=self._message(reply, messages))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self._reply(messages)
        await asyncio.sleep(reply.delay)
        return ChatResult(generations=[ChatGeneration(message=self._message(reply, messages))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = self._reply(messages)
        time.sleep(reply.delay)
        for chunk in _chunks(self._message(reply, messages)):
            if run_manager:
                run_manager.on_llm_new_token(str(chunk.message.content), chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        reply = self._reply(messages)
        await asyncio.sleep(reply.delay)
        for chunk in _chunks(self._message(reply, messages)):
            if run_manager:
                await run_manager.on_llm_new_token(str(chunk.message.content), chunk=chunk)
            yield chunk


def message_of(reply: Reply, model: str = "scripted", turn: int = 0) -> AIMessage:
    """Turn a reply into the AI message that a chat model with ``logprobs=True, top_logprobs=20`` would return.

    ``turn`` becomes part of the tool calls' ids, which must differ within a conversation.
    """
    logprobs = reply.logprobs
    if logprobs is None and reply.entropies is not None:
        logprobs = {"content": logprobs_for(reply.entropies)}
    count = len(reply.entropies) if reply.tokens is None and reply.entropies is not None else reply.tokens
    message = AIMessage(
        reply.content,
        tool_calls=[
            {"name": name, "args": args, "id": f"call_{turn}_{place}", "type": "tool_call"}
            for place, (name, args) in enumerate(reply.tool_calls)
        ],
        response_metadata={"model_name": model},
    )
    if logprobs is not None:
        message.response_metadata["logprobs"] = logprobs
    if count is not None:
        message.usage_metadata = {"input_tokens": 0, "output_tokens": count, "total_tokens": count}
    return message


def logprobs_for(entropies: Sequence[float | None]) -> list[dict[str, Any]]:
    """Make logprobs entries in OpenAI's form, one per token, with these entropies (nats), up to rounding."""
    entries = []
    for place, entropy in enumerate(entropies):
        row, token = _row(entropy), f"w{place} "
        # The token that was generated is the likeliest candidate.
        top = [{"token": name, "logprob": lp, "bytes": None} for name, lp in zip((token, *_OTHERS), row, strict=False)]
        entries.append({"token": token, "logprob": row[0] if row else -1.0, "bytes": None, "top_logprobs": top})
    return entries


def _row(entropy: float | None) -> Sequence[float]:
    """Return 20 logprobs with this entropy; none for ``None``."""
    if entropy is None:
        return ()
    rather = f"nats from 0 to ln {CANDIDATES}, or None"
    return _spread(number("an entropy in entropies", entropy, rather, least=0, most=math.log(CANDIDATES)))


@lru_cache(maxsize=4096)  # scripts have few entropies, and ask for each of them often
def _spread(entropy: float) -> Sequence[float]:
    """Return 20 logprobs with this entropy: one likely candidate and 19 equally unlikely ones, found by bisection."""
    if entropy == 0.0:
        return (0.0, *[-math.inf] * (CANDIDATES - 1))
    low, high = 1.0 / CANDIDATES, 1.0 - 1e-12
    for _ in range(80):
        p = (low + high) / 2
        rest = (1 - p) / (CANDIDATES - 1)
        reached = -p * math.log(p) - (1 - p) * math.log(rest)
        low, high = (p, high) if reached > entropy else (low, p)
    return (math.log(p), *[math.log(rest)] * (CANDIDATES - 1))


def _chunks(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    # Logprobs in the usual form are split, one entry per chunk. Any other form goes whole into the first chunk.
    logprobs = message.response_metadata.get("logprobs")
    entries = logprobs.get("content") if isinstance(logprobs, dict) and len(logprobs) == 1 else None
    parts = [{"content": [entry]} for entry in entries] if isinstance(entries, list) else [logprobs]
    text = str(message.content)
    pieces = max(len(parts), 1)
    for place in range(pieces):
        start, end = (len(text) * place // pieces, len(text) * (place + 1) // pieces)
        info = {"logprobs": parts[place]} if parts and parts[place] is not None else None
        yield ChatGenerationChunk(message=AIMessageChunk(content=text[start:end]), generation_info=info)
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            tool_call_chunks=[
                {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": place}
                for place, call in enumerate(message.tool_calls)
            ],
            usage_metadata=message.usage_metadata,
        ),
        generation_info={"model_name": message.response_metadata["model_name"]},
    )
