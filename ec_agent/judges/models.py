"""Asks a model one short question at temperature 0, with logprobs, in the words that its integration understands."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables.base import RunnableBindingBase
from openai import AsyncOpenAI, OpenAI

from ec_agent.capture.installing import recording_apart
from ec_agent.capture.kept import Kept
from ec_agent.capture.recorder import Recorder
from ec_agent.capture.request_logprobs import ABOUT_LOGPROBS, LADDER, told
from ec_agent.capture.request_params import RequestSettings
from ec_agent.capture.shapes import get
from ec_agent.errors import ConfigError, EcAgentError
from ec_agent.local import LocalChatModel
from ec_agent.numbers.trajectory import Call
from ec_agent.support.checks import refusal, repr_of, text
from ec_agent.support.loop import on_loop, run_to_its_end
from ec_agent.support.plans import Plan, Step

MOST_TOKENS = 4
"""The longest answer: the word that is asked for, and white space before it."""

CANDIDATES = 20
"""How many candidates of each token are read; no endpoint returns more."""

_SENT_AS = {"max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens")}
_GOOGLE = ("ChatGoogleGenerativeAI", "ChatVertexAI")  # these call the parameters for logprobs otherwise
_OF_OPENAI = "BaseChatOpenAI"  # the base class of all integrations that send their requests through an openai client


class JudgeModel:
    """A model that judges: a LangChain chat model, or a client of ``openai`` and the name of a model.

    Parameters that the model refuses are left out, or asked for in another way, from then on.

    Args:
        model: the chat model, a binding of one, or the client.
        model_name: for a client: the model's name.

    Attributes:
        name: the model's name, as far as it is known.

    Raises:
        ConfigError: ``model`` is something else; or a client has no ``model_name``, or a chat model has one.
    """

    def __init__(self, model: Any, model_name: str | None = None) -> None:
        self._model = model
        self._given: dict[str, Any] = {"temperature": 0, "max_tokens": MOST_TOKENS}
        self._rung = 0
        if isinstance(model, OpenAI | AsyncOpenAI):
            self.name = text("model_name", model_name, "the name of the model that the client shall ask")
            self._asks_by_client = True
            return
        if model_name is not None:
            raise ConfigError(
                f"model_name is {repr_of(model_name)}, and the model is no client of openai; leave model_name out, "
                "because a chat model has its own"
            )
        inner = model
        while isinstance(inner, RunnableBindingBase):
            inner = inner.bound
        if not isinstance(inner, BaseChatModel):
            raise refusal("model", model, "a LangChain chat model, or a client of openai with model_name=")
        names = (get(inner, "model_name"), get(inner, "model"), type(inner).__name__)
        self.name = next(name for name in names if isinstance(name, str) and name)
        kinds = {kind.__name__ for kind in type(inner).__mro__}
        self._asks_by_client = _OF_OPENAI in kinds or isinstance(inner, LocalChatModel)
        self._google = bool(kinds.intersection(_GOOGLE))

    def ask(self, prompt: str) -> Plan[Call | None]:
        """Ask, and return the call that was made, with texts and candidates of its tokens.

        The recorder of the context, if there is one, records the call too, and its limits hold.

        Returns:
            The call, or ``None`` if nothing came back.

        Raises:
            Exception: what the model or its client raises.
        """
        while True:
            # What goes through an openai client is asked for logprobs there, in the way that the endpoint accepts.
            requests = RequestSettings(logprobs=self._asks_by_client, keep_logprobs=True)
            ear = Recorder(signals=("logprob",), kept=Kept(text=True, candidates=CANDIDATES), requests=requests)
            given, rung = dict(self._given), self._rung
            try:
                with recording_apart(ear):
                    yield self._step(prompt, {**given, **self._logprobs(rung)})
            except EcAgentError:
                raise
            except Exception as error:
                if not self._milder(error, given, rung):
                    raise
                continue
            calls = [call for call in ear.counted_calls().calls if call.tokens]
            return calls[-1] if calls else None

    def _logprobs(self, rung: int) -> dict[str, Any]:
        if self._asks_by_client or LADDER[rung] is None:
            return {}
        if self._google:
            return {"response_logprobs": True, "logprobs": LADDER[rung]}
        return {"logprobs": True, "top_logprobs": LADDER[rung]}

    def _milder(self, error: Exception, given: Mapping[str, Any], rung: int) -> bool:
        """Ask in another way from now on if the model refused a parameter. Return whether there is another way."""
        said = " ".join([*told(getattr(error, "body", None)), str(error)]).lower()
        if any(word in said for word in ABOUT_LOGPROBS) and self._logprobs(rung):
            self._rung = max(self._rung, rung + 1)
            return True
        refused = [name for name in given if any(word in said for word in _SENT_AS.get(name, (name,)))]
        if not refused and isinstance(error, TypeError):  # the integration takes no such argument, and names none
            refused = list(given)
        for name in refused:
            if isinstance(self._model, OpenAI | AsyncOpenAI) and name == "max_tokens":
                self._given.setdefault("max_completion_tokens", MOST_TOKENS)
            self._given.pop(name, None)
        return bool(refused)

    def _step(self, prompt: str, parameters: dict[str, Any]) -> Step:
        if not isinstance(self._model, OpenAI | AsyncOpenAI):
            config = {"tags": ["ec_agent.judge"]}
            return Step(
                partial(self._model.invoke, prompt, config, **parameters),
                partial(self._model.ainvoke, prompt, config, **parameters),
            )
        messages: Any = [{"role": "user", "content": prompt}]
        create: Any = partial(self._model.chat.completions.create, model=self.name, messages=messages, **parameters)
        if isinstance(self._model, OpenAI):
            return Step(create, partial(asyncio.to_thread, create))

        def sync() -> Any:
            if on_loop():
                raise ConfigError(
                    "the judge's client is an AsyncOpenAI, and the run is sync on the thread of an event loop; use "
                    "ainvoke, arun or astream, or give an OpenAI client"
                )
            return run_to_its_end(create())

        return Step(sync, create)
