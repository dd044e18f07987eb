from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given

from ec_agent.selectors import MeanLogprob

pytestmark = pytest.mark.filterwarnings("error")


def test_what_it_says_of_itself():
    assert (MeanLogprob().name, MeanLogprob().signals) == ("mean_logprob", ("logprob",))


@given(drawn.groups)
@own.examples(60)
def test_it_averages_the_tokens_with_the_signal(group):
    drawn.check_ranking(MeanLogprob(), group, lambda c: slowly.mean(drawn.timeline(c, "logprob")), lower=False)


def test_gaps_do_not_count():
    drawn.gaps_do_not_count(MeanLogprob(), "logprob", [-1.0, -3.0, -0.25])


def test_an_example():
    ranking = MeanLogprob().select(drawn.group_of("logprob", [-1.0, -2.0], [-1.0, None, -0.5], [None]))
    assert ranking.scores == {0: -1.5, 1: -0.75, 2: None}
    assert ranking.order == (1, 0)
