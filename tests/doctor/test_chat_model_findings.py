"""What the doctor finds at a LangChain chat model, asked with its own methods, sync and async."""

from __future__ import annotations

import pytest
from fake_openai import Answer
from findings import CASES, advice, marks
from kinds import PLAIN, Kind, refused
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from ec_agent.doctor import ChatModelTarget, Mark, Verdict, diagnose
from ec_agent.testing import Reply, ScriptedChatModel

ASKING = {"logprobs": True, "top_logprobs": 20, "stream_usage": True}
RESPONSES = {"use_responses_api": True, "include": ["message.output_text.logprobs"], "top_logprobs": 20}


@tool
def delete_everything() -> str:
    """Delete everything."""
    raise AssertionError("the doctor runs no tools")


def test_a_model_that_does_everything(model, fake):
    report = model(Kind(), **ASKING)
    assert report.verdict is Verdict.USABLE
    assert marks(report) == dict.fromkeys(marks(report), "yes") | {
        "reasoning": "no",
        "responses": "not asked",
        "completions": "not asked",
        "n": "not asked",
    }
    assert report.settings == ()
    assert report.spent.requests == len(fake.asked) == 11


# ChatOpenAI says itself how it limits and streams; it drops reasoning_content.
ONLY_BARE = {"old parameters", "no stream_options", "at most 5", "reasoning seen", "logprobs refused"}


@pytest.mark.parametrize("name", sorted(set(CASES) - ONLY_BARE))
def test_both_ways_of_asking_find_the_same(endpoint, model, name):
    kind, verdict, expected = CASES[name]
    expected = {q: mark for q, mark in expected.items() if q not in ("responses", "n", "top_k")}
    report = model(kind, **ASKING)
    found = marks(report)
    if kind.unsupported == ("seed",):
        expected = {"seed": "not known"}  # left out, as it was refused by name
    assert {question: found[question] for question in expected} == expected
    assert report.verdict == verdict


def test_a_model_that_cannot_but_ask_is_not_usable(model):
    report = model(Kind(unsupported=("logprobs", "top_logprobs")), **ASKING)
    assert report.verdict is Verdict.UNUSABLE
    assert "'logprobs' is not supported" in report.finding("logprobs").detail
    assert report.finding("tools").mark is Mark.NOT_ASKED


def test_a_model_that_asks_for_none_is_told_to(model):
    report = model(Kind())
    assert report.verdict is Verdict.WITH_SETTINGS
    found = report.finding("logprobs")
    assert (found.mark, found.coverage) == (Mark.PARTLY, 0.0)
    assert "none as it is; asked for 20" in found.detail
    assert "ChatOpenAI(..., logprobs=True, top_logprobs=20, stream_usage=True)" in advice(report, needed=True)
    assert "request_logprobs=True" in advice(report)


def in_other_words(body):
    """As text-generation-inference refuses them."""
    if body.get("top_logprobs", 0) > 5:
        return refused("Input validation error: `top_n_tokens` must be >= 0 and <= 5. Given: 20", 422)
    return Kind()(body)


@pytest.mark.parametrize("kind", [Kind(most=5), in_other_words], ids=["OpenAI", "text-generation-inference"])
def test_a_model_that_asks_for_too_many_is_told_how_many(model, kind):
    report = model(kind, **ASKING)
    assert "top_logprobs=5" in advice(report, needed=True)
    assert "refused as it is" in report.finding("logprobs").detail
    assert report.finding("tools").mark is Mark.YES


def test_a_model_that_asks_for_few_learns_that_there_are_more(model):
    report = model(Kind(), logprobs=True, top_logprobs=5)
    assert (report.finding("top_k").mark, report.finding("top_k").detail) == (Mark.YES, "20 asked, 20 came")
    limited = model(Kind(most=5), logprobs=True, top_logprobs=5)
    assert limited.finding("top_k").mark is Mark.PARTLY
    assert limited.verdict is Verdict.USABLE


def test_an_endpoint_without_any_cannot_be_helped(model):
    report = model(Kind(logprobs=False))
    assert (report.verdict, report.exit_code) == (Verdict.UNUSABLE, 4)
    assert "nothing can be scored by logprobs" in advice(report, needed=True)


@pytest.mark.parametrize("settings", [RESPONSES, {"use_responses_api": True}], ids=["asking", "as it is"])
def test_the_responses_api_is_told_apart(model, settings):
    report = model(Kind(), **settings)
    assert report.finding("responses").mark is Mark.YES
    asked_for = "include" in settings
    assert report.finding("logprobs").mark is (Mark.YES if asked_for else Mark.PARTLY)
    assert ('include=["message.output_text.logprobs"], top_logprobs=20' in advice(report)) is not asked_for


def test_what_is_bound_stays_and_the_tools_do_not(chat_model, ask, fake):
    bound = chat_model(Kind(), **ASKING).bind_tools([delete_everything]).bind(stop=["x"]).with_config(tags=["t"])
    report = ask(ChatModelTarget(bound))
    assert report.verdict is Verdict.USABLE
    assert all(body["stop"] == ["x"] for body in fake.bodies())
    tools = [[t["function"]["name"] for t in body.get("tools", [])] for body in fake.bodies()]
    assert {tuple(names) for names in tools} == {(), ("get_weather",)}
    assert all("tool_choice" in body for body in fake.bodies() if "tools" in body)


