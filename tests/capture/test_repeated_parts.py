"""Parts that came again and sums that LangChain made of them: what is counted once, and what is left as it is."""

from __future__ import annotations

import pytest

from ec_agent.capture.shapes import MessageParts, Payload, may_be_summed, payload_of_message, said_once
from ec_agent.capture.shapes.repeated_parts import alike, once
from ec_agent.testing import logprobs_for

A, B, C, D, E, F = logprobs_for([0.5, 1.5, 0.25, 0.75, 1.25, 0.1])


@pytest.mark.parametrize(
    ("parts", "tokens", "expected"),
    [
        pytest.param([[A], [A], [B], [B]], 2, [[A], [], [B], []], id="each of two parts"),
        pytest.param([[A, B], [A, B]], 3, [[A, B], []], id="with an end token that has no entry"),
        pytest.param([[A], [A], [A], [A]], 3, [[A], [A], [A], []], id="one of several alike"),
        pytest.param([[A], [A], [A], [B], [B]], 4, [[A], [A], [None], [B], [None]], id="nobody knows which of two"),
        pytest.param([[A], [A]], 2, [[A], [A]], id="as many as were counted"),
    ],
)
def test_parts_that_came_twice(parts, tokens, expected):
    assert once(parts, tokens) == expected


def test_tokens_are_alike_by_their_candidates_too():
    other = {**A, "top_logprobs": B["top_logprobs"]}
    assert alike([A, B], [dict(A), dict(B)])
    assert not alike([A], [other])
    assert not alike([A], [A, B])


# A message that is a sum


def message(entries, tokens, prompt=18, reason="stopstop", **more):
    metadata = {"logprobs": {"content": entries}, "finish_reason": reason}
    usage = {"input_tokens": prompt, "output_tokens": tokens, **more.pop("usage", {})}
    return {"type": "ai", "content": "x", "response_metadata": metadata, "usage_metadata": usage, **more}


@pytest.mark.parametrize(
    ("entries", "tokens", "expected"),
    [
        pytest.param([A, B, C], 9, (3, 3), id="usage in one more part than the reason"),
        pytest.param([A, A], 2, (2, 2), id="two alike, and a usage told once"),
        pytest.param([A, B, B], 4, (2, 2), id="the last of them came twice"),
    ],
)
def test_a_summed_usage_is_divided_to_fit_the_tokens(entries, tokens, expected):
    payload = payload_of_message(message(entries, tokens))
    assert (len(payload.entries), payload.tokens) == expected


def test_a_prompt_that_cannot_be_divided_is_not_known():
    payload = payload_of_message(message([A, B, C], 6, prompt=9))
    assert (payload.tokens, payload.prompt_tokens) == (3, None)


@pytest.mark.parametrize(
    ("entries", "tokens", "more", "expected"),
    [
        pytest.param([A, B, C, D], 8, {}, 2, id="twice"),
        pytest.param([A, B, C, D, E], 12, {}, 2, id="twice, with an end token"),
        pytest.param([A, B, C], 6, {}, 0, id="too few to tell"),
        pytest.param([A, B, C, D], 8, {"prompt": 9}, 0, id="a prompt that is no sum"),
        pytest.param([A, B, C, D], 8, {"prompt": 0}, 0, id="no prompt"),
        pytest.param([A, B, C, D], 8, {"usage": {"output_token_details": {"reasoning": 4}}}, 0, id="thinking"),
        pytest.param([A, B, C, D], 8, {"tool_calls": [{"name": "f", "args": {}, "id": "1"}]}, 0, id="a tool call"),
        pytest.param([A, B, C, D], 4, {}, 0, id="once"),
    ],
)
def test_a_usage_that_may_be_a_sum(entries, tokens, more, expected):
    made = message(entries, tokens, reason="stop", **more)
    assert may_be_summed(payload_of_message(made), made) == expected


@pytest.mark.parametrize(
    ("joined", "expected"),
    [("stop", "stop"), ("stopstop", "stop"), ("lengthlengthlength", "length"), ("papa", "papa"), ("", "")],
)
def test_a_reason_that_was_joined_with_itself(joined, expected):
    assert said_once(joined) == expected


# The parts of a message


def heard(*parts):
    found = MessageParts()
    for entries, usage, more in parts:
        metadata = {"logprobs": {"content": entries}, "model_name": "m", **more.pop("metadata", {})}
        found.add({"content": "x" if entries else "", "response_metadata": metadata, "usage_metadata": usage, **more})
    return found


def closing(entries, usage=None):
    return entries, usage, {"metadata": {"finish_reason": "stop"}}


def test_a_second_closing_part_may_have_a_new_token():
    whole = Payload(entries=[A, B])
    assert heard(closing([A]), closing([B])).counted_once(whole).entries == [A, B]
    assert heard(closing([A]), closing([A])).counted_once(Payload(entries=[A, A])).entries == [A]


def test_a_message_not_summed_from_parts_is_unchanged():
    parts = heard(([A], None, {}), closing([B], {"input_tokens": 9, "output_tokens": 2}), closing([B]))
    parts.add({"content": "", "response_metadata": {}, "usage_metadata": {"input_tokens": 9, "output_tokens": 2}})
    other = Payload(entries=[A, B, C, D], tokens=2, prompt_tokens=5, model="another")
    assert parts.counted_once(other) == other


def test_repeated_parts_do_not_count_for_the_usage():
    usage = {"output_tokens": 2}
    parts = heard(([A], None, {}), closing([B], usage), closing([B], usage))
    assert parts.counted_once(Payload(entries=[A, B, B], tokens=4)).tokens == 2


def test_parts_of_a_tool_call_say_something():
    """So that equal counts beside them are increments, and not a closing part that came twice."""
    called = {"tool_call_chunks": [{"index": 0, "name": None, "args": "{", "id": None}]}
    parts = heard(*([[], {"output_tokens": 3}, dict(called)] for _ in range(2)))
    assert parts.counted_once(Payload(tokens=6)).tokens == 6
