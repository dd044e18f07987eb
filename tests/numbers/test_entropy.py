from __future__ import annotations

import math

import numpy as np
import pytest
import strategies as own
import tracing
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import baseline as restatement
from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.numbers.entropy import BLOCK, as_timeline, token_entropy

pytestmark = pytest.mark.filterwarnings("error")

# Same order of operations on both sides: what is left is the last bit of exp and log.
TOLERANCE = 4e-15


def same_bits(a, b):
    return np.asarray(a, np.float64).tobytes() == np.asarray(b, np.float64).tobytes()


def agrees(value, expected):
    return math.isnan(value) if expected is None else abs(value - expected) <= TOLERANCE


# What the method says


@pytest.mark.parametrize("case", own.CASES["token_entropy"])
def test_method_case(case):
    assert abs(token_entropy(case["logprobs"], case["top_k"]) - case["entropy"]) <= TOLERANCE
    assert agrees(case["entropy"], restatement.token_entropy(case["logprobs"], case["top_k"]))


def test_every_method_case_is_here():
    assert len(own.CASES["token_entropy"]) == 22


@pytest.mark.parametrize(
    ("probabilities", "nats"),
    [
        ([1.0], 0.0),
        ([0.5, 0.5], math.log(2)),
        ([0.25] * 4, math.log(4)),
        ([0.1, 0.1], math.log(2)),  # renormalised
        ([0.5, 0.25, 0.25], 1.5 * math.log(2)),
        ([0.05] * 20, math.log(20)),
        ([0.6, 0.2], -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))),
    ],
)
def test_entropy_in_nats(probabilities, nats):
    assert token_entropy(np.log(probabilities)) == pytest.approx(nats, abs=1e-14)


@given(own.padded_candidates, own.top_ks)
@own.examples(1000)
def test_equals_the_restatement(row, top_k):
    assert agrees(token_entropy(row, top_k), restatement.token_entropy(row, top_k))


def test_equals_the_restatement_in_bulk():
    rng = np.random.default_rng(20260429)
    for _ in range(200):
        rows = own.draw_rows(rng, tokens=100, k=int(rng.integers(1, 21)))
        top_k = [None, 1, 5, 10, 20][rng.integers(5)]
        entropies = token_entropy(rows, top_k)
        assert all(
            agrees(entropy, restatement.token_entropy(row.tolist(), top_k))
            for entropy, row in zip(entropies, rows, strict=True)
        )


def test_entropies_equal_the_restatement_bit_for_bit():
    # Descending and left to right: any other order of the same operations shows in the last bits.
    rng = np.random.default_rng(20260430)
    for k in (1, 2, 3, 5, 10, 20, 40):
        rows = own.draw_rows(rng, tokens=100, k=k)
        expected = [restatement.token_entropy(row, None, restatement.numpy_exp, restatement.numpy_log) for row in rows]
        assert same_bits(token_entropy(rows), [np.nan if h is None else h for h in expected])


# Laws


@given(own.padded_candidates, own.top_ks, st.randoms(use_true_random=False))
@own.examples(300)
def test_order_of_candidates_does_not_matter(row, top_k, random):
    shuffled = list(row)
    random.shuffle(shuffled)
    assert same_bits(token_entropy(shuffled, top_k), token_entropy(row, top_k))


@given(own.padded_candidates, st.integers(1, 25))
@own.examples(300)
def test_top_k_keeps_the_k_largest(row, top_k):
    kept = sorted(row, reverse=True)[:top_k]
    assert same_bits(token_entropy(row, top_k), token_entropy(kept))


@given(own.padded_candidates)
@own.examples(300)
def test_top_k_beyond_the_candidates_keeps_them_all(row):
    for top_k in (len(row), len(row) + 1, 1000):
        assert same_bits(token_entropy(row, top_k), token_entropy(row))


def test_top_k_cuts():
    assert token_entropy([-1.0, -1.0, -1.0, -1.0], 1) == 0.0
    assert token_entropy([-1.0, -1.0, -1.0, -1.0], 2) == pytest.approx(math.log(2))
    assert token_entropy([-9.0, -1.0, -1.0], 2) == pytest.approx(math.log(2))


