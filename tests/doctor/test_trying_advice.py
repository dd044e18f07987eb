"""The doctor's advice is tested by following it: what it says to set makes ``best_of_n`` score, or nothing does."""

from __future__ import annotations

import asyncio
import warnings
from functools import reduce
from operator import add

import pytest
from engines import ENGINES
from fake_openai import MODEL
from findings import advice, marks
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI

from ec_agent import EcAgentError, best_of_n
from ec_agent.capture import request_logprobs
from ec_agent.doctor import ChatModelTarget, EndpointTarget, Verdict, Way, diagnose
from ec_agent.prompted import PromptedToolModel

# LangChain's typed answers warn of entries that a server names by numbers.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

GO = {"messages": [("user", "Write one short sentence about the sea.")]}
NOTHING_HELPS = (
    "none, refused",
    "ignored with a 200",
    "placeholders",
    "no API at all",
    "streams alone, without logprobs",
)
BY_SURPRISAL = ("the sampled alone", "the sampled alone, whole", "no number of candidates")


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "fair"


def made(way, url):
    """The model that a way describes."""
    kind = {"ChatOpenAI": ChatOpenAI, "OpenAI": OpenAI}[way.kind]
    model = kind(**{"model": MODEL, "base_url": url} | dict(way.model), api_key="none", max_retries=0, timeout=10)
    return model if way.prompted is None else PromptedToolModel(model=model, protocol=way.prompted)


