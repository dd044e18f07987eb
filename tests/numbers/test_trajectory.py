from __future__ import annotations

import copy
import gc
import itertools
import pickle
import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import baseline as restatement
from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.numbers.entropy import token_entropy
from ec_agent.numbers.phases import HEPConfig, entropy_centroid, high_entropy_phases
from ec_agent.numbers.trajectory import Call, Trajectory, reward

pytestmark = pytest.mark.filterwarnings("error")

NAN = float("nan")


def same(array, expected):
    """Equal, NaN where NaN (or None) is expected, and of the same shape."""
    array = np.asarray(array)
    expected = np.array([NAN if h is None else h for h in expected], dtype=np.float64)
    return (
        array.dtype == np.float64 and array.shape == expected.shape and np.array_equal(array, expected, equal_nan=True)
    )


# One call


def test_a_call_counts_its_entropies():
    call = Call([0.5, None, 0.25])
    assert call.tokens == 3
    assert same(call.entropies, [0.5, None, 0.25])


def test_a_call_is_filled_up_to_its_tokens():
    call = Call([0.5, 0.25], tokens=5)
    assert call.tokens == 5
    assert same(call.entropies, [0.5, 0.25, None, None, None])


def test_a_call_of_gaps_only():
    call = Call([], tokens=3)
    assert call.tokens == 3
    assert same(call.entropies, [None, None, None])


def test_a_call_with_all_its_entropies_is_not_filled():
    assert same(Call([0.5, 0.25], tokens=2).entropies, [0.5, 0.25])


def test_a_call_of_nothing_is_unknown():
    call = Call([])
    assert call.tokens is None
    assert same(call.entropies, [])


def test_a_call_of_no_tokens_is_known():
    call = Call([], tokens=0)
    assert call.tokens == 0
    assert same(call.entropies, [])


@pytest.mark.parametrize(("entropies", "tokens"), [([0.5, 0.25], 1), ([0.5], 0), ([None, None], 1), ([], -1)])
def test_more_entropies_than_tokens_are_refused(entropies, tokens):
    with pytest.raises(ConfigError, match="tokens"):
        Call(entropies, tokens=tokens)


@pytest.mark.parametrize("entropies", [[np.inf], "text", [[0.5]], None, 0.5])
def test_unreadable_entropies_are_refused(entropies):
    with pytest.raises(LogprobsError):
        Call(entropies)
    with pytest.raises(LogprobsError):
        Trajectory.from_entropies([0.1], entropies)


def test_further_signals_keep_step_with_the_tokens():
    call = Call([0.5, 0.25], tokens=4, signals={"logprob": [-1.0, None]})
    assert same(call.signal("entropy"), [0.5, 0.25, None, None])
    assert same(call.signal("logprob"), [-1.0, None, None, None])


@pytest.mark.parametrize(
    ("entropies", "tokens", "signal"),
    [
        ([0.5, 0.25], 4, [-1.0, -2.0, -3.0, -4.0]),
        ([], 2, [-1.0, -2.0]),
        ([], 3, [-1.0, -2.0]),
        ([0.5, 0.25], None, [-1.0]),
        ([0.5, 0.25], 4, [-1.0]),
        ([0.5, 0.25], 4, []),
    ],
)
def test_a_signal_has_one_value_per_token(entropies, tokens, signal):
    call = Call(entropies, tokens=tokens, signals={"logprob": signal})
    assert same(call.signal("entropy"), [*entropies, *[None] * (call.tokens - len(entropies))])
    assert same(call.signal("logprob"), [*signal, *[None] * (call.tokens - len(signal))])


@pytest.mark.parametrize(("entropies", "tokens"), [([0.5, 0.25], None), ([0.5], 2), ([], 0), ([], None)])
def test_more_values_than_tokens_are_refused(entropies, tokens):
    with pytest.raises(ConfigError, match="logprob"):
        Call(entropies, tokens=tokens, signals={"logprob": [-1.0, -2.0, -3.0]})


def test_a_signal_that_was_not_kept_is_refused():
    call = Call([0.5], signals={"logprob": [-1.0]})
    with pytest.raises(ConfigError, match="self_certainty"):
        call.signal("self_certainty")
    with pytest.raises(ConfigError, match="logprob"):
        Trajectory([call, Call([0.5])]).signal("logprob")
    with pytest.raises(ConfigError, match="logprob"):
        Trajectory([Call([0.5])]).signal("logprob")


