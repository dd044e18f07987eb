"""Values that a trace file's columns can hold, and what becomes of those that they cannot."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from ec_agent import TraceError
from ec_agent.traces.fitting import receipt_of, settings_of, whole_of

MOST = 2**63


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (-3, -3), (np.int64(4), 4), (MOST - 1, MOST - 1), (-MOST, -MOST)]
    + [(value, None) for value in (MOST, -MOST - 1, True, False, 1.0, "1", None)],
)
def test_only_whole_numbers_that_fit_are_kept(value, expected):
    found = whole_of(value)
    assert (found, type(found)) == (expected, type(expected))


def test_settings_are_json_whatever_their_keys_are():
    assert json.loads(settings_of({("a", 1): 0.5, None: "x"})) == {"('a', 1)": 0.5, "None": "x"}


def test_an_unreadable_receipt_is_refused():
    with pytest.raises(TraceError, match="the receipt cannot be stored"):
        receipt_of(SimpleNamespace(to_dict=lambda: {"winner": "none of ours"}))
