"""Coverage, sampling, facts, caches, memory: what a recorder makes of the calls it hears."""

from __future__ import annotations

import gc
import math
import sys
import types
from collections.abc import Mapping

import pytest
from asking import INCLUDE, chat, shown, timelines
from fake_openai import MODEL, Answer
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ec_agent import Call, ConfigError, IdenticalRolloutsWarning, MissingLogprobsError, best_of_n, record_calls
from ec_agent.capture.installing import recording
from ec_agent.capture.recorder import Recorder
from ec_agent.capture.request_params import RequestSettings
from ec_agent.testing import Reply, ScriptedChatModel, logprobs_for

ENTROPIES = [1.5, 0.25, 0.75]
# langchain-openai adds up the usage of several prompts, and wants details there to add up
pytestmark = pytest.mark.filterwarnings("ignore:Unexpected type for token usage")


# Coverage: what the provider counts, and what came with logprobs

COVERAGE = {
    "all known": (Answer(ENTROPIES), ENTROPIES, 3, 1.0),
    "more counted than known": (Answer(ENTROPIES, usage=6), [*ENTROPIES, None, None, None], 6, 0.5),
    "one more counted": (Answer(ENTROPIES, usage=4), ENTROPIES, 3, 1.0),
    "two more counted": (Answer(ENTROPIES, usage=5), [*ENTROPIES, None, None], 5, 0.6),
    "fewer counted": (Answer(ENTROPIES, usage=2), ENTROPIES, 3, 1.0),
    "none counted": (Answer(ENTROPIES, usage=0), ENTROPIES, 3, 1.0),
    "not counted": (Answer(ENTROPIES, usage=None), ENTROPIES, 3, 1.0),
    "counted, not known": (Answer(ENTROPIES, logprobs=False), [None] * 3, 3, 0.0),
    "one counted, not known": (Answer([0.25], logprobs=False), [None], 1, 0.0),
    "neither": (Answer(ENTROPIES, usage=None, logprobs=False), [], None, None),
    "nothing generated": (Answer([], usage=0, logprobs=False), [], 0, None),
    "tokens without candidates": (Answer([0.25, None, 0.5, None]), [0.25, None, 0.5, None], 4, 0.5),
    "a count beyond belief": (Answer(ENTROPIES, usage=2**40), ENTROPIES, 3, 1.0),
    "a count below zero": (Answer(ENTROPIES, usage=-1), ENTROPIES, 3, 1.0),
    "a count below zero, not known": (Answer(ENTROPIES, usage=-1, logprobs=False), [], None, None),
}


def ask_client(prompt, client, chat_model):
    client.chat.completions.create(**chat(prompt))


def ask_client_stream(prompt, client, chat_model):
    list(client.chat.completions.create(**chat(prompt), stream=True, stream_options={"include_usage": True}))


def ask_responses(prompt, client, chat_model):
    client.responses.create(model=MODEL, input=prompt, **INCLUDE)


def ask_model(prompt, client, chat_model):
    chat_model().invoke(prompt)


def ask_model_stream(prompt, client, chat_model):
    list(chat_model(stream_usage=True).stream(prompt))


def ask_model_responses(prompt, client, chat_model):
    chat_model(use_responses_api=True).invoke(prompt)


ASK = [ask_client, ask_client_stream, ask_responses, ask_model, ask_model_stream, ask_model_responses]


@pytest.mark.parametrize("case", COVERAGE)
@pytest.mark.parametrize("ask", ASK)
def test_coverage(case, ask, fake, client, chat_model):
    answer, timeline, tokens, coverage = COVERAGE[case]
    fake.answers["hi"] = answer
    with record_calls() as recorder:
        ask("hi", client, chat_model)
    (call,) = recorder.trajectory().calls
    assert shown(call.entropies) == timeline
    assert call.tokens == tokens
    assert recorder.trajectory().coverage == coverage


def test_one_call_of_unknown_length_makes_the_coverage_unknown(fake, client):
    fake.answers.update(known=Answer(ENTROPIES), unknown=Answer([1.0], usage=None, logprobs=False))
    with record_calls() as recorder:
        client.chat.completions.create(**chat("known"))
        client.chat.completions.create(**chat("unknown"))
    assert recorder.trajectory().coverage is None
    assert recorder.trajectory().scored_tokens == 3


