from __future__ import annotations

import math

import numpy as np
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.errors import ConfigError
from ec_agent.numbers.entropy import token_entropy
from ec_agent.numbers.signals import ENTROPY, SIGNALS, TokenLogprobs, check_signals, leading

pytestmark = pytest.mark.filterwarnings("error")


def tokens_of(count, k=5):
    top = own.draw_rows(np.random.default_rng(count), count, k)
    sampled = top[:, 0].copy()
    if count > 2:
        top[1] = np.nan
        sampled[2] = np.nan
    return TokenLogprobs(top=top, sampled=sampled)


@pytest.mark.parametrize("count", [0, 1, 3, 100])
@pytest.mark.parametrize("name", list(SIGNALS))
def test_every_signal_is_one_float64_a_token(name, count):
    signal = SIGNALS[name](tokens_of(count))
    assert signal.shape == (count,)
    assert signal.dtype == np.float64
    assert signal.nbytes == 8 * count


def test_entropy_is_the_entropy_of_all_candidates_kept():
    tokens = tokens_of(50)
    signal = SIGNALS[ENTROPY](tokens)
    assert signal.tobytes() == token_entropy(tokens.top).tobytes()
    assert np.flatnonzero(np.isnan(signal)).tolist() == [1]


def test_logprob_is_that_of_the_sampled_token():
    tokens = tokens_of(50)
    signal = SIGNALS["logprob"](tokens)
    np.testing.assert_array_equal(signal, tokens.sampled)
    assert np.flatnonzero(np.isnan(signal)).tolist() == [2]


def of_row(name, row):
    return SIGNALS[name](TokenLogprobs(np.array([row], dtype=float), np.array([np.nan])))[0]


def slow_confidence(possible):
    total = 0.0
    for lp in possible:
        total -= lp
    return total / len(possible)


def slow_self_certainty(possible):
    """The divergence of the renormalised candidates from all being equally likely."""
    highest, k = max(possible), len(possible)
    weights = [math.exp(lp - highest) for lp in possible]
    total = 0.0
    for lp in possible:
        total -= math.log(k) + lp - highest - math.log(sum(weights))
    return total / k


@given(st.lists(st.one_of(own.logprobs, st.just(-np.inf)), min_size=1, max_size=20))
@own.examples(300)
def test_confidence_and_self_certainty_of_a_row(row):
    possible = [lp for lp in row if lp > -np.inf]
    if len(possible) < 2:
        assert np.isnan(of_row("confidence", row))
        assert np.isnan(of_row("self_certainty", row))
        return
    assert of_row("confidence", row) == pytest.approx(slow_confidence(possible), abs=1e-12)
    assert of_row("self_certainty", row) == pytest.approx(slow_self_certainty(possible), abs=1e-9)
    assert of_row("self_certainty", row) >= -1e-9
    for name in ("confidence", "self_certainty"):
        assert of_row(name, [*row, -np.inf]) == pytest.approx(of_row(name, row))  # padding is no candidate
        assert of_row(name, row[::-1]) == pytest.approx(of_row(name, row))


def test_self_certainty_renormalises_and_confidence_does_not():
    row = np.log([0.4, 0.1])
    assert of_row("confidence", row) == pytest.approx(-(math.log(0.4) + math.log(0.1)) / 2)
    assert of_row("self_certainty", row) == pytest.approx(-(math.log(1.6) + math.log(0.4)) / 2)  # of .8 and .2
    assert of_row("self_certainty", row - 3) == pytest.approx(of_row("self_certainty", row))
    assert of_row("confidence", row - 3) == pytest.approx(of_row("confidence", row) + 3)


@pytest.mark.parametrize("name", ["confidence", "self_certainty"])
def test_the_surer_the_higher(name):
    rows = [np.log([p, *[(1 - p) / 19] * 19]) for p in (0.05, 0.2, 0.9, 0.999)]
    values = [of_row(name, row) for row in rows]
    assert values == sorted(values)
    assert len(set(values)) == 4


def test_all_equally_likely_is_a_self_certainty_of_0():
    assert of_row("self_certainty", [math.log(0.01)] * 20) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", ["confidence", "self_certainty"])
@pytest.mark.parametrize(
    "row", [[0.0], [0.0, -np.inf, -np.inf], [-np.inf] * 3, [], [-1.0, np.nan, -2.0], [-1.0, np.inf, -2.0], [np.nan] * 3]
)
def test_without_two_candidates_there_is_neither(name, row):
    assert np.isnan(of_row(name, row))


@pytest.mark.parametrize("row", [[-1e5, -1e5 - 1], [-800.0, -700.0], [0.0, -1e300]])
def test_far_out_logprobs_neither_overflow_nor_underflow(row):
    assert of_row("self_certainty", row) == pytest.approx(slow_self_certainty(row), rel=1e-9)
    assert of_row("confidence", row) == pytest.approx(slow_confidence(row), rel=1e-9)


def test_the_leading_signal():
    assert leading(["logprob", "entropy"]) == "logprob"
    assert leading([ENTROPY]) == ENTROPY
    assert leading([]) is None


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        SIGNALS["mine"] = lambda tokens: tokens.sampled
    with pytest.raises(TypeError):
        del SIGNALS[ENTROPY]


def test_token_logprobs():
    assert len(tokens_of(7)) == 7
    assert tokens_of(7).texts is None
    with pytest.raises(AttributeError):
        tokens_of(7).texts = ("a",)


@pytest.mark.parametrize(
    ("names", "checked"),
    [
        ([], (ENTROPY,)),
        ([ENTROPY], (ENTROPY,)),
        (["logprob"], (ENTROPY, "logprob")),
        (["logprob", ENTROPY], (ENTROPY, "logprob")),
        (["logprob", "logprob", ENTROPY, ENTROPY], (ENTROPY, "logprob")),
        (iter(["logprob"]), (ENTROPY, "logprob")),
        (tuple(SIGNALS), tuple(SIGNALS)),
    ],
)
def test_entropy_comes_first_and_each_once(names, checked):
    assert check_signals(names) == checked


@pytest.mark.parametrize(
    "names", [["unheard"], ["logprob", "unheard"], ["Entropy"], [""], [None], ["unheard", "other"]]
)
def test_an_unknown_signal_is_refused(names):
    with pytest.raises(ConfigError, match="unknown signal") as caught:
        check_signals(names)
    # The message says what to do: it names the signals there are.
    assert all(name in str(caught.value) for name in SIGNALS)
