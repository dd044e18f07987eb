"""The model that a command line names, for agents that are made with one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr, ValidationError

from ec_agent.errors import ConfigError, EvaluationError
from ec_agent.prompted import PromptedToolModel
from ec_agent.prompted.registry import ProtocolName
from ec_agent.support.agent_code import without_login
from ec_agent.support.checks import mapping, one_of, or_none, text

Tools = Literal["native", ProtocolName]
DEFAULT_KEY = "OPENAI_API_KEY"
DEFAULT_URL = "OPENAI_BASE_URL"
PROBE = 16  # tokens of the one question that is asked before a run

_ELSEWHERE = {
    **dict.fromkeys(("model", "model_name"), "--model"),
    **dict.fromkeys(("base_url", "openai_api_base"), "--base-url"),
    **dict.fromkeys(("api_key", "openai_api_key"), "--api-key-env"),
    "temperature": "--temperature",
    "seed": "--seed",
}

_SECRET = ("default_headers", "default_query", "openai_proxy")  # keys travel in them


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """A model at an OpenAI-compatible endpoint, asked for the top 20 logprobs unless ``arguments`` say otherwise.

    Attributes:
        name: as the endpoint knows it.
        base_url: ends in ``/v1`` as a rule; ``None`` takes ``OPENAI_BASE_URL``, else OpenAI's own.
        api_key_env: the environment variable that holds the key; ``None`` takes ``OPENAI_API_KEY``, if set.
        tools: ``"native"`` tool calls are the endpoint's own. With the name of a protocol, such as ``"hermes"``, a
            ``PromptedToolModel`` writes them in the text, for endpoints that return no logprobs for native ones.
        arguments: further arguments of ``ChatOpenAI``: ``max_tokens`` (of one reply), ``top_p``, ``top_logprobs``,
            ``timeout``, ``reasoning_effort``, ``extra_body`` (fields of the request that are none of OpenAI's) ...

    Raises:
        ConfigError: a value it cannot have.
    """

    name: str
    base_url: str | None = None
    api_key_env: str | None = None
    tools: Tools = "native"
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text("name", self.name, "the name that the endpoint knows the model by")
        or_none("base_url", self.base_url, text, "a URL, or None", empty=True)
        or_none("api_key_env", self.api_key_env, text, "the name of an environment variable, or None", empty=True)
        one_of("tools", self.tools, get_args(Tools), ", ".join(get_args(Tools)))
        mapping("arguments", self.arguments, "a dict of ChatOpenAI's arguments")
        for name in self.arguments:
            if name in _ELSEWHERE:
                raise ConfigError(f"the model argument {name} is set by {_ELSEWHERE[name]}; give it there")
        if not (self.endpoint or self._key):
            raise ConfigError(f"no endpoint for {self.name}; give --base-url, or set {DEFAULT_KEY} to ask OpenAI's own")

    @property
    def endpoint(self) -> str | None:
        """The base URL; ``None`` for OpenAI's own."""
        return self.base_url or os.environ.get(DEFAULT_URL) or None

    @property
    def _key(self) -> str | None:
        key = os.environ.get(self.api_key_env or DEFAULT_KEY)
        if self.api_key_env and not key:
            raise ConfigError(f"the environment has no {self.api_key_env}; set it, or leave --api-key-env out")
        return key

    def build(self) -> BaseChatModel:
        """The chat model.

        Raises:
            ConfigError: langchain-openai is not installed, or an argument is none of ``ChatOpenAI``'s.
        """
        try:
            from langchain_openai import ChatOpenAI
        except ImportError as error:
            raise ConfigError("--model needs langchain-openai; run: pip install langchain-openai") from error
        known = {*ChatOpenAI.model_fields, *(each.alias for each in ChatOpenAI.model_fields.values())}
        if strangers := [name for name in self.arguments if name not in known]:
            raise ConfigError(
                f"ChatOpenAI has no argument {strangers[0]!r}; what only this endpoint knows goes into extra_body: "
                f"--model-arg 'extra_body={{\"{strangers[0]}\": ...}}'"
            )
        # Streams lose logprobs of tool calls with some servers, and LangChain's Responses API loses all.
        usual = {"logprobs": True, "top_logprobs": 20, "disable_streaming": True, "use_responses_api": False}
        key = SecretStr(self._key or "none")  # endpoints of one's own often ask for none
        try:
            model = ChatOpenAI(model=self.name, base_url=self.endpoint, api_key=key, **{**usual, **self.arguments})
        except (ValidationError, ValueError) as error:
            raise ConfigError(f"the arguments of {self.name} are wrong ({error}); see ChatOpenAI's own") from error
        return model if self.tools == "native" else PromptedToolModel(model=model, protocol=self.tools)

    def probe(self) -> None:
        """Ask one small question: an endpoint that is not there would make every rollout a failed one.

        Raises:
            EvaluationError: it does not answer.
        """
        model = self.build()
        inner = model.model if isinstance(model, PromptedToolModel) else model
        try:
            inner.invoke("Say yes.", max_tokens=PROBE)
        except Exception as error:
            where = self.endpoint or "https://api.openai.com/v1"
            raise EvaluationError(
                f"{self.name} at {where} does not answer ({type(error).__name__}: {error}); nothing was run. To see "
                f"what is wrong: ec-agent doctor {where} --model {self.name}"
            ) from error

    def lasting(self) -> dict[str, Any]:
        """What tells it from another model, as plain JSON; nothing that may hold a key."""
        return {
            "model": self.name,
            "base_url": without_login(self.endpoint),
            "tools": self.tools,
            **{f"model argument {name}": value for name, value in self.arguments.items() if name not in _SECRET},
        }


def arguments_in(pairs: Sequence[str]) -> dict[str, Any]:
    """Arguments as a command line has them: ``max_tokens=4096``, ``extra_body={"top_k": 20}``.

    A value is JSON where it can be read as such, else a text.

    Raises:
        ConfigError: no ``name=value``, or a name twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier() or name in found:
            raise ConfigError(f"the model argument {pair!r} cannot be read; write each once, as name=value")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found
