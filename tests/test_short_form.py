"""What the short form of the suite runs, and that whoever names something gets all of it."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

import pytest
import short_form
from short_form import FEW, WAYS, spread

pytest_plugins = ["pytester"]

CONFTEST = """
import short_form
def pytest_addoption(parser):
    short_form.add_options(parser)
def pytest_configure(config):
    for marker in ("members(n): m", "whole_form(why): w"):
        config.addinivalue_line("markers", marker)
    short_form.settle(config)
def pytest_collection_modifyitems(config, items):
    short_form.shorten(config, items)
"""
TESTS = """
import pytest
@pytest.mark.members(2)
@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_some(way, case): pass
@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_all(case): pass
@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_each_value(way, case): pass
@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_way(way): pass
@pytest.mark.whole_form("it takes a minute")
def test_none(): pass
@pytest.mark.parametrize("case", ["a", pytest.param("b", marks=pytest.mark.whole_form("so does it"))])
def test_a_case(case): pass
"""


def in_turn(test, *cases):
    """The test's cases, sync and async in turn."""
    first = crc32(test.encode()) % 2
    return {f"{test}[{case}{WAYS[(first + place) % 2]}]" for place, case in enumerate(cases)}


SHORT = {
    *in_turn("test_some", "a-", "b-"),
    *("test_all[a]", "test_all[b]", "test_all[c]", "test_a_case[a]"),
    *in_turn("test_each_value", "a-", "b-", "c-"),
    *in_turn("test_a_way", ""),
}
WHOLE = 6 + 3 + 6 + 2 + 1 + 2


@pytest.fixture
def suite(pytester, monkeypatch):
    """A suite of its own; what else is installed for pytest is left out, for it takes seconds to load."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\ntestpaths = tests")
    pytester.mkdir("tests").joinpath("test_it.py").write_text(TESTS)
    return pytester


def ran(suite, *args):
    result = suite.runpytest_subprocess("-v", "-p", "no:cacheprovider", *args)
    return {line.split("::")[1].split()[0] for line in result.outlines if "PASSED" in line and "::" in line}


def test_the_short_form_has_each_test_and_spreads_its_cases(suite):
    assert ran(suite) == SHORT


@pytest.mark.parametrize(
    "args", [("--form=whole",), ("tests/test_it.py",), ("tests",)], ids=["--form", "a file", "a folder"]
)
def test_all_on_request(suite, args):
    assert len(ran(suite, *args)) == WHOLE


def test_the_short_form_of_a_file(suite):
    assert ran(suite, "--form=short", "tests/test_it.py") == SHORT


def test_one_case_that_is_named(suite):
    assert ran(suite, "tests/test_it.py::test_some[c-async]") == {"test_some[c-async]"}


def test_what_the_short_form_leaves_out_has_a_reason(suite):
    suite.path.joinpath("tests", "test_bare.py").write_text(
        "import pytest\n@pytest.mark.whole_form\ndef test_it(): pass\n"
    )
    for args in ((), ("--form=whole",)):
        result = suite.runpytest_subprocess("-p", "no:cacheprovider", *args)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*whole_form says no reason*tests/test_bare.py::test_it"])


def test_part_of_a_count_in_the_short_form(monkeypatch):
    counts = [1, 3, 4, 100, 10_000]
    monkeypatch.setattr(short_form, "_form", "whole")
    assert [short_form.part_of(count) for count in counts] == counts
    monkeypatch.setattr(short_form, "_form", "short")
    assert [short_form.part_of(count) for count in counts] == [1, 1, 1, 25, 2_500]


def test_workers_do_as_their_controller(suite):
    short, whole = (suite.runpytest_subprocess("-p", "xdist", "-n", "1", *args) for args in ((), ("tests/test_it.py",)))
    short.assert_outcomes(passed=len(SHORT))
    whole.assert_outcomes(passed=WHOLE)


def test_values_not_yet_seen_come_first():
    cases = [frozenset({("a", a), ("b", b)}) for a in range(2) for b in range(3)]
    assert [cases[at] for at in spread(cases, 3)] == [cases[0], cases[4], cases[2]]
    assert spread(cases) == spread(cases, 99) == [0, 4, 2]
    assert spread([frozenset()]) == [0]
    assert spread([], 2) == []


def test_equal_cases_are_of_both_ways_in_turn():
    cases, ways = [frozenset({("a", a)}) for a in (0, 0, 1, 1, 2, 2)], ["sync", "async"] * 3
    assert spread(cases, ways=ways) == [0, 3, 4]
    assert spread(cases, ways=ways, first=1) == [1, 2, 5]
    assert spread([frozenset(), frozenset()], ways=["sync", "async"], first=1) == [1]


def test_where_a_case_runs_agents_a_test_has_few(suite):
    long = suite.mkdir("tests/rollouts").joinpath("test_long.py")
    long.write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('case', range(9))\ndef test_it(case): pass\n"
        "@pytest.mark.members(5)\n@pytest.mark.parametrize('case', range(9))\ndef test_more(case): pass\n"
    )
    found = ran(suite) - SHORT
    assert found == {f"test_it[{case}]" for case in range(FEW)} | {f"test_more[{case}]" for case in range(5)}
    assert len(ran(suite, "--form=whole")) == WHOLE + 9 + 9


def test_no_two_modules_of_tests_have_one_name():
    """pytest imports them by their names alone, so that of two the second could not be collected."""
    names = [
        path.name for path in Path(__file__).parent.rglob("*.py") if path.name not in ("conftest.py", "__init__.py")
    ]
    assert sorted(names) == sorted(set(names))