def test_no_call_at_all():
    with record_calls() as recorder:
        pass
    assert recorder.trajectory().coverage is None
    assert recorder.trajectory().centroid() is None


# on_missing="raise"


def test_a_call_without_logprobs_raises_at_once(fake, client, chat_model):
    fake.answers["bare"] = Answer(ENTROPIES, logprobs=False)
    for ask in (lambda: client.chat.completions.create(**chat("bare")), lambda: chat_model().invoke("bare")):
        with recording(Recorder(raise_on_missing=True)) as recorder:
            with pytest.raises(MissingLogprobsError, match=r"fake-model.*logprobs=True"):
                ask()
            with pytest.raises(MissingLogprobsError):
                recorder.trajectory()


async def test_a_call_without_logprobs_raises_at_once_async(fake, aclient, chat_model):
    fake.answers["bare"] = Answer(ENTROPIES, logprobs=False)
    for ask in (lambda: aclient.chat.completions.create(**chat("bare")), lambda: chat_model().ainvoke("bare")):
        with recording(Recorder(raise_on_missing=True)), pytest.raises(MissingLogprobsError, match="fake-model"):
            await ask()


def test_an_excluded_or_failed_call_may_lack_logprobs(fake, client):
    fake.answers.update(bare=Answer(ENTROPIES, logprobs=False), bad=Answer(status=400))
    with recording(Recorder(raise_on_missing=True, calls=lambda call: False)):
        client.chat.completions.create(**chat("bare"))
    with recording(Recorder(raise_on_missing=True)), pytest.raises(Exception, match="as told"):
        client.chat.completions.create(**chat("bad"))


# Signals, text, adopted calls


def test_signals_and_texts(fake, client):
    with record_calls(signals=["logprob"], keep_text=True) as recorder:
        fake.answers["hi"] = Answer(ENTROPIES, usage=5)
        client.chat.completions.create(**chat("hi"))
    (call,) = recorder.trajectory().calls
    sampled = [entry["logprob"] for entry in logprobs_for(ENTROPIES)]
    assert call.signals["logprob"].tolist()[:3] == sampled
    assert all(math.isnan(value) for value in call.signals["logprob"][3:])
    assert call.texts == ("w0 ", "w1 ", "w2 ")


def test_texts_are_not_kept_unless_asked_for(fake, client):
    with record_calls() as recorder:
        client.chat.completions.create(**chat("hi"))
    assert recorder.trajectory().calls[0].texts is None


def test_an_unknown_signal():
    with pytest.raises(ConfigError, match="entropy"), record_calls(signals=["energy"]):
        pass


def test_adopted_calls_take_their_place_in_time(fake, client):
    fake.answers["hi"] = Answer(ENTROPIES)
    with record_calls() as recorder:
        client.chat.completions.create(**chat("hi"))
        recorder.adopt([Call([0.5], node="inner"), Call([0.75], node="outer")])
        client.chat.completions.create(**chat("hi"))
    assert timelines(recorder) == [ENTROPIES, [0.5], [0.75], ENTROPIES]


def test_adopted_calls_go_through_the_filter():
    recorder = Recorder(calls=lambda call: call.node == "inner")
    recorder.adopt([Call([0.5], node="inner"), Call([0.75], node="outer")])
    assert timelines(recorder) == [[0.5]]
    assert len(recorder.every_call()) == 2


# Sampling parameters


@pytest.fixture
def sampled():
    return Recorder(
        requests=RequestSettings({"seed": 7, "temperature": 0.3}), calls=lambda call: "judge" not in call.tags
    )


def asked_with(fake):
    return [(body.get("seed"), body.get("temperature")) for body in fake.bodies()]


