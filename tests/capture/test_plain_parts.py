"""What is kept of a streamed part until its answer is over. That it reads the same, tests/transport has."""

from __future__ import annotations

import copy
import gc
from types import SimpleNamespace

import pytest
from fake_openai import Answer, chat_chunks
from openai.types.chat import ChatCompletionChunk

from ec_agent.capture.plain_parts import light

ASKED = {"logprobs": True, "top_logprobs": 20}


def chunks():
    return [ChatCompletionChunk.construct(**chunk) for chunk in chat_chunks(Answer([0.7, 1.2]), ASKED)]


def reached(thing):
    """All that the collector has to visit, types aside."""
    seen, todo = {}, [thing]
    while todo:
        each = todo.pop()
        if gc.is_tracked(each) and not isinstance(each, type) and id(each) not in seen:
            seen[id(each)] = each
            todo += gc.get_referents(each)
    return len(seen)


def test_the_collector_has_little_to_visit():
    told = [chunk for chunk in chunks() if chunk.choices and chunk.choices[0].logprobs]
    assert told
    for chunk in told:
        candidates = len(chunk.choices[0].logprobs.content[0].top_logprobs)
        assert candidates == 20
        assert reached(light(chunk)) <= reached(chunk) - 2 * candidates


def test_the_reader_s_part_stays_as_it_was():
    for chunk in chunks():
        before = copy.deepcopy(chunk)
        light(chunk)
        assert chunk == before


@pytest.mark.parametrize(
    "make",
    [str, dict, lambda: {"choices": []}, lambda: SimpleNamespace(choices=[]), ChatCompletionChunk.construct],
    ids=["text", "nothing", "dict", "object", "no choices"],
)
def test_unusual_parts_are_kept_unchanged(make):
    other = make()
    assert light(other) is other