def test_a_call_keeps_its_facts():
    call = Call([0.5], model="m", node="agent", started=1.0, ended=2.5, prompt_tokens=7, cached_tokens=3, texts=("a",))
    assert (call.model, call.node, call.started, call.ended) == ("m", "agent", 1.0, 2.5)
    assert (call.prompt_tokens, call.cached_tokens, call.texts) == (7, 3, ("a",))


@pytest.mark.parametrize("name", ["entropies", "tokens", "signals"])
def test_a_call_is_frozen(name):
    with pytest.raises(FrozenInstanceError):
        setattr(Call([0.5]), name, None)


# Timeline


def test_calls_are_concatenated_in_their_order():
    trajectory = Trajectory([Call([1.0, 2.0]), Call([], tokens=2), Call([3.0], tokens=2), Call([]), Call([4.0])])
    assert len(trajectory) == 7
    assert same(trajectory.entropies, [1.0, 2.0, None, None, 3.0, None, 4.0])
    assert trajectory.scored_tokens == 4


def test_from_entropies_takes_one_sequence_a_call():
    trajectory = Trajectory.from_entropies([1.0, None], (), np.array([2.0]))
    assert [call.tokens for call in trajectory.calls] == [2, None, 1]
    assert same(trajectory.entropies, [1.0, None, 2.0])
    assert len(Trajectory.from_entropies()) == 0


def test_further_signals_are_concatenated_too():
    trajectory = Trajectory(
        [Call([1.0, 2.0], tokens=3, signals={"logprob": [-1.0, -2.0]}), Call([3.0], signals={"logprob": [-3.0]})]
    )
    assert same(trajectory.signal("logprob"), [-1.0, -2.0, None, -3.0])
    assert same(trajectory.signal("entropy"), trajectory.entropies)


@pytest.mark.parametrize("calls", [(), [Call([])], [Call([], tokens=0)], [Call([]), Call([])]])
def test_a_timeline_without_tokens(calls):
    trajectory = Trajectory(calls)
    assert len(trajectory) == 0
    assert same(trajectory.entropies, [])
    assert trajectory.scored_tokens == 0
    assert trajectory.coverage is None
    assert trajectory.centroid() is None
    assert len(trajectory.phases().starts) == 0
    assert reward(trajectory) is None


def test_any_sequence_of_calls_is_kept_as_a_tuple():
    calls = [Call([1.0]), Call([2.0])]
    trajectory = Trajectory(calls)
    calls.append(Call([3.0]))
    assert isinstance(trajectory.calls, tuple)
    assert len(trajectory) == 2
    with pytest.raises(FrozenInstanceError):
        trajectory.calls = ()


@given(st.lists(st.tuples(own.gapped_timelines, st.integers(0, 5)), max_size=6), own.configs)
@own.examples(300)
def test_calls_make_one_timeline(drawn, config):
    calls = [Call(entropies, tokens=len(entropies) + missing) for entropies, missing in drawn]
    timeline = [h for entropies, missing in drawn for h in [*entropies, *[None] * missing]]
    trajectory = Trajectory(calls)
    assert len(trajectory) == len(timeline) == len(trajectory.entropies)
    assert same(trajectory.entropies, timeline)
    assert trajectory.centroid(config) == entropy_centroid(timeline, config)
    for ours, flat in zip(trajectory.phases(config), high_entropy_phases(timeline, config), strict=True):
        assert ours.tolist() == flat.tolist()


@given(own.timelines, st.lists(st.integers(0, 60), max_size=5), own.configs)
@own.examples(300)
def test_the_centroid_ignores_ends_of_calls(entropies, cuts, config):
    bounds = [0, *sorted(min(cut, len(entropies)) for cut in cuts), len(entropies)]
    parts = [entropies[begin:end] for begin, end in itertools.pairwise(bounds)]
    whole, split = Trajectory.from_entropies(entropies), Trajectory.from_entropies(*parts)
    assert same(split.entropies, whole.entropies)
    assert split.centroid(config) == whole.centroid(config)
    assert split.phases(config).starts.tolist() == whole.phases(config).starts.tolist()
    assert split.phases(config).durations.tolist() == whole.phases(config).durations.tolist()


