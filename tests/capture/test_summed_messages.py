"""Chat models that are not OpenAI's, heard part by part; messages of which only a sum is left; saved parts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from asking import timelines
from fake_openai import MODEL
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, HumanMessage, messages_to_dict
from langchain_core.outputs import ChatGenerationChunk
from told_streams import COUNT, ENTROPIES

from ec_agent import Limits, best_of_n, record_calls, trajectory_of
from ec_agent.capture.shapes import payload_of_message
from ec_agent.logs import found_in, opened
from ec_agent.testing import logprobs_for

ENTRIES = logprobs_for(ENTROPIES)


def counts(generated=COUNT, asked=9, cached=4, **details):
    usage = {"input_tokens": asked, "output_tokens": generated, "total_tokens": asked + generated}
    return {**usage, "input_token_details": {"cache_read": cached}, **details}


def part(text="", entry=None, usage=None, **info):
    held = {"logprobs": {"content": [entry]}} if entry is not None else {}
    return ChatGenerationChunk(
        message=AIMessageChunk(content=text, usage_metadata=usage), generation_info={**held, **info} or None
    )


def said(logprobs=True, usages=()):
    told = dict(enumerate(usages))
    return [part(f"w{place} ", entry if logprobs else None, told.get(place)) for place, entry in enumerate(ENTRIES)]


def grown(logprobs=True, usages=()):
    """Each part has the logprobs of all before it, too."""
    told = dict(enumerate(usages))
    for place in range(COUNT):
        held = {"logprobs": {"content": ENTRIES[: place + 1]}} if logprobs else {}
        yield part(f"w{place} ", None, told.get(place), **held)


def ending(usage=None):
    return part(usage=usage, finish_reason="stop", model_name=MODEL)


def closing_with_all(usage):
    return part(usage=usage, finish_reason="stop", model_name=MODEL, logprobs={"content": ENTRIES})


def last(logprobs=True, usage=None):
    """The last token, which comes with the reason."""
    return part("w5 ", ENTRIES[-1] if logprobs else None, usage, finish_reason="stop", model_name=MODEL)


def streams(logprobs=True):
    """By name: parts of one answer."""
    body = said(logprobs)
    running = [counts(place + 1) for place in range(COUNT)]
    return {
        "once": [*body, ending(counts())],
        "closing part twice": [*body, ending(counts()), ending(counts())],
        "closing part thrice": [*body, *(ending(counts()) for _ in range(3))],
        "usage in two parts": [*body, ending(counts()), part(usage=counts(cached=0))],
        "running totals": [*said(logprobs, running), ending(counts())],
        "running totals alone": [*said(logprobs, running), ending()],
        "last token twice": [*body[:-1], *(last(logprobs, counts()) for _ in range(2))],
        "increments": [*said(logprobs, [counts(1), *[counts(1, 0, 0)] * (COUNT - 1)]), ending()],
        "prompt first": [part(usage=counts(0)), *body, ending(counts(asked=0, cached=0))],
        "early zeros": [part(usage=counts(0, 0, 0)), *body, ending(counts())],
        "logprobs of all so far": [*grown(logprobs), ending(counts())],
        "logprobs of all so far, running totals": [*grown(logprobs, running), ending()],
        "logprobs of all again": [*body, ending(counts()) if not logprobs else closing_with_all(counts())],
    }


STREAMS = list(streams())


class Own(BaseChatModel):
    """A chat model without an OpenAI client, which streams what it is given."""

    parts: list

    @property
    def _llm_type(self):
        return "own"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return generate_from_stream(self._stream(messages, run_manager=run_manager))

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for each in self.parts:
            given = each.model_copy(deep=True)
            if run_manager:
                run_manager.on_llm_new_token(given.text, chunk=given)
            yield given


WAYS = {
    "stream": lambda model: list(model.stream("hi")),
    "invoke": lambda model: model.invoke("hi"),
    "generate": lambda model: model.generate([[HumanMessage("hi")]]),
    "events": lambda model: list(model.stream_events("hi", version="v3")),
}


def seen(recorder):
    (call,) = recorder.trajectory().calls
    return call.tokens, call.prompt_tokens, call.cached_tokens, call.model


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", STREAMS)
def test_a_chat_model_of_ones_own(name, way):
    with record_calls() as recorder:
        WAYS[way](Own(parts=streams()[name]))
    assert seen(recorder) == (COUNT, 9, 4, MODEL)
    if way != "events":  # LangChain's event protocol keeps the logprobs of the last part alone
        assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize("name", STREAMS)
async def test_a_chat_model_of_ones_own_async(name):
    with record_calls() as recorder:
        [_ async for _ in Own(parts=streams()[name]).astream("hi")]
    assert seen(recorder) == (COUNT, 9, 4, MODEL)
    assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize("name", STREAMS)
def test_the_same_without_logprobs(name):
    with record_calls() as recorder:
        list(Own(parts=streams(logprobs=False)[name]).stream("hi"))
    assert seen(recorder) == (COUNT, 9, 4, MODEL)


@pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")
def test_the_bill_and_the_limits():
    model = Own(parts=streams()["running totals"])
    agent = best_of_n(lambda state: {"said": model.invoke("hi").content}, n=2, limits=Limits(max_tokens=COUNT + 1))
    usage = agent.run({"said": ""}).selection.usage
    assert (usage["prompt_tokens"], usage["cached_tokens"], usage["generated_tokens"]) == (18, 8, 2 * COUNT)


def test_a_model_around_another_that_closes_twice():
    """The outer message is the inner one's sum: one call, not two."""

    class Around(BaseChatModel):
        inner: Own

        @property
        def _llm_type(self):
            return "around"

        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            return generate_from_stream(iter([ChatGenerationChunk(message=m) for m in self.inner.stream(messages)]))

    for logprobs in (True, False):
        for name in ("closing part twice", "last token twice"):
            with record_calls() as recorder:
                Around(inner=Own(parts=streams(logprobs)[name])).invoke("hi")
            assert [call.tokens for call in recorder.trajectory().calls] == [COUNT], (logprobs, name)


