"""Asking a LangChain chat model, as a rollout would: what the capture hears is what counts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import merge_configs, var_child_runnable_config
from pydantic import SecretStr

from ec_agent.capture.guard import Coming, Guard
from ec_agent.capture.installing import recording
from ec_agent.capture.listeners import Came
from ec_agent.capture.open_calls import OpenCall
from ec_agent.capture.recorder import Recorder
from ec_agent.capture.request_params import RequestSettings
from ec_agent.capture.shapes import Payload, get, payload_of_message
from ec_agent.doctor.refusals import bare_url, no_api, refusal_of, written
from ec_agent.doctor.report import Spent, Way
from ec_agent.doctor.trials import (
    HEARD,
    INCLUDE,
    SCHEMA,
    TOOL,
    Refusal,
    Target,
    TrialAnswer,
    TrialQuestion,
    without,
)
from ec_agent.errors import ConfigError
from ec_agent.prompted import PromptedToolModel
from ec_agent.prompted.json_schema import handed_over
from ec_agent.support.checks import flag, or_none, seconds, several, whole
from ec_agent.support.plans import Plan, Step, call

_TOOL_PARAMETERS = frozenset({"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"})
_GOOGLE = ("ChatGoogleGenerativeAI", "ChatVertexAI")  # words of their own, heard with a call only
_SENT_AS = {"max_tokens": ("max_completion_tokens", "max_output_tokens")}
"""Under which other names a parameter is sent."""
_ASKING = frozenset({"logprobs", "top_logprobs", "include", "response_logprobs"})


class Ear(Recorder):
    """A recorder that keeps the logprobs as they came, from whichever layer saw most of them.

    Attributes:
        richest: what came.
        sent: requests of an ``openai`` client, those that were refused and sent in another way included.

    Args:
        requests: what to set on the requests of an OpenAI client.
        guard: ends an answer that takes too long.
    """

    def __init__(self, requests: RequestSettings | None = None, guard: Guard | None = None) -> None:
        super().__init__(signals=HEARD, requests=requests, guard=guard)
        self.richest = Payload()
        self.sent = 0

    def end(self, call: OpenCall, payload: Payload | None, came: Came | None = None) -> None:
        """A call ended."""
        self.sent += sum(request.sent for request in call.batch.requests)
        for heard in (payload, *(request.payload() for request in call.answered())):
            self.richest = richer(self.richest, heard)
        super().end(call, payload, came)


class Deadline(Guard):
    """A guard that lets one answer take so long.

    Args:
        seconds: from now on.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float | None:
        """Seconds left."""
        return max(self._end - time.monotonic(), 0.1)

    def before(self, coming: Coming | None) -> None:
        """A call is about to be made, or a part of an answer came.

        Raises:
            TimeoutError: it is too late.
        """
        if time.monotonic() > self._end:
            raise TimeoutError


def richer(one: Payload, other: Payload | None) -> Payload:
    """The one with more logprobs; of equals, the one that says how many tokens there were."""
    if other is None:
        return one
    return max(one, other, key=lambda payload: (len(payload.entries), payload.tokens is not None))


