from __future__ import annotations

import re

import numpy as np
import pytest

from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.selectors import Candidate, DeepConfTail, validity
from ec_agent.selectors import validity as function

pytestmark = pytest.mark.filterwarnings("error")


def noise(length=2000, seed=0, seen=1.0):
    """A long rollout in which phases are many."""
    draw = np.random.default_rng(seed)
    values = draw.exponential(0.3, length)
    values[int(seen * length) :] = np.nan
    return values


def of(*timelines, **more):
    return [Candidate(i, Trajectory.from_entropies(values), **more) for i, values in enumerate(timelines)]


def one(candidates, word, **more):
    """The one sentence that has the word in it; ``None`` where there is none."""
    found = [sentence for sentence in validity(candidates, **more) if word in sentence]
    assert len(found) <= 1
    return found[0] if found else None


PHASES, TOKENS, ARGMAX = "fewer than 3 phases", "a handful of tokens", "have their centroid where"
LOW, UNEQUAL, LENGTHS = "of their tokens (of", "coverage differs", "differ much in length"


def test_nothing_to_say_of_a_sound_comparison():
    assert validity(of(*(noise(seed=seed) for seed in range(8)))) == ()


def test_nothing_to_say_of_nobody():
    assert validity([]) == ()
    assert validity(of([], [None])) == ()
    assert validity(of([1.0, 0.0], error="x")) == validity(of([1.0, 0.0], unscored="coverage")) == ()


def bumps(count, length=2000):
    """``count`` phases of 5 tokens, spread from the start; the very highest token is in the first of them."""
    values = np.zeros(length)
    for place in range(count):
        values[200 * place : 200 * place + 5] = 2.0
    values[0] = 3.0
    return values


@pytest.mark.parametrize(("phases", "warned"), [(1, True), (2, True), (3, False), (4, False)])
def test_too_few_phases(phases, warned):
    group = of(*[bumps(phases)] * 2, config=HEPConfig(0.2, 80, 2))
    assert [len(c.trajectory.phases(c.config).starts) for c in group] == [phases] * 2
    sentence = one(group, PHASES)
    assert (sentence is not None) is warned
    assert not warned or sentence.startswith("2 of 2 rollouts have")


@pytest.mark.parametrize(
    ("length", "top", "warned"), [(999, 1, True), (1000, 1, False), (199, 5, True), (200, 5, False)]
)
def test_thresholds_on_a_handful_of_tokens(length, top, warned):
    group = of(noise(length), noise(length, 1), config=HEPConfig(top, 80, 2))
    sentence = one(group, TOKENS)
    assert (sentence is not None) is warned
    assert (
        not warned or f"the top {top} % of their tokens are fewer than 10 (median {length * top / 100:.3g})" in sentence
    )


def test_only_tokens_with_the_signal_count_for_a_threshold():
    assert one(of(noise(1200, seen=0.85)), TOKENS) is None  # 1020 of them
    assert one(of(noise(1200, seen=0.8)), TOKENS) is not None


def peaks(high, other, length=100):
    """One phase of the highest token, and one of as many tokens as it takes to draw the centroid away."""
    values = np.zeros(length)
    values[other : other + 6] = 1.0
    values[high] = 2.0
    return values


def test_a_centroid_that_is_the_place_of_one_token():
    alone = np.zeros(100)
    alone[70] = 2.0
    assert one(of(alone, alone), ARGMAX).startswith("2 of 2 rollouts have their centroid where their highest entropy")
    assert one(of(peaks(70, 10), config=HEPConfig(5, 80, 2)), ARGMAX) is None


def test_a_gap_before_it_does_not_hide_that_token():
    alone = np.zeros(100)
    alone[:50], alone[70] = np.nan, 2.0
    assert one(of(alone), ARGMAX) is not None


@pytest.mark.parametrize(("affected", "warned"), [(0, False), (2, False), (3, True), (8, True)])
def test_a_few_affected_rollouts_are_no_reason(affected, warned):
    group = of(*[noise(999, s) for s in range(affected)], *[noise(1000, s) for s in range(8 - affected)])
    sentence = one(group, TOKENS)
    assert (sentence is not None) is warned
    assert not warned or sentence.startswith(f"{affected} of 8 rollouts")


@pytest.mark.parametrize(("seen", "warned"), [(0.84, False), (0.83, True), (0.5, True)])
def test_low_coverage(seen, warned):
    sentence = one(of(*[noise(seen=seen)] * 4), LOW)
    assert (sentence is not None) is warned
    assert not warned or f"less than 83% of their tokens (of {seen:.0%} at worst)" in sentence


@pytest.mark.parametrize(("seen", "warned"), [(0.85, False), (0.8, True)])
def test_unequal_coverage(seen, warned):
    sentence = one(of(noise(), noise(seed=1), noise(seed=2), noise(seen=seen)), UNEQUAL)
    assert (sentence is not None) is warned
    assert not warned or "from 80% to 100%" in sentence


