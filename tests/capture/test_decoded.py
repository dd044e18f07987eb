"""Whole answers are decoded and read when they come; what waits for the end of a call takes little memory."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import timelines
from fake_openai import Answer

from ec_agent import record_calls
from ec_agent.capture import beneath
from ec_agent.capture.decoded import Read
from ec_agent.capture.open_calls import Request
from ec_agent.capture.recorder import Recorder
from ec_agent.errors import CaptureWarning
from ec_agent.numbers.signals import SIGNALS

ENTROPIES = [1.5, 0.25, 0.75] * 10
SAMPLED = {"content": [{"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []} for token in "ab"]}
LOGPROBS = {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": []}]}


def test_logprobs_that_were_forgotten_are_decoded_once_more():
    asked = []
    read = Read(LOGPROBS, lambda: asked.append(1) or copy.deepcopy(LOGPROBS))
    assert (read.logprobs, asked) == (LOGPROBS, [])
    read.forget()
    assert (read.logprobs, read.logprobs, asked) == (LOGPROBS, LOGPROBS, [1])


@pytest.fixture
def decodes(monkeypatch):
    """How often a body was decoded."""
    made = []
    of_whole = beneath.DECODER.of_whole
    monkeypatch.setattr(beneath.DECODER, "of_whole", lambda body: made.append(1) or of_whole(body))
    return made


LOOKS = {
    "item": lambda message: message.response_metadata["logprobs"]["content"],
    "copy": lambda message: copy.deepcopy(message).response_metadata["logprobs"]["content"],
    "pickle": lambda message: pickle.loads(pickle.dumps(message)).response_metadata["logprobs"]["content"],
    "dump": lambda message: message.model_dump()["response_metadata"]["logprobs"]["content"],
}


ANSWERS = {
    "usual": Answer(ENTROPIES),
    "tokens without logprobs": Answer(ENTROPIES, usage=len(ENTROPIES) + 7),
    "no usage": Answer(ENTROPIES, usage=None),
    "a gap in the text": Answer([0.5] * 3, text="w0 w1 and more w2 ", usage=6),
    "some tokens alone": Answer([0.5, None, 1.5, None]),
    "sampled logprobs": Answer(logprobs=SAMPLED, text="ab", usage=2),
    "no logprobs": Answer(logprobs=False),
}
KEPT = [{}, {"keep_text": True}, {"keep_candidates": 2}]


def recorded(recorder):
    calls = recorder.every_call()
    signals = [[call.signal(name).tobytes() for name in SIGNALS] for call in calls]
    return signals, [(c.tokens, c.texts, c.candidates, c.capability, c.unplaced, c.model, c.beside) for c in calls]


def asked(model, way, **kept):
    with record_calls(signals=tuple(SIGNALS), **kept) as recorder:
        message = model.invoke("hi") if way == "sync" else asyncio.run(model.ainvoke("hi"))
    return message, recorder


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: "".join(kept) or "numbers")
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_read_when_it_comes_and_decoded_once(answer, kept, way, fake, chat_model, monkeypatch, decodes):
    fake.answers["hi"] = ANSWERS[answer]
    _, recorder = asked(chat_model(), way, **kept)
    assert len(decodes) == 1
    monkeypatch.setattr(Request, "read_whole", lambda *_: None)
    assert recorded(recorder) == recorded(asked(chat_model(), way, **kept)[1])


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: "".join(kept) or "numbers")
@pytest.mark.parametrize("more", [[ENTROPIES[:9]], [ENTROPIES[:9], [0.5], ENTROPIES[:4]]], ids=len)
def test_several_answers_are_decoded_once(more, kept, fake, chat_model, monkeypatch, decodes):
    fake.answers["hi"] = Answer(ENTROPIES, more=more)
    _, recorder = asked(chat_model(n=1 + len(more)), "sync", **kept)
    assert timelines(recorder) == [ENTROPIES]
    assert recorder.every_call()[0].beside == sum(map(len, more))
    assert len(decodes) == 1
    monkeypatch.setattr(Request, "read_whole", lambda *_: None)
    assert recorded(recorder) == recorded(asked(chat_model(n=1 + len(more)), "sync", **kept)[1])


def test_an_answer_of_the_responses_api_is_decoded_once(fake, chat_model, decodes):
    fake.answers["hi"] = Answer(ENTROPIES)
    _, recorder = asked(chat_model(use_responses_api=True, include=["message.output_text.logprobs"]), "sync")
    assert timelines(recorder) == [ENTROPIES]
    assert len(decodes) == 1


@pytest.mark.parametrize("way", ["sync", "async"])
def test_an_inner_recorder_with_other_wishes(way, fake, chat_model, decodes):
    fake.answers["hi"] = Answer(ENTROPIES)
    with record_calls(signals=tuple(SIGNALS)) as outer, record_calls(keep_text=True) as inner:
        model = chat_model()
        model.invoke("hi") if way == "sync" else asyncio.run(model.ainvoke("hi"))
    assert timelines(outer) == timelines(inner) == [ENTROPIES]
    assert len(inner.every_call()[0].texts) == len(ENTROPIES)
    assert len(decodes) == 1


def test_an_error_of_our_reading_is_told_at_the_end(fake, chat_model, monkeypatch):
    fake.answers["hi"] = Answer(ENTROPIES)
    monkeypatch.setattr("ec_agent.capture.shapes.readings.tokens_of", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), pytest.warns(CaptureWarning, match="could not be read"):
        asked(chat_model(), "sync")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_whoever_looks_at_the_message_later_finds_what_came(look, way, fake, chat_model):
    fake.answers["hi"] = Answer(ENTROPIES)
    message, _ = asked(chat_model(), way)
    plain = chat_model().invoke("hi") if way == "sync" else asyncio.run(chat_model().ainvoke("hi"))
    assert LOOKS[look](message) == LOOKS[look](plain)


def test_nothing_decoded_stays_with_a_message(fake, chat_model):
    """A message may live long. It has the bytes of its answer, no objects of them."""
    fake.answers["hi"] = Answer(ENTROPIES)
    message, _ = asked(chat_model(), "sync")
    later = message.response_metadata["logprobs"].source
    assert [name for name in later.__slots__ if isinstance(getattr(later, name), list | dict)] == []
    assert later._read() is None


def test_nothing_decoded_waits_for_the_end_of_a_call(fake, chat_model, monkeypatch):
    fake.answers["hi"] = Answer(ENTROPIES)
    waiting = []
    end = Recorder.end
    monkeypatch.setattr(
        Recorder, "end", lambda self, call, *rest: waiting.append(call.answered()[0]) or end(self, call, *rest)
    )
    monkeypatch.setattr(Request, "drop", lambda _: None)
    asked(chat_model(), "sync")
    (request,) = waiting
    assert [read._logprobs for _, read in request.taken.whole] == [None]
    assert request.whole.entries._made is None


def test_threads_that_look_at_once_find_the_same(fake, chat_model):
    fake.answers["hi"] = Answer(ENTROPIES * 10)
    for look in LOOKS.values():
        message, _ = asked(chat_model(), "sync")
        barrier = threading.Barrier(4)

        def looking(message=message, barrier=barrier, look=look):
            barrier.wait()
            return look(message)

        with ThreadPoolExecutor(4) as pool:
            seen = [future.result() for future in [pool.submit(looking) for _ in range(4)]]
        assert seen[0] == seen[1] == seen[2] == seen[3]
        assert len(seen[0]) == len(ENTROPIES) * 10


def test_a_list_of_it_that_is_looked_at_makes_all_of_the_dict(fake, chat_model):
    """Serialisers in C meet the lists, not the dict; what they do not take they give to ``default``."""
    fake.answers["hi"] = Answer(ENTROPIES)
    message, _ = asked(chat_model(), "sync")
    logprobs = message.response_metadata["logprobs"]
    content = next(iter(dict.values(logprobs)))
    assert len(list(content)) == len(ENTROPIES)
    assert list(map(type, dict.values(logprobs))) == [list, type(None)]
    assert logprobs.source is None


@pytest.mark.parametrize("looked", [False, True])
def test_the_bytes_of_an_answer_go_with_its_message(looked, fake, chat_model):
    """They do not wait for the garbage collector: many long answers would be in memory until it comes."""
    fake.answers["hi"] = Answer(ENTROPIES)
    with record_calls():
        message = chat_model().invoke("hi")
    if looked:
        assert len(message.response_metadata["logprobs"]["content"]) == len(ENTROPIES)
    gone = weakref.ref(message.response_metadata["logprobs"])
    gc.disable()
    try:
        del message
        assert gone() is None
    finally:
        gc.enable()
