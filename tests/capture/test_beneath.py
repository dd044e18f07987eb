"""Logprobs are read before the client makes objects of them, unless asked; whoever looks finds them where they were."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle

import httpx
import httpx2
import pytest
import test_openai_client as ways
from asking import INCLUDE, chat, timelines
from fake_openai import MODEL, Answer
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumps
from langchain_core.messages import messages_to_dict
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from openai import AsyncOpenAI, AzureOpenAI, DefaultAioHttpClient, OpenAI

from ec_agent import CallFilter, best_of_n, record_calls
from ec_agent.capture import beneath
from ec_agent.capture.installing import recording
from ec_agent.capture.made_later import LaterDict
from ec_agent.capture.recorder import Recorder
from ec_agent.capture.request_params import RequestSettings
from ec_agent.insides import openai_objects
from ec_agent.numbers.signals import SIGNALS

ENTROPIES = [1.5, 0.25, 0.75]
KEPT = {"signals": tuple(SIGNALS), "keep_text": True, "keep_candidates": 3}


def as_before():
    """A recorder that leaves answers to the client."""
    return recording(Recorder(signals=tuple(SIGNALS), requests=RequestSettings(keep_logprobs=True)))


def told(recorder):
    calls = recorder.every_call()
    facts = ("tokens", "model", "prompt_tokens", "cached_tokens", "capability", "partial", "constrained")
    return [[c.signal(s).tobytes() for s in SIGNALS] + [getattr(c, fact) for fact in facts] for c in calls]


@pytest.fixture
def made(monkeypatch):
    """How often somebody looked."""
    looks = []
    make = openai_objects._made
    monkeypatch.setattr(openai_objects, "_made", lambda *args: looks.append(args) or make(*args))
    return looks


@pytest.fixture
def server(fake):
    fake.answers = {
        "hi": Answer(ENTROPIES),
        "json": Answer(ENTROPIES, text='{"word": "yes"}'),
        "flaky": [Answer(status=500), Answer(ENTROPIES)],
        "odd": Answer(logprobs={"content": [{"token": "x", "logprob": "none"}]}),
        "cut": Answer(ENTROPIES, text='{"wor', finish="length"),
    }
    return fake


@pytest.fixture
def client(server):
    with OpenAI(base_url=server.url, api_key="none", timeout=10) as client:
        yield client


@pytest.mark.parametrize("way", ways.WAYS)
def test_every_way_in(way, client):
    ask = getattr(ways, f"ask_{way}")
    with as_before() as expected:
        wanted = ask(client)
    with record_calls(signals=tuple(SIGNALS)) as recorder:
        got = ask(client)
    assert told(recorder) == told(expected)
    assert timelines(recorder)[0] == ENTROPIES
    assert repr(got) == repr(wanted)


@pytest.mark.parametrize("way", ways.WAYS)
async def test_every_way_in_async(way, server):
    ask = getattr(ways, f"aask_{way}")
    async with AsyncOpenAI(base_url=server.url, api_key="none", timeout=10) as client:
        with as_before() as expected:
            wanted = await ask(client)
        with record_calls(signals=tuple(SIGNALS)) as recorder:
            got = await ask(client)
    assert told(recorder) == told(expected)
    assert repr(got) == repr(wanted)


# Who looks

LOOKS = {
    "attribute": lambda answer: answer.choices[0].logprobs.content[0].top_logprobs[0].logprob,
    "vars": lambda answer: vars(answer.choices[0])["logprobs"].content[1].token,
    "model_dump": lambda answer: answer.model_dump(),
    "model_dump_json": lambda answer: answer.model_dump_json(),
    "to_dict": lambda answer: answer.to_dict(),
    "choice.to_json": lambda answer: answer.choices[0].to_json(),
    "repr": lambda answer: repr(answer),
    "copy": lambda answer: copy.copy(answer.choices[0]).logprobs,
    "model_copy": lambda answer: answer.choices[0].model_copy(update={"index": 3}).logprobs,
    "deepcopy": lambda answer: copy.deepcopy(answer),
    "pickle": lambda answer: pickle.loads(pickle.dumps(answer)),
    "pickle of a choice": lambda answer: pickle.loads(pickle.dumps(answer.choices[0])),
    "iteration": lambda answer: dict(answer.choices[0])["logprobs"],
    "fields set": lambda answer: answer.choices[0].model_fields_set,
}


@pytest.mark.parametrize("look", LOOKS)
def test_whoever_looks_finds_them(look, client, made):
    with as_before():
        expected = LOOKS[look](client.chat.completions.create(**chat("hi")))
    with record_calls():
        answer = client.chat.completions.create(**chat("hi"))
        assert made == []
        assert LOOKS[look](answer) == expected
    assert len(made) == 1
    assert type(answer.choices[0]) is answer.choices[0].__class__


def test_looking_after_the_rollout_and_in_other_places_than_logprobs(client, made):
    with record_calls():
        answer = client.chat.completions.create(**chat("hi"))
        (choice,) = answer.choices
        assert isinstance(choice, choice.__class__)
        assert (choice.message.content, choice.finish_reason, choice.index) == (Answer(ENTROPIES).content(), "stop", 0)
        assert getattr(choice, "stop_reason", None) is None
        assert made == []
    assert [len(entry.top_logprobs) for entry in choice.logprobs.content] == [20] * 3
    choice.logprobs = None
    assert answer.model_dump()["choices"][0]["logprobs"] is None


def test_a_stream_is_made_quickly_and_its_logprobs_later(client, made):
    with record_calls() as recorder:
        chunks = list(client.chat.completions.create(**chat("hi"), stream=True))
    assert timelines(recorder) == [ENTROPIES]
    assert made == []
    assert sum(len(choice.logprobs.content) for chunk in chunks for choice in chunk.choices if choice.logprobs) == 3
    assert len(made) == 3


def test_raw_responses_have_all_their_bytes(client):
    with record_calls() as recorder:
        raw = client.chat.completions.with_raw_response.create(**chat("hi"))
    assert b"top_logprobs" in raw.content
    assert raw.http_response.json()["choices"][0]["logprobs"]["content"]
    assert raw.headers["content-length"] == str(len(raw.content))
    assert raw.parse().choices[0].logprobs.content
    assert raw.parse(to=dict)["choices"][0]["logprobs"]["content"]
    assert timelines(recorder) == [ENTROPIES]


def test_other_forms_of_an_answer(client):
    """A request of the user's own, with types of the user's own."""
    asked = {"body": chat("hi")}
    with record_calls() as recorder:
        plain = client.post("/chat/completions", cast_to=object, **asked)
        response = client.post("/chat/completions", cast_to=httpx2.Response, **asked)
    assert plain["choices"][0]["logprobs"]["content"]
    assert response.json()["choices"][0]["logprobs"]["content"]
    assert len(recorder.every_call()) == 2


def test_an_answer_that_the_parser_refuses_keeps_them(client):
    with record_calls(), pytest.raises(Exception, match="length") as raised:
        client.chat.completions.parse(**chat("cut"), response_format=ways.Word)
    assert len(raised.value.completion.choices[0].logprobs.content) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_odd_logprobs_are_left_to_the_client(stream, client):
    records = []
    for block in (as_before(), record_calls(signals=tuple(SIGNALS))):
        with block as recorder:
            answer = client.chat.completions.create(**chat("odd"), stream=stream)
            assert not stream or list(answer)
        records.append(told(recorder))
    assert records[0] == records[1]


# Other clients


def clients(url):
    here = {"base_url": url, "api_key": "none"}
    yield OpenAI(**here)
    yield OpenAI(**here, http_client=httpx2.Client(transport=httpx2.HTTPTransport(retries=1)))
    yield OpenAI(**here, http_client=httpx.Client())
    yield OpenAI(**here, _strict_response_validation=True)
    yield OpenAI(**here).with_options(timeout=9)
    yield AzureOpenAI(azure_endpoint=url, api_key="none", api_version="1")
    yield type("Sub", (OpenAI,), {})(**here)


@pytest.mark.parametrize("place", range(7))
def test_every_kind_of_client(place, server, made):
    client = list(clients(server.url))[place]
    with record_calls() as recorder:
        answer = client.chat.completions.create(**chat("hi"))
        chunks = list(client.chat.completions.create(**chat("hi"), stream=True))
    assert made == []
    assert timelines(recorder) == [ENTROPIES] * 2
    assert answer.choices[0].logprobs.content[0].top_logprobs
    assert any(choice.logprobs for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("http", [DefaultAioHttpClient, httpx2.AsyncClient, httpx.AsyncClient])
async def test_every_kind_of_async_client(http, server, made):
    async with http() as http_client:
        client = AsyncOpenAI(base_url=server.url, api_key="none", http_client=http_client)
        with record_calls() as recorder:
            await client.chat.completions.create(**chat("hi"))
            async for _ in await client.chat.completions.create(**chat("hi"), stream=True):
                pass
    assert made == []
    assert timelines(recorder) == [ENTROPIES] * 2


def test_a_request_that_is_sent_again(client, server, made):
    with record_calls() as recorder:
        client.with_options(max_retries=2).chat.completions.create(**chat("flaky"))
    assert timelines(recorder) == [ENTROPIES]
    assert made == []


# Whose answers are left alone


def test_answers_that_somebody_else_needs(client, monkeypatch):
    monkeypatch.setattr(beneath, "_read", None)  # to use it would fail
    monkeypatch.setattr(beneath, "QuickChunks", None)
    with record_calls(calls=CallFilter(tags=["agent"])):
        assert client.chat.completions.create(**chat("hi")).choices[0].logprobs.content
        assert list(client.chat.completions.create(**chat("hi"), stream=True))
    with record_calls(), client.chat.completions.with_streaming_response.create(**chat("hi")) as response:
        assert b"top_logprobs" in b"".join(response.iter_bytes())
    with as_before():
        assert client.chat.completions.create(**chat("hi")).choices[0].logprobs.content
    assert client.chat.completions.create(**chat("hi")).choices[0].logprobs.content


def test_embeddings_and_other_requests_are_not_read(client, server):
    with record_calls() as recorder:
        client.get("/models", cast_to=object)
    assert recorder.every_call() == []


# LangChain


@pytest.fixture
def model(server):
    def make(kind=ChatOpenAI, **kwargs):
        asking = INCLUDE if kwargs.get("use_responses_api") else {"logprobs": True, "top_logprobs": 20}
        there = {"base_url": server.url} if kind is ChatOpenAI else {"azure_endpoint": server.url, "api_version": "1"}
        return kind(model=MODEL, api_key="none", max_retries=0, **there, **asking, **kwargs)

    return make


KINDS = {
    "whole": {},
    "azure": {"kind": AzureChatOpenAI},
    "streaming": {"streaming": True},
    "no usage": {"streaming": True, "stream_usage": False},
    "responses": {"use_responses_api": True},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_messages_have_what_they_had(kind, model):
    asked = model(**KINDS[kind])
    records, answers = [], []
    for block in (as_before(), record_calls(signals=tuple(SIGNALS))):
        with block as recorder:
            answers.append([asked.invoke("hi"), await asked.ainvoke("hi"), *asked.stream("hi")])
        records.append(told(recorder))
    assert records[0] == records[1]
    assert timelines(recorder) == [ENTROPIES] * 3
    for got, wanted in zip(answers[1], answers[0], strict=True):
        wanted.id = got.id
        assert got.response_metadata == wanted.response_metadata
        assert json.dumps(got.response_metadata) == json.dumps(wanted.response_metadata)
        assert got == wanted


MESSAGE_LOOKS = {
    "item": lambda message: message.response_metadata["logprobs"]["content"][0]["top_logprobs"][0]["logprob"],
    "get": lambda message: message.response_metadata.get("logprobs").get("content"),
    "equal": lambda message: message.response_metadata["logprobs"] == {} or message.response_metadata["logprobs"],
    "keys": lambda message: [*message.response_metadata["logprobs"]],
    "length": lambda message: len(message.response_metadata["logprobs"]),
    "items": lambda message: list(message.response_metadata["logprobs"].items()),
    "spread": lambda message: {**message.response_metadata["logprobs"]},
    "dict": lambda message: dict(message.response_metadata["logprobs"]),
    "or": lambda message: message.response_metadata["logprobs"] | {"x": 1},
    "match": lambda message: _matched(message.response_metadata["logprobs"]),
    "repr": lambda message: repr(message.response_metadata["logprobs"]),
    "pop": lambda message: message.response_metadata["logprobs"].pop("content"),
    "json": lambda message: json.dumps(message.response_metadata),
    "pickle": lambda message: pickle.loads(pickle.dumps(message)).response_metadata["logprobs"],
    "copy": lambda message: copy.copy(message.response_metadata["logprobs"]),
    "deepcopy": lambda message: copy.deepcopy(message).response_metadata["logprobs"],
    "model_dump": lambda message: message.model_dump()["response_metadata"],
    "model_dump_json": lambda message: json.loads(message.model_dump_json())["response_metadata"],
    "messages_to_dict": lambda message: messages_to_dict([message])[0]["data"]["response_metadata"],
    "dumps": lambda message: json.loads(dumps(message))["kwargs"]["response_metadata"],
}


def _matched(logprobs):
    match logprobs:
        case {"content": [first, *_]}:
            return first


@pytest.mark.parametrize("look", MESSAGE_LOOKS)
def test_whoever_looks_at_a_message_finds_them(look, model, made):
    with as_before():
        expected = MESSAGE_LOOKS[look](model().invoke("hi"))
    with record_calls():
        message = model().invoke("hi")
        assert isinstance(message.response_metadata["logprobs"], LaterDict)
        assert made == []
        assert MESSAGE_LOOKS[look](message) == expected
    assert len(made) == 1


def test_a_message_that_nobody_looked_at(model, made):
    with record_calls():
        logprobs = model().invoke("hi").response_metadata["logprobs"]
    assert logprobs
    assert "content" in logprobs
    assert isinstance(logprobs, dict)
    copied = copy.deepcopy(logprobs)
    assert made == []
    assert copied["content"] == logprobs["content"]


@pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")
def test_an_agent_that_reads_logprobs_itself(model):
    seen = []

    def agent(state):
        message = model().invoke(state["messages"])
        seen.append(min(entry["logprob"] for entry in message.response_metadata["logprobs"]["content"]))
        return {"messages": [message]}

    for keep in (True, False):
        result = best_of_n(agent, n=2, keep_logprobs=keep).run({"messages": [("user", "hi")]})
        assert [len(trajectory) for trajectory in result.trajectories] == [3, 3]
        assert ("logprobs" in result.output["messages"][-1].response_metadata) is keep
        assert [each.reading for each in result.selection.candidates] == [{"objects" if keep else "bytes": 1}] * 2
    assert len(set(seen)) == 1
    assert len(seen) == 4


class State(MessagesState):
    kept: dict


@pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")
def test_logprobs_that_an_agent_keeps_elsewhere_can_be_saved(model):
    def agent(state):
        message = model().invoke(state["messages"])
        return {"messages": [message], "kept": {"logprobs": message.response_metadata["logprobs"]}}

    graph = StateGraph(State)
    graph.add_node("answer", best_of_n(agent, n=2))
    graph.add_edge(START, "answer")
    compiled = graph.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    compiled.invoke({"messages": [("user", "hi")]}, config)
    kept = compiled.get_state(config).values["kept"]["logprobs"]
    assert type(kept) is dict
    assert len(kept["content"]) == 3


def test_a_cache_of_the_model_itself(model, made):
    cache = InMemoryCache()
    records = []
    for _ in range(2):
        with record_calls(signals=tuple(SIGNALS)) as recorder:
            model(cache=cache).invoke("hi")
        records.append(told(recorder))
    assert made == []
    assert records[0] == records[1]
    assert recorder.trajectory().calls[0].from_cache


@pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")
def test_rollouts_at_once_keep_their_own(model):
    async def agent(state):
        return {"messages": [await model().ainvoke(state["messages"])]}

    result = asyncio.run(best_of_n(agent, n=6).arun({"messages": [("user", "hi")]}))
    assert [trajectory.entropies.tolist() for trajectory in result.trajectories] == [pytest.approx(ENTROPIES)] * 6