def test_sampling_reaches_the_server(fake, client, chat_model, sampled):
    with recording(sampled):
        client.chat.completions.create(**chat("hi"))
        client.chat.completions.create(**chat("hi"), seed=1, temperature=1.5)
        client.chat.completions.create(**chat("hi"), extra_body={"seed": 2, "top_k": 5})
        list(client.chat.completions.create(**chat("hi"), stream=True))
        client.responses.create(model=MODEL, input="hi", **INCLUDE)
        chat_model(temperature=1.0, seed=3, extra_body={"seed": 4}).invoke("hi")
        list(chat_model().stream("hi"))
    assert asked_with(fake) == [(7, 0.3)] * 7
    assert fake.bodies()[2]["top_k"] == 5
    assert sampled.facts() == {
        "temperatures": [0.3],
        "seeds": [7],
        "cache_hits": 0,
        "sampling": {"seed": 7, "temperature": 0.3},
        "tool_calls": 0,
        "unsampled_calls": 0,
        "reading": {"bytes": 7},
    }


async def test_sampling_reaches_the_server_async(fake, aclient, chat_model, sampled):
    with recording(sampled):
        await aclient.chat.completions.create(**chat("hi"), seed=1, extra_body={"seed": 2})
        await chat_model(temperature=1.0).ainvoke("hi")
        [_ async for _ in chat_model().astream("hi")]
    assert asked_with(fake) == [(7, 0.3)] * 3


def test_sampling_leaves_what_does_not_count_alone(fake, client, chat_model, sampled):
    with recording(sampled):
        chat_model(temperature=1.0).invoke("hi", config={"tags": ["judge"]})
        client.embeddings.create(model=MODEL, input="hi")
        client.chat.completions.list()
    client.chat.completions.create(**chat("hi"))
    assert asked_with(fake) == [(None, 1.0), (None, None), (None, None), (None, None)]
    assert sampled.facts()["unsampled_calls"] == 0


def test_sampling_that_cannot_be_applied_is_reported(fake, client, sampled):
    with recording(sampled):
        ScriptedChatModel([[Reply("x", entropies=[0.5])]]).invoke("x")
        client.chat.completions.create(**chat("hi"))
    assert sampled.facts()["unsampled_calls"] == 1


def test_sampling_of_several_prompts(fake, chat_model, sampled):
    with recording(sampled):
        chat_model(temperature=1.0).generate([[HumanMessage("hi")], [HumanMessage("ho")]])
    assert asked_with(fake) == [(7, 0.3)] * 2
    facts = sampled.facts()
    assert (facts["temperatures"], facts["seeds"], facts["unsampled_calls"]) == ([0.3], [7], 0)


def test_the_users_own_request_is_not_changed(fake, client, sampled):
    extra = {"top_k": 5}
    messages = [{"role": "user", "content": "hi"}]
    with recording(sampled):
        client.chat.completions.create(model=MODEL, messages=messages, extra_body=extra)
    assert extra == {"top_k": 5}
    assert messages == [{"role": "user", "content": "hi"}]


def test_facts_of_unsampled_calls(fake, client, chat_model):
    with record_calls() as recorder:
        client.chat.completions.create(**chat("hi"), temperature=0, seed=5)
        client.chat.completions.create(**chat("hi"), extra_body={"temperature": 0.7})
        chat_model(temperature=0.2).invoke("hi")
        client.chat.completions.create(**chat("hi"))
    facts = recorder.facts()
    assert (facts["temperatures"], facts["seeds"]) == ([0, 0.2, 0.7], [5])
    assert (facts["cache_hits"], facts["unsampled_calls"]) == (0, 0)


def test_odd_parameters_do_not_break_the_facts(fake, client):
    with record_calls() as recorder:
        for odd in ("warm", [0.5], {"a": 1}, None):
            client.chat.completions.create(**chat("hi"), extra_body={"temperature": odd, "seed": odd})
    assert recorder.facts()["temperatures"] == []


# LangChain's cache


@pytest.fixture
def cache():
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


def cached_message(cache):
    ((generation,),) = cache._cache.values()
    return generation.message


def test_a_cache_hit_is_scored(fake, chat_model, cache):
    fake.answers["hi"] = Answer(ENTROPIES)
    model = chat_model()
    with record_calls() as first:
        model.invoke("hi")
    with record_calls() as second:
        model.invoke("hi")
    assert len(fake.asked) == 1
    assert timelines(first) == timelines(second) == [ENTROPIES]
    assert (first.facts()["cache_hits"], second.facts()["cache_hits"]) == (0, 1)
    assert cached_message(cache).response_metadata["logprobs"]["content"] == logprobs_for(ENTROPIES)


