from __future__ import annotations

import numpy as np
import pytest
import slowly
import strategies as own
import tracing
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.selectors.windows import window_means

pytestmark = pytest.mark.filterwarnings("error")


@given(st.lists(st.floats(-1e6, 1e6), max_size=60), st.integers(1, 70))
@own.examples(300)
def test_every_window_and_no_other(values, window):
    means = window_means(np.array(values), window)
    np.testing.assert_allclose(means, slowly.window_means(values, window), rtol=1e-9, atol=1e-7)


def test_a_long_run_of_windows_keeps_its_digits():
    values = 30.0 + np.random.default_rng(5).random(100_000)
    means = window_means(values, 2048)
    for place in (0, 50_000, 97_952):
        assert means[place] == pytest.approx(values[place : place + 2048].mean(), abs=1e-10)
    assert len(means) == 97_953


@given(st.integers(0, 2**32), st.integers(1, 40))
@own.examples(100)
def test_equal_beginnings_have_equal_window_means(seed, window):
    """To the last bit: a rounding error must not break a tie."""
    draw = np.random.default_rng(seed)
    shared, one, other = draw.random(60), draw.random(30), draw.random(50)
    windows = 60 - window + 1
    a, b = (window_means(np.concatenate([shared, rest]), window)[:windows] for rest in (one, other))
    assert a.tobytes() == b.tobytes()


def test_no_python_loop_over_tokens():
    short, long = (tracing.bytecodes(window_means, np.ones(length), 16) for length in (100, 10_000))
    assert long < 1.5 * short