class ChatModelTarget:
    """A LangChain chat model, asked with the parameters bound to it, less its tools.

    Args:
        model: a chat model, or a binding of one, such as ``model.bind_tools(...)``.
        first: candidates asked for with the first question; ``None`` asks the model as it is.
        request_logprobs: whether requests of an ``openai`` client that lack logprobs are made to ask for them, as
            rollouts of ``best_of_n(request_logprobs=True)`` do.
        limit: seconds for one answer; ``None`` leaves them to the model.
        secrets: what must not be shown, besides the keys the model has.

    Raises:
        ConfigError: it is something else.
    """

    def __init__(
        self,
        model: Any,
        first: int | None = None,
        *,
        request_logprobs: bool = False,
        limit: float | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        found, kwargs, self._config = unbound(model)
        first = or_none("first", first, whole, 0)
        flag("request_logprobs", request_logprobs)
        limit = or_none("limit", limit, seconds)
        secrets = several("secrets", secrets, str, "a list of texts")
        # An answer out of a cache says nothing of the endpoint; without one the model is asked itself, not a copy.
        cached = found.cache is not False and bool(found.cache or get_llm_cache())
        self._model = found.model_copy(update={"cache": False}) if cached else found
        self._kwargs = {name: value for name, value in kwargs.items() if name not in _TOOL_PARAMETERS}
        self.first = first
        self.request_logprobs, self._limit = request_logprobs, limit
        self.unasked = {"n": "best_of_n makes its rollouts by asking N times"}
        self.spent = Spent()
        url = endpoint_of(self._model)
        self.model_name = name_of(self._model)
        self.name = f"{type(self._model).__name__} {self.model_name}".strip() + (f" at {url}" if url else "")
        fields = vars(self._model).values()
        keys = (field.get_secret_value() for field in fields if isinstance(field, SecretStr))
        self._secrets = (*secrets, *keys)
        self._left_out: set[str] = set()
        self._answered = self._responses = False

    def ask(self, question: TrialQuestion) -> Plan[TrialAnswer | Refusal]:
        """Ask; a parameter that the model does not take is left out from then on."""
        while True:
            wanted = self._parameters(question)
            outcome = yield from self._ask(question, wanted)
            if not isinstance(outcome, Refusal):
                return without(outcome, frozenset(self._left_out))
            if question.temperature is not None and outcome.about("temperature"):
                return outcome  # not every temperature is taken everywhere, and others may be
            optional = [name for name in wanted if name not in (*_ASKING, *self._form(question))]
            unknown = [name for name in optional if outcome.about(name, *_SENT_AS.get(name, ()))]
            if not unknown and outcome.about("TypeError", "ValidationError"):
                unknown = optional
            if not unknown:
                return outcome
            self._left_out.update(unknown)

    @property
    def streaming(self) -> bool:
        """Whether the model is set to stream whatever it is asked."""
        return get(self._model, "streaming") is True

    def takes(self, name: str) -> bool:
        """Whether the model's class has such a setting."""
        return name in type(self._model).model_fields

    def arguments(self, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """What to set: on the model, what its class has no name for where it takes the rest; else bound to it."""
        own = {name: value for name, value in settings.items() if self.takes(name)}
        rest = {name: value for name, value in settings.items() if name not in own}
        if rest and self.takes("model_kwargs") and type(self._model).__name__ not in _GOOGLE:
            return {**own, "model_kwargs": rest}, {}
        return own, rest

    def constructor(self, **settings: Any) -> str:
        """How to make the model with these settings."""
        own, bound = self.arguments(**settings)
        made = f"{type(self._model).__name__}({', '.join(['...', written(own)] if own else ['...'])})"
        return f"{made}.bind({written(bound)})" if bound else made

    def following(self, way: Way) -> Target | None:
        """A copy of the model with these settings."""
        update = dict(way.model)
        if "model_kwargs" in update:
            update["model_kwargs"] = {**(get(self._model, "model_kwargs") or {}), **update["model_kwargs"]}
        model: BaseChatModel = self._model.model_copy(update=update)
        if way.prompted is not None:
            model = PromptedToolModel.model_validate({"model": model, "protocol": way.prompted})
        asks = bool(way.best_of_n.get("request_logprobs", self.request_logprobs))
        followed = ChatModelTarget(model, request_logprobs=asks, limit=self._limit, secrets=self._secrets)
        followed._kwargs, followed._config = {**self._kwargs, **way.bind}, self._config
        followed.spent = self.spent
        followed._left_out, followed._answered = set(self._left_out), True
        return followed

    def asking(self, top: int | None) -> dict[str, Any]:
        """The parameters that ask for logprobs, in the integration's own words."""
        if top is None:
            return {}
        if type(self._model).__name__ in _GOOGLE:
            return {"response_logprobs": True, "logprobs": top}
        if self._responses:
            return {"include": list(INCLUDE), "top_logprobs": top}
        return {"logprobs": True, "top_logprobs": top}

    def _form(self, question: TrialQuestion) -> dict[str, Any]:
        return handed_over(SCHEMA, self._model) if question.schema else {}

    def _parameters(self, question: TrialQuestion) -> dict[str, Any]:
        wanted: dict[str, Any] = {"max_tokens": question.longest}
        if question.seed is not None:
            wanted |= {"seed": question.seed, "temperature": 1.0}
        if question.temperature is not None:
            wanted["temperature"] = question.temperature
        if question.tools:
            wanted["tool_choice"] = "any"
        wanted = {name: value for name, value in wanted.items() if name not in self._left_out}
        form = self._form(question)
        if "extra_body" in form:  # a call's extra body takes the place of the model's own
            form["extra_body"] = {**(get(self._model, "extra_body") or {}), **form["extra_body"]}
        return wanted | form | self.asking(question.top)

    def _ask(self, question: TrialQuestion, wanted: dict[str, Any]) -> Plan[TrialAnswer | Refusal]:
        guard = None if self._limit is None else Deadline(self._limit)
        ear = Ear(RequestSettings(logprobs=self.request_logprobs, keep_logprobs=True), guard)
        sent = True
        try:
            asked, parameters = self._bound(question, wanted)
            with recording(ear), _apart():
                message = yield self._step(asked, question, {**self._kwargs, **parameters})
            if ear.failure is not None:
                raise ear.failure
            answer = self._read(message, ear)
        except NotImplementedError:
            sent = False
            return Refusal(f"{type(self._model).__name__} takes no tools")
        except Exception as error:
            sent = not isinstance(error, TypeError)  # else it takes no such argument, and nothing was sent
            return refusal_of(error, self.name, self._secrets, first=not self._answered)
        finally:
            self.spent.requests += max(ear.sent, 1) if sent else 0
        self._answered = True
        self._responses = self._responses or answer.responses
        self.spent.prompt_tokens += answer.payload.prompt_tokens or 0
        self.spent.generated_tokens += sum(call.generated for call in answer.trajectory.calls)
        return replace(answer, temperature=wanted.get("temperature"))

    def _bound(self, question: TrialQuestion, wanted: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if not question.tools:
            return self._model, wanted
        choice = {name: value for name, value in wanted.items() if name == "tool_choice"}
        rest = {name: value for name, value in wanted.items() if name not in choice}
        return self._model.bind_tools([TOOL], **choice), rest

    def _step(self, asked: Any, question: TrialQuestion, parameters: dict[str, Any]) -> Step:
        config = merge_configs(self._config, RunnableConfig(tags=["ec_agent.doctor"]))
        if not question.stream:
            return call(asked, "invoke", question.text, config, **parameters)

        def sync() -> Any:
            return list(asked.stream(question.text, config, **parameters))

        async def wait() -> Any:
            return [chunk async for chunk in asked.astream(question.text, config, **parameters)]

        return Step(sync, wait)

    def _read(self, came: Any, ear: Ear) -> TrialAnswer:
        message = reduce(add, came) if isinstance(came, list) and came else came
        if not isinstance(message, AIMessage):
            raise no_api(message)
        details = get(message.usage_metadata, "output_token_details")
        thoughts = [block for block in message.content_blocks if block.get("type") == "reasoning"]
        payload = richer(payload_of_message(message), ear.richest)
        heard = ear.counted_calls()
        return TrialAnswer(
            payload=payload,
            timeline=heard if heard.calls else None,
            text=str(message.text),
            tool_calls=tuple(found["name"] for found in message.tool_calls),
            reasoning="".join(str(block.get("reasoning") or "") for block in thoughts),
            reasoning_tokens=get(details, "reasoning"),
            responses=get(message.response_metadata, "object") == "response"
            or str(get(message.response_metadata, "id") or "").startswith("resp_"),
        )


@contextmanager
def _apart() -> Iterator[None]:
    """A run around passes nothing on: its callbacks and streams are not to show what the doctor asks."""
    token = var_child_runnable_config.set(None)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def unbound(model: Any) -> tuple[BaseChatModel, dict[str, Any], RunnableConfig]:
    """The chat model inside bindings, and the parameters and the config bound to it.

    Raises:
        ConfigError: there is no chat model inside.
    """
    kwargs: dict[str, Any] = {}
    config = RunnableConfig()
    inner = model
    with _apart():
        while isinstance(inner, RunnableBindingBase):
            kwargs = {**inner.kwargs, **kwargs}
            config = merge_configs(inner.config, config)
            inner = inner.bound
    if not isinstance(inner, BaseChatModel):
        raise ConfigError(f"it is of type {type(model).__name__}; give a LangChain chat model, or a binding of one")
    return inner, kwargs, config


def name_of(model: BaseChatModel) -> str:
    """The model's own name, where it says it."""
    return str(next((name for key in ("model_name", "model") if isinstance(name := get(model, key), str)), ""))


def endpoint_of(model: BaseChatModel) -> str | None:
    """Where the model is asked, where it says it; without secrets."""
    found = (get(model, key) for key in ("openai_api_base", "base_url", "api_base", "endpoint"))
    return next((bare_url(url) for url in found if isinstance(url, str) and "://" in url), None)
