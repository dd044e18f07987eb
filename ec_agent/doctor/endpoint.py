"""Asking an OpenAI-compatible endpoint through a bare client."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ec_agent.capture.recorder import current_recorder
from ec_agent.capture.shapes import finished, get
from ec_agent.doctor.chat_model import ChatModelTarget
from ec_agent.doctor.refusals import Turned, bare_url, no_api, refusal_of, written
from ec_agent.doctor.report import Spent, Way
from ec_agent.doctor.trials import (
    INCLUDE,
    SCHEMA,
    SEA,
    TOOL,
    Refusal,
    Target,
    TrialAnswer,
    TrialQuestion,
    answer_of_chunks,
    answer_of_completion,
    answer_of_legacy,
    answer_of_response,
    without,
)
from ec_agent.errors import ConfigError
from ec_agent.local.clients import Endpoint, async_client, sync_client
from ec_agent.support.checks import or_none, repr_of, seconds, text
from ec_agent.support.plans import Plan, Step

FROM_OPENAI = "api.openai.com"
_LIMITS = ("max_tokens", "max_completion_tokens")  # the older name, and OpenAI's own
# Parameters that some endpoints refuse, and can do without.
_REPLACED = (*_LIMITS, "stream_options", "temperature", "tool_choice")


class EndpointTarget:
    """One model of an endpoint.

    Args:
        base_url: ends in ``/v1`` as a rule.
        model: the model's name.
        api_key: sent to the endpoint and shown nowhere; ``None`` for one that asks for none.
        timeout: seconds, for one answer.

    Raises:
        ConfigError: an argument cannot be used.
    """

    first: int | None = 20

    def __init__(self, base_url: str, model: str, api_key: str | None = None, timeout: float = 30.0) -> None:
        text("base_url", base_url, "a URL such as http://127.0.0.1:8080/v1", empty=True)
        text("model", model, "the name that the endpoint knows it by", empty=True)
        or_none("api_key", api_key, text, "a text, or None", empty=True)
        parts = _split(base_url)
        if parts.query:
            raise ConfigError("the base URL has a query, which an openai client cannot send; leave it out")
        if not model:
            raise ConfigError("the model has no name; give the one the endpoint knows it by")
        seconds("timeout", timeout, "seconds above 0")
        self.base_url, self.model_name = base_url, model
        self.name = f"{model} at {bare_url(base_url)}"
        self.unasked: dict[str, str] = {}
        self.spent = Spent()
        self._endpoint = Endpoint(base_url, api_key or "none", timeout, 0)
        self._secrets = tuple(s for s in (api_key, parts.username, parts.password) if s)
        self._left_out: set[str] = set()
        self._answered = False

    def ask(self, question: TrialQuestion) -> Plan[TrialAnswer | Refusal]:
        """Ask; a parameter that is refused by name is left out from then on."""
        while True:
            outcome = yield from self._ask(question)
            if not isinstance(outcome, Refusal):
                return without(outcome, frozenset(self._left_out))
            if question.temperature is not None and outcome.about("temperature"):
                return outcome  # not every temperature is taken everywhere, and others may be
            refused = [name for name in _REPLACED if name not in self._left_out and outcome.about(name)]
            if not refused:
                return outcome
            if "max_tokens" in refused:  # the refusal may name what to ask for instead
                refused = [name for name in refused if name != "max_completion_tokens"]
            self._left_out.update(refused)

    def takes(self, name: str) -> bool:
        """``ChatOpenAI`` takes all that is ever advised."""
        return True

    def arguments(self, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments of ``ChatOpenAI``, or of ``OpenAI``, the model's name and its place among them."""
        where = {} if urlsplit(self.base_url).hostname == FROM_OPENAI else {"base_url": bare_url(self.base_url)}
        return {"model": self.model_name, **where, **settings}, {}

    def constructor(self, **settings: Any) -> str:
        """How to make a ``ChatOpenAI`` with these settings."""
        return f"ChatOpenAI({written(self.arguments(**settings)[0])})"

    def following(self, way: Way) -> Target | None:
        """A ``ChatOpenAI`` with these settings; ``None`` where langchain-openai is not installed."""
        try:
            from langchain_openai import ChatOpenAI
        except ImportError:
            return None
        where = {"base_url": self.base_url} if "base_url" in way.model else {}
        key, seconds = self._endpoint.api_key, self._endpoint.timeout
        model = ChatOpenAI(**{**way.model, **where, "api_key": key, "timeout": seconds, "max_retries": 0})
        made = ChatModelTarget(model, limit=seconds, secrets=self._secrets)
        made.spent = self.spent
        return made.following(replace(way, model={}, bind={}))

    def _ask(self, question: TrialQuestion) -> Plan[TrialAnswer | Refusal]:
        self.spent.requests += 1
        try:
            raw = yield self._step(question)
            answer = _read(raw, question)
        except Exception as error:
            return refusal_of(error, self.name, self._secrets, first=not self._answered)
        self._answered = True
        answer = replace(answer, temperature=self._temperature(question))
        self.spent.prompt_tokens += answer.payload.prompt_tokens or 0
        self.spent.generated_tokens += len(answer.trajectory)
        return answer

    def _step(self, question: TrialQuestion) -> Step:
        body = self._body(question)
        deadline = time.monotonic() + self._endpoint.timeout  # of the whole answer: a stream may trickle for ever

        def resource(client: Any) -> Any:
            if question.responses:
                return client.responses
            return client.completions if question.completions else client.chat.completions

        def sync() -> Any:
            with _unheard():
                came = resource(sync_client(self._endpoint)).create(**body)
                if not question.stream:
                    return came
                with came:
                    return [_in_time(chunk, deadline) for chunk in came]

        async def wait() -> Any:
            with _unheard():
                came = await resource(async_client(self._endpoint)).create(**body)
                if not question.stream:
                    return came
                async with came:
                    return [_in_time(chunk, deadline) async for chunk in came]

        return Step(sync, wait)

    def _temperature(self, question: TrialQuestion) -> float | None:
        """What is asked for; ``None`` leaves it to the endpoint."""
        if "temperature" in self._left_out or question.responses:
            return None
        if question.temperature is not None:
            return question.temperature
        return 1.0 if question.varied else 0.0

    def _body(self, question: TrialQuestion) -> dict[str, Any]:
        if question.responses:
            return self._response_body(question)
        if question.completions:
            asked = {"prompt": SEA, "max_tokens": question.max_tokens, "logprobs": question.top}
            return {"model": self.model_name, "temperature": 0.0, **asked}
        return self._chat_body(question)

    def _chat_body(self, question: TrialQuestion) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model_name,
            "messages": [{"role": "user", "content": question.text}],
        }
        if name := next((each for each in _LIMITS if each not in self._left_out), None):
            body[name] = question.longest
        if (temperature := self._temperature(question)) is not None:
            body["temperature"] = temperature
        if question.top is not None:
            body["logprobs"] = True
        if question.top:
            body["top_logprobs"] = question.top
        if question.tools:
            body["tools"] = [TOOL]
            if "tool_choice" not in self._left_out:
                body["tool_choice"] = "required"
        if question.schema:
            form = {"name": "answer", "strict": True, "schema": SCHEMA}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if question.stream:
            body["stream"] = True
            if "stream_options" not in self._left_out:
                body["stream_options"] = {"include_usage": True}
        if question.n > 1:
            body["n"] = question.n
        if question.seed is not None:
            body["seed"] = question.seed
        return body

    def _response_body(self, question: TrialQuestion) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model_name, "input": SEA, "max_output_tokens": question.max_tokens}
        if question.top is not None:
            body["include"] = list(INCLUDE)
        if question.top:
            body["top_logprobs"] = question.top
        return body


