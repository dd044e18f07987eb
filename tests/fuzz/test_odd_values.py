"""Whatever somebody gives to a public function by mistake: it works, or an error of ours names it and says what to do.

Every argument is fed with every odd value, one at a time, beside valid ones. Python's own ``TypeError`` remains for
arguments that are missing or unknown: no value is at fault there.
"""

from __future__ import annotations

import shutil
from collections import defaultdict

import pytest
from fuzz_cases import faults
from fuzz_surface import arguments_of, callables
from odd_values import LABELS
from valid_agents import AGENTS
from valid_numbers import NUMBERS, SELECTING

CALLABLES = callables()
CASES = {**NUMBERS, **SELECTING, **AGENTS}


@pytest.mark.parametrize("place", sorted(CASES))
def test_every_odd_value_is_taken_or_refused_by_name(place, tmp_path, monkeypatch):
    case, what = CASES[place], CALLABLES[place.partition(" ")[0]]
    found = defaultdict(list)
    for argument in arguments_of(what):
        if case.only and argument.name not in case.only:
            continue
        for label in LABELS:
            folder = tmp_path / "f"
            folder.mkdir()
            monkeypatch.chdir(folder)
            for fault in faults(what, case, argument, label, folder):
                found[f"{argument.name}: {fault}"].append(label)
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(folder)
    assert not dict(found)
