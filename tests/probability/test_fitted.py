"""A calibration: its arithmetic told once more, its file, and what no file may hold."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from calibrated import basis, isotonic, platt

from ec_agent import Agreement, ConfigError, HEPConfig, load_settings
from ec_agent.probability import FittedProbability
from ec_agent.probability.evidence import Evidence
from ec_agent.probability.fitted import Basis, Feature
from ec_agent.rollouts.settings_files import Setting, save_settings

SEEN = Evidence(score=0.4, margin=0.2, agreement=0.75, coverage=1.0, length=math.log(20), scored=4)
VOTE = Setting("majority_vote")
SHAPES = {
    "one": platt(),
    "all": platt({"score": -1.5, "margin": 2.0, "agreement": 3.25, "coverage": 0.5, "length": -0.25}, 0.125),
    "isotonic": isotonic(),
    "planned": platt(stop={"name": "agreement", "waves": [2, 2]}, models=("m",), temperature=0.8, coverage=0.9),
}


def test_platt_scaling_is_a_logistic_function_of_the_features():
    weights = {"score": -1.5, "margin": 2.0, "agreement": 3.25, "coverage": 0.5, "length": -0.25}
    values = {"score": 0.4, "margin": 0.2, "agreement": 0.75, "coverage": 1.0, "length": math.log(20)}
    odds = 0.125 + sum(weights[name] * values[name] for name in weights)
    assert platt(weights, 0.125).probability(SEEN) == pytest.approx(math.exp(odds) / (1 + math.exp(odds)))
    assert platt().probability(SEEN) == pytest.approx(1 / (1 + math.exp(-1.5)))


@pytest.mark.parametrize("intercept", [-800.0, 800.0])
def test_long_odds_do_not_overflow(intercept):
    assert platt(intercept=intercept).probability(SEEN) == (0.0 if intercept < 0 else 1.0)


@pytest.mark.parametrize(
    ("agreement", "expected"), [(0.0, 0.1), (0.25, 0.1), (0.375, 0.3), (0.5, 0.5), (0.75, 0.7), (1.0, 0.9)]
)
def test_isotonic_steps_are_joined_by_lines(agreement, expected):
    seen = Evidence(None, None, agreement, None, None, 4)
    assert isotonic().probability(seen) == pytest.approx(expected)


@pytest.mark.parametrize(("given", "counts_as"), [(math.inf, 0.5), (2.0, 0.5), (0.3, 0.3), (-1.0, 0.1)])
def test_a_value_beyond_the_fit_counts_as_the_last_one_seen(given, counts_as):
    fitted = platt({"margin": 2.0}, 0.0, {"margin": (0.1, 0.5)})
    seen = Evidence(0.4, given, 1.0, None, math.log(20), 4)
    assert fitted.probability(seen) == pytest.approx(1 / (1 + math.exp(-2.0 * counts_as)))


def test_only_what_is_used_must_be_known():
    unknown = Evidence(0.4, None, 0.75, None, None, 4)
    assert platt().probability(unknown) == platt().probability(SEEN)
    assert platt({"agreement": 1.0, "margin": 1.0}).probability(unknown) is None
    assert [feature.name for feature in platt().used] == ["agreement"]


@pytest.mark.parametrize("shape", SHAPES)
def test_json_brings_it_back(shape):
    fitted = SHAPES[shape]
    plain = json.loads(json.dumps(fitted.to_dict()))
    assert FittedProbability.from_dict(plain) == fitted
    assert FittedProbability.from_dict(plain).probability(SEEN) == fitted.probability(SEEN)


def test_numpy_is_all_it_needs():
    code = (
        "import sys; from ec_agent.probability import FittedProbability; "
        "print([name for name in ('sklearn', 'scipy', 'langgraph', 'langchain_core') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DAMAGE = {
    "no version": lambda plain: plain.pop("version"),
    "later version": lambda plain: plain.update(version=2),
    "no form": lambda plain: plain.pop("form"),
    "another form": lambda plain: plain.update(form="beta"),
    "a stranger": lambda plain: plain.update(pickle="gASV"),
    "no features": lambda plain: plain.update(features=[]),
    "unknown feature": lambda plain: plain["features"][0].update(name="verdict"),
    "one feature twice": lambda plain: plain["features"].append(plain["features"][0]),
    "a text for a weight": lambda plain: plain["features"][0].update(weight="6"),
    "no finite weight": lambda plain: plain["features"][0].update(weight=math.nan),
    "ranges the wrong way": lambda plain: plain["features"][0].update(low=2.0),
    "knots of platt": lambda plain: plain.update(knots=[[0.0, 0.5]]),
    "no basis": lambda plain: plain.pop("basis"),
    "no tasks": lambda plain: plain["basis"].update(tasks=0),
    "no share": lambda plain: plain["basis"].update(right=7),
    "more scored than n": lambda plain: plain["basis"].update(scored=5),
    "a list": lambda plain: plain.update(basis=[]),
    "a plan without a name": lambda plain: plain["basis"].update(stop={"waves": [4]}),
    "a plan that is gone": lambda plain: plain["basis"].update(stop={"name": "gone"}),
    "a plan with another setting": lambda plain: plain["basis"].update(stop={"name": "beta", "colour": "red"}),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file_is_refused_by_name(case, tmp_path):
    path = tmp_path / "settings.json"
    save_settings(path, VOTE, probability=platt())
    whole = json.loads(path.read_text())
    DAMAGE[case](whole["probability"])
    path.write_text(json.dumps(whole))
    with pytest.raises(ConfigError, match=r"settings\.json"):
        load_settings(path)


@pytest.mark.parametrize(
    "knots", [((0.5, 0.1), (0.5, 0.2)), ((1.0, 0.1), (0.0, 0.2)), ((0.0, 1.5),), ((0.0,),), ((math.inf, 0.5),), ()]
)
def test_knots_that_are_none_are_refused(knots):
    with pytest.raises(ConfigError, match="knots"):
        isotonic(knots)


def test_a_settings_file_carries_it_in_plain_json(tmp_path):
    path = tmp_path / "settings.json"
    save_settings(path, VOTE, {"tasks": 40}, probability=SHAPES["all"])
    assert load_settings(path)["probability"] == SHAPES["all"]
    plain = json.loads(path.read_text())["probability"]
    assert {each["name"]: each["weight"] for each in plain["features"]}["agreement"] == 3.25
    assert (plain["intercept"], plain["basis"]["tasks"], plain["basis"]["run"]) == (0.125, 40, "run.db")


def test_a_file_without_one_is_read_as_before(tmp_path):
    path = tmp_path / "settings.json"
    save_settings(path, VOTE)
    assert "probability" not in load_settings(path)
    assert "probability" not in json.loads(path.read_text())


@pytest.mark.parametrize(
    ("setting", "stop"),
    [
        (Setting("mean_entropy"), None),
        (Setting("majority_vote", config=HEPConfig(5, 50, 3)), None),
        (VOTE, Agreement()),
    ],
    ids=["selector", "phases", "plan"],
)
def test_one_that_would_never_be_used_is_not_written(setting, stop, tmp_path):
    with pytest.raises(ConfigError, match="would never be used"):
        save_settings(tmp_path / "s.json", setting, None, stop, platt())
    assert list(tmp_path.iterdir()) == []
    save_settings(tmp_path / "s.json", VOTE, None, Agreement([2, 2]), SHAPES["planned"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FittedProbability("platt", (Feature("score", 0, 1),), {}), "basis"),
        (lambda: FittedProbability("platt", ["agreement"], basis()), "features"),
        (lambda: FittedProbability("platt", (Feature("score", 0, 1),), basis(), "0"), "intercept"),
        (lambda: FittedProbability.from_dict([]), "probability"),
        (lambda: Basis("majority_vote", 0, 3, 0.5), "n is 0"),
        (lambda: Basis("majority_vote", 4, 3, 0.5, stop="agreement"), "stop"),
        (lambda: Basis("majority_vote", 4, 3, 0.5, models="m"), "models"),
        (lambda: platt().probability(0.5), "evidence"),
    ],
)
def test_arguments_it_cannot_have_are_refused_by_name(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
