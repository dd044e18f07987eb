"""A chat model that wraps another one and lets it call tools in the text of its replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from langchain_core.caches import BaseCache
from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.utils import LC_ID_PREFIX
from pydantic import Field

from ec_agent.errors import ConfigError
from ec_agent.insides.streams import has_streams, without_streaming
from ec_agent.prompted.protocol import Offer, ToolProtocol, offered
from ec_agent.prompted.registry import ProtocolName, protocol_named
from ec_agent.prompted.replies import after_thinking
from ec_agent.prompted.turns import conversation, needs_rendering
from ec_agent.support.checks import flag, or_none, several
from ec_agent.support.plans import Plan, adrive, call, drive
from ec_agent.support.pydantic_errors import Refusing

_FORMATS = ("response_format", "format", "response_schema", "response_json_schema")
_STOPS = ("stop", "stop_sequences")  # the attribute of a chat model with its stop sequences; ChatAnthropic's is the 2nd
RunManager = CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun


class PromptedToolModel(Refusing, BaseChatModel):
    """A chat model that wraps another one (the *inner model*) and lets it call tools in the text of its replies.

    Many providers return no logprobs for native tool calls. Here a tool call is text, so its tokens have logprobs like
    all others, and an agent's timeline holds every token that it generated. The tools are described in the prompt, and
    the inner model gets no native tools. Its reply becomes an ordinary ``AIMessage`` with ``tool_calls``, so
    ``create_agent`` works unchanged. If no tools are bound, the inner model is called as it is.

    **The message** keeps what the inner model's message had: ``response_metadata`` (with the logprobs, in the shape of
    the integration), ``usage_metadata``, ``additional_kwargs``, blocks of reasoning, the provider's id. A ``<think>``
    block at the beginning of the text is moved to ``additional_kwargs["reasoning_content"]``. A tool call that cannot
    be parsed becomes an ``invalid_tool_call``; parsing never raises.

    **Streaming**: this model returns a reply only when it is complete, because tool calls are parsed from the whole
    text. The inner model is asked not to stream either, even if it was made with ``streaming=True``. The reason: in
    streamed replies that follow a schema, some servers leave out logprobs (llama.cpp leaves out those of all text that
    it does not show). ``streamed=True``, or ``stream=True`` bound to a call, allows the inner model to stream.

    **Who sees what**: tracers see the call of the inner model as a child run, with the tags and metadata of this
    model. LangGraph's stream modes see this model only. ``record_calls`` and ``best_of_n`` count the inner call, once.
    An LLM cache works on the inner model; this model has no cache.

    Example:
        >>> model = PromptedToolModel(model=ChatOpenAI(model="...", logprobs=True, top_logprobs=20), protocol="hermes")
        >>> agent = create_agent(model, [price_of])

    Attributes:
        model: the inner model: any chat model that returns logprobs for plain text. Ask for logprobs when you make it.
        protocol: how tools and tool calls are written. ``"json_schema"`` (``JsonSchemaProtocol()``): each reply is one
            tool call or the answer, and the form is enforced if the provider supports schemas. ``"hermes"``
            (``HermesProtocol()``): free text and any number of calls; nothing is enforced. Or your own
            ``ToolProtocol``.
        preamble: first sentences of the instructions that list the tools. ``None`` means those of the protocol.
        examples: example messages, put before the conversation if tools are bound.
        streamed: whether the inner model may stream if it is set to. Useful with a proxy that ends requests that send
            nothing for a long time.

    Raises:
        ConfigError: from the constructor: an argument has a wrong value or is unknown.
    """

    model: BaseChatModel
    protocol: ProtocolName | ToolProtocol = "json_schema"
    preamble: str | None = None
    examples: tuple[AnyMessage, ...] = ()
    streamed: bool = False
    # This model cannot stream, because a tool call is parsed from the whole reply.
    disable_streaming: bool | Literal["tool_calling"] = True
    # An LLM cache works on the inner model. If this model used it too, each answer would be stored twice.
    cache: BaseCache | bool | None = Field(default=False, exclude=True)

    @property
    def _llm_type(self) -> str:
        return "ec-agent-prompted"

    @property
    def model_name(self) -> str:
        """A neutral name. ``create_agent`` guesses from a model's name which native features it has."""
        return self._llm_type

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**self.model._identifying_params, "protocol": repr(self._spoken)}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.model._get_ls_params(stop=stop, **kwargs)

    def _resolve_model_profile(self) -> ModelProfile | None:
        inner = self.model.profile
        return None if inner is None else ModelProfile(**{**inner, "structured_output": False})

    @property
    def _spoken(self) -> ToolProtocol:
        return protocol_named(self.protocol) if isinstance(self.protocol, str) else self.protocol

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools bound to it.

        Args:
            tools: tools, functions or schemas: what ``convert_to_openai_tool`` accepts, if it is a function.
            tool_choice: ``None`` or ``"auto"``, ``"none"``, ``"any"`` or ``"required"`` or ``True``, the name of a
                tool, or a provider's dict with one of these. Whether it is enforced depends on the protocol.
            strict: accepted, but without effect: a JSON schema is always strict, and Hermes has no schema.
            parallel_tool_calls: accepted, but without effect: the JSON protocol has one call per reply, Hermes any
                number.
            **kwargs: arguments for every call of the inner model, as in ``bind``.

        Raises:
            ConfigError: ``tool_choice`` names no bound tool, or a tool is one that the provider itself runs.
        """
        or_none("strict", strict, flag)
        or_none("parallel_tool_calls", parallel_tool_calls, flag)
        given: tuple[Any, ...] = several("tools", tools, object, "a list of tools, functions or schemas")
        try:
            converted = [convert_to_openai_tool(tool) for tool in given]
        except Exception as error:
            raise ConfigError(
                f"tools cannot be bound ({error}); give tools, functions with a docstring, or schemas"
            ) from error
        offered(converted, tool_choice)  # a wrong choice must fail here, not at the first call
        return self.bind(tools=converted, tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return drive(self._answer(messages, stop, run_manager, kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await adrive(self._answer(messages, stop, run_manager, kwargs))

    def _answer(
        self,
        messages: list[BaseMessage],
        stop: list[str] | str | None,
        run_manager: RunManager | None,
        kwargs: dict[str, Any],
    ) -> Plan[ChatResult]:
        """Call the inner model with the conversation as plain chat, and parse its replies."""
        options = dict(kwargs)
        tools, choice = options.pop("tools", None) or [], options.pop("tool_choice", None)
        offer = offered(tools, choice) if tools else Offer()
        turns: Sequence[BaseMessage] = messages
        asked = self.model if self.streamed or options.get("stream") else _in_one_piece(self.model)
        if tools or needs_rendering(messages):
            examples = self.examples if tools else ()
            turns = conversation(self._spoken, messages, offer, examples=examples, preamble=self.preamble)
        if tools:
            options = self._with_protocol(options, offer)
            asked, stop = _stopping(asked, _listed(stop), _listed(options.pop("stop", None)))
        callbacks = self._child(run_manager)
        result: LLMResult = yield call(asked, "generate", [list(turns)], stop=stop, callbacks=callbacks, **options)
        generations = [
            ChatGeneration(message=self._read(inner.message, offer), generation_info=inner.generation_info)
            for inner in result.generations[0]
            if isinstance(inner, ChatGeneration)
        ]
        return ChatResult(generations=generations, llm_output=result.llm_output)

    def _with_protocol(self, options: dict[str, Any], offer: Offer) -> dict[str, Any]:
        """Add the options of the protocol to those of the inner call."""
        if given := [name for name in _FORMATS if name in options]:
            raise ConfigError(f"{given[0]} cannot be combined with tools here; use a ToolStrategy, or drop one of them")
        added = dict(self._spoken.options(offer, self.model))
        if "extra_body" in added:  # extra_body given with a call would replace that of the model, so both are merged
            models_body = getattr(self.model, "extra_body", None) or {}
            added["extra_body"] = {**models_body, **options.get("extra_body", {}), **added["extra_body"]}
        return {**options, **added}

    def _child(self, run_manager: RunManager | None) -> Any:
        """Make the callbacks of the inner call: those of this call, as a child run, without the handlers that stream.

        Stream handlers would show the raw text of the protocol besides the parsed message.
        """
        if run_manager is None:
            return None
        kind = AsyncCallbackManager if isinstance(run_manager, AsyncCallbackManagerForLLMRun) else CallbackManager
        child = kind(
            handlers=run_manager.inheritable_handlers,
            inheritable_handlers=run_manager.inheritable_handlers,
            parent_run_id=run_manager.run_id,
            tags=[*run_manager.inheritable_tags, *(self.tags or ())],
            inheritable_tags=run_manager.inheritable_tags,
            metadata={**run_manager.inheritable_metadata, **(self.metadata or {})},
            inheritable_metadata=run_manager.inheritable_metadata,
        )
        return without_streaming(child)

    def _read(self, inner: BaseMessage, offer: Offer) -> BaseMessage:
        """Make the message of this model from the inner one: parse tool calls in its text, and keep everything else."""
        if not offer.tools or not isinstance(inner, AIMessage):
            return inner.model_copy(update={"id": _own_id(inner)})
        thought, text = after_thinking(inner.text)
        said = self._spoken.parse(text, offer)
        extras = dict(inner.additional_kwargs)
        if thought:
            extras.setdefault("reasoning_content", thought)
        return AIMessage(
            content=_with_text(inner.content, said.text),
            tool_calls=[*inner.tool_calls, *said.tool_calls],
            invalid_tool_calls=[*inner.invalid_tool_calls, *said.invalid_tool_calls],
            additional_kwargs={**extras, **said.additional_kwargs},
            response_metadata=dict(inner.response_metadata),
            usage_metadata=inner.usage_metadata,
            name=inner.name,
            id=_own_id(inner),
        )


def _in_one_piece(model: BaseChatModel) -> BaseChatModel:
    """Return the model, or a copy of it that does not stream."""
    switch = {"streaming": False} if hasattr(model, "streaming") else {}
    if not getattr(model, "streaming", False) and not has_streams(model.callbacks):
        return model  # not a copy, which an LLM cache would take for another model
    return model.model_copy(update={**switch, "disable_streaming": True})


def _stopping(model: BaseChatModel, given: list[str], added: list[str]) -> tuple[BaseChatModel, list[str] | None]:
    """Add the protocol's stop sequences to those of the call, or to those of the model if the call has none.

    Args:
        model: the inner model.
        given: stop sequences of the call.
        added: stop sequences of the protocol.

    Returns:
        The model to call, and the ``stop`` to call it with.
    """
    attribute = next((name for name in _STOPS if getattr(model, name, None)), None)
    if given or not added or attribute is None:
        return model, list(dict.fromkeys([*given, *added])) or None
    # Given with the call, the stop sequences would replace those of the model, or clash with them: ChatOllama raises.
    # So a copy of the model gets both.
    joined = dict.fromkeys([*_listed(getattr(model, attribute)), *added])
    return model.model_copy(update={attribute: list(joined)}), None


def _listed(stop: Any) -> list[str]:
    return [stop] if isinstance(stop, str) else list(stop or ())


def _own_id(message: BaseMessage) -> str | None:
    """Return the id of a message if the provider gave it.

    LangChain makes ids from the id of the run. ``None`` in place of such an id lets it make one for this model's run.
    """
    return None if (message.id or "").startswith(LC_ID_PREFIX) else message.id


def _with_text(content: str | list[Any], text: str) -> str | list[Any]:
    """Replace the text of a message's content. Blocks of other kinds, such as reasoning, stay."""
    if isinstance(content, str) or AIMessage(content).text == text:
        return text if isinstance(content, str) else content
    others = [block for block in content if isinstance(block, dict) and block.get("type") != "text"]
    return [*others, {"type": "text", "text": text}] if others and text else others or text
