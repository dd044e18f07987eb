from __future__ import annotations

import json

import pytest

from ec_agent.errors import ConfigError
from ec_agent.selectors import DeepConfTail, MeanEntropy, MeanLogprob, NumberAnswer
from ec_agent.stopping import Agreement, Beta, More, OutOfReach, ScoreThreshold, plan_named
from ec_agent.stopping.spelling import plan_in, settings_of, spelled

SPELLED = {
    "agreement": Agreement(),
    "agreement:4,4": Agreement([4, 4]),
    "agreement:2,2,4:threshold=0.75": Agreement([2, 2, 4], 0.75),
    "out_of_reach": OutOfReach(),
    "out_of_reach:4,1": OutOfReach([4, 1]),
    "beta:confidence=0.9": Beta(0.9),
    "beta:2:normalize=number": Beta(waves=[2], normalize=NumberAnswer()),
    "score_threshold:threshold=-0.25": ScoreThreshold(-0.25, MeanLogprob()),
    "score_threshold:2:threshold=1.5:selector=mean_entropy": ScoreThreshold(1.5, MeanEntropy(), [2]),
}

ROUNDED = NumberAnswer(places=2)


class Own:
    name = "mine"

    def enough(self, candidates, running, n):
        return More(n)


@pytest.mark.parametrize("text", SPELLED)
def test_a_plan_and_its_spelling(text):
    assert plan_in(text) == SPELLED[text]
    assert spelled(SPELLED[text]) == text
    settings = json.loads(json.dumps(settings_of(SPELLED[text])))
    assert plan_named(**settings) == SPELLED[text]


def test_waves_by_name_and_spaces_are_read_too():
    assert plan_in(" agreement : waves = 4,4 : threshold = 1 ") == Agreement([4, 4])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a stopping plan is ''; give its name: out_of_reach, agreement, beta, score_threshold"),
        ("later", "unknown stopping plan 'later'"),
        ("agreement:", "cannot be read at ''; write a plan's name, its waves"),
        ("agreement:a,b", "has waves 'a,b'; write"),
        ("agreement:4,", "has waves '4,'"),
        ("agreement:0", "a wave in waves is 0"),
        ("agreement:4:4", "cannot be read at '4'"),
        ("agreement:=3", "cannot be read at '=3'"),
        ("agreement:threshold=", "cannot be read at 'threshold='"),
        ("agreement:threshold=2", "threshold is 2.0; give a share above 0"),
        ("agreement:theta=1", "agreement cannot be made"),
        ("score_threshold", "score_threshold cannot be made"),
        ("score_threshold:threshold=1:selector=best", "unknown selector 'best'"),
        (3, "a stopping plan is 3"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(text, said):
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        plan_in(text)


def test_a_plan_that_no_file_holds_has_its_name():
    for plan in (
        Own(),
        Agreement(normalize=str.lower),
        ScoreThreshold(1, DeepConfTail(16)),
        Agreement(normalize=ROUNDED),
    ):
        assert spelled(plan) == plan.name
    assert settings_of(Own()) is settings_of(Agreement(normalize=str.lower)) is None
    assert settings_of(Agreement(normalize=ROUNDED))["normalize"] == {"name": "number", "places": 2}
    assert plan_named(**settings_of(Agreement(normalize=ROUNDED))) == Agreement(normalize=ROUNDED)
    assert settings_of(ScoreThreshold(1, DeepConfTail(16)))["selector"] == {"name": "deepconf_tail", "window": 16}