@given(own.padded_candidates, own.top_ks, st.integers(0, 30), st.sampled_from([-np.inf, -9999.0]))
@own.examples(300)
def test_padding_adds_nothing(row, top_k, count, pad):
    padded = [*row, *[pad] * count]
    assert same_bits(token_entropy(padded, top_k), token_entropy(row, top_k))
    assert same_bits(token_entropy(padded[::-1], top_k), token_entropy(row, top_k))


@given(own.candidates)
@own.examples(300)
def test_between_zero_and_the_log_of_k(row):
    entropy = token_entropy(row)
    assert 0.0 <= entropy <= math.log(len(row)) + TOLERANCE
    assert math.copysign(1.0, entropy) == 1.0  # never -0.0


@given(own.candidates, st.floats(-30, 0))
@own.examples(300)
def test_a_common_factor_does_not_matter(row, shift):
    assert token_entropy([lp + shift for lp in row]) == pytest.approx(token_entropy(row), abs=1e-12)


# Shapes


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8, 20])
@pytest.mark.parametrize("tokens", [1, 2, 3, 7, 8, 9, 64, 257])
def test_rows_equal_single_rows_bit_for_bit(tokens, k):
    rows = own.draw_rows(np.random.default_rng(tokens * 100 + k), tokens, k)
    for top_k in (None, 1, 3, 20):
        singles = [token_entropy(row, top_k) for row in rows]
        assert same_bits(token_entropy(rows, top_k), singles)
        assert same_bits(token_entropy(np.asfortranarray(rows), top_k), singles)
        assert same_bits(token_entropy(rows[::-1], top_k), singles[::-1])
        assert same_bits(token_entropy(rows.tolist(), top_k), singles)


def test_types_and_shapes_of_the_answer():
    assert type(token_entropy([-1.0, -2.0])) is float
    assert type(token_entropy([])) is float
    many = token_entropy([[-1.0, -2.0], [-1.0, -1.0], [-3.0, -0.1]])
    assert many.shape == (3,)
    assert many.dtype == np.float64
    assert token_entropy(np.empty((0, 5))).shape == (0,)
    assert token_entropy(np.empty((0, 0))).shape == (0,)


def test_float32_is_read_as_it_is():
    rows = own.draw_rows(np.random.default_rng(1), 20, 5).astype(np.float32)
    assert same_bits(token_entropy(rows), token_entropy(rows.astype(np.float64)))


def test_the_input_is_left_alone():
    rows = own.draw_rows(np.random.default_rng(2), 20, 5)
    before = rows.copy()
    rows.flags.writeable = False
    token_entropy(rows, 3)
    assert same_bits(rows, before)


def test_the_answer_holds_on_to_nothing_else():
    entropies = token_entropy(own.draw_rows(np.random.default_rng(3), 100, 20))
    assert entropies.base is None
    assert entropies.nbytes == 8 * 100


# Not known is not confident


@pytest.mark.parametrize("top_k", [None, 1, 2, 20])
@pytest.mark.parametrize(
    "row",
    [
        [],
        [-np.inf],
        [-np.inf] * 5,
        [-9999.0],
        [-9999.0, -9999.0],
        [-9999.0, -np.inf],
        [-800.0, -5000.0],
        [np.nan],
        [None],
        [np.inf],
        [None, None],
        [-1.0, np.nan],
        [np.nan, -1.0],
        [-0.1, -1.0, None],
        [-0.1, np.inf],
        [np.inf, np.inf],
        [np.inf, np.nan],
        [np.inf, -np.inf],
        [-np.inf, np.nan],
    ],
)
def test_no_entropy(row, top_k):
    assert math.isnan(token_entropy(row, top_k))
    assert np.isnan(token_entropy([row, row], top_k)).all()


@given(own.padded_candidates, own.unknown, st.integers(0, 20), own.top_ks)
@own.examples(400)
def test_one_unknown_candidate_leaves_the_token_unknown(row, hole, at, top_k):
    row.insert(at, hole)
    assert math.isnan(token_entropy(row, top_k))


@given(st.lists(st.sampled_from([-np.inf, -9999.0, -746.0, np.nan, np.inf]), max_size=20), own.top_ks)
@own.examples(300)
def test_never_zero_from_nothing(row, top_k):
    assert math.isnan(token_entropy(row, top_k))


