from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.errors import ConfigError
from ec_agent.selectors import Candidate, DeepConfTail

pytestmark = pytest.mark.filterwarnings("error")


def test_what_it_says_of_itself():
    assert (DeepConfTail().name, DeepConfTail().window) == ("deepconf_tail", 2048)
    assert DeepConfTail(window=16).name == "deepconf_tail(window=16)"
    assert DeepConfTail().signals == ("confidence",)


@given(drawn.groups, st.integers(1, 50))
@own.examples(60)
def test_it_averages_the_last_tokens_with_confidence(group, window):
    drawn.check_ranking(
        DeepConfTail(window), group, lambda c: slowly.tail(drawn.timeline(c, "confidence"), window), lower=False
    )


def test_gaps_do_not_count():
    drawn.gaps_do_not_count(DeepConfTail(2), "confidence", [1.0, 3.0, 0.25])


def test_an_example():
    group = [
        Candidate(0, drawn.signalled("confidence", [9.0, 1.0, 2.0])),
        Candidate(1, drawn.signalled("confidence", [1.0, 2.0, None], [2.0, None])),
        Candidate(2, drawn.signalled("confidence", [1.0])),
    ]
    ranking = DeepConfTail(2).select(group)
    assert ranking.scores == {0: 1.5, 1: 2.0, 2: 1.0}
    assert ranking.order == (1, 0, 2)


@pytest.mark.parametrize("window", [0, -1, 2.0, True, None, "16"])
def test_a_window_is_a_number_of_tokens(window):
    with pytest.raises(ConfigError, match="give a whole number of tokens"):
        DeepConfTail(window)


def test_a_window_that_holds_every_rollout_is_said_to():
    group = [Candidate(i, drawn.signalled("confidence", [1.0] * 20)) for i in range(4)]
    assert any(
        "4 of 4 rollouts are no longer than the window of 20" in w for w in DeepConfTail(20).select(group).warnings
    )
    assert DeepConfTail(19).select(group).warnings == ()
