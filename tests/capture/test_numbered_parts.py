"""Parts that say which place they have: what came twice counts once, what never came is a gap in its place."""

from __future__ import annotations

import numpy as np
import pytest

from ec_agent.capture.shapes import call_of, payload_of_stream
from ec_agent.capture.shapes.numbered_parts import in_place
from ec_agent.testing import logprobs_for

ENTROPIES = [2.0, 0.1, 0.2, 1.5, 0.3, 0.4]
NAN = float("nan")


def events(count=True):
    """The Responses API's, whose last has no logprobs here."""
    at = {"output_index": 0, "item_id": "m", "content_index": 0}
    made = [{"type": "response.created"}, {"type": "response.content_part.added", **at}]
    for place, entry in enumerate(logprobs_for(ENTROPIES)):
        made.append({"type": "response.output_text.delta", **at, "delta": f"w{place} ", "logprobs": [entry]})
    made += [{"type": f"response.{name}.done", **at} for name in ("output_text", "content_part", "output_item")]
    usage = {"input_tokens": 1, "output_tokens": len(ENTROPIES)} if count else None
    made.append({"type": "response.completed", "response": {"id": "r", "output": [], "usage": usage}})
    return [{**event, "sequence_number": number} for number, event in enumerate(made)]


def completions(count=True, prompt=0):
    """Legacy completions, whose offsets may begin after a prompt."""
    made, offset = [], prompt
    for place, entry in enumerate(logprobs_for(ENTROPIES)):
        text = f"w{place} "
        top = {each["token"]: each["logprob"] for each in entry["top_logprobs"]}
        lists = {"tokens": [text], "token_logprobs": [entry["logprob"]], "top_logprobs": [top], "text_offset": [offset]}
        choice = {"index": 0, "text": text, "logprobs": lists, "finish_reason": None}
        made.append({"id": "c", "object": "text_completion", "choices": [choice]})
        offset += len(text)
    usage = {"prompt_tokens": 1, "completion_tokens": len(ENTROPIES)} if count else None
    made.append({"id": "c", "choices": [{"index": 0, "text": "", "finish_reason": "stop"}], "usage": usage})
    return made


KINDS = {
    "events": (events, 2),
    "completions": (completions, 0),
    "completions, after a prompt": (lambda count=True: completions(count, prompt=9), 0),
}


def read(parts):
    return call_of(payload_of_stream(parts), ("entropy",))


@pytest.mark.parametrize("count", [True, False], ids=["with usage", "without"])
@pytest.mark.parametrize("kind", KINDS)
class TestPlaces:
    def test_as_sent(self, kind, count):
        parts = KINDS[kind][0](count)
        assert list(in_place(parts)) == parts
        np.testing.assert_allclose(read(parts).entropies, ENTROPIES)

    def test_twice(self, kind, count):
        make, first = KINDS[kind]
        parts = make(count)
        parts[first + 3 : first + 3] = [parts[first + 2]]
        np.testing.assert_allclose(read(parts).entropies, ENTROPIES)

    @pytest.mark.parametrize("place", [1, 3, 4])
    def test_never(self, kind, count, place):
        make, first = KINDS[kind]
        parts = make(count)
        del parts[first + place]
        np.testing.assert_allclose(read(parts).entropies, [*ENTROPIES[:place], NAN, *ENTROPIES[place + 1 :]])


def test_events_out_of_order():
    parts = events()
    parts[3], parts[5] = parts[5], parts[3]
    np.testing.assert_allclose(read(parts).entropies, ENTROPIES)


def test_the_first_and_the_last_event_with_text():
    for place in (2, 7):
        parts = events()
        del parts[place]
        call = read(parts)
        assert np.isnan(call.entropies).sum() == 1
        assert len(call.entropies) == len(ENTROPIES)
    parts = events()
    del parts[8]  # after the last text: no token is in it
    np.testing.assert_allclose(read(parts).entropies, ENTROPIES)


@pytest.mark.parametrize("numbers", [None, [0] * 12, [*range(0, 120, 10)], [True] * 12, ["a"] * 12])
def test_numbers_that_mean_something_else(numbers):
    parts = events()
    for place, part in enumerate(parts):
        part.pop("sequence_number")
        if numbers:
            part["sequence_number"] = numbers[place]
    np.testing.assert_allclose(read(parts).entropies, ENTROPIES)


@pytest.mark.parametrize("offsets", [None, [-1] * 6, [0] * 6, [*range(6)], ["x"] * 6, [0, 3, 2, 9, 1, 5]])
def test_offsets_that_mean_something_else(offsets):
    """SGLang sends -1; others count tokens, or begin anew in each part."""
    parts = completions()
    for place, part in enumerate(parts[:-1]):
        part["choices"][0]["logprobs"]["text_offset"] = offsets and [offsets[place]]
    np.testing.assert_allclose(read(parts).entropies, ENTROPIES)
