from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given

from ec_agent.selectors import DeepConfMean

pytestmark = pytest.mark.filterwarnings("error")


def test_what_it_says_of_itself():
    assert (DeepConfMean().name, DeepConfMean().signals) == ("deepconf_mean", ("confidence",))


@given(drawn.groups)
@own.examples(60)
def test_it_averages_the_tokens_with_the_signal(group):
    drawn.check_ranking(DeepConfMean(), group, lambda c: slowly.mean(drawn.timeline(c, "confidence")), lower=False)


def test_gaps_do_not_count():
    drawn.gaps_do_not_count(DeepConfMean(), "confidence", [1.0, 3.0, 0.25])


def test_an_example():
    ranking = DeepConfMean().select(drawn.group_of("confidence", [1.0, 2.0], [4.0, None, 3.0], [None]))
    assert ranking.scores == {0: 1.5, 1: 3.5, 2: None}
    assert ranking.order == (1, 0)
