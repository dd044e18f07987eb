"""Reads what a request asks for, in the parameters of any provider; and what a rollout sets on its requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ec_agent.capture.shapes import count, get

# Parameters that force the form of the answer if they are set: of llama.cpp, vLLM, SGLang, Ollama and Gemini.
_GRAMMARS = frozenset(
    (
        *("grammar", "json_schema", "guided_json", "guided_regex", "guided_choice", "guided_grammar"),
        *("structured_outputs", "regex", "ebnf", "format", "response_schema", "response_json_schema"),
    )
)
_FREE_CHOICES = (None, False, "auto", "none")


@dataclass(frozen=True, slots=True)
class RequestParams:
    """The parameters of a request that matter for reading its answer.

    Attributes:
        top_k: how many candidates per token, or ``None`` if it does not say.
        constrained: whether the form of the answer is forced by a grammar, a schema or a certain tool.
        prompts: how many prompts a completion model gets at once.
        unreturned: how many answers to each prompt are generated, but not returned (``best_of``).
    """

    top_k: int | None = None
    constrained: bool = False
    prompts: int = 1
    unreturned: int = 0


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """What a rollout sets on its requests that go through an ``openai`` client.

    Attributes:
        sampling: sampling parameters to add.
        logprobs: whether to ask for logprobs if the request does not.
        keep_logprobs: whether the logprobs must be left in the answers, for the client to make objects of.
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
"""Most calls ask for the same, so they share one object."""


def _constrained(params: Mapping[str, Any]) -> bool:
    """Tell whether a request forces the form of its answer. Entropies of forced tokens need a note in the receipt."""
    form = params.get("response_format")
    forms = (get(form, "type"), get(params, "text", "format", "type"))
    if isinstance(form, type) or any(isinstance(kind, str) and kind != "text" for kind in forms):
        return True
    forced = not _GRAMMARS.isdisjoint(params) and any(params.get(name) for name in _GRAMMARS)
    if forced or params.get("response_mime_type") == "application/json":
        return True
    if get(params, "function_call", "name"):  # OpenAI's older form of tools
        return True
    tools = params.get("tools")
    if not tools:
        return False  # without tools, tool_choice has no effect
    choice = params.get("tool_choice")
    free = choice in _FREE_CHOICES if isinstance(choice, str | bool | None) else get(choice, "type") in ("auto", "none")
    return not free or any(
        get(tool, "strict") is True or get(tool, "function", "strict") is True
        for tool in (tools if isinstance(tools, list | tuple) else ())
    )
