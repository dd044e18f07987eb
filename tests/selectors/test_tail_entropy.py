from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.errors import ConfigError
from ec_agent.selectors import TailEntropy, validity

pytestmark = pytest.mark.filterwarnings("error")


def test_what_it_says_of_itself():
    selector = TailEntropy()
    assert (selector.name, selector.signals) == ("tail_entropy", ("entropy",))
    assert (selector.least, selector.most) == (64, 2048)
    assert TailEntropy(least=8).name == "tail_entropy(least=8)"


def test_the_window_is_the_groups_own():
    # 100 tokens each, mean entropy 0.5: sqrt(100) / 0.5 = 20 tokens.
    unsure_early, unsure_late = [1.0] * 50 + [0.0] * 50, [0.0] * 79 + [1.0] * 21 + []
    group = drawn.group_of("entropy", unsure_early, [*unsure_late[:50], *[1.0] * 50])
    selector = TailEntropy(least=1)
    assert selector.window(group) == 20
    assert selector.select(group).scores == {0: 0.0, 1: 1.0}
    assert TailEntropy().window(group) == 64
    assert TailEntropy(least=1, most=5).window(group) == 5
    # Surer rollouts have a longer window.
    sure = drawn.group_of("entropy", [0.1] * 100, [0.1] * 100)
    assert selector.window(sure) == 100
    assert selector.window(drawn.group_of("entropy", [0.0] * 9)) == 2048


def test_it_is_a_median_of_the_last_tokens():
    selector = TailEntropy(least=3, most=3)
    group = drawn.group_of("entropy", [0.0, 0.0, 5.0, 0.2, 0.3], [0.0, 0.1, 0.2, 0.9, 0.1], [7.0, 0.0])
    ranking = selector.select(group)
    assert ranking.scores == {0: 0.3, 1: 0.2, 2: 3.5}
    assert ranking.order == (1, 0, 2)


def test_a_score_depends_on_the_other_rollouts():
    line = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    alone, beside = drawn.group_of("entropy", line), drawn.group_of("entropy", line, [9.0] * 8)
    selector = TailEntropy(least=1)
    assert (selector.window(alone), selector.window(beside)) == (5, 1)
    assert selector.select(alone).scores[0] == 0.0
    assert selector.select(beside).scores[0] == 1.0


def test_gaps_do_not_count():
    plain = drawn.group_of("entropy", [0.5, 0.1, 0.2, 0.9], [0.3])
    gapped = drawn.group_of("entropy", [None, 0.5, None, 0.1, 0.2, 0.9, None], [None, 0.3])
    selector = TailEntropy(least=1)
    assert selector.window(gapped) == selector.window(plain)
    assert selector.select(gapped).scores == selector.select(plain).scores


def test_without_entropies():
    group = drawn.group_of("entropy", [None, None], [])
    ranking = TailEntropy().select(group)
    assert (ranking.order, ranking.reasons) == ((), {0: "no_signal", 1: "no_signal"})
    assert TailEntropy().window(group) is None
    some = TailEntropy().select(drawn.group_of("entropy", [None, None], [0.5]))
    assert (some.order, some.reasons) == ((1,), {0: "no_signal"})
    assert TailEntropy().select([]).order == ()


def test_ties_go_to_the_first():
    assert TailEntropy().select(drawn.group_of("entropy", [0.1], [0.1])[::-1]).order == (0, 1)


@pytest.mark.parametrize(
    ("settings", "rather"),
    [
        ({"least": 0}, "least is 0; give a whole number of tokens"),
        ({"most": 2.5}, "most is 2.5; give a whole number of tokens"),
        ({"least": 9, "most": 8}, "least is 9 and most is 8 tokens; give"),
    ],
    ids=["zero", "half", "crossed"],
)
def test_what_it_refuses(settings, rather):
    with pytest.raises(ConfigError, match=rather):
        TailEntropy(**settings)


@given(drawn.groups, st.integers(1, 30), st.integers(0, 60))
@own.examples(200)
def test_it_is_the_median_in_the_groups_window(group, least, more):
    selector = TailEntropy(least, least + more)
    ranking = selector.select(group)
    mine = [c for c in group if c.eligible]
    window, scores = slowly.tail_entropies([drawn.timeline(c, "entropy") for c in mine], least, least + more)
    assert selector.window(group) == window
    assert [ranking.scores[c.index] for c in mine] == [
        None if score is None else pytest.approx(score, rel=1e-9, abs=1e-12) for score in scores
    ]
    assert all(ranking.scores[c.index] is None for c in group if c not in mine)
    known = [c.index for c in mine if ranking.scores[c.index] is not None]
    assert list(ranking.order) == sorted(known, key=lambda index: (ranking.scores[index], index))
    assert ranking.reasons == {c.index: "no_signal" for c in mine if c.index not in known}
    assert ranking.warnings == validity(group, phases=False)
    assert drawn.same(selector.select(group[::-1]), ranking)
    prepared = selector.prepared(group)
    for some in (group, group[1:], group[::2]):
        there, said = selector.select(some), prepared.select(some)
        assert (there.order, there.scores, there.reasons) == (said.order, said.scores, said.reasons)
