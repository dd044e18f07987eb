"""One row a provider and integration: how to ask for logprobs there, and what then arrives.

``test_rows.py`` runs every row's code, as it stands, against a local server that speaks the provider's wire format.
What a row says of a mode is one of:

    full        every generated token has an entropy
    content     the text's tokens have one; those of the thinking are counted, and are gaps
    sampled     only the sampled tokens' own logprobs: no entropy, so the rollout is unscored
    none        no logprobs at all: the rollout is unscored
    fails: ...  the call itself raises, with this text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import wire_anthropic
import wire_gemini
import wire_hosts
import wire_ollama
import wire_openai
import wire_servers
from said import Token
from wire import Wire
from wire_openai import speaks

Modes = Mapping[str, str]
MODES = ("plain", "stream", "tools", "tools+stream", "thinking", "thinking+stream")


def modes(text: str = "full", tools: str | None = "none", thinking: str | None = None, **other: str) -> Modes:
    """What is said of whole answers holds for streams; ``other`` names modes that differ, ``tools_stream`` say."""
    said = {"plain": text, "stream": text, "tools": tools, "tools+stream": tools}
    said |= {"thinking": thinking, "thinking+stream": thinking}
    said |= {name.replace("_", "+"): what for name, what in other.items()}
    return MappingProxyType({mode: what for mode in MODES if (what := said[mode]) is not None})


@dataclass(frozen=True)
class Row:
    """One provider through one integration.

    Attributes:
        provider: the provider, and the endpoint or shape where it has several.
        integration: the class or client, as ``module.Class``.
        code: what a user writes, ``client`` and ``messages`` being at hand.
        wire: the provider's wire format.
        document: what the payloads are written to, and its version or date.
        modes: mode -> what arrives.
        here: arguments that point the integration at the local server, ``{url}`` being its address.
        environment: variables that do.
        served: what the payload makes of a token's candidates.
    """

    provider: str
    integration: str
    code: str
    wire: Wire
    document: str
    modes: Modes
    here: Mapping[str, str] = field(default_factory=lambda: {"base_url": "{url}/v1", "api_key": "none"})
    environment: Mapping[str, str] = field(default_factory=dict)
    served: Callable[[Token], Token] = lambda token: token

    @property
    def name(self) -> str:
        return f"{self.provider}, {self.integration}".replace(" ", "_")


CHAT = "langchain_openai.ChatOpenAI"
CLIENT = "openai.OpenAI"
OPENAI_DOC = "OpenAI API reference, chat completions, as typed in openai 3.57"
LEGACY_DOC = "OpenAI API reference, completions (legacy), as typed in openai 3.57"
RESPONSES_DOC = "OpenAI API reference, responses, as typed in openai 3.57"
AT_HOST = {"base_url": "{url}", "api_key": "none"}


def _chat(model: str, url: str | None = None, more: str = "") -> str:
    where = f', base_url="{url}", stream_usage=True' if url else ""
    return f'ChatOpenAI(model="{model}"{where}, logprobs=True, top_logprobs=20{more})'


OPENAI_ROWS = (
    Row(
        "OpenAI Chat Completions",
        CHAT,
        _chat("gpt-4o", more=", stream_usage=True"),
        speaks(wire_openai.OPENAI),
        OPENAI_DOC,
        modes(thinking="content"),
    ),
    Row(
        "OpenAI Chat Completions",
        CLIENT,
        'client.chat.completions.create(model="gpt-4o", messages=messages, logprobs=True, top_logprobs=20)',
        speaks(wire_openai.OPENAI),
        OPENAI_DOC,
        modes(thinking="content"),
    ),
    Row(
        "OpenAI Responses",
        CHAT,
        'ChatOpenAI(model="gpt-4o", use_responses_api=True, include=["message.output_text.logprobs"], top_logprobs=20)',
        wire_openai.responses,
        RESPONSES_DOC,
        modes(thinking="content"),
    ),
    Row(
        "OpenAI Responses",
        CLIENT,
        'client.responses.create(model="gpt-4o", input=messages, '
        'include=["message.output_text.logprobs"], top_logprobs=20)',
        wire_openai.responses,
        RESPONSES_DOC,
        modes(thinking="content"),
    ),
    Row(
        "OpenAI completions",
        "langchain_openai.OpenAI",
        'OpenAI(model="gpt-3.5-turbo-instruct", logprobs=5)',
        wire_openai.legacy,
        LEGACY_DOC,
        modes(tools=None),
    ),
    Row(
        "OpenAI completions",
        CLIENT,
        'client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi", logprobs=5)',
        wire_openai.legacy,
        LEGACY_DOC,
        modes(tools=None),
    ),
    Row(
        "Azure OpenAI",
        "langchain_openai.AzureChatOpenAI",
        'AzureChatOpenAI(azure_deployment="gpt-4o", api_version="2024-10-21", logprobs=True, top_logprobs=20)',
        speaks(wire_openai.AZURE),
        "Azure OpenAI at api-version 2024-10-21, as its client in openai 3.57 reads it",
        modes(thinking="content"),
        here={"azure_endpoint": "{url}", "api_key": "none"},
    ),
)

SERVER_ROWS = (
    Row(
        "vLLM",
        CHAT,
        _chat("Qwen/Qwen3-8B", "http://localhost:8000/v1"),
        speaks(wire_servers.VLLM),
        "vLLM, entrypoints/openai/chat_completion/serving.py (2026)",
        modes(tools="full", thinking="full"),
        served=wire_servers.sampled_among,
    ),
    Row(
        "vLLM, token ids and prompt logprobs",
        CHAT,
        _chat(
            "Qwen/Qwen3-8B",
            "http://localhost:8000/v1",
            ', extra_body={"return_tokens_as_token_ids": True, "prompt_logprobs": 1}',
        ),
        speaks(wire_servers.VLLM_TOKEN_IDS),
        "vLLM, entrypoints/openai/chat_completion/serving.py (2026)",
        modes(tools="full", thinking="full"),
        served=wire_servers.sampled_among,
    ),
    Row(
        "vLLM completions, echo",
        CLIENT,
        'client.completions.create(model="Qwen/Qwen3-8B", prompt="hi", logprobs=5, echo=True)',
        wire_openai.legacy,
        LEGACY_DOC,
        MappingProxyType({"plain": "full"}),
    ),
    Row(
        "SGLang",
        CHAT,
        _chat("Qwen/Qwen3-8B", "http://localhost:30000/v1"),
        speaks(wire_servers.SGLANG),
        "SGLang, srt/entrypoints/openai since #28601 (June 2026)",
        modes(tools="full", thinking="full"),
    ),
    Row(
        "mistral.rs",
        CHAT,
        _chat("default", "http://localhost:1234/v1"),
        speaks(wire_servers.MISTRAL_RS),
        "mistral.rs 0.9.5, as it answers: streamed, one token in the place of a list of one",
        modes(tools=None),
    ),
    Row(
        "mistral.rs",
        CLIENT,
        'client.chat.completions.create(model="default", messages=messages, logprobs=True, top_logprobs=20)',
        speaks(wire_servers.MISTRAL_RS),
        "mistral.rs 0.9.5, as it answers: streamed, one token in the place of a list of one",
        modes(tools=None),
    ),
    Row(
        "llama.cpp",
        CHAT,
        _chat("any", "http://localhost:8080/v1"),
        wire_servers.llama,
        "llama.cpp, tools/server source (2025); tools with streams: #28478 (September 2026)",
        modes(tools="full", thinking="full", tools_stream="fails: logprobs is not supported with tools"),
    ),
    Row(
        "Ollama",
        "langchain_ollama.ChatOllama",
        'ChatOllama(model="qwen3", logprobs=True, top_logprobs=20)',
        wire_ollama.chat,
        "Ollama API since 0.12.11, as typed in ollama 0.6.3; tool calls: ollama/ollama #13092",
        modes(thinking="full"),
        here={"base_url": "{url}"},
    ),
    Row(
        "Ollama, OpenAI-compatible",
        CHAT,
        _chat("qwen3", "http://localhost:11434/v1"),
        speaks(wire_servers.OLLAMA),
        "Ollama, openai/openai.go since 0.12.11 (ollama/ollama #16867)",
        modes(thinking="full"),
    ),
    Row(
        "Ollama Cloud, and Ollama before 0.12.11",
        CHAT,
        _chat("qwen3", "https://ollama.com/v1"),
        speaks(wire_servers.OLD_OLLAMA),
        "ollama/ollama #13638 (January 2026)",
        modes("none", thinking="none"),
    ),
    Row(
        "Hugging Face text-generation-inference",
        "langchain_huggingface.ChatHuggingFace",
        'ChatHuggingFace(llm=HuggingFaceEndpoint(endpoint_url="http://localhost:8080"), model_id="tgi", '
        'model_kwargs={"logprobs": True, "top_logprobs": 5, "stream_options": {"include_usage": True}})',
        speaks(wire_servers.TGI),
        "text-generation-inference, Messages API, as typed in huggingface_hub 1.33.0",
        modes(),
        here={},
        environment={"HF_TOKEN": "none"},
    ),
)

HOST_ROWS = (
    Row(
        "DeepSeek",
        "langchain_deepseek.ChatDeepSeek",
        'ChatDeepSeek(model="deepseek-chat", logprobs=True, top_logprobs=20, stream_usage=True)',
        speaks(wire_hosts.DEEPSEEK),
        "DeepSeek API, create chat completion (2026), as its reasoning_content logprobs are read by gateways",
        modes(thinking="full"),
    ),
    Row(
        "xAI",
        "langchain_xai.ChatXAI",
        'ChatXAI(model="grok-4-fast-non-reasoning", logprobs=True, top_logprobs=8)',
        speaks(wire_hosts.XAI),
        "xAI API reference, chat completions, as documented in xai-sdk 1.21",
        modes(thinking="content"),
        here={"xai_api_base": "{url}/v1", "api_key": "none"},
    ),
    Row(
        "xAI",
        CLIENT,
        'client.chat.completions.create(model="grok-4-fast-non-reasoning", messages=messages, '
        "logprobs=True, top_logprobs=8)",
        speaks(wire_hosts.XAI),
        "xAI API reference, chat completions, as documented in xai-sdk 1.21",
        modes(thinking="content"),
    ),
    Row(
        "OpenRouter",
        "langchain_openrouter.ChatOpenRouter",
        'ChatOpenRouter(model="openai/gpt-4o", model_kwargs={"logprobs": True, "top_logprobs": 20})',
        speaks(wire_hosts.OPENROUTER),
        "OpenRouter OpenAPI, chat, as typed in openrouter 0.11.46",
        modes(thinking="content"),
    ),
    Row(
        "Groq",
        "langchain_groq.ChatGroq",
        'ChatGroq(model="llama-3.3-70b-versatile", model_kwargs={"logprobs": True, "top_logprobs": 20})',
        speaks(wire_hosts.GROQ),
        'Groq API reference, as typed in groq 0.37.1: "not yet supported by any of our models"',
        modes("none", thinking="none"),
        here=AT_HOST,
    ),
    Row(
        "Mistral",
        CHAT,
        'ChatOpenAI(model="mistral-small-latest", base_url="https://api.mistral.ai/v1", logprobs=True, top_logprobs=5)',
        speaks(wire_hosts.MISTRAL),
        "Mistral API, chat completions, as typed in mistralai 3.7.0",
        modes(),
    ),
    Row(
        "Mistral",
        "langchain_mistralai.ChatMistralAI",
        'ChatMistralAI(model="mistral-small-latest", model_kwargs={"logprobs": True, "top_logprobs": 5})',
        speaks(wire_hosts.MISTRAL),
        "Mistral API, chat completions, as typed in mistralai 3.7.0",
        modes("none"),
    ),
    Row(
        "Fireworks",
        "langchain_fireworks.ChatFireworks",
        'ChatFireworks(model="accounts/fireworks/models/glm-4p5", model_kwargs={"logprobs": True, "top_logprobs": 5})',
        speaks(wire_hosts.FIREWORKS),
        "Fireworks API, NewLogProbs, as typed in fireworks-ai 1.2.30",
        modes(thinking="content"),
        here=AT_HOST,
    ),
    Row(
        "Fireworks, old lists",
        "langchain_fireworks.ChatFireworks",
        'ChatFireworks(model="accounts/fireworks/models/glm-4p5", model_kwargs={"logprobs": 5})',
        speaks(wire_hosts.FIREWORKS_LISTS),
        "Fireworks API, LogProbs, as typed in fireworks-ai 1.2.30",
        modes(thinking="content"),
        here=AT_HOST,
    ),
    Row(
        "Together, content",
        "langchain_together.ChatTogether",
        'ChatTogether(model="openai/gpt-oss-20b", logprobs=True, top_logprobs=5, stream_usage=True)',
        speaks(wire_openai.OPENAI),
        "UKGovernmentBEIS/inspect_ai #3084: gpt-oss on Together answers in OpenAI's shape",
        modes(),
    ),
    Row(
        "Together, lists",
        "langchain_together.ChatTogether",
        'ChatTogether(model="Qwen/Qwen2.5-7B-Instruct-Turbo", extra_body={"logprobs": 5}, stream_usage=True)',
        speaks(wire_hosts.TOGETHER),
        "Together OpenAPI, as typed in together 3.1.1",
        # langchain-core cannot add up the bare numbers in the parts; capture turns them into lists.
        modes("sampled", stream="full"),
    ),
    Row(
        "Together, lists",
        CLIENT,
        'client.chat.completions.create(model="Qwen/Qwen2.5-7B-Instruct-Turbo", messages=messages, '
        'extra_body={"logprobs": 5})',
        speaks(wire_hosts.TOGETHER),
        "Together OpenAPI, as typed in together 3.1.1",
        modes("sampled", stream="full"),
    ),
    Row(
        "Perplexity",
        "langchain_perplexity.ChatPerplexity",
        'ChatPerplexity(model="sonar", model_kwargs={"logprobs": True, "top_logprobs": 20})',
        speaks(wire_hosts.PERPLEXITY),
        "Perplexity API, chat completions, as typed in perplexityai 0.46.1",
        modes("none", tools=None),
        here={"api_key": "none"},
        environment={"PERPLEXITY_BASE_URL": "{url}"},
    ),
    Row(
        "Google Gemini",
        "langchain_google_genai.ChatGoogleGenerativeAI",
        'ChatGoogleGenerativeAI(model="gemini-2.5-flash").bind(response_logprobs=True, logprobs=20)',
        wire_gemini.generate,
        "Gemini API v1beta, LogprobsResult, as typed in google-genai 2.34.0",
        modes("none", thinking="none"),
        here=AT_HOST,
    ),
    Row(
        "Anthropic",
        "langchain_anthropic.ChatAnthropic",
        'ChatAnthropic(model="claude-haiku-4-5")',
        wire_anthropic.messages,
        "Anthropic Messages API, version 2023-06-01",
        modes("none", thinking="none"),
        here=AT_HOST,
    ),
)

ROWS = (*OPENAI_ROWS, *SERVER_ROWS, *HOST_ROWS)
