"""The protocol in which each reply is one JSON object, whose form a JSON schema enforces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage

from ec_agent.errors import ConfigError
from ec_agent.prompted import json_steps
from ec_agent.prompted.protocol import Offer
from ec_agent.support.checks import or_none, repr_of, text

Schema = dict[str, Any]


def _response_format(schema: Schema) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "step", "schema": schema}}}


_HAND_OVER: dict[str, Callable[[Schema], dict[str, Any]]] = {
    "response_format": _response_format,
    "extra_body": lambda schema: {"extra_body": _response_format(schema)},
    "ollama": lambda schema: {"format": schema},
    "gemini": lambda schema: {"response_mime_type": "application/json", "response_json_schema": schema},
    "none": lambda schema: {},
}


HandOver = (
    Literal["auto", "response_format", "extra_body", "ollama", "gemini", "none"] | Callable[[Schema], dict[str, Any]]
)


def _by_class(model: BaseChatModel) -> str:
    classes = {base.__name__ for base in type(model).__mro__}  # names, because these packages may not be installed
    if "ChatOllama" in classes:
        return "ollama"
    if "ChatGoogleGenerativeAI" in classes:
        return "gemini"
    if "BaseChatOpenAI" in classes and not _on_responses(model):
        return "extra_body"
    return "response_format"


def handed_over(schema: Schema, model: BaseChatModel) -> dict[str, Any]:
    """Return the arguments that make a chat model of this class follow a schema, for its call."""
    return _HAND_OVER[_by_class(model)](schema)


def _on_responses(model: Any) -> bool:
    """Tell whether a ``ChatOpenAI`` uses the Responses API. It then translates ``response_format`` by itself."""
    return bool(model._use_responses_api(model._default_params))


@dataclass(frozen=True)
class JsonSchemaProtocol:
    """Each reply is one JSON object: a tool call, ``{"price_of": {"product": "mug"}}``, or ``{"answer": "4.50"}``.

    So a reply never holds several calls. The schema enforces ``tool_choice``, the names of tools and their arguments,
    if the provider follows it. ``hand_over`` says how the provider gets the schema:

    * ``"auto"``: one of the next four, chosen by the class of the inner model; ``"response_format"`` for a class that
      is not named below.
    * ``"response_format"``: OpenAI's ``response_format={"type": "json_schema", ...}``. ``LocalChatModel`` and most
      integrations accept it, and so do llama.cpp, vLLM and SGLang.
    * ``"extra_body"``: the same, in ``extra_body`` of the ``openai`` client, for ``ChatOpenAI`` and its subclasses with
      Chat Completions. They would let the client parse the reply if they got ``response_format``, and the client
      raises ``openai.LengthFinishReasonError`` for a reply that was cut at the token limit.
    * ``"ollama"``: ``format=schema``, for ``ChatOllama``.
    * ``"gemini"``: ``response_mime_type`` and ``response_json_schema``, for ``ChatGoogleGenerativeAI``.
    * ``"none"``: the form is only described in the prompt; nothing is enforced.
    * a function that turns the schema into keyword arguments for the call of the inner model.

    **The logprobs may be from before the schema.** A provider may return the probabilities that the model gave before
    the schema removed tokens; llama.cpp does. The entropy of a token that the schema forced then describes the model,
    not what could be sampled.

    Attributes:
        hand_over: how the provider gets the schema; see above.
        wrapper: a key around every reply, as in ``{"step": {...}}`` for ``wrapper="step"``. Use it for APIs that refuse
            ``anyOf`` at the root of a schema; OpenAI documents this for its own.

    Raises:
        ConfigError: ``hand_over`` or ``wrapper`` has a wrong value.
    """

    hand_over: HandOver = "auto"
    wrapper: str | None = None

    def __post_init__(self) -> None:
        or_none("wrapper", self.wrapper, text)
        known = isinstance(self.hand_over, str) and self.hand_over in ("auto", *_HAND_OVER)
        if not callable(self.hand_over) and not known:
            raise ConfigError(
                f"hand_over={repr_of(self.hand_over)} is unknown; use 'auto', one of {sorted(_HAND_OVER)}, or a "
                "function from the schema to keyword arguments"
            )

    def instructions(self, offer: Offer, preamble: str | None) -> str:
        """Return the preamble, then the form of each possible reply."""
        opening = json_steps.PREAMBLE if preamble is None else preamble
        return json_steps.instructions(opening, offer.choices, self._answer(offer), self.wrapper)

    def said(self, message: AIMessage, offer: Offer) -> str:
        """Return an earlier message as JSON, or its text unchanged if it called no tool and no tools are bound."""
        if not (offer.tools or message.tool_calls):
            return message.text
        return json_steps.said(message, json_steps.answer_key(offer.tools), self.wrapper)

    def result(self, message: ToolMessage) -> str:
        """Return the text of a tool's result unchanged."""
        return message.text

    def options(self, offer: Offer, model: BaseChatModel) -> dict[str, Any]:
        """Return the schema of the reply, as arguments that the provider understands (``hand_over``)."""
        schema = json_steps.step_schema(offer.choices, self._answer(offer), self.wrapper)
        if callable(self.hand_over):
            return self.hand_over(schema)
        return handed_over(schema, model) if self.hand_over == "auto" else _HAND_OVER[self.hand_over](schema)

    def parse(self, text: str, offer: Offer) -> AIMessage:
        """Parse the reply as an answer or a tool call. Never raises."""
        return json_steps.parse_step(text, offer.names, json_steps.answer_key(offer.tools), self.wrapper)

    def _answer(self, offer: Offer) -> str | None:
        return json_steps.answer_key(offer.tools) if offer.may_answer else None
