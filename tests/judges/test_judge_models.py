"""Judges on endpoints: whatever model or client asks, it asks for little, with logprobs, and gets around refusals."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_openai import Answer
from judging import Script, candidates, proposed_in, reply
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from pydantic import Field

from ec_agent import SelectorError, record_calls
from ec_agent.errors import ConfigError
from ec_agent.judges import Pairwise, PTrue
from ec_agent.local import LocalChatModel
from ec_agent.testing import ScriptedChatModel

SHARES = {"5": 0.8, "6": 0.3}


def chat(fake, **more):
    return ChatOpenAI(base_url=fake.url, api_key="k", model="fake-model", max_retries=0, **more)


JUDGES = {
    "ChatOpenAI": lambda fake: PTrue(chat(fake)),
    "streaming": lambda fake: PTrue(chat(fake, streaming=True)),
    "Responses": lambda fake: PTrue(chat(fake, use_responses_api=True)),
    "bound": lambda fake: PTrue(chat(fake).bind(seed=1)),
    "LocalChatModel": lambda fake: PTrue(LocalChatModel(base_url=fake.url)),
    "OpenAI": lambda fake: PTrue(OpenAI(base_url=fake.url, api_key="k", max_retries=0), model_name="fake-model"),
    "AsyncOpenAI": lambda fake: PTrue(
        AsyncOpenAI(base_url=fake.url, api_key="k", max_retries=0), model_name="fake-model"
    ),
}
FORMS = {
    "sync": lambda selector, given: selector.select(given),
    "async": lambda selector, given: asyncio.run(selector.aselect(given)),
}


def ask_by(form, selector, given=None):
    return FORMS[form](selector, given or candidates("5", "6"))


def endpoint(fake):
    """The endpoint finds "5" probably right, and "6" probably wrong."""
    script = Script(lambda prompt: {"True": SHARES[proposed_in(prompt)], "False": 1 - SHARES[proposed_in(prompt)]})

    def answering(body):
        said = body["messages"] if "messages" in body else body["input"]
        (message,) = [{"content": said}] if isinstance(said, str) else said
        content = message["content"]
        text = content if isinstance(content, str) else "".join(part["text"] for part in content)
        return script.answering({"messages": [{"content": text}]})

    fake.otherwise = answering
    return fake


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", JUDGES)
def test_every_model_and_client_can_judge(fake, kind, form):
    with record_calls() as recorder:
        ranking = ask_by(form, JUDGES[kind](endpoint(fake)))
    assert ranking.order == (0, 1)
    assert ranking.scores == pytest.approx(SHARES_BY_INDEX)
    for body in fake.bodies():
        assert body.get("temperature", 0) == 0
        longest = [body[name] for name in ("max_tokens", "max_completion_tokens", "max_output_tokens") if name in body]
        assert longest == [4]
        assert body["top_logprobs"] == 20
    assert len(recorder.trajectory().calls) == 2


SHARES_BY_INDEX = {0: 0.8, 1: 0.3}


def refusing(*names):
    """Refuses a request with one of these parameters, and says which."""

    def refuse(path, body):
        found = next((name for name in names if name in body), None)
        return f"Unsupported parameter: '{found}' is not supported with this model." if found else None

    return refuse


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["ChatOpenAI", "OpenAI", "AsyncOpenAI"])
@pytest.mark.parametrize("names", [("temperature",), ("max_tokens",), ("temperature", "max_tokens")], ids=str)
def test_a_parameter_that_is_refused_is_left_out_from_then_on(fake, kind, form, names):
    fake = endpoint(fake)
    fake.refuse = refusing(*names)
    judge = JUDGES[kind](fake)
    assert ask_by(form, judge).scores == pytest.approx(SHARES_BY_INDEX)
    before = len(fake.bodies())
    assert ask_by(form, judge).scores == pytest.approx(SHARES_BY_INDEX)
    assert len(fake.bodies()) == before + 2


@pytest.mark.parametrize("kind", ["ChatOpenAI", "OpenAI", "LocalChatModel"])
def test_an_endpoint_that_allows_fewer_candidates_is_asked_for_fewer(fake, kind):
    fake = endpoint(fake)
    fake.refuse = lambda path, body: "top_logprobs must be at most 5" if (body.get("top_logprobs") or 0) > 5 else None
    if kind == "LocalChatModel":  # it asks for logprobs itself, and has a setting for how many
        assert PTrue(LocalChatModel(base_url=fake.url, top_logprobs=5)).select(candidates("5")).order == (0,)
        return
    assert ask_by("sync", JUDGES[kind](fake)).scores == pytest.approx(SHARES_BY_INDEX)
    assert fake.bodies()[-1]["top_logprobs"] == 5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", JUDGES)
def test_an_endpoint_without_logprobs_fails_the_judge(fake, kind, form):
    fake.otherwise = Answer(entropies=[0.1], logprobs=False, text="True")
    with pytest.raises(SelectorError, match=r"returned no logprobs in 2 of 2 calls; ask a model whose endpoint"):
        ask_by(form, JUDGES[kind](fake))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["ChatOpenAI", "OpenAI", "AsyncOpenAI"])
def test_an_endpoint_that_fails_fails_the_judge(fake, kind, form):
    fake.otherwise = Answer(status=500, error="out of memory")
    with pytest.raises(SelectorError, match=r"2 of 2 calls of fake-model failed: .*out of memory"):
        ask_by(form, JUDGES[kind](fake))


class Strict(ScriptedChatModel):
    """An integration that knows few parameters: it raises for others, as its client would."""

    known: tuple[str, ...] = ()
    most: int = 20
    asked: list[Any] = Field(default_factory=list)

    def _generate(self, messages, stop=None, run_manager=None, **given):
        self.asked.append(given)
        if strange := sorted(set(given) - set(self.known)):
            raise TypeError(f"create() got an unexpected keyword argument '{strange[0]}'")
        if given.get("top_logprobs", 0) > self.most:
            raise ValueError(f"top_logprobs is above {self.most}")
        return super()._generate(messages, stop, run_manager)


@pytest.mark.parametrize(
    ("known", "most", "last"),
    [
        (("temperature", "max_tokens", "logprobs", "top_logprobs"), 20, {"logprobs": True, "top_logprobs": 20}),
        (("temperature", "max_tokens", "logprobs", "top_logprobs"), 5, {"logprobs": True, "top_logprobs": 5}),
        (("logprobs", "top_logprobs"), 20, {"logprobs": True, "top_logprobs": 20}),
        ((), 20, {}),
    ],
    ids=["all", "five", "logprobs", "none"],
)
def test_an_integration_is_asked_in_the_parameters_that_it_knows(known, most, last):
    model = Strict([[reply({"True": 0.9, "False": 0.1})]], known=known, most=most)
    assert PTrue(model).select(candidates("5")).scores == pytest.approx({0: 0.9})
    usual = {name: value for name, value in (("temperature", 0), ("max_tokens", 4)) if name in known}
    assert model.asked[-1] == {**usual, **last}


class Silent(GenericFakeChatModel):
    """Says nothing of its tokens."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return ChatResult(generations=[ChatGeneration(message=AIMessage("True"))])