@pytest.mark.parametrize(("left_out", "warned"), [(0, False), (2, False), (3, True), (7, True)])
def test_rollouts_left_out(left_out, warned):
    known = of(*(noise(seed=seed) for seed in range(8 - left_out)))
    blind = [Candidate(9 + i, Trajectory(), unscored="coverage") for i in range(left_out)]
    failed = [Candidate(20 + i, Trajectory(), unscored=None, error="timeout") for i in range(5)]
    sentence = one([*known, *blind, *failed], "too few of their tokens")
    assert (sentence is not None) is warned
    assert not warned or sentence.startswith(f"{left_out} of 8 rollouts have logprobs")


def test_coverage_that_nobody_knows_is_passed_over():
    group = [Candidate(i, Trajectory([Call([]), Call(noise(seed=i))])) for i in range(2)]
    assert group[0].trajectory.coverage is None
    assert validity(group) == ()


@pytest.mark.parametrize(("length", "warned"), [(1999, False), (2000, True), (9000, True)])
def test_very_unequal_lengths(length, warned):
    sentence = one(of(noise(1000), noise(length)), LENGTHS)
    assert (sentence is not None) is warned
    assert not warned or f"from 1000 to {length} tokens" in sentence


@pytest.mark.parametrize(("unplaced", "warned"), [(0, False), (20, False), (21, True), (400, True)])
def test_tokens_whose_place_is_not_known(unplaced, warned):
    """In one rollout of eight they are enough: it is compared with all others."""
    alone = Candidate(8, Trajectory([Call(noise(1000, seed=8), unplaced=unplaced)]))
    group = [*of(*(noise(1000, seed=seed) for seed in range(7))), alone]
    sentence = one(group, "whose place is not known")
    assert (sentence is not None) is warned
    assert not warned or (sentence.startswith("1 of 8") and len(sentence) < 200)
    assert one(group, "whose place is not known", phases=False) is None


def test_without_phases_only_coverage_and_lengths():
    group = of([2.0, 0.0, 0.0], [2.0, None, None, None, None, None])
    said = validity(group, phases=False)
    assert [any(word in note for note in said) for word in (LOW, UNEQUAL, LENGTHS)] == [True] * 3
    assert len(said) == 3
    assert len(validity(group)) == 6


def test_it_looks_at_the_signal_it_is_told():
    alone = np.zeros(2000)
    alone[700:720], alone[710] = 1.0, 2.0
    one_way = [Candidate(0, Trajectory([Call(alone, signals={"surprisal": noise()})]))]
    the_other = [Candidate(0, Trajectory([Call(noise(), signals={"surprisal": alone})]))]
    assert (one(one_way, "highest entropy") is None, validity(one_way, "surprisal")) == (False, ())
    assert (one(the_other, "highest surprisal", signal="surprisal") is None, validity(the_other)) == (False, ())


def test_the_order_of_the_candidates_plays_no_part():
    group = of(noise(50), noise(700, 1), noise(2000, 2, seen=0.6), noise(1000, 3))
    assert function(group) == function(group[::-1])


def test_each_is_one_sentence_without_a_stop():
    for note in validity(of(noise(50), noise(200, seen=0.5))):
        assert "\n" not in note
        assert not note.endswith(".")
        assert len(note) < 200


ADVICE = r"; (use|ask|compare|leave|set) [^;:]+(\(\)|logprobs|selector|client|tokens|another|leave it)"


def doubtful():
    """A group of candidates for each kind of doubt, with the signal that is read."""
    seen = [noise(seen=0.5, seed=seed) for seed in range(16)]
    fellows = of(*(noise(seed=seed) for seed in range(2)))
    return {
        "short": (of(*[bumps(1, 32000)[:400]] * 16), {}),
        "one token's place": (of(*[bumps(1)] * 16, config=HEPConfig(0.05, 80, 2)), {}),
        "low coverage": (of(*seen), {}),
        "unequal coverage": (of(noise(), noise(seen=0.8)), {}),
        "left out": ([*fellows, Candidate(9, Trajectory(), unscored="coverage")], {}),
        "no model": ([*fellows, Candidate(9, Trajectory(), unscored="no model")], {}),
        "lengths": (of(noise(1000), noise(32000)), {"phases": False}),
    }


@pytest.mark.parametrize("kind", doubtful())
def test_each_warning_ends_with_what_to_do(kind):
    group, more = doubtful()[kind]
    notes = validity(group, **more)
    assert notes
    for note in notes:
        assert re.search(f"{ADVICE}$", note), note
        assert len(note) < 200


def test_a_window_longer_than_rollouts_gives_advice():
    values = np.full(20, 0.5)
    group = [Candidate(i, Trajectory([Call(values, signals={"confidence": values})])) for i in range(2)]
    (note,) = [note for note in DeepConfTail(2048).select(group).warnings if "window" in note]
    assert re.search(f"{ADVICE}$", note)
    assert len(note) < 200
