"""Many answers that wait for the ends of their calls take little memory, and say the same."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import weakref

import pytest
from asking import timelines
from fake_openai import Answer

from ec_agent import record_calls
from ec_agent.capture import beneath
from ec_agent.capture.decoded import Read, Room
from ec_agent.numbers.signals import SIGNALS

ENTROPIES = [1.5, 0.25, 0.75] * 10
LOGPROBS = {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": []}]}


def test_room_is_taken_as_long_as_the_place_lives():
    room = Room(10)
    first, second = room.place(6), room.place(4)
    assert None not in (first, second)
    assert room.place(1) is None
    del first
    assert room.place(7) is None
    assert room.place(6) is not None
    del second
    gc.collect()
    assert room.place(10) is not None


def test_room_in_several_threads():
    room, failed = Room(100), []

    def take():
        failed.extend(1 for _ in range(300) if room.place(25) is None)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert room.place(100) is not None


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


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_answers_that_wait_as_bytes_say_the_same(look, way, fake, chat_model, monkeypatch, decodes):
    fake.answers["hi"] = Answer(ENTROPIES)
    model, seen, records = chat_model(), [], []
    for room in (Room(10**9), Room(0)):
        monkeypatch.setattr(beneath, "_ROOM", room)
        decodes.clear()
        with record_calls(signals=tuple(SIGNALS)) as recorder:
            message = model.invoke("hi") if way == "sync" else asyncio.run(model.ainvoke("hi"))
        # With room each body is decoded once.
        assert len(decodes) == 1 + (seen != [])
        seen.append(LOOKS[look](message))
        records.append([[call.signal(name).tobytes() for name in SIGNALS] for call in recorder.every_call()])
        assert timelines(recorder) == [ENTROPIES]
    assert seen[0] == seen[1]
    assert len(seen[0]) == len(ENTROPIES)
    assert records[0] == records[1]


def test_nothing_decoded_stays_with_a_message(fake, chat_model, monkeypatch):
    """A message may live long. It has the bytes of its answer, no objects of them."""
    fake.answers["hi"] = Answer(ENTROPIES)
    room = Room(10**9)
    monkeypatch.setattr(beneath, "_ROOM", room)
    with record_calls():
        message = chat_model().invoke("hi")
    later = message.response_metadata["logprobs"].source
    assert room.place(10**9) is not None
    assert [name for name in later.__slots__ if isinstance(getattr(later, name), list | dict)] == []
    assert later._read() is None


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
