"""Inspect's own models: under a LangGraph agent, and under an agent of Inspect's."""

from __future__ import annotations

import asyncio

import inspect_ai
import openai
import pytest
from bridge_kit import SAMPLES, judged, model_of, numbered, run, slow_centroid, slow_pick
from fake_openai import Answer, FakeOpenAI
from inspect_ai.agent._bridge import bridge
from inspect_ai.model import get_model
from inspect_ai.scorer import match
from inspect_ai.solver import generate
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from openai._base_client import AsyncAPIClient, SyncAPIClient

from ec_agent.capture import openai_client
from ec_agent.errors import ConfigError
from ec_agent.evaluation.inspect_ai import (
    best_of_n_solver,
    centroid,
    lowest_centroid,
    rollout_solver,
    trajectory_of_events,
    with_centroid,
)
from ec_agent.evaluation.inspect_ai.models import inspect_models

ENTROPIES = [0.1, 2.0, 0.1, 0.1, 0.5, 1.5]
ONE = SAMPLES[:1]


@pytest.fixture(scope="module")
def endpoint():
    server = FakeOpenAI(otherwise=Answer(ENTROPIES, text="right"))
    yield server
    server.close()


@pytest.fixture
def model(endpoint):
    endpoint.asked.clear()
    return get_model("openai-api/fake/fake-model", base_url=endpoint.url, api_key="none", memoize=False)


@pytest.fixture(params=["ours outside", "theirs outside"])
def order(request, monkeypatch):
    """Two ears on one client: whichever was put on first, a request is heard once."""
    bare = AsyncAPIClient.request
    while hasattr(bare, "__wrapped__"):
        bare = bare.__wrapped__
    monkeypatch.setattr(AsyncAPIClient, "request", bare)
    monkeypatch.setattr(bridge, "_patch_initialised", False)
    monkeypatch.setattr(SyncAPIClient, "request", SyncAPIClient.request)  # put back with the others
    (openai_client.install_patch if request.param == "theirs outside" else bridge.init_openai_request_patch)()


def langchain_agent():
    return create_agent(ChatOpenAI(model="inspect", api_key="none"), [])


def raw_agent():
    client = openai.AsyncOpenAI(api_key="none")

    async def ask(state):
        messages = [{"role": "user", "content": state["messages"][-1].text}]
        done = await client.chat.completions.create(model="inspect", messages=messages)
        return {"messages": [("ai", done.choices[0].message.content)]}

    return ask


@pytest.mark.parametrize("make", [langchain_agent, raw_agent])
@pytest.mark.usefixtures("order")
def test_a_langgraph_agent_on_inspects_model_is_heard_once_with_its_sampling(tmp_path, endpoint, model, make):
    solver = rollout_solver(make(), request_logprobs=True, temperature=0.7)
    log = run(tmp_path, solver, [with_centroid(match()), centroid()], samples=ONE, model=model)
    (sample,) = log.samples
    kept = sample.store["ec_agent"]
    assert (kept["calls"], kept["tokens"], kept["unsampled_calls"]) == (1, len(ENTROPIES), 0)
    assert kept["scores"]["lowest_centroid"] == slow_centroid(ENTROPIES)
    (body,) = endpoint.bodies()
    assert (body["seed"], body["temperature"]) == (kept["sampling"]["seed"], 0.7)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
    assert len([event for event in sample.events if event.event == "model"]) == 1
    assert sample.model_usage["openai-api/fake/fake-model"].output_tokens == len(ENTROPIES)


def test_a_token_limit_of_the_sample_is_a_limit_and_no_error(tmp_path, model):
    solver = best_of_n_solver(langchain_agent(), n=2, request_logprobs=True)
    log = run(tmp_path, solver, match(), samples=ONE, model=model, token_limit=3)
    (sample,) = log.samples
    assert (sample.limit.type, sample.error) == ("token", None)


def answer(messages, config):
    """By the epoch, which ``numbered`` writes into the question."""
    epoch = int(messages[-1].text.split()[-1])
    entropies = [0.1] * 20
    entropies[(7 * epoch) % 20] = 2.0
    return ("right" if epoch % 2 else "wrong"), entropies


def test_an_agent_of_inspects_own_is_read_from_its_transcript(tmp_path):
    scorers = [with_centroid(judged()), with_centroid(match()), centroid()]
    log = run(
        tmp_path,
        [numbered(), generate()],
        scorers,
        samples=ONE,
        epochs=4,
        reducers=[lowest_centroid()],
        model=model_of(answer),
        logprobs=True,
        top_logprobs=20,
    )
    expected = []
    for sample in log.samples:
        text, entropies = answer([sample.messages[0]], None)
        expected.append((slow_centroid(entropies), float(text == "right")))
        for name in ("judged", "match"):
            kept = sample.scores[name].metadata["ec_agent"]
            assert (kept["calls"], kept["tokens"]) == (1, 20)  # not the judge's
            assert kept["scores"]["lowest_centroid"] == expected[-1][0]
        again = trajectory_of_events(sample.events)
        assert (len(again.calls), again.centroid()) == (1, expected[-1][0])
        assert again.calls[0].started <= again.calls[0].ended
        assert trajectory_of_events(sample.events, calls=lambda event: event.role == "user").calls == ()
    (reduction,) = [each for each in log.reductions if each.scorer == "match"]
    value = reduction.samples[0].value
    assert {"C": 1.0, "I": 0.0}.get(value, value) == slow_pick(*zip(*expected, strict=True))


def test_a_log_scored_without_us_can_be_scored_again(tmp_path):
    log = run(
        tmp_path,
        [numbered(), generate()],
        match(),
        samples=ONE,
        epochs=3,
        model=model_of(answer),
        logprobs=True,
        top_logprobs=20,
    )
    reducer = "ec_agent/lowest_centroid"
    again = inspect_ai.score(log, with_centroid(match()), epochs_reducer=reducer, action="overwrite", display="none")
    found = [sample.scores["match"].metadata["ec_agent"]["scores"]["lowest_centroid"] for sample in again.samples]
    assert found == [slow_centroid(answer([sample.messages[0]], None)[1]) for sample in log.samples]
    told = again.reductions[0].samples[0].metadata["ec_agent:selection"]
    assert told["epochs"] == [again.samples[found.index(min(found))].epoch]


def test_without_logprobs_it_is_unscored_and_says_why(tmp_path):
    log = run(tmp_path, [numbered(), generate()], centroid(), samples=ONE, model=model_of(answer))
    (sample,) = log.samples
    score = sample.scores["centroid"]
    assert score.value != score.value
    assert score.explanation == "coverage: 20 tokens of 1 calls, 0 phases"


def test_trio_is_refused(monkeypatch):
    monkeypatch.setenv("INSPECT_ASYNC_BACKEND", "trio")

    async def enter():
        async with inspect_models():
            pass

    with pytest.raises(ConfigError, match="unset INSPECT_ASYNC_BACKEND"):
        asyncio.run(enter())
