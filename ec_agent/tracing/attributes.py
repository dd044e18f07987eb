"""Names and values of span attributes: those of OpenTelemetry's GenAI conventions (0.1), and our own where they end.

The names are written out here, because the Python package of the conventions marks all of them as deprecated. No value
here has content: texts of messages, tools and errors come from ``messages``, which is used only on request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ec_agent.support.from_plain import MOST_WHOLE, text_of

OPERATION = "gen_ai.operation.name"
AGENT = "gen_ai.agent.name"
CONVERSATION = "gen_ai.conversation.id"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
EVALUATION = "gen_ai.evaluation.result"  # the name of an event
ERROR = "error.type"
OTHER_ERROR = "_OTHER"  # the conventions' value for an error whose type is not known

SELECTOR = "ec_agent.selector"
N = "ec_agent.n"
INDEX = "ec_agent.rollout.index"
ROUND = "ec_agent.rollout.round"
ATTEMPT = "ec_agent.rollout.attempt"
PARTIAL = "ec_agent.call.partial"
CALL = "ec_agent.call"  # the name of an event

# Only parameters that are numbers. Others may hold anything, even API keys in headers.
_REQUEST: Mapping[str, tuple[str, ...]] = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "seed": ("seed",),
    "frequency_penalty": ("frequency_penalty",),
    "presence_penalty": ("presence_penalty",),
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens"),
    "choice.count": ("n",),
}
_WHOLE = ("seed", "max_tokens", "choice.count")

# Providers whose name in LangChain differs from their name in the conventions.
_PROVIDERS = {
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "amazon_bedrock": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "ibm": "ibm.watsonx.ai",
    "moonshot": "moonshot_ai",
}

_NOT_OF_CANDIDATE = ("index", "seconds", "error")
"""Columns of the receipt that are left out of a rollout's span: it has them in another form, or they are content."""
_NOT_OF_SELECTION = ("selector", "planned", "failed_selector")
"""Columns of the receipt that the question's spans have under names of their own. What a selector failed with may be
content."""


def present(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes without those that are ``None``, which spans do not accept."""
    return {name: value for name, value in attributes.items() if value is not None}


def fitting(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes in a form that every exporter can send.

    Lone surrogates in texts are replaced, and whole numbers over 64 bits become hexadecimal text.
    """
    return {name: _fitting(value) for name, value in attributes.items() if value is not None}


def _fitting(value: Any) -> Any:
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, int) and not -MOST_WHOLE <= value < MOST_WHOLE:
        return hex(value)
    return [_fitting(each) for each in value] if isinstance(value, list | tuple) else value


def provider(metadata: Mapping[str, Any] | None) -> str | None:
    """Return the provider's name in the conventions, from a LangChain run's metadata; ``None`` if it has none."""
    name = (metadata or {}).get("ls_provider")
    return _PROVIDERS.get(str(name).lower(), str(name).lower()) if name else None


def request(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return those request parameters for which the conventions have a name."""
    found: dict[str, Any] = {}
    for name, spellings in _REQUEST.items():
        value = next((v for spelling in spellings if _is_number(v := params.get(spelling))), None)
        if value is not None and (name, value) != ("choice.count", 1):
            found[f"gen_ai.request.{name}"] = int(value) if name in _WHOLE else float(value)
    return found


def usage(prompt: int | None, cached: int | None, generated: int | None) -> dict[str, Any]:
    """Return the attributes for token counts; unknown counts are left out."""
    return present({INPUT_TOKENS: prompt, CACHED_TOKENS: cached or None, OUTPUT_TOKENS: generated})


def candidate(receipt: Mapping[str, Any], winner: int) -> dict[str, Any]:
    """Return the attributes for one rollout's columns of the receipt."""
    own = {f"ec_agent.rollout.{name}": value for name, value in _plain(receipt, _NOT_OF_CANDIDATE).items()}
    return present({**own, "ec_agent.rollout.selected": receipt["index"] == winner})


def evaluation(receipt: Mapping[str, Any], selector: str, winner: int) -> dict[str, Any]:
    """Return the attributes of the conventions' evaluation event, with one rollout's score."""
    return {
        "gen_ai.evaluation.name": selector,
        "gen_ai.evaluation.score.value": receipt["score"],
        "gen_ai.evaluation.score.label": "selected" if receipt["index"] == winner else "not selected",
    }


def selection(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes for the receipt's columns about the whole question."""
    winner: Mapping[str, Any] = next(c for c in receipt["candidates"] if c["index"] == receipt["winner"])
    return present(
        {
            SELECTOR: receipt["selector"],
            N: receipt["planned"],
            **{f"ec_agent.selection.{name}": value for name, value in _plain(receipt, _NOT_OF_SELECTION).items()},
            "ec_agent.selection.fell_back": True if receipt["failed_selector"] is not None else None,
            "ec_agent.selection.order": list(receipt["order"]),
            "ec_agent.selection.waves": list(receipt["waves"]),
            "ec_agent.selection.score": winner["score"],
            "ec_agent.selection.centroid": winner["centroid"],
            "ec_agent.selection.warnings": len(receipt["warnings"]),
            **{f"ec_agent.config.{name}": value for name, value in receipt["config"].items()},
            **{f"ec_agent.usage.{name}": value for name, value in receipt["usage"].items()},
            **{f"ec_agent.selector_usage.{name}": value for name, value in receipt["selector_usage"].items()},
        }
    )


def _plain(receipt: Mapping[str, Any], less: Sequence[str]) -> dict[str, Any]:
    """Return those columns of a receipt that are plain values, without some."""
    return {name: v for name, v in receipt.items() if isinstance(v, str | int | float) and name not in less}


def error_type(error: BaseException) -> str:
    """Return an exception's full name, as the conventions want it for ``error.type``."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def only(values: Sequence[Any]) -> Any:
    """Return the one value that all of these have; ``None`` where they differ or there are none."""
    return values[0] if values and all(value == values[0] for value in values) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
