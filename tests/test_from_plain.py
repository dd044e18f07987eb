"""``unmade`` gives what ``dataclasses.asdict`` gives, and shares nothing that may change with the object."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from ec_agent import HEPConfig
from ec_agent.rollouts.selection import CandidateReceipt, Selection
from ec_agent.support.from_plain import made, unmade


@dataclass(frozen=True, slots=True)
class Inner:
    """A dataclass within another."""

    numbers: tuple[int, ...] = (1, 2)


@dataclass
class Holder:
    """Values of all kinds."""

    any: Any = None
    inner: Inner = field(default_factory=Inner)


def receipt():
    candidate = CandidateReceipt(0, 0.25, 0.25, None, 9, 9, 1, 1, 0, 1.0, 0.5, sampling={"seed": [1], "deep": {"a": 1}})
    return Selection(
        winner=0,
        order=(0,),
        candidates=(candidate,),
        margin=None,
        selector="lowest_centroid",
        config=HEPConfig(),
        distinct=1,
        usage={"generated_tokens": 9},
        warnings=("a note",),
        commits=({"tool": "send", "args": {"to": ["ann"]}, "key": "k"},),
    )


OBJECTS = {
    "a receipt": receipt,
    "settings": HEPConfig,
    "lists in a dict": lambda: Holder({"a": [1, {"b": (2, 3)}], 4: None}),
    "a set, which is copied": lambda: Holder({1, 2}),
    "dataclasses in a tuple": lambda: Holder((Inner(), [Inner((5,))])),
    "a class, which is none": lambda: Holder(Inner),
}


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS.keys())
def test_it_is_what_asdict_gives(make):
    thing = make()
    plain = unmade(thing)
    assert plain == asdict(thing)
    assert repr(plain) == repr(asdict(thing))  # 1 and True are equal, a tuple and a list are not


def test_fields_can_be_left_out():
    plain = unmade(receipt(), without=("seen", "earlier"))
    assert "seen" not in plain
    assert "earlier" not in plain
    assert made(Selection, plain, "it", without=("seen",)) == receipt()


def test_nothing_that_may_change_is_shared():
    thing = receipt()
    plain = unmade(thing)
    plain["candidates"][0]["sampling"]["seed"].append(2)
    plain["commits"][0]["args"]["to"].append("bob")
    held = Holder({1})
    unmade(held)["any"].add(2)
    assert thing == receipt()
    assert held.any == {1}
