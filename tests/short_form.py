"""The suite in its short form, which `make test` runs, and in its whole form, which `make test-all` runs.

The short form has every test, and each value of each of its parameters at least once, but not all combinations of them.
Of a test that runs sync and async it takes the one way or the other, case by case in turn: they are one text
(``ec_agent/support/plans.py``). In the rooms of ``LONG``, where a case runs agents, it has ``FEW`` cases at most, which
have as many of the values as so few can. Where that is too many still, or too few, a mark says it:

* ``@pytest.mark.members(n)``: up to ``n`` of the test's cases.
* ``@pytest.mark.whole_form("why")``, on a test or on one of its cases: none; the reason says what shows the same in
  less time, or what it is that takes so long.
* ``part_of(n)``, for what a test does ``n`` times, such as inputs that it draws: a quarter of them, and of the examples
  that Hypothesis draws for it (``conftest.py``).

Whoever names a file, a folder or a test gets all there is in it, and ``--form`` says otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from zlib import crc32

import pytest

Values = frozenset[tuple[str, int]]

WAYS = ("sync", "async")
FEW = 2
LONG = {
    *("adapters", "bulk", "capture", "chaos", "cli", "differential", "doctor", "engines", "environments", "evaluation"),
    *("inspect_bridge", "judges", "live", "local", "prompted", "rollouts", "traces", "tracing", "transport", "visual"),
}

_form = "whole"  # of this process; long forms of tests, which run without pytest, do all there is


def add_options(parser: pytest.Parser) -> None:
    parser.addoption("--form", choices=("short", "whole"), help="the form of the suite; whole where tests are named")


def settle(config: pytest.Config) -> None:
    """Choose the form. A worker of pytest-xdist has the same command line as its controller, so the same answer."""
    named = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    global _form
    _form = config.option.form = config.option.form or ("whole" if named else "short")


def part_of(count: int) -> int:
    """Return ``count``, or in the short form a quarter of it."""
    return count if _form == "whole" else max(1, count // 4)


def shorten(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of ``items`` what the short form does not run, and tell pytest of it."""
    bare = {item.nodeid for item in items for mark in item.iter_markers("whole_form") if not mark.args}
    if bare:
        raise pytest.UsageError(f"whole_form says no reason, as in whole_form('it takes a minute'): {sorted(bare)[0]}")
    if config.option.form == "whole":
        return
    kept = set(map(id, short_form(items)))
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
    items[:] = [item for item in items if id(item) in kept]


def short_form(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return what the short form runs, test by test."""
    tests: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("whole_form") is None:
            tests[item.nodeid.partition("[")[0]].append(item)
    return [item for cases in tests.values() for item in _of_one_test(cases)]


def _of_one_test(cases: list[pytest.Item]) -> list[pytest.Item]:
    limit = cases[0].get_closest_marker("members")
    file, _, name = cases[0].nodeid.partition("[")[0].partition("::")
    count = limit.args[0] if limit else FEW if LONG & set(file.split("/")) else None
    ways = [_way(case) for case in cases]
    values = _without_ways([_values(case) for case in cases], ways)
    return [cases[at] for at in sorted(spread(values, count, ways, first=crc32(name.encode()) % 2))]


def spread(cases: Sequence[Values], count: int | None = None, ways: Sequence[str] = (), first: int = 0) -> list[int]:
    """Return the places of up to ``count`` cases that have all values.

    Each time, it is the first of the cases with most values not yet seen. One is chosen even if it has none. Of equal
    cases, it is one of the way whose turn it is; ``first`` is the place in ``WAYS`` with which they begin.
    """
    chosen: list[int] = []
    seen: Values = frozenset()
    while len(chosen) < len(cases) and (count is None or len(chosen) < count):
        turn = WAYS[(first + len(chosen)) % 2]
        best = max(range(len(cases)), key=lambda at: (len(cases[at] - seen), bool(ways) and ways[at] == turn))
        if chosen and cases[best] <= seen:
            break
        chosen.append(best)
        seen |= cases[best]
    return chosen


def _values(case: pytest.Item) -> Values:
    """The case's values, by parameter. Cases share their values' objects; pytest's own indices count the cases."""
    params = case.callspec.params if hasattr(case, "callspec") else {}
    return frozenset((name, id(value)) for name, value in params.items())


def _way(case: pytest.Item) -> str:
    """``sync`` or ``async``, if that is a part of the case's id."""
    found = [way for way in WAYS if way in case.nodeid.partition("[")[2].removesuffix("]").split("-")]
    return found[0] if len(found) == 1 else ""


def _without_ways(cases: list[Values], ways: list[str]) -> list[Values]:
    """The values but for those of the parameter that is the way: it has two, one for each."""
    of: dict[tuple[str, int], set[str]] = defaultdict(set)
    for values, way in zip(cases, ways, strict=True):
        for value in values:
            of[value].add(way)
    names = {name for name, _ in of}
    are_ways = {
        name for name in names if sorted(map(sorted, (of[v] for v in of if v[0] == name))) == [["async"], ["sync"]]
    }
    return [frozenset(value for value in values if value[0] not in are_ways) for values in cases]
