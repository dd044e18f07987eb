from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from ec_agent.errors import ConfigError
from ec_agent.selectors import DeepConfTail, MeanEntropy, MeanLogprob, NumberAnswer
from ec_agent.stopping import Agreement, Beta, More, OutOfReach, ScoreThreshold, plan_named, registry, spelling
from ec_agent.stopping.spelling import plan_in, settings_of, spelled
from ec_agent.stopping.wave_plan import WavePlan
from ec_agent.support.checks import checked, number, or_none, whole

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


@dataclass(frozen=True, slots=True)
class Tokens(WavePlan):
    """A plan whose settings are whole numbers, a number that may be whole, and one that may be left out."""

    label: ClassVar[str] = "tokens"

    budget: int
    share: float = 0.5
    most: int | None = None
    waves: Sequence[int] | None = None

    def __post_init__(self):
        checked(self, "budget", whole)
        checked(self, "share", number, "a number")
        checked(self, "most", or_none, whole)

    def seen(self, candidates, running, n):
        return None


@pytest.fixture
def tokens(monkeypatch):
    plans = {**registry.PLANS, "tokens": Tokens}
    monkeypatch.setattr(registry, "PLANS", plans)
    monkeypatch.setattr(spelling, "PLANS", plans)


@pytest.mark.parametrize("text", SPELLED)
def test_a_plan_and_its_spelling(text):
    assert plan_in(text) == SPELLED[text]
    assert spelled(SPELLED[text]) == text
    settings = json.loads(json.dumps(settings_of(SPELLED[text])))
    assert plan_named(**settings) == SPELLED[text]


@pytest.mark.usefixtures("tokens")
@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("tokens:budget=20000", Tokens(20000)),
        ("tokens:budget=20000:share=1:most=3", Tokens(20000, 1.0, 3)),
        ("tokens:budget=7:share=1e-05", Tokens(7, 1e-05)),
    ],
)
def test_settings_that_are_whole_numbers_are_read_as_such(text, plan):
    assert plan_in(text) == plan
    assert spelled(plan_in(text)) == text


@pytest.mark.usefixtures("tokens")
@pytest.mark.parametrize("budget", ["2.5", "20000.0", "1e4", "0"])
def test_a_setting_that_is_not_the_whole_number_it_should_be_is_refused(budget):
    with pytest.raises(ConfigError, match=r"budget is .*; give a whole number of at least 1"):
        plan_in(f"tokens:budget={budget}")


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
        ("agreement:threshold=2", "threshold is 2; give a share above 0"),
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
