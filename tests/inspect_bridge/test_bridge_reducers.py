"""Epoch reducers, on scores made by hand."""

from __future__ import annotations

import math

import pytest
from inspect_ai.scorer import Score, match

from ec_agent.errors import ConfigError
from ec_agent.evaluation.inspect_ai import REDUCERS, lowest_centroid, selected_by, with_centroid
from ec_agent.selectors.registry import SELECTORS

NAN = float("nan")


def scored(value, found, *, answer="x", error=None, name="lowest_centroid", **more):
    numbers = {"scores": {name: found}, "answer": answer, "error": error}
    return Score(value=value, metadata={"kept": True, "ec_agent": numbers}, **more)


def test_the_lowest_wins_with_its_answer_and_metadata():
    scores = [scored("C", 0.6, explanation="late"), scored("I", 0.2, explanation="early"), scored("C", 0.4)]
    pick = lowest_centroid()(scores)
    assert (pick.value, pick.explanation, pick.metadata["kept"]) == ("I", "early", True)
    assert pick.metadata["ec_agent:selection"] == {"selector": "lowest_centroid", "epochs": [2], "scored": 3, "of": 3}


@pytest.mark.parametrize(
    ("scores", "value"),
    [
        ([("C", 0.2), ("I", 0.2), ("I", 0.9)], 0.5),
        ([("C", 0.2), ("C", 0.2)], "C"),
        ([("I", None), ("C", 0.99)], "C"),
        ([("I", NAN), ("C", 0.99)], "C"),
        ([("I", None), ("C", None)], 0.5),
        ([(0.25, 0.1), (0.75, 0.1), (1.0, 0.2)], 0.5),
        ([({"x": 1, "y": 0}, 0.1), ({"x": 0, "y": 0}, 0.1)], {"x": 0.5, "y": 0.0}),
        ([(NAN, 0.1), ("C", 0.1)], "C"),
    ],
    ids=["tie", "tie of equals", "none", "nan", "nobody", "numbers", "dicts", "one unjudged of a tie"],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_values(scores, value, backwards):
    made = [scored(*each) for each in scores]
    assert lowest_centroid()(made[::-1] if backwards else made).value == value


def test_a_pick_that_was_not_judged_stays_so():
    pick = lowest_centroid()([scored("C", 0.5), scored(NAN, 0.1)])
    assert math.isnan(pick.value)


def test_a_failed_rollout_is_picked_only_where_all_failed():
    dead = scored("C", 0.1, error="ValueError: down")
    assert lowest_centroid()([dead, scored("I", None)]).value == "I"
    assert lowest_centroid()([dead, scored("I", 0.1, error="late")]).value == 0.5


def test_directions_and_votes():
    long, short = scored("C", 900.0, name="longest"), scored("I", 9.0, name="longest")
    assert selected_by("longest")([short, long]).value == "C"
    votes = [scored("C", 0.9, answer="7"), scored("I", 0.1, answer="8"), scored("C", 0.8, answer=" 7 ")]
    assert selected_by("majority_vote")(votes).value == "C"


def test_every_selector_with_a_number_of_its_own_has_a_reducer():
    with_company = {"tail_entropy", "tie_broken_vote", "centroid_weighted_vote"}
    with_company |= {"confidence_weighted_vote", "confidence_gradient"}
    assert set(SELECTORS) - set(REDUCERS) == with_company
    assert set(REDUCERS) - set(SELECTORS) == {"lowest_centroid(surprisal)"}


def test_wrong_uses_say_what_to_do():
    with pytest.raises(ConfigError, match=r"put the scorer into with_centroid\(\.\.\.\)"):
        lowest_centroid()([Score(value="C")])
    with pytest.raises(ConfigError, match="no epoch reducer goes by 'best'; there are lowest_centroid"):
        selected_by("best")
    for thing in (match, "match", None):
        with pytest.raises(ConfigError, match="give a scorer"):
            with_centroid(thing)
