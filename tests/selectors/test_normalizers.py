from __future__ import annotations

import copy
import dataclasses
import pickle
import time
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from ec_agent.errors import ConfigError
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import (
    NORMALIZERS,
    CallAnswer,
    Candidate,
    JsonAnswer,
    MajorityVote,
    NumberAnswer,
    TextAnswer,
    final_answer,
    normalizer_named,
    normalizers,
    selector_named,
)
from ec_agent.stopping import Agreement, plan_named

pytestmark = pytest.mark.filterwarnings("error")


def call(name, arguments, words="", number=0):
    return AIMessage(words, tool_calls=[{"name": name, "args": arguments, "id": f"c{number}", "type": "tool_call"}])


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("14.84", "14.84"),
        ("The price is £14.840.", "14.84"),
        ("It costs **14.84** pounds!", "14.84"),
        ("first 3, then 14.84 GBP", "14.84"),
        ("x = -5", "-5"),
        ("x=\u22125", "-5"),
        ("The answer is: -$5", "-5"),
        ("answer:+5", "5"),
        ("(2, 7)", "7"),
        ("1,234,567.5 km", "1234567.5"),
        ("1\u202f234 km", "1234"),
        ("3/4 of it", "0.75"),
        ("about .5", "0.5"),
        ("50%", "50"),
        ("1.5e3 m/s", "1500"),
        ("so $\\boxed{42}$, and not 43", "42"),
        ("\\boxed{\\frac{3}{4}}", "0.75"),
        ("5m\u00b2", "5"),
        ("\uff15", "5"),
        ("6.0", "6"),
        ("Take 7. Then stop.", "7"),
        ("1st", "1"),
        ("m\u00b2 and m\u00b3, so 7", "7"),
        ("\u0663", "3"),
    ],
)
def test_the_last_number(words, value):
    assert NumberAnswer()(words) == ("number", Fraction(value))
    assert NumberAnswer()(AIMessage(words, id="1")) == NumberAnswer()({"type": "ai", "content": words})


@pytest.mark.parametrize(
    "words",
    [
        *("", "no idea", "2024-05-06", "at 12:30", "version 1.2.3", "14,84", "10-20", "GBP14", "it is 5 234"),
        *("1/0", "1/2/3", "1e99999", "--", "\u00b2", "1" * 5000, "1,2345", "\\boxed{x} 5"),
        *("5 \u00b2", "5 m\u00b2\u00b3 x"),
    ],
)
def test_what_is_not_surely_a_number_is_no_vote(words):
    assert NumberAnswer()(words) is None


def test_a_long_answer_is_read_from_its_end_alone(monkeypatch):
    looked = []
    monkeypatch.setattr(
        normalizers, "_has_digit", lambda part, real=normalizers._has_digit: looked.append(part) or real(part)
    )
    assert NumberAnswer()(f"{'word 3 ' * 1000}so it is 14 pounds.") == ("number", Fraction(14))
    assert looked == ["pounds.", "14"]


@pytest.mark.parametrize("action", [5, 5.0, Decimal("5.00"), Fraction(5), np.int64(5), np.float32(5)])
def test_numbers_that_are_no_text(action):
    assert NumberAnswer()(action) == NumberAnswer()("5")
    assert NumberAnswer()(0.1) == NumberAnswer()("0.1")


@pytest.mark.parametrize("action", [None, True, float("nan"), float("inf"), {"a": 5}, [5], object()])
def test_what_is_no_number(action):
    assert NumberAnswer()(action) is None


