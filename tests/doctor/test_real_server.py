"""The doctor at the real llama.cpp server: what is certain there, whatever the small model says."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner
from findings import advice, marks
from langchain_openai import ChatOpenAI

from ec_agent import PreflightError
from ec_agent.cli.app import app
from ec_agent.doctor import ChatModelTarget, EndpointTarget, Verdict, diagnose, preflight
from ec_agent.support.plans import drive

pytestmark = pytest.mark.model

REFUSED = "error 400: logprobs is not supported with tools + stream"


@pytest.fixture(scope="module")
def report(llama):
    return diagnose(EndpointTarget(llama.base_url, llama.model, timeout=60))


def test_it_passes_with_one_setting(report):
    assert report.verdict is Verdict.WITH_SETTINGS
    assert 'disable_streaming="tool_calling"' in advice(report, needed=True)
    # The Responses API is asked a second time, without top_logprobs; request_logprobs=True asks for tools and stream,
    # is refused, and asks for one piece; tool calls as text are tried, for the model made no call.
    assert report.spent.requests == 20


def test_plain_streamed_and_with_tools_it_gives_candidates_and_with_both_it_refuses(report):
    assert report.finding("logprobs").coverage == 1.0
    assert report.finding("stream").coverage == 1.0
    assert re.search(r"has candidates for (\d+) of \1 tokens", report.finding("tools").detail)
    assert report.finding("tools_stream").detail == REFUSED


def test_what_it_says_was_tried(report):
    main, requested, prompted = report.ways
    assert main.model["disable_streaming"] == "tool_calling"
    assert requested.best_of_n == {"request_logprobs": True}
    assert prompted.prompted == "json_schema"
    assert prompted.tools
    assert {way.coverage for way in report.ways} == {1.0}
    assert "calls with a JSON schema: disable_streaming=True for them" in advice(report, needed=False)


def test_the_small_model_calls_no_tool_though_it_is_forced_to(report):
    assert report.finding("tools").detail.startswith("no tool call came, so not known")
    assert "no tool call came" in advice(report, needed=True)


def test_every_other_question_is_answered_by_the_real_server(report):
    expected = {
        "top_k": "yes",
        "temperature": "yes",
        "schema": "yes",
        "schema_stream": "partly",
        "grammar": "yes",
        "model": "yes",
        "tools": "not known",
        "tools_stream": "no",
        "responses": "partly",
        "reasoning": "no",
        "n": "yes",
        "seed": "yes",
        "usage": "yes",
    }
    found = marks(report)
    assert {question: found[question] for question in expected} == expected
    assert report.finding("responses").detail == "it answers; logprobs: none"
    assert report.finding("top_k").detail == "20 asked, 20 came"


def test_sampled_tokens_are_among_their_candidates_but_for_the_few_that_top_k_40_lets_through(report):
    """At temperature 2 the server, which draws from 40, draws one beyond the 20 candidates now and then."""
    found = report.finding("sampled")
    inside, looked = map(int, re.match(r"(\d+) of (\d+) at temperature 2,", found.detail).groups())
    assert found.mark.value == ("yes" if inside == looked else "partly")
    assert 0.8 * looked <= inside <= looked


@pytest.fixture
def on_llama(llama):
    def make(**kwargs):
        settings = {"model": llama.model, "base_url": llama.base_url, "api_key": "none", "timeout": 60}
        return ChatOpenAI(**settings | {"max_retries": 0} | kwargs)

    return make


@pytest.mark.whole_form("a diagnosis of the real server; the report of one is looked at in the short form")
def test_a_chat_openai_is_told_what_the_server_refuses(on_llama, ask):
    report = ask(ChatModelTarget(on_llama(logprobs=True, top_logprobs=20, temperature=0)))
    found = marks(report)
    assert (found["logprobs"], found["stream"], found["tools_stream"]) == ("yes", "yes", "no")
    assert report.finding("tools_stream").detail == REFUSED
    assert report.verdict is Verdict.WITH_SETTINGS


@pytest.mark.whole_form("a diagnosis of the real server; the report of one is looked at in the short form")
def test_with_what_the_doctor_says_all_four_combinations_answer(on_llama):
    cured = on_llama(logprobs=True, top_logprobs=20, temperature=0, disable_streaming="tool_calling", stream_usage=True)
    report = diagnose(ChatModelTarget(cured))
    found = marks(report)
    assert (found["logprobs"], found["stream"], found["usage"]) == ("yes", "yes", "yes")
    for question in ("tools", "tools_stream"):
        assert "no tool call came, so not known; the text in its place has candidates for" in (
            report.finding(question).detail
        )


@pytest.mark.whole_form("a diagnosis of the real server; the report of one is looked at in the short form")
def test_the_command_exits_with_its_verdict(llama):
    done = CliRunner().invoke(app, ["doctor", llama.base_url, "--model", llama.model, "--json"])
    assert done.exit_code == 3
    assert json.loads(done.stdout)["verdict"] == "usable with the settings named"


@pytest.mark.whole_form("a diagnosis of the real server; the report of one is looked at in the short form")
def test_the_preflight_passes_or_says_what_is_missing(on_llama):
    (report,) = drive(preflight([on_llama(logprobs=True, top_logprobs=20)]))
    assert report.spent.requests == 2
    with pytest.raises(PreflightError, match="none as it is; asked for 20 candidates"):
        drive(preflight([on_llama()]))
    (asked,) = drive(preflight([on_llama()], request_logprobs=True))
    assert asked.finding("logprobs").coverage == 1.0
