"""A LangChain chat model on an OpenAI-compatible endpoint, the embedded model by default."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages, merge_message_runs
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, SecretStr

from ec_agent.errors import ConfigError, LocalModelError
from ec_agent.local.clients import Endpoint, async_client, sync_client
from ec_agent.local.server import MODEL_NAME, shared_server
from ec_agent.support.refusing import Number, Refusing, Whole


class LocalChatModel(Refusing, BaseChatModel):
    """A plain chat model on any OpenAI-compatible endpoint, the embedded model unless told otherwise.

    Every message carries ``response_metadata["logprobs"]`` in ChatOpenAI's shape, and ``usage_metadata``. It has no
    tools of its own: wrap it in a ``PromptedToolModel``. Everything else that the endpoint takes can be given with
    the call, ``response_format`` for one. llama.cpp's logprobs are the model's own, before temperature and before any
    schema or grammar: entropies of tokens that one forced describe the model, not the sampler.

    With ``base_url=None`` it speaks to this process's embedded model, started at the first call; the object itself
    holds no connection and can be copied and pickled.

    Example:
        >>> agent = create_agent(PromptedToolModel(model=LocalChatModel()), [price_of])

    Attributes:
        base_url: ends in ``/v1``; ``None`` is the embedded model (``shared_server``).
        model: the model's name.
        api_key: for a ``base_url`` only; ``None`` takes ``OPENAI_API_KEY``, if set. The embedded model has none.
        temperature: 0 is greedy.
        seed: the sampler's; ``None`` lets the server draw one.
        max_tokens: the longest reply, in tokens.
        top_p: with ``top_k`` and ``min_p``, whose defaults leave the model's distribution whole. ``top_k`` and
            ``min_p`` are extensions; ``None`` leaves them out, for endpoints that do not know them.
        top_k: see ``top_p``.
        min_p: see ``top_p``.
        top_logprobs: candidates returned for each token.
        timeout: seconds, for one request, the wait for a free slot of the server included.
        max_retries: 0 by default: a request sent twice generates, and counts, twice.
        extra_body: further fields of the request's JSON.
    """

    base_url: str | None = None
    model: str = MODEL_NAME
    api_key: SecretStr | None = None
    temperature: Number = 0.8
    seed: Whole | None = None
    max_tokens: Whole | None = 128
    top_p: Number = 1.0
    top_k: Whole | None = 0
    min_p: Number | None = 0.0
    top_logprobs: Whole = Field(default=20, ge=1, le=20)
    timeout: Number = Field(default=600.0, gt=0)
    max_retries: Whole = Field(default=0, ge=0)
    extra_body: dict[str, Any] = Field(default_factory=dict)
    # Nothing streams here, and outer stream modes must not try.
    disable_streaming: bool | Literal["tool_calling"] = True

    @property
    def _llm_type(self) -> str:
        return "ec-agent-local"

    @property
    def _default_params(self) -> dict[str, Any]:
        sampling = {
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "top_k": self.top_k,
            "min_p": self.min_p,
        }
        return {
            "model": self.model,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "logprobs": True,
            "top_logprobs": self.top_logprobs,
            **{name: value for name, value in sampling.items() if value is not None},
        }

    @property
    def _identifying_params(self) -> dict[str, Any]:
        where = self.base_url or "embedded"
        return {
            "model_name": self.model,
            "base_url": where,
            **self._default_params,
            "extra_body": self.extra_body,
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "openai" if self.base_url else "ec_agent"
        return params

    def bind_tools(self, tools: Any, **kwargs: Any) -> NoReturn:
        """It has none.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "LocalChatModel calls no tools by itself; wrap it: PromptedToolModel(model=LocalChatModel(...)), from "
            "ec_agent.prompted"
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        client = sync_client(self._endpoint())
        response = client.chat.completions.create(**self._request(messages, stop, kwargs))
        return self._result(response)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # In a thread, because the embedded server may have to be fetched and started.
        client = async_client(await asyncio.to_thread(self._endpoint))
        response = await client.chat.completions.create(**self._request(messages, stop, kwargs))
        return self._result(response)

    def _endpoint(self) -> Endpoint:
        if self.base_url is None:
            return Endpoint(shared_server().base_url, "none", self.timeout, self.max_retries)
        key = self.api_key.get_secret_value() if self.api_key else os.environ.get("OPENAI_API_KEY")
        return Endpoint(self.base_url, key or "none", self.timeout, self.max_retries)

    def _request(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        request = {**self._default_params, **kwargs}
        request["extra_body"] = {**self.extra_body, **kwargs.get("extra_body", {})}
        for name in ("top_k", "min_p"):  # not OpenAI's own, so its client takes them in the extra body only
            if (value := request.pop(name, None)) is not None:
                request["extra_body"].setdefault(name, value)
        if stop:
            request["stop"] = stop
        # Merged, because many templates refuse two turns of one role in a row.
        request["messages"] = convert_to_openai_messages(merge_message_runs(messages), text_format="string")
        return request

    def _result(self, response: Any) -> ChatResult:
        reply = response.model_dump(warnings=False) if hasattr(response, "model_dump") else {}
        if not reply.get("choices"):
            raise LocalModelError(
                f"{self.base_url or 'the embedded model'} sent no chat completion ({str(response)[:200]!r}); check "
                "base_url: it must be an OpenAI-compatible endpoint, ending in /v1 as a rule"
            )
        usage = _usage(reply.get("usage"))
        generations = []
        for choice in reply["choices"]:
            message = AIMessage(choice["message"].get("content") or "", usage_metadata=usage)
            if thought := choice["message"].get("reasoning_content"):
                message.additional_kwargs["reasoning_content"] = thought
            info = {"finish_reason": choice.get("finish_reason"), "logprobs": choice.get("logprobs")}
            generations.append(ChatGeneration(message=message, generation_info=info))
        output = {"token_usage": reply.get("usage"), "model_name": reply.get("model") or self.model}
        return ChatResult(generations=generations, llm_output=output | {"id": reply.get("id")})


def _usage(usage: dict[str, Any] | None) -> UsageMetadata | None:
    if not usage:
        return None
    sent, generated = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    metadata = UsageMetadata(
        input_tokens=sent, output_tokens=generated, total_tokens=usage.get("total_tokens") or sent + generated
    )
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    if cached is not None:
        metadata["input_token_details"] = InputTokenDetails(cache_read=cached)
    return metadata
