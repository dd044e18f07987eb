from __future__ import annotations

import pickle
from pathlib import Path

import drawn
import pytest
import strategies as own
from hypothesis import given

import ec_agent.selectors
from ec_agent import Trajectory
from ec_agent.errors import ConfigError
from ec_agent.evaluation import TaskResult
from ec_agent.evaluation.statistics import summarise
from ec_agent.evaluation.statistics.plan_comparison import compare_plans
from ec_agent.selectors import CONFOUNDS, SELECTORS, Candidate, DeepConfTail, Selector, selector_named
from ec_agent.selectors.registry import check_selector
from ec_agent.stopping import replay
from ec_agent.visual.chosen_anew import selection_of

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("name", SELECTORS)
def test_each_is_found_by_its_name(name):
    selector = selector_named(name)
    assert isinstance(selector, Selector)
    assert selector.name == name
    assert type(selector).__name__ in ec_agent.selectors.__all__
    assert selector == SELECTORS[name]()
    assert pickle.loads(pickle.dumps(selector)) == selector
    with pytest.raises((AttributeError, TypeError)):
        selector.extra = 1


@pytest.mark.parametrize("name", SELECTORS)
def test_each_selector_has_a_file_and_a_test_file(name):
    assert Path(ec_agent.selectors.__file__).with_name(f"{name}.py").is_file()
    tested = "confound_selectors" if name in CONFOUNDS else name  # these four share their test
    assert Path(__file__).with_name(f"test_{tested}.py").is_file()


def test_settings_are_passed_on():
    assert selector_named("deepconf_tail", window=16) == DeepConfTail(window=16)


def test_an_unknown_name_lists_the_names():
    with pytest.raises(ConfigError, match="unknown selector 'deepconf'; the selectors are") as caught:
        selector_named("deepconf")
    assert all(name in str(caught.value) for name in SELECTORS)


def test_an_unknown_setting_lists_the_settings():
    with pytest.raises(ConfigError, match="the settings of deepconf_bottom_window are window, share"):
        selector_named("deepconf_bottom_window", size=3)
    with pytest.raises(ConfigError, match="shortest has no settings"):
        selector_named("shortest", window=3)
    with pytest.raises(ConfigError, match="window is 0"):
        selector_named("deepconf_tail", window=0)


def test_the_confounds_are_selectors_that_read_no_logprobs():
    assert all(selector_named(name).signals == () for name in CONFOUNDS)


@pytest.mark.parametrize("name", SELECTORS)
def test_none_ranks_what_failed(name):
    @given(drawn.groups)
    @own.examples(20)
    def check(group):
        selector = selector_named(name)
        ranking = selector.select(group)
        fit = {c.index for c in group if c.error is None and (not selector.signals or c.unscored is None)}
        assert set(ranking.order) <= fit
        assert set(ranking.order) | set(ranking.reasons) == fit
        assert all(isinstance(score, float | None) for score in ranking.scores.values())

    check()


@pytest.mark.parametrize(
    ("given_instead", "rather"),
    [
        ("deepconf-tail", r"not its name: selector=DeepConfTail\(\)"),
        ("best", r"not its name: one of LowestCentroid\(\)"),
        (DeepConfTail, r"DeepConfTail\(\), not the class"),
        (None, "name, signals and select"),
    ],
    ids=["near-name", "strange-name", "class", "nothing"],
)
def test_what_is_no_selector_is_told_what_to_give(given_instead, rather):
    with pytest.raises(ConfigError, match=f"a value of panel is .*; give an object.*{rather}"):
        check_selector(given_instead, "a value of panel")


class Asks:
    name, signals = "asks", ()

    async def aselect(self, candidates):
        raise AssertionError


class Coroutine:
    name, signals = "asks", ()

    async def select(self, candidates):
        raise AssertionError


class Both(Asks):
    def select(self, candidates):
        raise AssertionError


@pytest.mark.parametrize("kind", [Asks, Coroutine, Both])
def test_stored_rollouts_are_not_ranked_by_a_selector_that_may_ask_a_model(kind):
    said = "'asks', which may ask a model, and stored rollouts are ranked many times"
    check_selector(kind(), asking=True)
    result = TaskResult("t", (Candidate(0, Trajectory()),), [1.0])
    for asked in (
        lambda: check_selector(kind(), "a value of panel"),
        lambda: replay([Candidate(0, Trajectory())], None, kind()),
        lambda: result.read_by(kind()),
        lambda: summarise([result], {"asks": kind()}),
        lambda: compare_plans([result], [None], kind()),
        lambda: selection_of(result.candidates, kind()),
    ):
        with pytest.raises(ConfigError, match=said):
            asked()