def test_increments_stay_a_sum():
    """Without a prompt, logprobs or parts that repeat, nothing tells: LangChain's own rule holds."""
    parts = [part("a", usage=counts(3, 0, 0)), part("b", usage=counts(5, 0, 0)), ending(counts(2, 9, 0))]
    with record_calls() as recorder:
        list(Own(parts=parts).stream("hi"))
    assert recorder.trajectory().calls[0].tokens == 10


def named(entry, text):
    return {**entry, "token": text, "bytes": list(text.encode())}


MISSING = {"front": {0, 1}, "middle": {2, 3}, "both sides": {0, 4, 5}, "every second": {0, 2, 4}}
USAGES = {
    "no usage": ([], None),
    "usage": ([], counts()),
    "running totals": ([counts(place + 1) for place in range(COUNT)], None),
}


@pytest.mark.parametrize("told", USAGES)
@pytest.mark.parametrize("lacks", MISSING)
@pytest.mark.parametrize("same", [False, True], ids=["words", "one word"])
def test_parts_without_logprobs_are_gaps_where_they_came(same, lacks, told):
    usages, closing = USAGES[told]
    parts = []
    for place, each in enumerate(said(usages=usages)):
        text = "ha" if same else each.text
        entry = None if place in MISSING[lacks] else named(ENTRIES[place], text)
        parts.append(part(text, entry, each.message.usage_metadata))
    parts.append(ending(closing))
    expected = [np.nan if place in MISSING[lacks] else value for place, value in enumerate(ENTROPIES)]
    with record_calls() as recorder:
        Own(parts=parts).invoke("hi")
    saved = [
        each.message.model_copy(update={"response_metadata": each.generation_info or {}, "id": "1"}) for each in parts
    ]
    for (call,) in (recorder.trajectory().calls, trajectory_of(saved).calls):
        assert np.allclose(call.entropies, expected, equal_nan=True)
        assert call.unplaced == 0


def test_tool_call_parts_without_logprobs_are_gaps_in_place():
    texts = ["", '{"', "q", '": ', "1", "}"]
    parts = []
    for place, text in enumerate(texts):
        called = {"name": None if place else "look", "args": text, "id": None if place else "1", "index": 0}
        held = {"logprobs": {"content": [named(ENTRIES[place], text)]}} if place not in (1, 2) else {}
        parts.append(ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=[called]), generation_info=held))
    with record_calls() as recorder:
        Own(parts=[*parts, ending()]).invoke("hi")
    (call,) = recorder.trajectory().calls
    assert np.isnan(call.entropies).tolist() == [False, True, True, False, False, False]


# Messages alone


def summed(parts):
    whole = parts[0]
    for each in parts[1:]:
        whole += each
    info = {**(whole.generation_info or {})}
    return whole.message.model_copy(update={"response_metadata": info})


@pytest.mark.parametrize("form", ["object", "dict"])
@pytest.mark.parametrize("name", ["once", "closing part twice", "closing part thrice", "last token twice"])
def test_a_message_that_says_that_it_closed_twice(name, form):
    message = summed(streams()[name])
    payload = payload_of_message(message if form == "object" else message.model_dump())
    assert (payload.tokens, payload.prompt_tokens, payload.cached_tokens) == (COUNT, 9, 4)
    assert (payload.model, len(payload.entries)) == (MODEL, COUNT)


def test_an_unexplained_sum_is_unchanged():
    message = summed(streams()["usage in two parts"])
    (call,) = trajectory_of([message]).calls
    assert (call.tokens, call.prompt_tokens) == (2 * COUNT, 18)
    assert trajectory_of([message]).coverage == 0.5


# Saved parts


@pytest.mark.parametrize("name", STREAMS)
def test_saved_parts_that_tell_it_twice_count_once(name, tmp_path):
    saved = []

    class Saving(BaseCallbackHandler):
        def on_llm_new_token(self, token, *, chunk=None, **kwargs):
            saved.append(messages_to_dict([chunk.message])[0])

    list(Own(parts=streams()[name]).stream("hi", config={"callbacks": [Saving()]}))
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in saved))
    with opened(tmp_path / "log.jsonl") as source:
        (found,) = found_in(source, pytest.fail, "responses")
    (call,) = found.trajectory.calls
    assert (call.tokens, call.prompt_tokens, call.cached_tokens, call.model) == (COUNT, 9, 4, MODEL)
    assert not np.isnan(call.entropies).any()
