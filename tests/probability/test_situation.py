"""Where a calibration says nothing about a choice, the receipt gets a reason and no number."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from calibrated import basis, isotonic, platt

from ec_agent import Agreement, HEPConfig, More, OutOfReach, Stop
from ec_agent.probability.evidence import Evidence
from ec_agent.probability.situation import Situation, judged, unlike

SEEN = Evidence(score=0.75, margin=0.5, agreement=0.75, coverage=1.0, length=math.log(20), scored=4, models=("m",))
HERE = Situation("majority_vote", 4, HEPConfig())


class Own:
    """A plan of one's own that calls itself by a ready plan's name."""

    name = "agreement"

    def enough(self, candidates, running, n):
        return Stop("enough") if candidates else More(n)


def test_in_the_situation_of_the_fit_there_is_a_probability():
    probability, why = judged(platt(), SEEN, HERE)
    assert (probability, why) == (platt().probability(SEEN), None)
    assert judged(isotonic(), SEEN, HERE)[0] == pytest.approx(0.7)


SITUATIONS = {
    "selector": ({"selector": "mean_entropy"}, {}, "for the selector majority_vote, not for mean_entropy"),
    "a setting of the selector": ({"selector": "majority_vote(normalize=f)"}, {}, r"not for majority_vote\(normalize"),
    "a selector in place of another": (
        {"failed": True},
        {},
        "the selector failed, and majority_vote chose in its place",
    ),
    "phases": ({"config": HEPConfig(5, 50, 3)}, {}, "with phases 1/80/2, not 5/50/3"),
    "fewer rollouts": ({"n": 2}, {}, "with n=4, not n=2"),
    "more rollouts": ({"n": 16}, {}, "with n=4, not n=16"),
    "a plan": ({"stop": Agreement()}, {}, "with no stopping plan, not with stop=agreement"),
    "a plan of one's own": ({"stop": Own()}, {"stop": {"name": "agreement"}}, "with stop=agreement, not with"),
    "no plan": ({}, {"stop": {"name": "out_of_reach"}}, "with stop=out_of_reach, not with no stopping plan"),
    "another plan": ({"stop": OutOfReach()}, {"stop": {"name": "agreement"}}, "not with stop=out_of_reach"),
    "other waves": (
        {"stop": Agreement([1, 3])},
        {"stop": {"name": "agreement", "waves": [2, 2]}},
        "agreement:2,2, not with stop=agreement:1,3",
    ),
    "cancelling": ({"stop": Agreement(), "cancel": True}, {"stop": {"name": "agreement"}}, "cancel=True"),
    "a later round": ({"round": 1}, {}, "round 2"),
    "a question to a person": ({"asks": True}, {}, "asks a person"),
    "temperature": ({"temperatures": (0.2,)}, {"temperature": 0.8}, "at temperature 0.8, and the requests had 0.2"),
    "a greedy one among them": ({"temperatures": (0.0, 0.8)}, {"temperature": 0.8}, "the requests had 0, 0.8"),
    "no temperature": ({"temperatures": ()}, {"temperature": 0.8}, "had none at all"),
}


@pytest.mark.parametrize("case", SITUATIONS)
def test_in_another_situation_there_is_none(case):
    here, fitted, said = SITUATIONS[case]
    assert judged(platt(**fitted), SEEN, replace(HERE, **here))[0] is None
    (reason,) = unlike(basis(**fitted), replace(HERE, **here))
    assert re.search(said, reason), reason


@pytest.mark.parametrize(
    ("here", "fitted"),
    [
        ({"stop": Agreement([2, 2])}, {"stop": {"name": "agreement", "waves": [2, 2]}}),
        ({"temperatures": (0.8,)}, {"temperature": 0.8}),
        ({"temperatures": None}, {"temperature": 0.8}),
        ({"temperatures": (0.8,)}, {}),
    ],
    ids=["plan", "temperature", "temperature unknown here", "temperature unknown there"],
)
def test_what_is_the_same_or_not_known_is_no_difference(here, fitted):
    assert judged(platt(**fitted), SEEN, replace(HERE, **here))[1] is None


CHOICES = {
    "no score": ({"score": None, "margin": None, "scored": 0}, {}, "no rollout could be scored"),
    "no answer": ({"agreement": None, "margin": None}, {}, "no answer that could be compared"),
    "few have a score": ({"scored": 2}, {"scored": 3}, "2 of its rollouts have a score; .* at least 3 had"),
    "low coverage": ({"coverage": 0.6}, {"coverage": 0.9}, "coverage is 60%; in the fit it was 90% or more"),
    "unknown coverage": ({"coverage": None}, {"coverage": 0.9}, "coverage is unknown"),
    "another model": ({"models": ("n", "o")}, {"models": ("m", "n")}, "answers of m, n, not of o"),
    "much longer": ({"length": math.log(101)}, {}, "the winner has 101 tokens; in the fit winners had 5 to 50"),
    "much shorter": ({"length": math.log(2)}, {}, "has 2 tokens"),
}


@pytest.mark.parametrize("case", CHOICES)
def test_a_choice_beyond_the_fit_has_none(case):
    changed, fitted, said = CHOICES[case]
    probability, why = judged(platt(**fitted), replace(SEEN, **changed), HERE)
    assert probability is None
    assert re.search(said, why), why
    assert why.endswith("fit one for this situation with `ec-agent calibrate --probability`")


@pytest.mark.parametrize(
    ("changed", "fitted"),
    [
        ({"length": math.log(99)}, {}),
        ({"length": math.log(3)}, {}),
        ({"length": None}, {}),
        ({"coverage": 0.86}, {"coverage": 0.9}),
        ({"coverage": None}, {}),
        ({"models": ()}, {"models": ("m",)}),
        ({"models": ("any",)}, {}),
        ({"margin": math.inf}, {}),
    ],
)
def test_a_little_beyond_is_within(changed, fitted):
    assert judged(platt(**fitted), replace(SEEN, **changed), HERE)[1] is None


def test_what_is_used_must_be_known():
    probability, why = judged(platt({"agreement": 1.0, "margin": 1.0}), replace(SEEN, margin=None), HERE)
    assert probability is None
    assert "the winner's margin is not known" in why


def test_all_reasons_are_told():
    why = judged(platt(), replace(SEEN, scored=0, score=None), replace(HERE, n=8, round=2))[1]
    assert [part in why for part in ("n=8", "round 3", "no rollout could be scored")] == [True] * 3