def followed(way, url, mode="call", tools=False, by="sync"):
    """The candidates of a question to an agent with the settings of a way."""
    request_logprobs.forget()
    model = made(way, url)
    asked = model.bind_tools([get_weather]) if tools else model

    def answered(message):
        return {"messages": [message if isinstance(message, AIMessage) else AIMessage(message)]}

    def agent(state):
        asks = state["messages"]
        return answered(reduce(add, asked.stream(asks)) if mode == "stream" else asked.invoke(asks))

    async def async_agent(state):
        asks = state["messages"]
        if mode == "call":
            return answered(await asked.ainvoke(asks))
        return answered(reduce(add, [part async for part in asked.astream(asks)]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # equal rollouts, calls under a schema
        if by == "sync":
            result = best_of_n(agent, n=2, **way.options()).run(GO)
        else:
            result = asyncio.run(best_of_n(async_agent, n=2, **way.options()).arun(GO))
    return result.selection.candidates


def modes_of(way):
    """How an agent may ask with these settings: those of streams only make every call one."""
    return ("call",) if way.model.get("streaming") or way.kind == "OpenAI" else ("call", "stream")


@pytest.fixture(scope="module")
def reports(_doctors_server):
    """What the doctor says of each server, asked once."""
    kept = {}

    def report(name):
        _doctors_server.otherwise = ENGINES[name]
        if name not in kept:
            request_logprobs.forget()
            before = len(_doctors_server.asked)
            kept[name] = diagnose(EndpointTarget(_doctors_server.url, MODEL, timeout=10))
            report.asked[name] = len(_doctors_server.asked) - before
        return kept[name]

    report.asked = {}
    return report


@pytest.mark.members(5)
@pytest.mark.parametrize("by", ["sync", "async"])
@pytest.mark.parametrize("name", sorted(set(ENGINES) - set(NOTHING_HELPS)))
def test_what_it_says_to_set_makes_best_of_n_score(reports, fake, name, by):
    report = reports(name)
    assert report.ways
    assert (report.verdict is Verdict.UNUSABLE) is (name in BY_SURPRISAL)
    for way in report.ways:
        assert way.coverage is not None
        for mode in modes_of(way):
            for tools in (False, True) if way.tools is not None else (False,):
                candidates = followed(way, fake.url, mode, tools, by)
                assert all(each.score is not None for each in candidates), (way, mode, tools)
                assert min(each.coverage if way.signal == "entropy" else 1.0 for each in candidates) >= way.coverage


KNOWN = {
    "asked for 20": Way({"logprobs": True, "top_logprobs": 20, "stream_usage": True}),
    "asked for 5": Way({"logprobs": True, "top_logprobs": 5, "stream_usage": True}),
    "asked for the sampled": Way({"logprobs": True}, signal="surprisal"),
    "unstreamed": Way({"logprobs": True, "top_logprobs": 2, "disable_streaming": True}),
    "streamed": Way({"logprobs": True, "top_logprobs": 2, "streaming": True, "stream_usage": True}),
    "requested": Way(best_of_n={"request_logprobs": True}),
    "by surprisal": Way(best_of_n={"request_logprobs": True}, signal="surprisal"),
    "Responses": Way(
        {"use_responses_api": True, "include": ["message.output_text.logprobs"], "top_logprobs": 20},
    ),
    "older completions": Way({"logprobs": 5}, kind="OpenAI"),
}


@pytest.mark.members(1)
@pytest.mark.parametrize("name", NOTHING_HELPS)
def test_where_it_knows_no_way_none_of_its_ways_helps(reports, fake, name):
    report = reports(name)
    assert report.ways == ()
    assert report.verdict in (Verdict.UNUSABLE, Verdict.UNANSWERED)
    for how, way in KNOWN.items():
        try:
            candidates = followed(way, fake.url)
        except EcAgentError:
            continue
        pytest.fail(f"{how} scores {candidates}")


@pytest.mark.parametrize("name", ENGINES)
def test_request_logprobs_is_offered_where_it_helps_and_only_there(reports, fake, name):
    report = reports(name)
    offered = [way for way in report.ways if way.best_of_n.get("request_logprobs")]
    assert ("or best_of_n(..., request_logprobs=True)" in advice(report)) is bool(offered and name not in BY_SURPRISAL)
    if offered or not report.ways:
        return  # followed above
    for mode in ("call", "stream"):
        for tools in (False, True):
            try:
                followed(KNOWN["requested"], fake.url, mode, tools)
            except EcAgentError:
                return
    pytest.fail("it helps, and was not offered")


FOUND = {
    "all there is": {"temperature": "yes", "grammar": "yes", "sampled": "partly", "model": "yes", "schema": "yes"},
    "flags for tools": {"grammar": "no", "sampled": "yes"},
    "bare entries, named by numbers": {"temperature": "no", "stream": "yes", "grammar": "yes", "sampled": "partly"},
    "numbers": {"temperature": "yes", "grammar": "yes", "sampled": "partly"},
    "after temperature": {"temperature": "no", "grammar": "yes"},
    "not so hot": {"temperature": "no"},
    "after the grammar": {"temperature": "yes", "grammar": "no", "schema_stream": "yes"},
    "schemas lose entries in streams": {"schema": "yes", "schema_stream": "partly", "grammar": "yes"},
    "no tools, no schemas": {"schema": "partly", "grammar": "not known", "tools": "no"},
    "another model": {"model": "no"},
    "no n": {"n": "no"},
    "older completions only": {"completions": "yes", "logprobs": "not known"},
    "streams are all it answers with": {"logprobs": "not known", "stream": "yes", "tools": "not asked", "model": "yes"},
    "streams alone, no tools": {"stream": "yes", "tools_stream": "no", "usage": "partly"},
    "a limit by the old name alone": {"logprobs": "yes", "tools": "yes", "stream": "yes"},
    "streams only": {"logprobs": "no", "stream": "yes", "tools": "no", "tools_stream": "yes"},
}


@pytest.mark.parametrize("name", FOUND)
def test_what_an_endpoint_does_is_found(reports, name):
    found = marks(reports(name))
    assert {question: found[question] for question in FOUND[name]} == FOUND[name]


SAID = {
    "flags for tools": "start the server with --enable-auto-tool-choice --tool-call-parser",
    "a flag for candidates": "start the server with --max-logprobs 20",
    "a flag for tools, in llama.cpp's words": "start the server with --jinja",
    "schemas lose entries in streams": "calls with a JSON schema: disable_streaming=True",
    "after temperature": "logprobs are after temperature: give all rollouts the same",
    "another model": "fake-model was asked, something-else answered",
    "older completions only": "logprobs=5): only the older completions API",
    "streams only": "streaming=True, stream_usage=True)  (only streamed answers have logprobs)",
    "whole answers only": "leave streaming=True out",
    "no tools, no schemas": 'protocol="json_schema"',
    "ignored with a 200": "selector=MajorityVote(), from ec_agent.selectors",
    "streams alone, without logprobs": "this endpoint returns no logprobs",
    "placeholders": "this endpoint returns placeholders",
    "streams are all it answers with": "streaming=True, stream_usage=True)  (only streams are answered)",
    "the sampled alone": "LowestCentroid(signal='surprisal')",
}


ALIKE = {
    "streams are all it answers with": ("streams alone, no tools",),
    "after temperature": ("bare entries, named by numbers", "not so hot"),
    "whole answers only": (
        "not tools, streams and logprobs",
        "the same in other words",
    ),
}


@pytest.mark.parametrize("name", ENGINES)
def test_each_endpoint_gets_its_own_advice_alone(reports, name):
    said = advice(reports(name))
    for other, words in SAID.items():
        alike = ALIKE.get(other, ())
        if other == name:
            assert words in said
        elif any(
            each in words for each in ("start the server", "was asked", "temperature:", "JSON schema", "streaming")
        ):
            assert words not in said or name in alike


DETAILS = {
    "placeholders": {"logprobs": "placeholders, such as 0.0", "n": "2 choices came"},
    "ignored with a 200": {"logprobs": "asked for, and none came", "stream": "streams, without logprobs"},
    "the sampled alone": {"stream": "with the sampled tokens' logprobs only", "tools": "the sampled tokens' logprobs"},
    "no number of candidates": {"stream": "the sampled tokens' logprobs only", "schema": "the sampled tokens'"},
}


@pytest.mark.parametrize("name", DETAILS)
def test_a_line_says_what_came(reports, name):
    for question, words in DETAILS[name].items():
        assert words in reports(name).finding(question).detail
    if name == "placeholders":
        assert "with logprobs" not in reports(name).finding("n").detail


@pytest.mark.parametrize("name", ENGINES)
def test_the_number_of_requests_is_bounded_and_told(reports, name):
    assert reports(name).spent.requests == reports.asked[name] <= 24


STREAMING = {"logprobs": True, "top_logprobs": 5}


@pytest.mark.parametrize("name", ["whole answers only", "not tools, streams and logprobs"])
def test_a_model_that_streams_is_told_not_to(fake, name):
    """LangChain sends ``stream=True`` with it, and then reads the stream as a whole answer."""
    fake.otherwise = ENGINES[name]
    model = ChatOpenAI(model=MODEL, base_url=fake.url, api_key="none", max_retries=0, streaming=True, **STREAMING)
    (way, *_) = diagnose(ChatModelTarget(model)).ways
    assert way.model["streaming"] is False
    kept = Way({"streaming": True, **STREAMING, **way.model})
    for tools in (False, True):
        assert all(each.score is not None for each in followed(kept, fake.url, "call", tools))
