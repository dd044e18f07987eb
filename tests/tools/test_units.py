from __future__ import annotations

import sys
import time

import pytest

from tools import convert, units


@pytest.mark.parametrize(
    ("quantity", "to", "value"),
    [
        ("6730 g", "pounds", "14.84 pounds"),
        ("36 km/h", "m/s", "10 m/s"),
        ("2.5 m^2", "cm**2", "2.5e+04 cm**2"),
        ("20 degC", "degF", "68 degF"),
    ],
)
def test_values(quantity, to, value):
    assert convert.invoke({"quantity": quantity, "to": to}) == value


@pytest.mark.parametrize(
    ("quantity", "to"),
    [
        ("3 mugs", "pounds"),
        ("1 g", "m"),
        ("some g", "kg"),
        ("5", "kg"),
        ("1 g", ""),
        ("nan g", "kg"),
        ("1e400 g", "kg"),
        ("1 m**9**9**9", "m"),
        ("1 m", "m" * 61),
    ],
)
def test_wrong_quantities_are_told_at_once(quantity, to):
    convert.invoke({"quantity": "1 g", "to": "kg"})  # reading the units takes its time once
    started = time.perf_counter()
    assert convert.invoke({"quantity": quantity, "to": to}).startswith("Error:")
    assert time.perf_counter() - started < 2


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pint", None)
    units._registry.cache_clear()
    with pytest.raises(ImportError, match=r"in the clone run: pip install '\.\[demo\]'"):
        convert.invoke({"quantity": "1 g", "to": "kg"})