@pytest.mark.parametrize("case", own.CASES["trajectories"], ids=lambda case: case["name"])
def test_method_case_cut_into_calls(case):
    entropies = case["entropies"]
    trajectory = Trajectory.from_entropies(entropies[:3], entropies[3:11], [], entropies[11:])
    config = HEPConfig(case["top_percent"], case["bottom_percent"], case["consecutive_low"])
    assert trajectory.centroid(config) == case["centroid"]
    assert [list(phase) for phase in zip(*map(np.ndarray.tolist, trajectory.phases(config)), strict=True)] == case[
        "phases"
    ]
    assert reward(trajectory, config) == (None if case["centroid"] is None else 1.0 - case["centroid"])


def test_a_phase_goes_on_into_the_next_call():
    trajectory = Trajectory.from_entropies([0.0, 9.0, 5.0], [5.0, 0.0], [0.0, 0.0])
    starts, durations = trajectory.phases(HEPConfig(0, 0, 2))
    assert (starts.tolist(), durations.tolist()) == ([1], [3])
    assert trajectory.centroid(HEPConfig(0, 0, 2)) == 2.5 / 7


def test_a_phase_spans_a_call_without_logprobs():
    trajectory = Trajectory([Call([0.0, 9.0]), Call([], tokens=5), Call([5.0, 0.0, 0.0])])
    starts, durations = trajectory.phases(HEPConfig(0, 0, 2))
    assert (starts.tolist(), durations.tolist()) == ([1], [2])
    assert trajectory.centroid(HEPConfig(0, 0, 2)) == 2 / 10


def test_thresholds_are_those_of_the_whole_rollout():
    # Alone, the first call has its own peak; beside the second, it has none.
    config = HEPConfig(0, 0, 1)
    assert Trajectory.from_entropies([0.0, 1.0, 0.0]).phases(config).starts.tolist() == [1]
    assert Trajectory.from_entropies([0.0, 1.0, 0.0], [0.0, 9.0]).phases(config).starts.tolist() == [4]


def test_the_defaults_reach_the_phases():
    entropies = own.draw_timeline(np.random.default_rng(60), 500)
    trajectory = Trajectory.from_entropies(entropies)
    expected = restatement.phases(own.plain(entropies), 1, 80, 2)
    assert [*zip(*map(np.ndarray.tolist, trajectory.phases()), strict=True)] == expected
    assert trajectory.centroid() == restatement.centroid(expected, len(entropies))


# Coverage


@pytest.mark.parametrize(
    ("calls", "coverage"),
    [
        ([Call([0.5, 0.5])], 1.0),
        ([Call([0.5, None])], 0.5),
        ([Call([None, None])], 0.0),
        ([Call([0.5], tokens=4)], 0.25),
        ([Call([], tokens=4)], 0.0),
        ([Call([0.5, 0.5]), Call([], tokens=2)], 0.5),
        ([Call([0.5]), Call([], tokens=0)], 1.0),
        ([Call([0.5]), Call([])], None),  # the second call's tokens are not known
        ([Call([]), Call([0.5])], None),
        ([Call([], tokens=3), Call([])], None),
        ([Call([])], None),
        ([Call([], tokens=0)], None),
        ([], None),
    ],
)
def test_coverage(calls, coverage):
    assert Trajectory(calls).coverage == coverage


@given(st.lists(st.tuples(own.gapped_timelines, st.integers(0, 5)), max_size=6))
@own.examples(200)
def test_coverage_is_a_share_of_all_tokens(drawn):
    trajectory = Trajectory([Call(entropies, tokens=len(entropies) + missing) for entropies, missing in drawn])
    scored = sum(h is not None and h == h for entropies, _ in drawn for h in entropies)
    total = sum(len(entropies) + missing for entropies, missing in drawn)
    assert trajectory.scored_tokens == scored
    assert trajectory.coverage == (scored / total if total else None)


# Reward


@given(own.timelines, own.configs)
@own.examples(300)
def test_reward_is_one_less_the_centroid(entropies, config):
    trajectory = Trajectory.from_entropies(entropies)
    centroid = entropy_centroid(entropies, config)
    if centroid is None:
        assert reward(trajectory, config) is None
    else:
        assert reward(trajectory, config) == 1.0 - centroid
        assert 0.0 < reward(trajectory, config) <= 1.0


