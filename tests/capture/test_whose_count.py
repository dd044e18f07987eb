"""A stream that tells its usage, or its end, more than once: the answer counts once, with its own name and tokens."""

from __future__ import annotations

import pytest
from asking import timelines
from fake_openai import MODEL
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from told_streams import ASYNC_WAYS, COUNT, ENTROPIES, WAYS, answer, async_ways, chunk, last, tokens, usage, ways

from ec_agent import Limits, best_of_n, record_calls
from ec_agent.testing import logprobs_for

CACHED = {"prompt_tokens_details": {"cached_tokens": 4}}
THOUGHT = {"completion_tokens_details": {"reasoning_tokens": 2}}
END = chunk(finish="stop")


def running(logprobs=True):
    """vLLM's continuous_usage_stats."""
    return [
        chunk({"role": "assistant"}, usage=usage(0)),
        *({**part, "usage": usage(place + 1)} for place, part in enumerate(tokens(logprobs=logprobs))),
    ]


def with_end(parts):
    """vLLM's and others' last token, which comes with the reason."""
    *before, token = parts
    return [*before, {**token, "choices": [{**token["choices"][0], "finish_reason": "stop"}]}]


def streams(logprobs=True):
    """By name: chunks of the same answer, of which all but the first tell something twice."""
    body = tokens(logprobs=logprobs)
    final = with_end(body)
    return {
        "once": [*body, END, last(usage=usage(**CACHED))],
        "closing chunk twice": [*body, *[chunk(finish="stop", usage=usage(**CACHED))] * 2],
        "closing chunk thrice": [*body, *[chunk(finish="stop", usage=usage(**CACHED))] * 3],
        "finish, then usage alone": [*body, chunk(finish="stop", usage=usage()), last(usage=usage(**CACHED))],
        "details first": [*body, chunk(finish="stop", usage=usage(**CACHED, **THOUGHT)), last(usage=usage())],
        "details apart": [*body, chunk(finish="stop", usage=usage(**THOUGHT)), last(usage=usage(**CACHED))],
        "running totals": [*running(logprobs), END, last(usage=usage(**CACHED))],
        "running totals alone": [*running(logprobs), chunk(finish="stop", usage=usage(**CACHED))],
        "early zeros": [chunk(usage=usage(0, 0)), *body, END, last(usage=usage(**CACHED))],
        "zeros all along": [*tokens(logprobs=logprobs, usage=usage(0, 0)), chunk(finish="stop", usage=usage(**CACHED))],
        "zeros at the end": [*body, chunk(finish="stop", usage=usage(**CACHED)), last(usage=usage(0, 0))],
        "prompt first": [chunk(usage=usage(0, **CACHED)), *body, chunk(finish="stop", usage=usage(COUNT, 0))],
        "last token twice": [*final, final[-1], last(usage=usage(**CACHED))],
        "last token twice, usage in both": [
            *final[:-1],
            {**final[-1], "usage": usage()},
            {**final[-1], "usage": usage(**CACHED)},
        ],
        "increments": [
            {**part, "usage": usage(1, 9 if not place else 0, **(CACHED if not place else {}))}
            for place, part in enumerate(final)
        ],
    }


STREAMS = list(streams())
SOME = ["closing chunk twice", "running totals", "last token twice, usage in both"]
MAIN_WAYS, MAIN_ASYNC = ["chat model, invoke", "client", "client, transport"], ["chat model, stream", "client"]
PAIRS = [(n, w) for n in STREAMS for w in WAYS if n in SOME or w in MAIN_WAYS]
ASYNC_PAIRS = [(n, w) for n in STREAMS for w in ASYNC_WAYS if n in SOME or w in MAIN_ASYNC]


def seen(recorder):
    (call,) = recorder.trajectory().calls
    return call.tokens, call.prompt_tokens, call.cached_tokens, call.model


@pytest.mark.parametrize(("name", "way"), PAIRS)
def test_an_answer_counts_once(name, way, fake, chat_model):
    fake.answers["hi"] = answer(streams()[name])
    with record_calls() as recorder:
        ways(fake, chat_model)[way]()
    assert seen(recorder) == (COUNT, 9, 4, MODEL)
    assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize(("name", "way"), ASYNC_PAIRS)
async def test_an_answer_counts_once_async(name, way, fake, chat_model):
    fake.answers["hi"] = answer(streams()[name])
    with record_calls() as recorder:
        await async_ways(fake, chat_model)[way]()
    assert seen(recorder) == (COUNT, 9, 4, MODEL)
    assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize("way", ["chat model, stream", "client"])
@pytest.mark.parametrize("name", STREAMS)
def test_the_same_without_logprobs(name, way, fake, chat_model):
    fake.answers["hi"] = answer(streams(logprobs=False)[name])
    with record_calls() as recorder:
        ways(fake, chat_model)[way]()
    assert seen(recorder) == (COUNT, 9, 4, MODEL)


def test_several_prompts_of_one_call(fake, chat_model):
    twice = [*tokens([0.5, 0.25]), *[chunk(finish="stop", usage=usage(2))] * 2]
    fake.answers.update(hi=answer(streams()["running totals"]), ho=answer(twice))
    with record_calls() as recorder:
        chat_model(streaming=True).generate([[HumanMessage("hi")], [HumanMessage("ho")]])
    assert timelines(recorder) == [ENTROPIES, [0.5, 0.25]]
    assert [(call.tokens, call.prompt_tokens) for call in recorder.trajectory().calls] == [(COUNT, 9), (2, 9)]


@pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")
@pytest.mark.parametrize("repeats", [2, 3])
def test_the_bill_and_the_limits(repeats, fake, chat_model):
    fake.answers["hi"] = answer([*tokens(), *[chunk(finish="stop", usage=usage())] * repeats])
    model = chat_model(streaming=True, stream_usage=True)
    agent = best_of_n(create_agent(model, []), n=2, limits=Limits(max_tokens=COUNT + 1))
    selection = agent.run({"messages": [("user", "hi")]}).selection
    assert selection.usage["prompt_tokens"] == 18
    assert selection.usage["generated_tokens"] == 2 * COUNT
    assert [each.coverage for each in selection.candidates] == [1.0, 1.0]


def test_a_token_that_follows_itself_is_no_repeat(fake, client):
    same = tokens([0.5])
    fake.answers["hi"] = answer([*same * 4, END, last(usage=usage(4))])
    with record_calls() as recorder:
        list(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True))
    assert timelines(recorder) == [[0.5] * 4]


def test_the_count_reveals_a_repeated_part(fake, client):
    parts = tokens()
    fake.answers["hi"] = answer([*parts[:3], parts[2], *parts[3:], END, last(usage=usage())])
    with record_calls() as recorder:
        list(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True))
    assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize("way", ["client", "client, transport"])
@pytest.mark.parametrize("place", [1, 3], ids=["the first", "the second"])
def test_which_of_two_repeats_came_twice_is_not_known(place, way, fake, chat_model):
    """Two tokens follow themselves, and one of the four came twice: the count says so, and nothing says which."""
    same, other = tokens([0.5])[0], tokens([1.5])[0]
    parts = [same, same, other, other, *tokens([0.25, 0.75])]
    fake.answers["hi"] = answer([*parts[:place], parts[place], *parts[place:], END, last(usage=usage(6))])
    with record_calls() as recorder:
        ways(fake, chat_model)[way]()
    trajectory = recorder.trajectory()
    assert (len(trajectory), trajectory.scored_tokens) == (7, 5)


def test_a_token_among_many_alike_came_twice(fake, chat_model):
    """Which one does not matter."""
    same = tokens([0.5])
    fake.answers["hi"] = answer([*tokens([1.5]), *same * 4, *tokens([0.25]), END, last(usage=usage(5))])
    with record_calls() as recorder:
        ways(fake, chat_model)["client"]()
    assert timelines(recorder) == [[1.5, 0.5, 0.5, 0.5, 0.25]]


UNLISTED = {
    "the first half": lambda place: place < COUNT // 2,
    "the last part": lambda place: place > 1,
    "every other": lambda place: place % 2,
}


@pytest.mark.parametrize("way", ["client", "client, transport", "chat model, stream"])
@pytest.mark.parametrize("name", UNLISTED)
def test_a_running_total_is_not_over_where_it_fits(name, way, fake, chat_model):
    """As many tokens as came with logprobs had been counted on the way; the answer is longer."""
    parts = running()
    for place in range(COUNT):
        if UNLISTED[name](place):
            parts[place + 1]["choices"][0]["logprobs"] = None
    fake.answers["hi"] = answer([*parts, END])
    with record_calls() as recorder:
        ways(fake, chat_model)[way]()
    assert seen(recorder)[0] == COUNT
    assert recorder.trajectory().scored_tokens == sum(not UNLISTED[name](place) for place in range(COUNT))


class Own(BaseChatModel):
    """Asks by a client that is heard, and answers with a message of its own."""

    client: object
    said: object

    @property
    def _llm_type(self):
        return "own"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        list(
            self.client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True)
        )
        return ChatResult(generations=[ChatGeneration(message=self.said)])


def counted(generated, prompt=5):
    return {"input_tokens": prompt, "output_tokens": generated, "total_tokens": prompt + generated}


def test_a_message_with_unrecorded_text_keeps_its_count(fake, client):
    fake.answers["hi"] = answer([*tokens([0.5] * 2, logprobs=False), END, last(usage=usage(2))])
    with record_calls() as recorder:
        Own(client=client, said=AIMessage("from elsewhere", usage_metadata=counted(70))).invoke("hi")
        Own(client=client, said=AIMessage("w0 w1", usage_metadata=counted(70))).invoke("hi")
    assert [call.tokens for call in recorder.trajectory().calls] == [70, 2]


def test_logprobs_that_were_not_heard_keep_their_message(fake, client):
    fake.answers["hi"] = answer([*tokens([0.5]), END, last(usage=usage(1))])
    elsewhere = {"logprobs": {"content": logprobs_for(ENTROPIES)}}
    with record_calls() as recorder:
        Own(client=client, said=AIMessage("x", usage_metadata=counted(6), response_metadata=elsewhere)).invoke("hi")
    assert timelines(recorder) == [ENTROPIES]


def test_facts_missing_in_the_request_come_from_langchain(fake, client):
    fake.answers["hi"] = answer([*tokens(), END])
    with record_calls() as recorder:
        Own(client=client, said=AIMessage("w0 w1", usage_metadata=counted(COUNT, 11))).invoke("hi")
    (call,) = recorder.trajectory().calls
    assert (call.tokens, call.prompt_tokens, call.model) == (COUNT, 11, MODEL)


class Around(BaseChatModel):
    """Passes on what another chat model streams."""

    inner: BaseChatModel

    @property
    def _llm_type(self):
        return "around"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        parts = [ChatGenerationChunk(message=part) for part in self.inner.stream(messages)]
        return generate_from_stream(iter(parts))


@pytest.mark.parametrize("name", STREAMS)
def test_a_wrapper_of_a_repeating_model_is_one_call(name, fake, chat_model):
    fake.answers["hi"] = answer(streams()[name])
    with record_calls() as recorder:
        Around(inner=chat_model(stream_usage=True)).invoke("hi")
    assert seen(recorder) == (COUNT, 9, 4, MODEL)
    assert timelines(recorder) == [ENTROPIES]