def test_rounded():
    rounded = NumberAnswer(places=1)
    assert rounded("14.84") == rounded("14.79") == rounded("14.8") != rounded("14.9")
    assert NumberAnswer(0)("2.6") == NumberAnswer()("3") or NumberAnswer(0)("2.6")[1] == 3


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=4))
def test_a_number_in_words_is_that_number(value):
    expected = ("number", Fraction(value))
    for words in (f"{value:f}", f"It is {value:,f}.", f"**{value:f}** units", f"result: ${value:f}$"):
        assert NumberAnswer()(words) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": [1, 2]}', '{"b":[1.0,2],"a":1}'),
        ('Here it is:\n```json\n{"a": 1}\n```\nDone.', '{"a": 1}'),
        ('I think {"x": 0}, no: {"a": {"b": 1}}', AIMessage('{"a": {"b": 1.0}}')),
        ("so [1, 2] then", "[1,2]"),
        ('{"a": 1} as in [3]', '{"a": 1}'),
        ("42", "42.0"),
        ('"yes"', ' "yes"\n'),
        ({"a": 1}, '{"a": 1.0}'),
        ({"a": (1, 2)}, '{"a": [1, 2]}'),
    ],
)
def test_the_same_json(one, other):
    assert JsonAnswer()(one) == JsonAnswer()(other) is not None


@pytest.mark.parametrize(
    "words", ["", "none here", "{a: 1}", "NaN", '{"a": NaN}', "{" * 5000, "[" * 100_000, '{"a": 1']
)
def test_a_text_without_json_is_no_vote(words):
    assert JsonAnswer()(words) is None


def test_other_json():
    assert JsonAnswer()('{"a": 1}') != JsonAnswer()('{"a": 2}')
    assert JsonAnswer()('{"a": 1}') != JsonAnswer()('{"a": true}')
    assert JsonAnswer()('{"a": "1"}') != JsonAnswer()('{"a": 1}')


class Parcel(BaseModel):
    price: float
    why: str


@dataclasses.dataclass
class Box:
    price: float
    why: str


@pytest.mark.parametrize("kind", [Parcel, Box, lambda **given: given, lambda **given: {"in": given}])
def test_some_keys_do_not_count(kind):
    one, other = kind(price=2, why="because"), kind(price=2.0, why="for it is so")
    assert JsonAnswer()(one) != JsonAnswer()(other)
    assert JsonAnswer(without=["why"])(one) == JsonAnswer(without=["why"])(other)
    assert JsonAnswer(without=["why"])(one) != JsonAnswer(without=["why"])(kind(price=3, why="because"))


def test_only_some_keys_count():
    assert JsonAnswer(only=["price"])(Parcel(price=2, why="a")) == JsonAnswer()('{"price": 2}')


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cafe\u0301", "caf\u00e9"),
        ("a  b\n c", " a b c"),
        ("a\u00a0b", "a b"),
        ("a\u200bb", "ab"),
        (AIMessage("a \t b"), "a b"),
    ],
)
def test_the_same_text(one, other):
    assert final_answer(one) != final_answer(other)
    assert TextAnswer()(one) == TextAnswer()(other) is not None


def test_case_and_characters_can_be_ignored():
    assert TextAnswer()("Yes") != TextAnswer()("yes")
    assert TextAnswer(ignore_case=True)("STRASSE") == TextAnswer(ignore_case=True)("Stra\u00dfe")
    assert TextAnswer(strip=".*")("**Yes. **") == TextAnswer()("Yes")
    assert TextAnswer()("\uff21") != TextAnswer()("A") == TextAnswer("NFKC")("\uff21")
    assert TextAnswer()(" \u200b\n") is TextAnswer(strip=".")(" . ") is None


@pytest.mark.parametrize("words", ["\u1fb3", "\u01f0", "\u0345\u0301", "\u03b9\u0345"])
def test_a_text_is_its_own_normal_form(words):
    for plain in (TextAnswer(), TextAnswer(ignore_case=True), TextAnswer("NFKC", ignore_case=True)):
        assert plain(plain(words)[1]) == plain(words)


def test_calls_with_arguments_left_out():
    one, other = call("area", {"base": 10, "unit": "cm"}), call("area", {"base": 10.0}, "so:", 7)
    assert CallAnswer(without=["unit"])(one) == CallAnswer(without=["unit"])(other)
    assert CallAnswer()(one) != CallAnswer()(other)
    assert CallAnswer(without={"area": ["unit"]})(one) == CallAnswer(without={"area": ["unit"]})(other)
    assert CallAnswer(without={"volume": ["unit"]})(one) != CallAnswer(without={"volume": ["unit"]})(other)
    assert CallAnswer(without=["unit"])(call("area", {"base": 11})) != CallAnswer(without=["unit"])(one)
    assert CallAnswer(without=["unit"])(call("volume", {"base": 10})) != CallAnswer(without=["unit"])(one)
    within = call("area", {"base": {"unit": 1}}), call("area", {"base": {"unit": 2}})
    assert CallAnswer(without=["unit"])(within[0]) != CallAnswer(without=["unit"])(within[1])