def test_a_model_that_cannot_stream_with_tools(model):
    report = model(Kind(tools_stream=False), **ASKING)
    assert report.verdict is Verdict.WITH_SETTINGS
    assert 'ChatOpenAI(..., disable_streaming="tool_calling")' in advice(report, needed=True)
    cured = model(Kind(tools_stream=False), **ASKING, disable_streaming="tool_calling")
    assert cured.verdict is Verdict.USABLE
    assert cured.finding("tools_stream").mark is Mark.YES


def test_reasoning_tokens_count_as_gaps(model):
    report = model(Kind(thinking=30), **ASKING)
    assert report.finding("reasoning").mark is Mark.PARTLY
    assert report.finding("reasoning").detail == "30 reasoning tokens reported; candidates for 6 of 36 tokens in all"


def test_an_error_at_one_question_is_a_finding(model):
    def kind(body):
        return refused("no tools here", 404) if body.get("tools") else Kind()(body)

    report = model(kind, **ASKING)
    assert report.finding("tools").detail == "error 404: no tools here"
    assert report.finding("stream").mark is Mark.YES


def test_a_model_that_hangs_is_a_finding(model):
    report = model(lambda body: Answer(delay=1.0), timeout=0.3)
    assert report.verdict is Verdict.UNANSWERED
    assert "no answer in time" in report.finding("logprobs").detail


@pytest.mark.parametrize("where", ["global", "own"])
def test_a_cache_does_not_answer_for_the_endpoint(chat_model, ask, fake, where):
    cache = InMemoryCache()
    model = chat_model(Kind(seeds=False), **ASKING, **({"cache": cache} if where == "own" else {}))
    set_llm_cache(cache if where == "global" else None)
    try:
        report = ask(ChatModelTarget(model))
    finally:
        set_llm_cache(None)
    assert report.finding("seed").mark is Mark.NO
    assert report.spent.requests == len(fake.asked)
    assert cache._cache == {}


def replying(messages, index):
    wanted = "tool" in messages[-1].text
    calls = [("get_weather", {"city": "Paris"})] if wanted else []
    return Reply("" if wanted else "the sea", tool_calls=calls, entropies=PLAIN)


def test_a_model_that_follows_a_script_is_usable(ask):
    report = ask(ChatModelTarget(ScriptedChatModel(replying)))
    assert report.target == "ScriptedChatModel scripted"
    assert report.finding("logprobs").mark is Mark.YES
    assert report.finding("tools").detail == "a tool call came; candidates for 6 of 6 tokens"
    assert report.finding("tools_stream").mark is Mark.YES
    assert report.finding("seed").detail.startswith("inconclusive")
    assert report.verdict is Verdict.USABLE


class Strict(GenericFakeChatModel):
    """Takes no parameters, and no tools."""

    def _generate(self, messages, stop=None, run_manager=None):
        return super()._generate(messages, stop, run_manager)

    def _stream(self, messages, stop=None, run_manager=None):
        yield ChatGenerationChunk(message=AIMessageChunk("streamed"))


def test_a_model_that_takes_neither_parameters_nor_tools(ask):
    report = ask(ChatModelTarget(Strict(messages=iter([AIMessage("hello")] * 99))))
    assert report.verdict is Verdict.UNUSABLE
    assert report.finding("tools").detail == "Strict takes no tools"
    assert report.finding("seed").detail == "the model takes no seed with a call"
    assert report.finding("usage").mark is Mark.NO


class Keeping(Strict):
    """Takes whatever it has no name for, in one place."""

    model_kwargs: dict | None = None


SETTINGS = {"logprobs": True, "top_logprobs": 20}
ChatVertexAI = type("ChatVertexAI", (Keeping,), {})  # told by its name


@pytest.mark.parametrize(
    ("kind", "settings", "line"),
    [
        (Keeping, SETTINGS, 'Keeping(..., model_kwargs={"logprobs": True, "top_logprobs": 20})'),
        (
            Keeping,
            {**SETTINGS, "disable_streaming": "tool_calling"},
            'Keeping(..., disable_streaming="tool_calling", model_kwargs={"logprobs": True, "top_logprobs": 20})',
        ),
        (Strict, SETTINGS, "Strict(...).bind(logprobs=True, top_logprobs=20)"),
        (ChatVertexAI, SETTINGS, "ChatVertexAI(...).bind(logprobs=True, top_logprobs=20)"),
        (Strict, {**SETTINGS, "cache": False}, "Strict(..., cache=False).bind(logprobs=True, top_logprobs=20)"),
    ],
)
def test_what_is_to_be_set_is_said_as_the_class_takes_it(kind, settings, line):
    assert ChatModelTarget(kind(messages=iter([]))).constructor(**settings) == line


def test_nothing_shows_in_a_run_around(chat_model):
    heard = []

    class Handler(BaseCallbackHandler):
        def on_chat_model_start(self, *args, **kwargs):
            heard.append(args)

        def on_llm_new_token(self, *args, **kwargs):
            heard.append(args)

    asking = chat_model(Kind(), **ASKING)
    around = RunnableLambda(lambda _: diagnose(ChatModelTarget(asking)).verdict)
    assert around.invoke(None, {"callbacks": [Handler()]}) is Verdict.USABLE
    assert heard == []