async def test_a_cache_hit_is_scored_async(fake, chat_model, cache):
    fake.answers["hi"] = Answer(ENTROPIES)
    model = chat_model()
    for hits in (0, 1):
        with record_calls() as recorder:
            await model.ainvoke("hi")
        assert timelines(recorder) == [ENTROPIES]
        assert recorder.facts()["cache_hits"] == hits


def test_a_cache_hit_among_several_prompts(fake, chat_model, cache):
    fake.answers.update(one=Answer([0.25]), hi=Answer(ENTROPIES), two=Answer([0.5, 0.5]))
    model = chat_model()
    model.invoke("one")
    with record_calls() as recorder:
        model.generate([[HumanMessage(prompt)] for prompt in ("one", "hi", "two")])
    assert timelines(recorder) == [[0.25], ENTROPIES, [0.5, 0.5]]
    assert recorder.facts()["cache_hits"] == 1


def test_rollouts_leave_the_logprobs_in_the_cache(fake, chat_model, cache):
    fake.answers["hi"] = Answer(ENTROPIES)
    model = chat_model()
    node = best_of_n(lambda state: {"messages": [model.invoke("hi")]}, n=3)
    for _ in range(2):
        with pytest.warns(IdenticalRolloutsWarning):
            result = node.run({"messages": []})
        assert [shown(t.entropies) for t in result.trajectories] == [ENTROPIES] * 3
        assert "logprobs" not in result.output["messages"][-1].response_metadata
        assert cached_message(cache).response_metadata["logprobs"]["content"] == logprobs_for(ENTROPIES)


# What a recorder keeps


def kept_bytes(thing):
    """Size of everything a recorder holds on to."""
    skipped = (type, types.ModuleType, types.FunctionType, types.CodeType, Mapping)
    seen, todo, size = set(), [thing], 0
    while todo:
        each = todo.pop()
        if id(each) in seen or (isinstance(each, skipped) and not isinstance(each, dict)):
            continue
        seen.add(id(each))
        size += sys.getsizeof(each)
        todo += gc.get_referents(each)
    return size


@pytest.mark.members(1)
@pytest.mark.parametrize("way", ["invoke", "stream", "cancelled"])
def test_eight_bytes_a_token_are_kept(way):
    (entry,) = logprobs_for([1.0])
    reply = Reply("x", logprobs={"content": [entry] * 20_000}, tokens=20_000)
    model = ScriptedChatModel(lambda messages, index: reply)
    prompt = "a long prompt " * 10_000
    with record_calls() as recorder:
        if way == "invoke":
            model.bind(tools=[{"name": "x" * 50_000}]).invoke(prompt)
        elif way == "stream":
            few = Reply("x", logprobs={"content": [entry] * 1_000})
            for _ in range(20):
                list(ScriptedChatModel(lambda messages, index: few).stream(prompt))
        else:
            stream = model.stream(prompt)
            next(stream)
            stream.close()
            model.invoke(prompt)
    assert len(recorder.trajectory()) in (20_000, 20_001)
    assert kept_bytes(recorder) < 9 * 20_000 + 20_000


def test_responses_are_freed(fake, client, chat_model):
    fake.answers["hi"] = Answer([0.5] * 50)
    prompt = "hi"
    with record_calls() as recorder:
        client.chat.completions.create(**chat(prompt))
        list(client.chat.completions.create(**chat(prompt), stream=True))
        list(client.responses.create(model=MODEL, input=prompt, stream=True, **INCLUDE))
        list(chat_model().stream(prompt))
        chat_model().generate([[HumanMessage(prompt)]] * 2)
        gc.collect()
        assert not [each for each in gc.get_objects() if isinstance(each, ChatCompletion | ChatCompletionChunk)]
        assert len(recorder.trajectory()) == 50 * 6
        assert kept_bytes(recorder) < 9 * 300 + 30_000


def test_prompts_are_not_kept(fake, client):
    with record_calls() as recorder:
        for _ in range(10):
            client.chat.completions.create(**chat("x" * 100_000))
    assert kept_bytes(recorder) < 50_000