def test_a_model_that_says_nothing_of_its_tokens_fails_the_judge():
    with pytest.raises(SelectorError, match="returned no logprobs"):
        PTrue(Silent(messages=iter(()))).select(candidates("5"))


def test_pairs_are_asked_by_clients_too(fake):
    fake.otherwise = lambda body: Script(lambda prompt: {"2": 0.6, "4": 0.4}).answering(body)
    client = OpenAI(base_url=fake.url, api_key="k", max_retries=0)
    ranking = Pairwise(client, model_name="fake-model", both_orders=False).select(candidates("5", "6"))
    assert ranking.scores == pytest.approx({0: 0.55, 1: 0.45})


@pytest.mark.parametrize(
    ("model", "name", "said"),
    [
        ("gpt", None, "model is 'gpt'; give a LangChain chat model"),
        (None, None, "model is None"),
        (PTrue, None, "model is "),
        (OpenAI(api_key="k"), None, "model_name is None; give the name of the model"),
        (OpenAI(api_key="k"), " ", "model_name is ' '"),
        (ScriptedChatModel([[reply({"True": 1.0})]]), "other", "leave model_name out"),
    ],
    ids=["text", "nothing", "class", "no name", "blank", "two names"],
)
@pytest.mark.parametrize("kind", [PTrue, Pairwise])
def test_what_cannot_judge_is_refused(kind, model, name, said):
    with pytest.raises(ConfigError, match=said):
        kind(model, model_name=name)
