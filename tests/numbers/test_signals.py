from __future__ import annotations

import numpy as np
import pytest
import strategies as own

from ec_agent.entropy import token_entropy
from ec_agent.errors import ConfigError
from ec_agent.signals import ENTROPY, SIGNALS, TokenLogprobs, check_signals

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
