from __future__ import annotations

import gc
import inspect
import warnings

import pytest
from ended import FAILED, came_to

from ec_agent.errors import ConfigError
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, LowestCentroid, MajorityVote, Ranking
from ec_agent.stopping import Agreement, More, Stop
from ec_agent.stopping.asking import PASSED_OVER, ask, check_plan, name_of, rank, signals_of, taken

pytestmark = pytest.mark.filterwarnings("error")


class Own:
    """A plan that answers as it is told, and keeps what it was asked."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def enough(self, candidates, running, n):
        self.asked.append(([c.index for c in candidates], running, n))
        return self.answer() if inspect.isfunction(self.answer) else self.answer


def test_it_sees_those_that_ended_by_index_and_how_many_may_still():
    plan = Own(More(1))
    ask(plan, came_to("a", FAILED, "b")[::-1], 2, 3)
    ask(plan, [], 0, 4)
    assert plan.asked == [([0, 2], 2, 7), ([], 0, 4)]


def test_no_more_than_are_left():
    assert ask(Own(More(9)), came_to("a"), 0, 3) == More(3)
    assert ask(Own(More(2)), came_to("a"), 0, 3) == More(2)
    assert ask(Own(More(9)), came_to("a"), 4, 0) == More(9)  # all have started: the count means nothing


def test_a_stop_comes_as_it_is():
    stop = Stop("seen", among=(2,))
    assert ask(Own(stop), came_to("a", FAILED, "b"), 0, 1) is stop


@pytest.mark.parametrize("answer", [None, True, 3, "stop", (1, 2), Stop, lambda: "x"])
def test_another_answer(answer):
    with pytest.raises(ConfigError, match=r"plan Own returned .*must return Stop\(reason\) or More\(count\)"):
        ask(Own(answer), came_to("a"), 0, 1)


def test_a_coroutine_is_another_answer_and_is_closed():
    async def enough():
        return More(1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigError, match="returned <coroutine"):
            ask(Own(enough), came_to("a"), 0, 1)
        gc.collect()


def test_a_plan_that_fails_is_told_with_what_it_saw():
    with pytest.raises(ConfigError, match=r"Own failed with ZeroDivisionError.* on 1 candidates, 2 running, n = 6; en"):
        ask(Own(lambda: 1 / 0), came_to("a", FAILED), 2, 3)


def test_an_error_of_ours_within_a_plan_stays_what_it_is():
    with pytest.raises(ConfigError, match=r"normalize failed with KeyError.*rollout 0"):
        ask(Agreement(normalize=lambda text: {}[text]), came_to("a", "a"), 0, 2)


@pytest.mark.parametrize("candidates", [[], came_to(FAILED, FAILED)])
def test_enough_of_nothing(candidates):
    with pytest.raises(ConfigError, match=r"stopped before a rollout had ended; it must return More"):
        ask(Own(Stop("bored")), candidates, 0, 2)


@pytest.mark.parametrize("among", [(3,), (0, 3), (1,)])
def test_those_that_did_not_end_cannot_be_taken(among):
    with pytest.raises(ConfigError, match=r"wants one of \[.*did not end; name indices of the candidates"):
        ask(Own(Stop("seen", among)), came_to("a", FAILED, "b"), 0, 2)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Agreement, r"an object: Agreement\(\), not the class"),
        ("agreement", r"an object with enough"),
        (None, r"an object with enough"),
        (True, r"an object with enough"),
        (lambda candidates, running, n: More(1), r"an object with enough"),
        (MajorityVote(), r"an object with enough"),
    ],
)
def test_what_is_no_plan(plan, said):
    with pytest.raises(ConfigError, match=f"stop is .*; give {said}"):
        check_plan(plan)


class Later:
    async def enough(self, candidates, running, n):
        return More(1)


class Narrow:
    def enough(self, candidates):
        return More(1)


class Set:
    enough = 3


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Later(), "no coroutine function"),
        (Narrow(), r"stop\.enough is .*of 3 arguments"),
        (Set(), "an object with enough"),
    ],
)
def test_an_enough_that_cannot_be_asked(plan, said):
    with pytest.raises(ConfigError, match=said):
        check_plan(plan)


def test_a_plan_says_what_it_reads_and_what_it_is_called():
    plan = Own(More(1))
    check_plan(plan)
    assert (signals_of(plan), name_of(plan)) == ((), "Own")
    plan.signals, plan.name = ["logprob"], "mine"
    check_plan(plan)
    assert (signals_of(plan), name_of(plan)) == (("logprob",), "mine")
    for wrong in (["nothing"], 3, "logprob"):
        plan.signals = wrong
        with pytest.raises(ConfigError, match="signal"):
            check_plan(plan)


def scored(*timelines):
    """Candidates with a centroid each, and one that failed."""
    last = Candidate(len(timelines), Trajectory(), error="broke")
    return [*(Candidate(i, Trajectory.from_entropies(t), f"a{i}") for i, t in enumerate(timelines)), last]


EARLY, MIDDLE, LATE = [9.0, 0, 0, 0, 0, 0], [0, 0, 0, 9.0, 0, 0], [0, 0, 0, 0, 0, 9.0]


def test_a_score_is_asked_of_all_and_only_some_may_win():
    candidates = scored(LATE, EARLY, MIDDLE)
    whole = LowestCentroid().select(candidates)
    ranking = rank(LowestCentroid(), candidates, (0, 2))
    assert (whole.order, ranking.order) == ((1, 2, 0), (2, 0))
    assert (ranking.scores, ranking.warnings) == (whole.scores, whole.warnings)
    assert ranking.reasons == {1: PASSED_OVER}
    assert taken(ranking, candidates, (0, 2)) == 2
    assert rank(LowestCentroid(), candidates, None).order == whole.order


def test_a_vote_counts_all_that_ended():
    candidates = came_to("a", "b", "a", FAILED, "a")
    ranking = rank(MajorityVote(), candidates, (0, 2, 4))
    assert ranking.order == (0, 2, 4)
    assert ranking.scores == {0: 0.75, 1: 0.25, 2: 0.75, 3: None, 4: 0.75}
    assert taken(ranking, candidates, (0, 2, 4)) == 0


class Dear:
    """A selector of somebody's own, which pays for each candidate that it is shown."""

    name, signals = "dear", ()

    def __init__(self, order=None):
        self.shown, self.order = [], order

    def select(self, candidates):
        self.shown.append([c.index for c in candidates])
        order = tuple(c.index for c in candidates)[::-1] if self.order is None else self.order
        return Ranking(order, dict.fromkeys(order, 1.0), {})


def test_another_selector_is_shown_those_alone_that_may_win():
    selector, candidates = Dear(), came_to("a", "b", "a", FAILED)
    ranking = rank(selector, candidates, (0, 2))
    assert (selector.shown, ranking.order) == ([[0, 2]], (2, 0))
    assert ranking.reasons == {1: PASSED_OVER}
    rank(selector, candidates, None)
    assert selector.shown[-1] == [0, 1, 2, 3]


def test_where_none_of_them_is_ranked_the_first_is_taken():
    candidates = came_to(FAILED, "b", "a", "a")
    assert taken(rank(LowestCentroid(), candidates, (3, 2)), candidates, (3, 2)) == 2
    assert taken(rank(Dear(order=()), candidates, None), candidates, None) == 1
