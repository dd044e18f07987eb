"""The checks of arguments, one by one: what is taken, and as what; what is refused, by its name."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pytest

from ec_agent import ConfigError
from ec_agent.support import checks

WANTED = "what is wanted"


@pytest.mark.parametrize(
    ("check", "taken"),
    [
        pytest.param(lambda v: checks.whole("n", v), [1, np.int64(3), 10**30], id="whole"),
        pytest.param(lambda v: checks.whole("n", v, None), [-5], id="whole, unbounded"),
        pytest.param(lambda v: checks.whole("n", v, 2, 4), [2, 4], id="whole, bounded"),
        pytest.param(lambda v: checks.number("n", v, WANTED), [-1.5, np.float32(0.5), Fraction(1, 2)], id="number"),
        pytest.param(lambda v: checks.share("n", v), [0, 1, 0.5], id="share"),
        pytest.param(lambda v: checks.seconds("n", v), [1e-9, 9e9], id="seconds"),
        pytest.param(lambda v: checks.seconds("n", v, least=0), [0], id="seconds, or none"),
        pytest.param(lambda v: checks.one_of("n", v, (1, "a")), [1, "a"], id="one of"),
        pytest.param(lambda v: checks.text("n", v), ["a", " a "], id="text"),
        pytest.param(lambda v: checks.text("n", v, empty=True), ["", " "], id="text, perhaps empty"),
        pytest.param(lambda v: checks.function("n", v, of=1), [len, lambda one: one, lambda *all: all], id="function"),
        pytest.param(lambda v: checks.mapping("n", v, WANTED), [{}, OrderedDict(a=1)], id="mapping"),
    ],
)
def test_what_can_be_used_is_taken_as_it_is(check, taken):
    assert [check(value) for value in taken] == taken


@pytest.mark.parametrize(
    ("check", "refused"),
    [
        pytest.param(lambda v: checks.whole("n", v), [0, True, 1.0, "1", None], id="whole"),
        pytest.param(lambda v: checks.whole("n", v, 2, 4), [1, 5], id="whole, bounded"),
        pytest.param(
            lambda v: checks.number("n", v, WANTED), [True, "1", math.nan, math.inf, -math.inf, 10**400], id="number"
        ),
        pytest.param(lambda v: checks.share("n", v), [-1e-9, 1.1], id="share"),
        pytest.param(lambda v: checks.seconds("n", v), [0, -1, 9.1e9, math.inf], id="seconds"),
        pytest.param(lambda v: checks.seconds("n", v, least=0), [-1e-9, 9.1e9], id="seconds, or none"),
        pytest.param(lambda v: checks.one_of("n", v, (1, "a")), [True, 1.0, "b", None], id="one of"),
        pytest.param(lambda v: checks.flag("n", v), [0, 1, "yes", None], id="flag"),
        pytest.param(lambda v: checks.text("n", v), ["", " \n", b"a", None], id="text"),
        pytest.param(lambda v: checks.text("n", v, empty=True), [b"", None], id="text, perhaps empty"),
        pytest.param(lambda v: checks.function("n", v, of=1), [1, "f", lambda: 0, lambda one, two: 0], id="function"),
        pytest.param(lambda v: checks.several("n", v, str, WANTED), ["ab", {"a": 1}, [1], str, 1], id="several"),
        pytest.param(lambda v: checks.mapping("n", v, WANTED), [{1: 2}, [("a", 1)], None], id="mapping"),
        pytest.param(
            lambda v: checks.file_path("n", v), ["", " ", "a\0b", b"a", 1, "a/" + "\xe9" * 128, "\ud800"], id="path"
        ),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(check, refused):
    for value in refused:
        with pytest.raises(ConfigError, match=r"(?s)^n (is|contains|cannot) .*; give "):
            check(value)


def test_numpys_whole_numbers_become_pythons():
    assert type(checks.whole("n", np.int64(3))) is int
    assert type(checks.number("n", np.float32(0.5), WANTED)) is float


def test_a_whole_number_of_seconds_is_shown_as_it_was_given():
    assert repr(checks.seconds("n", 30)) == "30"


def test_a_function_that_does_not_say_what_it_takes_is_taken():
    assert checks.function("n", dict.fromkeys, of=1) == dict.fromkeys
    assert checks.function("n", max, of=1) is max


def test_several_may_come_one_by_one():
    assert checks.several("n", (each for each in "ab"), str, WANTED) == ("a", "b")
    with pytest.raises(ConfigError, match=re.escape("n cannot be iterated over (ZeroDivisionError")):
        checks.several("n", (1 // each for each in [0]), int, WANTED)


def test_what_has_no_repr_of_its_own_is_named_by_its_type():
    class Odd:
        def __repr__(self):
            raise RuntimeError

    assert checks.repr_of(Odd()).startswith("<Odd")
    assert checks.repr_of(10**5000).startswith("<int")  # more digits than Python writes out


def test_a_name_as_long_as_a_file_system_has_them_is_taken():
    assert checks.file_path("n", "a/" + "b" * 255).name == "b" * 255


@pytest.mark.parametrize("given", [{}, {"a": [1, None, "\ud800"]}, MappingProxyType({"a": {"b": 1.5}})])
def test_a_mapping_that_json_holds_is_given_back(given):
    assert checks.json_mapping("settings", given) is given


@pytest.mark.parametrize("given", [[("a", 1)], {1: 2}, {"a": object()}, {"a": {(1, 2): 3}}, {"a": {1}}])
def test_a_mapping_that_json_cannot_hold_is_refused_by_name(given):
    with pytest.raises(ConfigError, match=r"^settings .*; give a dict whose values JSON can hold"):
        checks.json_mapping("settings", given)
