"""A message that a model has just returned is recognised by identity while it is unchanged; else it is read again."""

from __future__ import annotations

import gc

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from ec_agent.capture.known_answers import Answer, Returned, answers_in, marks_of
from ec_agent.capture.shapes import payload_of_message
from ec_agent.capture.shapes.marks import _mark, _usual_marks

ENTRIES = [{"token": word, "logprob": -0.5, "top_logprobs": []} for word in ("a", " b", " c", " d", " e")]
USAGE = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
KINDS = {
    "with logprobs": lambda: AIMessage(
        "a b c d e", id="m", response_metadata={"logprobs": {"content": list(ENTRIES)}, "model_name": "m"}
    ),
    "with usage alone": lambda: AIMessage("a b c d e", id="m", usage_metadata=dict(USAGE)),
    "a summed stream": lambda: AIMessageChunk("a b c d e", id="run--x", usage_metadata=dict(USAGE)),
    "without an id": lambda: AIMessage("a", usage_metadata=dict(USAGE)),
}
kinds = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())


def noted(message):
    returned = Returned()
    returned.note(message, Answer.of(payload_of_message(message), message))
    return returned


@kinds
def test_it_is_what_reading_it_again_would_give(make):
    message = make()
    ((_, _, read),) = answers_in([message])
    assert noted(message).answer(message) == read


@kinds
@pytest.mark.parametrize(
    "change",
    [
        lambda message: setattr(message, "id", "another"),
        lambda message: message.response_metadata.update(logprobs={"content": ENTRIES[:2]}),
        lambda message: message.response_metadata.update(id="theirs"),
        lambda message: setattr(message, "usage_metadata", {**USAGE, "output_tokens": 9}),
    ],
    ids=["its id", "its logprobs", "what the provider calls it", "its usage"],
)
def test_a_message_that_was_changed_is_read_again(make, change):
    message = make()
    returned = noted(message)
    change(message)
    assert returned.answer(message) is None


@pytest.mark.members(2)
@kinds
def test_a_copy_is_read_again_and_nothing_is_kept_alive(make):
    message = make()
    returned = noted(message)
    assert returned.answer(message.model_copy()) is None
    assert len(returned._known) == 1
    del message
    gc.collect()
    assert returned._known == {}


@pytest.mark.parametrize("thing", [{"type": "ai", "content": "a"}, "a", None], ids=["a dict", "a text", "nothing"])
def test_other_things_are_not_noted(thing):
    returned = Returned()
    returned.note(thing, Answer())
    assert returned.answer(thing) is None


def test_logprobs_that_langchain_keeps_elsewhere_are_not_those_of_the_message():
    message = AIMessage("a b", id="m", usage_metadata=dict(USAGE))
    returned = Returned()
    returned.note(message, Answer(length=2))
    assert returned.answer(message) is None


class Entry:
    """An entry of another kind."""

    def __init__(self, token, logprob):
        self.token, self.logprob = token, logprob


class Odd(dict):
    """A dict of another kind."""


@pytest.mark.parametrize(
    ("entries", "usual"),
    [
        (ENTRIES, True),
        ([{"token": "a", "logprob": float("nan")}], True),
        ([{"token": "a", "logprob": None}], True),
        ([{"token": "a"}], False),
        ([{"token": ["a"], "logprob": 0.0}], False),
        ([Entry("a", -1.0), Entry("b", float("nan"))], True),
        ([object()], False),
        ([Odd(token="a", logprob=-1.0)], False),
        ([*ENTRIES, Entry("a", -1.0)], False),
        ([], False),
    ],
    ids=[
        "dicts",
        "not a number",
        "unknown",
        "no logprob",
        "a list",
        "objects",
        "other objects",
        "a kind of dict",
        "mixed",
        "none",
    ],
)
def test_marks_are_those_of_each_entry(entries, usual):
    one_by_one = [_mark(entry) for entry in entries]
    assert (_usual_marks(entries) is not None) == usual
    assert _usual_marks(entries) in (None, one_by_one)
    assert marks_of(entries) == b"".join(mark.to_bytes(8, "little", signed=True) for mark in one_by_one)


SIGNS = {
    "a model's name": {"response_metadata": {"model_name": "m"}},
    "logprobs": {"response_metadata": {"logprobs": {"content": list(ENTRIES)}}},
    "usage": {"usage_metadata": dict(USAGE)},
    "the id of a run": {"id": "run--019a2f3c-0d4e-7c11-8c3e-2f5d6b7a8c9d"},
    "the id of an older run": {"id": "run-019a2f3c-0d4e-7c11-8c3e-2f5d6b7a8c9d-0"},
    "an id of its own": {"id": "mine"},
    "metadata that says nothing": {"response_metadata": {"note": "by hand"}},
    "a tool call": {"tool_calls": [{"name": "look", "args": {}, "id": "1"}]},
    "nothing": {},
}


@pytest.mark.parametrize("sign", SIGNS.values(), ids=SIGNS.keys())
@pytest.mark.parametrize("form", [AIMessage, AIMessageChunk, dict])
def test_a_message_that_code_wrote_is_left_out_as_if_it_was_read(form, sign):
    message = AIMessage("it", **sign).model_dump() if form is dict else form("it", **sign)
    payload = payload_of_message(message)
    answer = Answer.of(payload, message)
    made = bool(answer.told or payload.model)
    assert [(each, read) for each, _, read in answers_in([message])] == ([(message, answer)] if made else [])
