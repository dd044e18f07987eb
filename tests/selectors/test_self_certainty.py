from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given

from ec_agent.selectors import SelfCertainty

pytestmark = pytest.mark.filterwarnings("error")


def test_what_it_says_of_itself():
    assert (SelfCertainty().name, SelfCertainty().signals) == ("self_certainty", ("self_certainty",))


@given(drawn.groups)
@own.examples(60)
def test_it_averages_the_tokens_with_the_signal(group):
    drawn.check_ranking(SelfCertainty(), group, lambda c: slowly.mean(drawn.timeline(c, "self_certainty")), lower=False)


def test_gaps_do_not_count():
    drawn.gaps_do_not_count(SelfCertainty(), "self_certainty", [1.0, 3.0, 0.25])


def test_an_example():
    ranking = SelfCertainty().select(drawn.group_of("self_certainty", [1.0, 2.0], [4.0, None, 3.0], [None]))
    assert ranking.scores == {0: 1.5, 1: 3.5, 2: None}
    assert ranking.order == (1, 0)
