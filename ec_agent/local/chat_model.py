"""A LangChain chat model for any OpenAI-compatible endpoint; by default it uses the embedded model."""

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
from ec_agent.local.server import serving, shared_model_name, shared_server
from ec_agent.support.prompt_leader import current_lead
from ec_agent.support.pydantic_errors import Number, Refusing, Whole


class LocalChatModel(Refusing, BaseChatModel):
    """A chat model for any OpenAI-compatible endpoint. It always asks for logprobs.

    Each message has ``response_metadata["logprobs"]``, in the shape that ``ChatOpenAI`` uses, and ``usage_metadata``.
    The model cannot call tools by itself: wrap it in a ``PromptedToolModel``. Other parameters of the endpoint, such as
    ``response_format``, can be given with the call.

    llama.cpp returns the logprobs of the model before temperature, schema and grammar are applied. The entropy of a
    token that a schema forced therefore describes the model, not what could be sampled.

    With ``base_url=None`` it uses the embedded model of this process, which is started at the first call. If the
    environment variable ``EC_AGENT_LOCAL_MODEL`` names another GGUF file, that one is served. The object holds no
    connection, so it can be copied and pickled.

    Example:
        >>> agent = create_agent(PromptedToolModel(model=LocalChatModel()), [price_of])

    Attributes:
        base_url: address of the endpoint, usually ending in ``/v1``. ``None`` means the embedded model
            (``shared_server``).
        model: name of the model. The default is that of this process's own server.
        api_key: key for ``base_url``. ``None`` means the environment variable ``OPENAI_API_KEY``, if it is set. The
            embedded model needs no key.
        temperature: temperature of sampling. 0 always takes the likeliest token.
        seed: seed of sampling. ``None`` lets the server draw one.
        max_tokens: the longest reply, in tokens. ``None`` sets no limit.
        top_p: sample only from the likeliest tokens that together have this probability. The default, 1, allows all.
        top_k: sample only from this many likeliest tokens. The default, 0, allows all. OpenAI does not have this
            parameter; ``None`` does not send it.
        min_p: sample only tokens with at least this share of the likeliest token's probability. The default, 0, allows
            all. OpenAI does not have this parameter; ``None`` does not send it.
        top_logprobs: number of candidates returned for each token, from 1 to 20.
        timeout: seconds for one request, including the time it waits for a free slot of the server.
        max_retries: how often a failed request is sent again. The default is 0, because the server may generate, and
            count, the answer of each request.
        extra_body: further fields of the request's JSON.

    Raises:
        ConfigError: from the constructor: an argument has a wrong value or is unknown.
    """

    base_url: str | None = None
    model: str = Field(default_factory=shared_model_name)
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
    # This model cannot stream. Without this setting, LangGraph's stream modes would ask it to.
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
        """Refuse tools: this model cannot call them. Wrap it in a ``PromptedToolModel``.

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
        endpoint, request = self._endpoint(), self._request(messages, stop, kwargs)
        _read_for_others(endpoint, request)
        response = sync_client(endpoint).chat.completions.create(**request)
        return self._result(response)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # In a thread: the model may have to be downloaded and the server started, which would block the event loop.
        endpoint, request = await asyncio.to_thread(self._endpoint), self._request(messages, stop, kwargs)
        if _leads():
            await asyncio.to_thread(_read_for_others, endpoint, request)
        response = await async_client(endpoint).chat.completions.create(**request)
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
        for name in ("top_k", "min_p"):  # OpenAI does not have these, so its client accepts them only in extra_body
            if (value := request.pop(name, None)) is not None:
                request["extra_body"].setdefault(name, value)
        if stop:
            request["stop"] = stop
        # Neighbouring messages of one role are merged, because many chat templates refuse them.
        request["messages"] = convert_to_openai_messages(merge_message_runs(messages), text_format="string")
        return request

    def _result(self, response: Any) -> ChatResult:
        reply = response.model_dump(warnings=False) if hasattr(response, "model_dump") else {}
        if not reply.get("choices"):
            raise LocalModelError(
                f"{self.base_url or 'the embedded model'} sent no chat completion ({str(response)[:200]!r}); check "
                "base_url: it must be an OpenAI-compatible endpoint, and usually ends in /v1"
            )
        usage = _usage(reply.get("usage"))
        generations = []
        for choice in reply["choices"]:
            # Each generation gets the usage of the whole request, as LangChain's own models do.
            message = AIMessage(choice["message"].get("content") or "", usage_metadata=usage)
            if thought := choice["message"].get("reasoning_content"):
                message.additional_kwargs["reasoning_content"] = thought
            info = {"finish_reason": choice.get("finish_reason"), "logprobs": choice.get("logprobs")}
            generations.append(ChatGeneration(message=message, generation_info=info))
        output = {"token_usage": reply.get("usage"), "model_name": reply.get("model") or self.model}
        return ChatResult(generations=generations, llm_output=output | {"id": reply.get("id")})


def _leads() -> bool:
    return (lead := current_lead.get()) is not None and not lead.followed


def _read_for_others(endpoint: Endpoint, request: dict[str, Any]) -> None:
    """If other rollouts wait with the same prompt, let the embedded server process it for their slots, too."""
    lead = current_lead.get()
    if lead is None or lead.followed or (server := serving(endpoint.base_url)) is None:
        return
    asked = {name: value for name, value in request.items() if name != "extra_body"}
    server.spread({**asked, **request["extra_body"]}, endpoint.timeout)
    lead.follow()


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