def test_reward_uses_the_settings_given():
    trajectory = Trajectory.from_entropies([9.0, 0.0, 0.0, 8.0, 0.0])
    assert reward(trajectory, HEPConfig(0, 0, 2)) == 1 - 0.5 / 5
    assert reward(trajectory, HEPConfig(0, 0, 3)) == 1 - 2.5 / 5
    assert reward(trajectory) == reward(trajectory, HEPConfig())


@pytest.mark.parametrize("calls", [[], [Call([])], [Call([], tokens=5)], [Call([None, NAN])]])
def test_not_scored_is_not_zero(calls):
    assert reward(Trajectory(calls)) is None
    assert Trajectory(calls).centroid() is None


def test_uncertain_early_is_rewarded_over_uncertain_late():
    early = Trajectory.from_entropies([3.0, 2.0, *[0.0] * 20])
    late = Trajectory.from_entropies([*[0.0] * 20, 2.0, 3.0])
    assert reward(early) > reward(late)


# What is kept


def test_eight_bytes_a_token_are_kept():
    rng = np.random.default_rng(8)
    token_entropy(own.draw_rows(rng, 1, 20))  # the thread's own working memory, once, whatever is captured
    gc.collect()
    tracemalloc.start()
    try:
        calls = []
        for _ in range(20):
            top = own.draw_rows(rng, 5_000, 20)
            calls.append(Call(token_entropy(top), tokens=5_100, model="m", node="agent", started=0.0, ended=1.0))
        del top
        trajectory = Trajectory(calls)
        del calls
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(trajectory) == 102_000
    assert sum(call.entropies.nbytes for call in trajectory.calls) == 8 * len(trajectory)
    assert all(call.entropies.base is None for call in trajectory.calls)
    assert kept <= 8 * len(trajectory) + 20 * 2_000


def test_phases_are_found_once_where_they_are_few():
    few = Trajectory.from_entropies([9.0, *[0.0] * 20], [9.0, *[0.0] * 20])
    assert few.phases() is few.phases(HEPConfig())
    assert few.phases() is not few.phases(HEPConfig(5, 50, 3))
    with pytest.raises(ValueError, match="read-only"):
        few.phases().starts[0] = 7
    many = Trajectory.from_entropies([9.0, 0.0, 0.0] * 20)
    assert len(many.phases(HEPConfig(30, 50, 2)).starts) == 20
    assert many.phases(HEPConfig(30, 50, 2)) is not many.phases(HEPConfig(30, 50, 2))


def test_eight_bytes_a_token_for_each_further_signal():
    call = Call(np.zeros(1000), tokens=1200, signals={"logprob": np.zeros(1000)})
    assert call.signal("entropy").nbytes == call.signal("logprob").nbytes == 8 * 1200
    assert not hasattr(call, "__dict__")
    assert not hasattr(Trajectory([call]), "__dict__")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_are_alike(copied):
    trajectory = Trajectory([Call([1.0, 2.0], tokens=3, signals={"logprob": [-1.0, -2.0]}), Call([])])
    twin = copied(trajectory)
    assert same(twin.entropies, trajectory.entropies)
    assert same(twin.signal("entropy"), [1.0, 2.0, None])
    assert [call.tokens for call in twin.calls] == [3, None]
    assert twin.coverage is None
    assert twin.centroid() == trajectory.centroid()


@pytest.mark.parametrize("tokens", [2.5, "3", True, [1]])
def test_a_token_count_is_a_whole_number(tokens):
    with pytest.raises(ConfigError, match="tokens"):
        Call([0.1], tokens=tokens)


def test_a_call_keeps_a_copy_of_its_own():
    mine = np.array([0.1, 0.2])
    call = Call(mine)
    mine[0] = 9.0
    assert call.entropies.tolist() == [0.1, 0.2]
    with pytest.raises(ValueError, match="read-only"):
        call.entropies[0] = 9.0


def test_calls_and_trajectories_can_be_compared_and_hashed():
    call = Call([0.1, 0.2])
    assert call == call
    assert call != Call([0.1, 0.2])
    assert len({call, Trajectory([call]), Trajectory([call])}) == 3