READY = [
    NumberAnswer(),
    NumberAnswer(2),
    JsonAnswer(without=["why"]),
    TextAnswer(ignore_case=True),
    CallAnswer(["unit"]),
]
BY_TOOL = CallAnswer({"area": ["unit"]})


@pytest.mark.parametrize("ready", [*READY, BY_TOOL], ids=repr)
def test_a_call_is_an_answer_apart_from_texts(ready):
    calling = call("pay", {"amount": 5}, "That is 5.")
    assert ready(calling) is not None
    assert ready(calling)[0] == "tool calls"
    assert ready(calling) not in {ready("That is 5."), ready('{"amount": 5}')}
    assert ready(None) is ready("") is None
    assert hash(ready(calling)) == hash(ready(copy.deepcopy(calling)))


@pytest.mark.parametrize("ready", [*READY, BY_TOOL], ids=repr)
def test_it_travels_and_tells_what_it_is(ready):
    assert pickle.loads(pickle.dumps(ready)) == ready
    assert eval(repr(ready)) == ready
    assert MajorityVote(normalize=ready).name == f"majority_vote(normalize={ready!r})"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NumberAnswer(-1), "places is -1"),
        (lambda: NumberAnswer("2"), "places is '2'"),
        (lambda: JsonAnswer(only="price"), "only is 'price'"),
        (lambda: JsonAnswer(without=[1]), "without contains 1"),
        (lambda: TextAnswer("NFD"), "form is 'NFD'"),
        (lambda: TextAnswer(ignore_case=1), "ignore_case is 1"),
        (lambda: CallAnswer("unit"), "without is 'unit'"),
        (lambda: CallAnswer({"area": "unit"}), "without"),
        (
            lambda: MajorityVote(normalize=NumberAnswer),
            r"normalize is .*; give an object: NumberAnswer\(\), not the class",
        ),
        (lambda: normalizer_named("numbr"), "unknown normalize 'numbr'; there are number, json, text, call"),
        (lambda: normalizer_named("number", round=2), "number cannot be made with .*; it has places"),
    ],
)
def test_what_is_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


async def later(action):
    return action


class Later:
    async def __call__(self, action):
        return action


@pytest.mark.parametrize("normalize", [later, Later()], ids=["function", "object"])
def test_a_coroutine_function_is_none(normalize):
    for kind in (MajorityVote, lambda normalize: Agreement(normalize=normalize)):
        with pytest.raises(ConfigError, match=r"normalize is .*not a coroutine function"):
            kind(normalize=normalize)


def test_nor_is_one_within_a_function():
    with pytest.raises(ConfigError, match="normalize returned a coroutine for the final action of rollout 0"):
        MajorityVote(normalize=lambda action: later(action)).select([Candidate(0, Trajectory(), "a")])


def test_from_what_a_file_can_hold():
    assert {name: kind.label for name, kind in NORMALIZERS.items()} == {name: name for name in NORMALIZERS}
    assert selector_named("majority_vote", normalize="number") == MajorityVote(NumberAnswer())
    told = {"name": "call", "without": {"area": ["unit"]}}
    assert selector_named("majority_vote", normalize=told) == MajorityVote(BY_TOOL)
    assert plan_named("agreement", normalize={"name": "number", "places": 2}) == Agreement(normalize=NumberAnswer(2))
    with pytest.raises(ConfigError, match="unknown normalize 'lower'"):
        plan_named("agreement", normalize="lower")


@pytest.mark.parametrize(
    "words", ["\\boxed{" * 20_000, "$" * 100_000 + "1x1", "{" * 50_000 + "}", "1," * 50_000, "```\n" * 30_000]
)
def test_a_hostile_text_takes_no_longer_than_it_is(words):
    started = time.process_time()
    for ready in READY:
        ready(words)
    assert time.process_time() - started < 2
