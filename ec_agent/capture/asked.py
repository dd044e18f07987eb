"""What a request asks for, in whatever provider's words, and what a rollout sets on its requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ec_agent.capture.shapes import count, get

# Parameters whose mere presence holds the answer to a form: llama.cpp, vLLM, SGLang, Ollama, Gemini.
_GRAMMARS = (
    *("grammar", "json_schema", "guided_json", "guided_regex", "guided_choice", "guided_grammar"),
    *("structured_outputs", "regex", "ebnf", "format", "response_schema", "response_json_schema"),
)
_FREE_CHOICES = (None, False, "auto", "none")


@dataclass(frozen=True, slots=True)
class RequestParams:
    """What counts of a request's parameters.

    Attributes:
        top_k: how many candidates a token; ``None`` where it does not say.
        constrained: whether the answer is held to a grammar, a schema or a certain tool.
        prompts: how many prompts a completion model is asked at once.
        unreturned: how many answers to each of them are generated and kept back (``best_of``).
    """

    top_k: int | None = None
    constrained: bool = False
    prompts: int = 1
    unreturned: int = 0


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


def asked_of(params: Mapping[str, Any]) -> RequestParams:
    """Read a request's body, or the invocation parameters of a LangChain model."""
    numbers = [value for name in ("top_logprobs", "logprobs") if type(value := params.get(name)) is int and value > 0]
    prompts = params.get("prompt")
    several = isinstance(prompts, list) and not all(isinstance(each, int) for each in prompts)
    best, returned = (count(params.get(name)) or 1 for name in ("best_of", "n"))
    return _asked(
        numbers[0] if numbers else None,
        _constrained(params),
        len(prompts) if several and isinstance(prompts, list) else 1,
        max(best - returned, 0) if "prompt" in params else 0,
    )


_asked = lru_cache(maxsize=64)(RequestParams)
"""Most calls ask for the same, and each keeps what it asked for."""


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