def test_a_certain_candidate_among_impossible_ones_is_known():
    assert token_entropy([0.0, -9999.0, -9999.0]) == 0.0
    assert token_entropy([-9999.0, -0.3, -np.inf]) == 0.0


def test_an_unknown_token_leaves_its_neighbours_alone():
    rows = own.draw_rows(np.random.default_rng(4), 50, 10)
    clean = token_entropy(rows)
    holes = [0, 7, 8, 31, 49]
    for hole in (np.nan, np.inf):
        spoilt = rows.copy()
        spoilt[holes, 3] = hole
        entropies = token_entropy(spoilt)
        assert np.isnan(entropies[holes]).all()
        assert same_bits(np.delete(entropies, holes), np.delete(clean, holes))


# Refusals


@pytest.mark.parametrize(
    "logprobs",
    [
        -1.0,
        None,
        "no numbers",
        ["a", "b"],
        [[-1.0, -2.0], [-1.0]],
        [[[-1.0]]],
        np.zeros((2, 2, 2)),
        {"a": -1.0},
        [{"logprob": -1.0}],
        object(),
        [1j],
    ],
)
def test_unreadable_logprobs_are_refused(logprobs):
    with pytest.raises(LogprobsError, match="logprobs"):
        token_entropy(logprobs)


@pytest.mark.parametrize(
    "logprobs",
    [
        ["-1", "-2"],
        [-1.0, "-2"],
        [None, "-2"],
        [b"-1"],
        [[-1.0, -2.0], [-1.0, "-2.0"]],
        [[None, -2.0], [-1.0, "-2.0"]],
        [None, 1j],
        np.array([-1 + 0j]),
        np.array(["-1"]),
        [10**400],
        [None, 10**400],
    ],
)
def test_what_numpy_would_read_as_a_number_is_refused(logprobs):
    with pytest.raises(LogprobsError, match="cannot be read"):
        token_entropy(logprobs)
    if np.ndim(logprobs) == 1:
        with pytest.raises(LogprobsError, match="cannot be read"):
            as_timeline(logprobs)


@given(st.lists(st.one_of(own.logprobs, own.absent, own.unknown), max_size=8))
@own.examples(200)
def test_lists_with_none_are_read_as_arrays_with_nan(row):
    array = np.array([np.nan if lp is None else lp for lp in row], dtype=np.float64)
    assert same_bits(token_entropy(row), token_entropy(array))
    assert same_bits(token_entropy([row, row]), token_entropy(np.array([array, array])))


@pytest.mark.parametrize("top_k", [0, -1, 1.0, 1.5, "5", True, False, math.nan, math.inf, [1]])
def test_bad_top_k_is_refused(top_k):
    with pytest.raises(ConfigError, match="top_k"):
        token_entropy([-1.0, -2.0], top_k)


# as_timeline


def test_none_becomes_nan():
    timeline = as_timeline([0.5, None, 0.0, float("nan")])
    assert timeline.dtype == np.float64
    assert same_bits(np.isnan(timeline), [False, True, False, True])
    assert timeline[0] == 0.5
    assert timeline[2] == 0.0


def test_an_empty_timeline_is_a_timeline():
    assert as_timeline([]).shape == (0,)
    assert as_timeline(()).shape == (0,)
    assert as_timeline([None, None]).shape == (2,)


def test_array_likes_are_read():
    for given_as in ((1, 2, 3), [1.0, 2.0, 3.0], np.array([1, 2, 3], np.int32), np.array([1, 2, 3], np.float16)):
        assert as_timeline(given_as).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "entropies",
    [0.5, None, "text", ["a"], [[0.5]], [[0.5], [0.5, 0.1]], [0.5, np.inf], [-np.inf], {"a": 1}, np.zeros((3, 1))],
)
def test_what_is_no_timeline_is_refused(entropies):
    with pytest.raises(LogprobsError, match="entropies"):
        as_timeline(entropies)


# Cost


def test_no_python_per_token():
    rows = np.tile(own.draw_rows(np.random.default_rng(5), 1000, 20), (100, 1))
    rows[::7, 3] = np.nan
    blocks = len(rows) / BLOCK + 1
    assert tracing.lines(token_entropy, rows) < 60 * blocks  # some per block, none per token
    assert tracing.bytecodes(token_entropy, rows) < 600 * blocks
