"""Whatever somebody gives to a public function by mistake: it works, or an error of ours names it and says what to do.

Every argument is fed with every odd value, one at a time, beside valid ones. Python's own ``TypeError`` remains for
arguments that are missing or unknown: no value is at fault there.
"""

from __future__ import annotations

import random
import shutil
from collections import defaultdict

import pytest
from fuzz_cases import faults
from fuzz_surface import arguments_of, callables
from valid_agents import AGENTS
from valid_exempt import EXEMPT, EXEMPT_METHODS, exempt
from valid_numbers import NUMBERS, SELECTING
from valid_stores import STORES

CALLABLES = callables()
CASES = {**NUMBERS, **SELECTING, **AGENTS, **STORES}
MIXED = random.Random(0).sample(sorted(CASES), len(CASES))  # so that the short form's have something of every room


@pytest.mark.members(40)
@pytest.mark.parametrize("place", MIXED)
def test_every_odd_value_is_taken_or_refused_by_name(place, tmp_path, monkeypatch):
    case, what = CASES[place], CALLABLES[place.partition(" ")[0]]
    found = defaultdict(list)
    for argument in arguments_of(what):
        if case.only and argument.name not in case.only:
            continue
        for label in case.labels:
            folder = tmp_path / "f"
            folder.mkdir()
            monkeypatch.chdir(folder)
            for fault in faults(what, case, argument, label, folder):
                found[f"{argument.name}: {fault}"].append(label)
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(folder)
    assert not dict(found)


def test_no_public_callable_is_forgotten():
    fed = {place.partition(" ")[0] for place in CASES}
    forgotten = sorted(place for place in CALLABLES if place not in fed and not exempt(place))
    assert not forgotten, "give them valid arguments in a table beside this file, or a reason in valid_exempt.py"
    assert fed <= set(CALLABLES), "there is no such public callable any more"
    assert {place for place in EXEMPT if place in CALLABLES} == set(EXEMPT)
    assert all(any(place.startswith(f"{owner}.") for place in CALLABLES) for owner in EXEMPT_METHODS)