def _split(base_url: str) -> SplitResult:
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:  # brackets that do not close, a port that is no number or too high
        parts, port = None, None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError(f"the base URL is {repr_of(bare_url(base_url))}; give one such as http://127.0.0.1:8080/v1")
    return parts


class _unheard:  # noqa: N801  # used as a context manager only
    """No rollout around the doctor counts its requests."""

    def __enter__(self) -> None:
        self._token = current_recorder.set(None)

    def __exit__(self, *_: object) -> None:
        current_recorder.reset(self._token)


def _in_time(chunk: Any, deadline: float) -> Any:
    if time.monotonic() > deadline:
        raise TimeoutError
    return chunk


def _read(raw: Any, question: TrialQuestion) -> TrialAnswer:
    if question.stream:
        chunks: Sequence[Any] = raw
        if not any(get(chunk, "choices") for chunk in chunks):
            raise Turned(Refusal("an empty stream", hopeless=True))
        if not finished(chunks):
            raise Turned(Refusal("a stream that broke off in the middle", hopeless=True))
        return answer_of_chunks(chunks)
    if question.responses:
        if not isinstance(get(raw, "output"), list):
            raise no_api(raw)
        return answer_of_response(raw)
    if not get(raw, "choices"):
        raise no_api(raw)
    return answer_of_legacy(raw) if question.completions else answer_of_completion(raw)
