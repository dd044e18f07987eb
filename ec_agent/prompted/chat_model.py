"""A chat model around any other that lets it call tools in the text of its replies."""

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
from ec_agent.prompted.hermes import HermesProtocol
from ec_agent.prompted.json_schema import JsonSchemaProtocol
from ec_agent.prompted.protocol import Offer, ToolProtocol, offered
from ec_agent.prompted.replies import after_thinking
from ec_agent.prompted.turns import conversation, needs_rendering
from ec_agent.support.checks import flag, or_none, several
from ec_agent.support.plans import Plan, adrive, call, drive
from ec_agent.support.refusing import Refusing

_NAMED: dict[str, ToolProtocol] = {"json_schema": JsonSchemaProtocol(), "hermes": HermesProtocol()}
_FORMATS = ("response_format", "format", "response_schema", "response_json_schema")
_STOPS = ("stop", "stop_sequences")  # Anthropic's has the second name
RunManager = CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun


class PromptedToolModel(Refusing, BaseChatModel):
    """A chat model whose tools are written into the prompt and read out of the replies of another.

    Many providers return no logprobs for native tool calls. Here a tool call is text, so its tokens come with
    logprobs like any other: the timeline of an agent holds all it generated. The inner model is given no native
    tools; its reply becomes an ordinary ``AIMessage`` with ``tool_calls``, so ``create_agent`` works unchanged.

    The message carries all that the inner one did, untouched: ``response_metadata`` (logprobs, in whatever shape the
    integration leaves them there), ``usage_metadata``, ``additional_kwargs``, blocks of reasoning, a provider's own
    id. An opening ``<think>`` block is taken off the text and kept as ``additional_kwargs["reasoning_content"]``. A
    tool call that cannot be read becomes an ``invalid_tool_call``; reading never raises. Without tools bound the
    inner model is asked as it is.

    Tracers see the inner call as a child run, with this model's tags and metadata; streams see this model only, and
    nothing streams token by token: a reply is read when it is there. So the inner model is asked for it in one piece,
    whatever stream mode is listening and even where it was made with ``streaming=True``: streamed, some servers leave
    out logprobs of a reply that a schema holds (llama.cpp: all that it does not show). ``streamed=True``, or
    ``stream=True`` bound to a call, leaves that to the inner model. ``record_calls`` and ``best_of_n`` count the inner
    call, once. An LLM cache works for the inner model; this one has none of its own.

    Example:
        >>> model = PromptedToolModel(model=ChatOpenAI(model="...", logprobs=True, top_logprobs=20), protocol="hermes")
        >>> agent = create_agent(model, [price_of])

    Attributes:
        model: any chat model that returns logprobs for plain text; ask it for them where you make it.
        protocol: ``"json_schema"`` (``JsonSchemaProtocol()``: one step a reply, enforced where the provider takes a
            schema), ``"hermes"`` (``HermesProtocol()``: free text and any number of calls, nothing enforced), or an
            object that is a ``ToolProtocol``.
        preamble: opens the instructions that list the tools; ``None`` is the protocol's own.
        examples: worked examples, shown before the conversation whenever tools are bound.
        streamed: whether the inner model may stream, if it is made to: against a proxy that ends requests that say
            nothing for long, say.
    """

    model: BaseChatModel
    protocol: Literal["json_schema", "hermes"] | ToolProtocol = "json_schema"
    preamble: str | None = None
    examples: tuple[AnyMessage, ...] = ()
    streamed: bool = False
    # Nothing streams here: a tool call is read from the whole reply.
    disable_streaming: bool | Literal["tool_calling"] = True
    # The inner model has the cache: two of them would hold each answer twice.
    cache: BaseCache | bool | None = Field(default=False, exclude=True)

    @property
    def _llm_type(self) -> str:
        return "ec-agent-prompted"

    @property
    def model_name(self) -> str:
        """A name that says nothing of the inner model: by it ``create_agent`` would guess at native abilities."""
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
        return _NAMED[self.protocol] if isinstance(self.protocol, str) else self.protocol

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools.

        Args:
            tools: anything ``convert_to_openai_tool`` takes that is a function.
            tool_choice: ``None``/``"auto"``, ``"none"``, ``"any"``/``"required"``/``True``, a tool's name, or a
                provider's dict of these; how far it is enforced is the protocol's affair.
            strict: accepted and not used: the JSON schema always holds, Hermes has none.
            parallel_tool_calls: accepted and not used: a JSON step is one call, a Hermes reply any number.
            **kwargs: bound to every call of the inner model, as with ``bind``.

        Raises:
            ConfigError: ``tool_choice`` names no such tool, or a tool is one that the provider runs itself.
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
        offered(converted, tool_choice)  # a wrong choice is told here, not at the first call
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
        """The options of the inner call, the protocol's among them."""
        if given := [name for name in _FORMATS if name in options]:
            raise ConfigError(f"{given[0]} cannot be joined with tools here; use a ToolStrategy, or drop one")
        added = dict(self._spoken.options(offer, self.model))
        if "extra_body" in added:  # a call's extra body takes the place of the model's own
            own = getattr(self.model, "extra_body", None) or {}
            added["extra_body"] = {**own, **options.get("extra_body", {}), **added["extra_body"]}
        return {**options, **added}

    def _child(self, run_manager: RunManager | None) -> Any:
        """Callbacks for the inner call: tracers see it, streams do not, or they would show the protocol's text too."""
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
    """The model, which will not stream."""
    own = {"streaming": False} if hasattr(model, "streaming") else {}
    if not getattr(model, "streaming", False) and not has_streams(model.callbacks):
        return model  # a copy would be another one to an LLM cache
    return model.model_copy(update={**own, "disable_streaming": True})


def _stopping(model: BaseChatModel, given: list[str], added: list[str]) -> tuple[BaseChatModel, list[str] | None]:
    """What to ask, and with which ``stop``: the protocol's come on top of those that would have held without."""
    own = next((name for name in _STOPS if getattr(model, name, None)), None)
    if given or not added or own is None:
        return model, list(dict.fromkeys([*given, *added])) or None
    # A call's take the place of the model's own, or clash with them: ChatOllama raises.
    joined = dict.fromkeys([*_listed(getattr(model, own)), *added])
    return model.model_copy(update={own: list(joined)}), None


def _listed(stop: Any) -> list[str]:
    return [stop] if isinstance(stop, str) else list(stop or ())


def _own_id(message: BaseMessage) -> str | None:
    """The id that the provider gave the message; one made from the inner run's is left to this model's run."""
    return None if (message.id or "").startswith(LC_ID_PREFIX) else message.id


def _with_text(content: str | list[Any], text: str) -> str | list[Any]:
    """The content with its text replaced; blocks of other kinds, such as reasoning, stay."""
    if isinstance(content, str) or AIMessage(content).text == text:
        return text if isinstance(content, str) else content
    others = [block for block in content if isinstance(block, dict) and block.get("type") != "text"]
    return [*others, {"type": "text", "text": text}] if others and text else others or text
