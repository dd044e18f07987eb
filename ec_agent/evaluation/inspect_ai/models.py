"""Inspect's models inside an agent: ``openai`` clients that ask for ``"inspect"`` get the model under evaluation."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from inspect_ai.agent import agent_bridge
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelOutput
from inspect_ai.tool import ToolChoice, ToolInfo
from inspect_ai.util import LimitExceededError
from openai._base_client import AsyncAPIClient

from ec_agent.capture import openai_client
from ec_agent.capture.recorder import current_recorder
from ec_agent.capture.request_logprobs import LADDER
from ec_agent.capture.request_params import RequestSettings
from ec_agent.errors import ConfigError, EcAgentError


@asynccontextmanager
async def inspect_models() -> AsyncIterator[None]:
    """Inside, asynchronous ``openai`` clients reach Inspect's models, with the sampling that a rollout asks for.

    Raises:
        ConfigError: Inspect runs on trio.
        LimitExceededError: in place of our own error, where a limit of the sample is what made rollouts fail.
    """
    if os.environ.get("INSPECT_ASYNC_BACKEND", "").lower() == "trio":
        raise ConfigError("LangGraph runs on asyncio; unset INSPECT_ASYNC_BACKEND, or set it to asyncio")
    met: list[LimitExceededError] = []

    async def generate(
        model: Model,
        messages: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice | None,
        config: GenerateConfig,
    ) -> ModelOutput:
        recorder = current_recorder.get()
        if recorder is not None:
            config = config.merge(_asked(recorder.requests, config.extra_body or {}))
        # Inspect's own request may go through an openai client too. Where the agent's was heard, it must not be heard
        # again; it was unless Inspect's ear was put on the clients later than ours, and so before it.
        heard = AsyncAPIClient.request.__globals__ is vars(openai_client)
        token = current_recorder.set(None if heard else recorder)
        try:
            return await model.generate(messages, tools=tools, tool_choice=tool_choice, config=config)
        except LimitExceededError as error:
            met.append(error)
            raise
        finally:
            current_recorder.reset(token)

    try:
        async with agent_bridge(filter=generate, forward_generation_config=True):
            yield
    except EcAgentError:
        if met:
            raise met[0] from None
        raise


def _asked(requests: RequestSettings, more: dict[str, Any]) -> GenerateConfig:
    """What a rollout sets on its requests, for Inspect, which looks at nothing but the request that the agent made."""
    known = {name: value for name, value in requests.sampling.items() if name in GenerateConfig.model_fields}
    others = {name: value for name, value in requests.sampling.items() if name not in known}
    logprobs = {"logprobs": True, "top_logprobs": LADDER[0]} if requests.logprobs else {}
    return GenerateConfig(**{**logprobs, **known}, extra_body={**more, **others} or None)
