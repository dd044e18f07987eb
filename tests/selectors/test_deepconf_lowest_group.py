from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.errors import ConfigError
from ec_agent.selectors import Candidate, DeepConfLowestGroup

pytestmark = pytest.mark.filterwarnings("error")


def test_what_it_says_of_itself():
    assert (DeepConfLowestGroup().name, DeepConfLowestGroup().window) == ("deepconf_lowest_group", 2048)
    assert DeepConfLowestGroup(window=16).name == "deepconf_lowest_group(window=16)"


@given(drawn.groups, st.integers(1, 50))
@own.examples(60)
def test_it_is_the_lowest_window_mean(group, window):
    drawn.check_ranking(
        DeepConfLowestGroup(window),
        group,
        lambda c: slowly.lowest_group(drawn.timeline(c, "confidence"), window),
        lower=False,
    )


def test_gaps_do_not_count():
    drawn.gaps_do_not_count(DeepConfLowestGroup(2), "confidence", [1.0, 3.0, 0.25])


def test_an_example():
    group = [
        Candidate(0, drawn.signalled("confidence", [9.0, 1.0, 2.0, 9.0])),
        Candidate(1, drawn.signalled("confidence", [2.0, 3.0, 2.0])),
    ]
    ranking = DeepConfLowestGroup(2).select(group)
    assert ranking.scores == {0: 1.5, 1: 2.5}
    assert ranking.order == (1, 0)


def test_a_window_is_a_number_of_tokens():
    with pytest.raises(ConfigError, match="give a whole number of tokens"):
        DeepConfLowestGroup(0)
