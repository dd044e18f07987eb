from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.errors import ConfigError
from ec_agent.selectors import Candidate, DeepConfBottomWindow, DeepConfLowestGroup, DeepConfMean

pytestmark = pytest.mark.filterwarnings("error")


def of(values):
    return Candidate(0, drawn.signalled("confidence", values))


def test_what_it_says_of_itself():
    selector = DeepConfBottomWindow()
    assert (selector.name, selector.window, selector.share) == ("deepconf_bottom_window", 2048, 0.1)
    assert DeepConfBottomWindow(window=16, share=0.2).name == "deepconf_bottom_window(window=16, share=0.2)"


@given(drawn.groups, st.integers(1, 50), st.integers(1, 10))
@own.examples(100)
def test_it_is_the_mean_of_the_lowest_window_means(group, window, tenths):
    drawn.check_ranking(
        DeepConfBottomWindow(window, tenths / 10),
        group,
        lambda c: slowly.bottom(drawn.timeline(c, "confidence"), window, tenths),
        lower=False,
    )


def test_gaps_do_not_count():
    drawn.gaps_do_not_count(DeepConfBottomWindow(2), "confidence", [1.0, 3.0, 0.25])


def test_an_example():
    # Windows of 1: 20 means, of which the lowest 2 count.
    assert DeepConfBottomWindow(1).score(of([3.0, 1.0, *[9.0] * 18])) == 2.0
    # 21 of them: 3 count.
    assert DeepConfBottomWindow(1).score(of([3.0, 1.0, *[11.0] * 19])) == 5.0


def test_a_tenth_in_whole_windows():
    """No rounding error makes it a window more or fewer: the mean says how many were averaged."""
    for count in range(1, 400):
        lowest = -(-count // 10)
        zeros, ones = [0.0] * lowest, [1.0] * (count - lowest)
        assert DeepConfBottomWindow(1).score(of([*zeros, *ones])) == pytest.approx(0.0, abs=1e-12)
        assert DeepConfBottomWindow(1).score(of([*zeros[1:], *ones, 1.0])) == pytest.approx(1 / lowest)


def test_a_short_rollout_is_one_window():
    values = [1.0, 2.0, 6.0]
    assert DeepConfBottomWindow(4).score(of(values)) == DeepConfMean().score(of(values)) == 3.0


def test_at_the_smallest_share_it_is_the_lowest_group():
    values = [5.0, 1.0, 2.0, 8.0, 3.0]
    assert DeepConfBottomWindow(2, 0.01).score(of(values)) == DeepConfLowestGroup(2).score(of(values)) == 1.5


@pytest.mark.parametrize("share", [0, -0.1, 1.1, True, None, "0.1", float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(ConfigError, match="give a share of the windows"):
        DeepConfBottomWindow(share=share)


def test_a_window_is_a_number_of_tokens():
    with pytest.raises(ConfigError, match="give a whole number of tokens"):
        DeepConfBottomWindow(0)
