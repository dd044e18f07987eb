"""Thoughts, and JSON that may be spoilt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.prompted.replies import after_thinking, decode, decode_from, readable


@pytest.mark.parametrize(
    ("text", "thought", "rest"),
    [
        ("plain", "", "plain"),
        ("", "", ""),
        ("<think>\nhm\n</think>\n\nso", "hm", "so"),
        (" \n<think></think>so", "", "so"),
        ("<think>cut in the mid", "cut in the mid", ""),
        ("opened by the template</think>so", "opened by the template", "so"),
        ("<think>one</think>so <think>two</think>", "one", "so <think>two</think>"),
        ('{"answer": "</think>"}', "", '{"answer": "</think>"}'),
        ('<tool_call>{"a": "</think>"}', "", '<tool_call>{"a": "</think>"}'),
        ("so <think>later</think>", "", "so <think>later</think>"),
        ("<thinking>no tag of ours", "", "<thinking>no tag of ours"),
    ],
)
def test_the_opening_thought(text, thought, rest):
    assert after_thinking(text) == (thought, rest)


def test_json_within_a_text():
    assert decode(' {"a": "line\nbreak"}\n') == {"a": "line\nbreak"}
    assert decode_from("x  [1]y", 1) == ([1], 6)


@pytest.mark.parametrize("text", ["", " ", "x", "{} {}", "{", "[" * 100_000, "1" * 10_000])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        decode(text)


@given(
    st.recursive(
        st.text(st.characters(categories=None)), lambda kids: st.lists(kids) | st.dictionaries(st.text(), kids)
    )
)
def test_what_is_readable_can_be_sent(value):
    clean = readable(value)
    repr(clean).encode()
    assert readable(clean) == clean


def test_readable_values_are_unchanged():
    value = {"é\U0001f600": ["\n", 1, None, {"a": True}]}
    assert readable(value) == value
