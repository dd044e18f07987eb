"""The list of mutants is true: each is one change of one place, and `make mutants` can make it."""

from __future__ import annotations

import pytest
from mutants_long_form import MUTANTS, ROOT


def test_there_are_forty():
    assert len(set(MUTANTS)) == 40


@pytest.mark.parametrize("number", range(len(MUTANTS)))
def test_it_is_one_change_of_one_place(number):
    mutant = MUTANTS[number]
    module = (ROOT / "ec_agent" / mutant.file).read_text()
    assert module.count(mutant.old) == 1
    compile(module.replace(mutant.old, mutant.new), mutant.file, "exec")
    assert all(list((ROOT / "tests").glob(pattern)) for pattern in mutant.near.split())
