from __future__ import annotations

import json

import pytest

from ec_agent.errors import ConfigError
from ec_agent.selectors import DeepConfTail, MeanEntropy, MeanLogprob
from ec_agent.stopping import PLANS, Agreement, Beta, OutOfReach, ScoreThreshold, plan_named


def test_every_ready_plan_is_there_by_its_label():
    assert {name: kind.label for name, kind in PLANS.items()} == {name: name for name in PLANS}
    assert set(PLANS.values()) == {Agreement, Beta, OutOfReach, ScoreThreshold}


@pytest.mark.parametrize(
    ("plain", "plan"),
    [
        ({"name": "out_of_reach"}, OutOfReach()),
        ({"name": "agreement", "waves": [2, 2, 4], "threshold": 0.75}, Agreement([2, 2, 4], 0.75)),
        ({"name": "beta", "confidence": 0.9}, Beta(0.9)),
        ({"name": "score_threshold", "threshold": -0.2}, ScoreThreshold(-0.2, MeanLogprob())),
        ({"name": "score_threshold", "threshold": 1, "selector": "mean_entropy"}, ScoreThreshold(1, MeanEntropy())),
        (
            {"name": "score_threshold", "threshold": 9, "selector": {"name": "deepconf_tail", "window": 16}},
            ScoreThreshold(9, DeepConfTail(16)),
        ),
    ],
)
def test_a_plan_from_what_a_file_can_hold(plain, plan):
    assert plan_named(**json.loads(json.dumps(plain))) == plan


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"name": "later"}, "unknown stopping plan 'later'; the plans are out_of_reach, agreement, beta, score_thr"),
        ({"name": ""}, "the name of a stopping plan is ''"),
        ({"name": "beta", "theta": 1}, r"beta cannot be made .*theta.*; its settings are confidence, waves, normalize"),
        ({"name": "score_threshold"}, r"score_threshold cannot be made .*threshold.*; its settings are threshold, sel"),
        ({"name": "beta", "confidence": 2}, "confidence is 2; give a probability"),
        ({"name": "score_threshold", "threshold": 1, "selector": "nobody"}, "unknown selector 'nobody'"),
    ],
)
def test_what_cannot_be_made(plain, said):
    with pytest.raises(ConfigError, match=said):
        plan_named(**plain)
