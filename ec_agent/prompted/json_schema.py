"""Tool calls as JSON objects that a schema holds the model to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage

from ec_agent.errors import ConfigError
from ec_agent.prompted import steps
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
    classes = {base.__name__ for base in type(model).__mro__}  # by name: none of them need be installed
    if "ChatOllama" in classes:
        return "ollama"
    if "ChatGoogleGenerativeAI" in classes:
        return "gemini"
    if "BaseChatOpenAI" in classes and not _on_responses(model):
        return "extra_body"
    return "response_format"


def handed_over(schema: Schema, model: BaseChatModel) -> dict[str, Any]:
    """The parameters of a call that hold the answer to a schema, in the words of the model's class."""
    return _HAND_OVER[_by_class(model)](schema)


def _on_responses(model: Any) -> bool:
    """Whether a ``ChatOpenAI`` speaks the Responses API, where it turns a ``response_format`` into ``text.format``."""
    return bool(model._use_responses_api(model._default_params))


@dataclass(frozen=True)
class JsonSchemaProtocol:
    """One JSON object a reply: ``{"price_of": {"product": "mug"}}``, or ``{"answer": "4.50"}``.

    A reply is one step, so never several calls. The schema enforces ``tool_choice``, the names and the arguments, as
    far as the provider keeps to it; ``hand_over`` says how the provider is given it:

    * ``"auto"``: one of the next four, by the inner model's class; the first where its class is none of those named.
    * ``"response_format"``: OpenAI's ``response_format={"type": "json_schema", ...}``. ``LocalChatModel`` and most
      integrations take it; llama.cpp, vLLM and SGLang do behind them.
    * ``"extra_body"``: the same in the ``openai`` client's ``extra_body``, for ``ChatOpenAI`` and its subclasses on
      Chat Completions: given a ``response_format``, they have the client parse the reply, which raises
      ``openai.LengthFinishReasonError`` on one cut at the token limit.
    * ``"ollama"``: ``format=schema``, for ``ChatOllama``.
    * ``"gemini"``: ``response_mime_type`` and ``response_json_schema``, for ``ChatGoogleGenerativeAI``.
    * ``"none"``: prompted only; nothing is enforced.
    * a function from the schema to keyword arguments of the inner model's call.

    **The logprobs may be those before the schema.** Where a schema constrains the sampler, a provider may return the
    model's own distribution, as llama.cpp does: entropies of tokens that the schema forced then describe the model,
    not the sampler.

    Attributes:
        hand_over: see above.
        wrapper: wraps every step: ``{"step": {...}}`` with ``wrapper="step"``. For APIs that refuse ``anyOf`` at a
            schema's root, as OpenAI documents of its own.
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
        """The preamble, then the form of each step on offer."""
        opening = steps.PREAMBLE if preamble is None else preamble
        return steps.instructions(opening, offer.choices, self._answer(offer), self.wrapper)

    def said(self, message: AIMessage, offer: Offer) -> str:
        """The steps it was; as it is where no tools are bound and it called none."""
        if not (offer.tools or message.tool_calls):
            return message.text
        return steps.said(message, steps.answer_key(offer.tools), self.wrapper)

    def result(self, message: ToolMessage) -> str:
        """The result as it is."""
        return message.text

    def options(self, offer: Offer, model: BaseChatModel) -> dict[str, Any]:
        """The schema of the next step, in the way the provider takes it."""
        schema = steps.step_schema(offer.choices, self._answer(offer), self.wrapper)
        if callable(self.hand_over):
            return self.hand_over(schema)
        return handed_over(schema, model) if self.hand_over == "auto" else _HAND_OVER[self.hand_over](schema)

    def parse(self, text: str, offer: Offer) -> AIMessage:
        """The step as an answer or a tool call. Never raises."""
        return steps.parse_step(text, offer.names, steps.answer_key(offer.tools), self.wrapper)

    def _answer(self, offer: Offer) -> str | None:
        return steps.answer_key(offer.tools) if offer.may_answer else None
