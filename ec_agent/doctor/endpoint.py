"""Asking an OpenAI-compatible endpoint through a bare client."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ec_agent.capture.recorder import current_recorder
from ec_agent.capture.shapes import finished, get
from ec_agent.doctor.answers import (
    SEA,
    TOOL,
    TOOL_CALL,
    Answer,
    Question,
    Refusal,
    answer_of_chunks,
    answer_of_completion,
    answer_of_response,
    without,
)
from ec_agent.doctor.refusals import Turned, bare_url, no_api, refusal_of, written
from ec_agent.doctor.report import Spent
from ec_agent.errors import ConfigError
from ec_agent.local.clients import Endpoint, async_client, sync_client
from ec_agent.support.plans import Plan, Step

FROM_OPENAI = "api.openai.com"
INCLUDE = ("message.output_text.logprobs",)
# Parameters that some endpoints refuse, and can do without.
_REPLACED = ("max_tokens", "stream_options", "temperature", "tool_choice")


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
        parts = _split(base_url)
        if parts.query:
            raise ConfigError("the base URL has a query, which an openai client cannot send; leave it out")
        if not model:
            raise ConfigError("the model has no name; give the one the endpoint knows it by")
        if not timeout > 0:
            raise ConfigError(f"timeout is {timeout}; give seconds above 0")
        self.base_url, self.model = base_url, model
        self.name = f"{model} at {bare_url(base_url)}"
        self.unasked: dict[str, str] = {}
        self.spent = Spent()
        self._endpoint = Endpoint(base_url, api_key or "none", timeout, 0)
        self._secrets = tuple(s for s in (api_key, parts.username, parts.password) if s)
        self._left_out: set[str] = set()
        self._answered = False

    def ask(self, question: Question) -> Plan[Answer | Refusal]:
        """Ask; a parameter that is refused by name is left out from then on."""
        while True:
            outcome = yield from self._ask(question)
            if not isinstance(outcome, Refusal):
                return without(outcome, frozenset(self._left_out))
            refused = [name for name in _REPLACED if name not in self._left_out and outcome.about(name)]
            if not refused:
                return outcome
            self._left_out.update(refused)

    def takes(self, name: str) -> bool:
        """``ChatOpenAI`` takes all that is ever advised."""
        return True

    def constructor(self, **settings: Any) -> str:
        """How to make a ``ChatOpenAI`` with these settings."""
        where = {} if urlsplit(self.base_url).hostname == FROM_OPENAI else {"base_url": bare_url(self.base_url)}
        return f"ChatOpenAI({written({'model': self.model, **where, **settings})})"

    def _ask(self, question: Question) -> Plan[Answer | Refusal]:
        self.spent.requests += 1
        try:
            raw = yield self._step(question)
            answer = _read(raw, question)
        except Exception as error:
            return refusal_of(error, self.name, self._secrets, first=not self._answered)
        self._answered = True
        self.spent.prompt_tokens += answer.payload.prompt_tokens or 0
        self.spent.generated_tokens += len(answer.trajectory)
        return answer

    def _step(self, question: Question) -> Step:
        body = self._response_body(question) if question.responses else self._chat_body(question)
        deadline = time.monotonic() + self._endpoint.timeout  # of the whole answer: a stream may trickle for ever

        def resource(client: Any) -> Any:
            return client.responses if question.responses else client.chat.completions

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

    def _chat_body(self, question: Question) -> dict[str, Any]:
        limit = max(TOOL_CALL, question.max_tokens) if question.tools else question.max_tokens
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": question.text}],
            "max_completion_tokens" if "max_tokens" in self._left_out else "max_tokens": limit,
        }
        if "temperature" not in self._left_out:
            body["temperature"] = 1.0 if question.varied else 0.0
        if question.top is not None:
            body["logprobs"] = True
        if question.top:
            body["top_logprobs"] = question.top
        if question.tools:
            body["tools"] = [TOOL]
            if "tool_choice" not in self._left_out:
                body["tool_choice"] = "required"
        if question.stream:
            body["stream"] = True
            if "stream_options" not in self._left_out:
                body["stream_options"] = {"include_usage": True}
        if question.n > 1:
            body["n"] = question.n
        if question.seed is not None:
            body["seed"] = question.seed
        return body

    def _response_body(self, question: Question) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "input": SEA, "max_output_tokens": question.max_tokens}
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
        raise ConfigError(f"the base URL is {bare_url(base_url)!r}; give one such as http://127.0.0.1:8080/v1")
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


def _read(raw: Any, question: Question) -> Answer:
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
    return answer_of_completion(raw)
