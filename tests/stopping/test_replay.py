from __future__ import annotations

import numpy as np
import pytest
from ended import FAILED, came_to

from ec_agent.errors import ConfigError
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, LowestCentroid, MajorityVote, Shortest
from ec_agent.stopping import Agreement, Beta, More, OutOfReach, Stop, replay

pytestmark = pytest.mark.filterwarnings("error")


def rollouts(*told):
    """Candidates of ``(answer, tokens)``."""
    return [
        Candidate(
            90 - place,  # whatever index they had
            Trajectory.from_entropies([0.5] * tokens),
            None if answer is FAILED else answer,
            error="broke" if answer is FAILED else None,
        )
        for place, (answer, tokens) in enumerate(told)
    ]


MIXED = (("a", 5), ("b", 3), ("a", 2), ("a", 9), ("a", 4), ("b", 8), ("a", 1), ("b", 7))


def test_without_a_plan_all_start_at_once():
    done = replay(rollouts(*MIXED), None, MajorityVote())
    assert (done.winner, done.waves, done.started, done.stop) == (0, (8,), 8, None)
    assert (done.ended, done.cancelled, done.tokens, done.length) == (tuple(range(8)), (), 39, 9)


def test_in_waves():
    done = replay(rollouts(*MIXED), OutOfReach([4, 1]), MajorityVote())
    assert (done.winner, done.waves, done.started) == (0, (4, 1), 5)
    assert done.stop == Stop(
        "4 rollouts agree and 1 on the next answer: the 3 still to come cannot change the majority", (0, 2, 3, 4)
    )
    assert (done.ended, done.tokens, done.length) == ((0, 1, 2, 3, 4), 23, 9 + 4)


def test_the_last_wave_is_cut_and_the_plan_is_not_asked_after_it():
    asked = []

    class Own:
        def enough(self, candidates, running, n):
            asked.append(len(candidates))
            return More(3)

    done = replay(rollouts(*MIXED), Own(), MajorityVote())
    assert (done.waves, asked, done.stop) == ((3, 3, 2), [0, 3, 6], None)


def test_one_that_failed_is_made_up_for_and_paid():
    done = replay(rollouts(("a", 2), (FAILED, 7), ("a", 1), ("b", 1)), Agreement([2]), MajorityVote())
    assert (done.waves, done.ended, done.tokens, done.winner) == ((2, 1), (0, 2), 10, 0)


def test_where_all_fail_all_have_started():
    done = replay(rollouts(*[(FAILED, 1)] * 4), Agreement(), MajorityVote())
    assert (done.winner, done.started, done.ended, done.stop) == (None, 4, (), None)


def test_another_selector_chooses_among_those_that_agree():
    done = replay(rollouts(("b", 1), ("a", 3), ("a", 2), ("c", 1)), Agreement([3], 0.6), Shortest())
    assert (done.winner, done.stop.among) == (2, (1, 2))
    assert replay(rollouts(("b", 1), ("a", 3), ("a", 2), ("c", 1)), None, Shortest()).winner == 0


def test_of_those_that_agree_the_first_where_none_has_a_score():
    assert replay(came_to("b", "a", "a", "c"), Agreement([3], 0.6), LowestCentroid()).winner == 1


def test_cancelled_where_the_others_have_ended():
    done = replay(rollouts(*MIXED), Agreement([3, 1], 0.75), MajorityVote(), cancel=True)
    # By length: a1 a2 b3 a4: three of four agree, when each of the others has made 4 tokens.
    assert (done.winner, done.waves, done.ended, done.cancelled) == (2, (8,), (1, 2, 4, 6), (0, 3, 5, 7))
    assert (done.stop, done.tokens, done.length) == (Stop("3 of 4 rollouts agree", (2, 4, 6)), 1 + 2 + 3 + 5 * 4, 4)


def test_nobody_is_cancelled_where_the_plan_never_stops():
    done = replay(rollouts(*MIXED), Beta(0.99), MajorityVote(), cancel=True)
    assert (done.cancelled, done.stop, done.tokens, done.length) == ((), None, 39, 9)


def test_rollouts_of_one_length_end_together():
    done = replay(rollouts(*[("a", 5)] * 3, ("b", 6)), Agreement([2]), MajorityVote(), cancel=True)
    assert (done.ended, done.cancelled, done.tokens) == ((0, 1, 2), (3,), 20)


@pytest.mark.parametrize(
    ("candidates", "plan", "selector", "cancel", "said"),
    [
        ([], None, MajorityVote(), False, "candidates is empty; give"),
        (["a"], None, MajorityVote(), False, "candidates contains 'a'"),
        (rollouts(*MIXED), "agreement", MajorityVote(), False, "plan is 'agreement'; give an object with enough"),
        (rollouts(*MIXED), Agreement, MajorityVote(), False, "not the class"),
        (rollouts(*MIXED), None, "majority_vote", False, "selector is 'majority_vote'; give"),
        (rollouts(*MIXED), None, MajorityVote(), 1, "cancel is 1; give"),
    ],
)
def test_what_it_refuses(candidates, plan, selector, cancel, said):
    with pytest.raises(ConfigError, match=said):
        replay(candidates, plan, selector, cancel=cancel)


@pytest.mark.parametrize("seed", range(30))
def test_the_bill_is_that_of_those_that_started(seed):
    """Waves are paid whole; cancelling costs no more than that the others went on as long as the last that ended."""
    rng = np.random.default_rng(seed)
    told = [(FAILED if rng.random() < 0.15 else "abc"[rng.integers(3)], int(rng.integers(1, 9))) for _ in range(7)]
    lengths = [tokens for _, tokens in told]
    for plan in (OutOfReach(), Agreement([2, 2], 0.6), Beta()):
        waves = replay(rollouts(*told), plan, MajorityVote())
        assert waves.tokens == sum(lengths[: waves.started])
        assert set(waves.ended) == {p for p in range(waves.started) if told[p][0] is not FAILED}
        cut = replay(rollouts(*told), plan, MajorityVote(), cancel=True)
        last = max(lengths[p] for p in range(7) if p not in cut.cancelled)
        assert cut.tokens == sum(min(length, last) for length in lengths)
        assert all(lengths[p] > last for p in cut.cancelled)
