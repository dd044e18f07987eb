"""What a request asks for, in whatever provider's words, and what a rollout sets on its requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ec_agent.capture.shapes import get

# Parameters whose mere presence holds the answer to a form: llama.cpp, vLLM, SGLang, Ollama, Gemini.
_GRAMMARS = (
    *("grammar", "json_schema", "guided_json", "guided_regex", "guided_choice", "guided_grammar"),
    *("structured_outputs", "regex", "ebnf", "format", "response_schema", "response_json_schema"),
)
_FREE_CHOICES = (None, False, "auto", "none")


@dataclass(frozen=True, slots=True)
class Asked:
    """What counts of a request's parameters.

    Attributes:
        top_k: how many candidates a token; ``None`` where it does not say.
        constrained: whether the answer is held to a grammar, a schema or a certain tool.
    """

    top_k: int | None = None
    constrained: bool = False


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """What to set on a rollout's requests, as far as they go through an ``openai`` client.

    Attributes:
        sampling: sampling parameters.
        logprobs: whether to ask for logprobs where the request does not.
        keep_logprobs: whether a transport below the client is to leave them in the answers.
    """

    sampling: Mapping[str, Any] = field(default_factory=dict)
    logprobs: bool = False
    keep_logprobs: bool = False


def asked_of(params: Mapping[str, Any]) -> Asked:
    """Read a request's body, or the invocation parameters of a LangChain model."""
    numbers = [value for name in ("top_logprobs", "logprobs") if type(value := params.get(name)) is int and value > 0]
    return Asked(numbers[0] if numbers else None, _constrained(params))


def _constrained(params: Mapping[str, Any]) -> bool:
    form = params.get("response_format")
    forms = (get(form, "type"), get(params, "text", "format", "type"))
    if isinstance(form, type) or any(isinstance(kind, str) and kind != "text" for kind in forms):
        return True
    if any(params.get(name) for name in _GRAMMARS) or params.get("response_mime_type") == "application/json":
        return True
    if get(params, "function_call", "name"):  # before there were tools
        return True
    tools = params.get("tools")
    if not tools:
        return False
    choice = params.get("tool_choice")
    free = choice in _FREE_CHOICES if isinstance(choice, str | bool | None) else get(choice, "type") in ("auto", "none")
    return not free or any(
        get(tool, "strict") is True or get(tool, "function", "strict") is True
        for tool in (tools if isinstance(tools, list | tuple) else ())
    )
