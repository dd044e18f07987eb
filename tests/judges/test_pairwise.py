"""The pairwise judge: which pairs it asks about, what they cost, and how they make a ranking."""

from __future__ import annotations

import random

import judged_slowly as slowly
import pytest
from judging import Script, candidates, pair_in

from ec_agent import SelectorError
from ec_agent.errors import ConfigError
from ec_agent.judges import Pairwise
from ec_agent.testing import Reply

WORTH = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8}


def fair(prompt):
    """Prefers what is worth more, surer the further apart they are."""
    a, b = (WORTH[each] for each in pair_in(prompt))
    sure = 0.5 + abs(a - b) / 20
    return {"5" if b > a else "1": sure, "3": 1 - sure}


def biased(prompt):
    """Always prefers the first, a little more if it is worth more."""
    a, b = (WORTH[each] for each in pair_in(prompt))
    return {"1": 0.8, "2": 0.2} if a > b else {"1": 0.7, "2": 0.3}


def drawn(levels):
    """Draws the candidates of the first token, always the same for the same pair."""

    def say(first, second):
        draw = random.Random(f"{first}/{second}")
        tokens = draw.sample([*(str(d) for d in range(1, levels + 1)), " 1", "2.", "Both", "A"], 5)
        weights = [draw.random() for _ in tokens]
        return {token: weight / sum(weights) for token, weight in zip(tokens, weights, strict=True)}

    return say


@pytest.mark.parametrize("options", [{}, {"pairs": "knockout"}, {"both_orders": False}, {"levels": 9}], ids=str)
def test_the_best_comes_first(options):
    judge = Script(fair)
    ranking = Pairwise(judge.model, **options).select(candidates(*"caheb"))
    assert ranking.order[0] == 2
    if not options:
        assert ranking.order == (2, 3, 0, 4, 1)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("options", [{}, {"pairs": "knockout"}, {"both_orders": False}], ids=str)
def test_it_makes_as_many_calls_as_it_says(n, options):
    judge = Script(fair)
    selector = Pairwise(judge.model, **options)
    selector.select(candidates(*list(WORTH)[:n]))
    pairs = n * (n - 1) // 2 if options.get("pairs") is None else n - 1
    assert len(judge.prompts) == selector.most_calls(n) == pairs * (1 if "both_orders" in options else 2)
    assert len(set(judge.prompts)) == len(judge.prompts)


@pytest.mark.parametrize("levels", [3, 5, 9])
@pytest.mark.parametrize("both", [True, False])
def test_it_is_the_slow_restatement(levels, both):
    say = drawn(levels)
    judge = Script(lambda prompt: say(*pair_in(prompt)))
    ranking = Pairwise(judge.model, levels=levels, both_orders=both).select(candidates(*"cabde"))
    expected = slowly.pairwise(list("cabde"), say, levels, both)
    assert list(ranking.scores.values()) == pytest.approx(expected)
    assert ranking.order == tuple(sorted(range(5), key=lambda i: (-expected[i], i)))


def test_both_orders_cancel_a_preference_for_the_first():
    given = candidates(*"abcd")
    assert Pairwise(Script(biased).model).select(given).order == (3, 2, 1, 0)
    assert Pairwise(Script(biased).model, both_orders=False).select(given).order[0] == 0


def test_a_judge_without_a_preference_leaves_the_first():
    for options in ({}, {"pairs": "knockout"}):
        ranking = Pairwise(Script(lambda prompt: {"3": 1.0}).model, **options).select(candidates(*"dcba"))
        assert ranking.order[0] == 0
    assert Pairwise(Script(lambda prompt: {"3": 1.0}).model).select(candidates(*"dc")).scores == {0: 0.5, 1: 0.5}


def test_equal_answers_are_no_pair_and_share_their_score():
    judge = Script(fair)
    ranking = Pairwise(judge.model).select(candidates(*"abab"))
    assert len(judge.prompts) == 2
    assert (ranking.order, ranking.scores[1]) == ((1, 3, 0, 2), ranking.scores[3])
    ranking = Pairwise(judge.model).select(candidates("a", "a"))
    assert len(judge.prompts) == 2
    assert ranking.scores == {0: 0.5, 1: 0.5}
    assert "so the judge was not asked" in ranking.warnings[0]


async def test_the_async_form_does_the_same():
    for options in ({}, {"pairs": "knockout"}):
        selector, given = Pairwise(Script(fair).model, **options), candidates(*"hcbaedf")
        assert await selector.aselect(given) == selector.select(given)


def test_a_pair_that_cannot_be_judged_counts_for_nothing():
    def broken(prompt):
        return Reply(error=OSError("down")) if "a" in pair_in(prompt) else fair(prompt)

    for options in ({}, {"pairs": "knockout"}):
        ranking = Pairwise(Script(broken).model, **options).select(candidates(*"bac"))
        assert (ranking.order[0], ranking.scores[1], ranking.reasons) == (2, None, {1: "no_verdict"})
        assert "failed (OSError('down'))" in ranking.warnings[0]
    with pytest.raises(SelectorError, match="2 of 2 calls of scripted failed"):
        Pairwise(Script(broken).model).select(candidates(*"ab"))


@pytest.mark.parametrize("levels", [2, 4, 10, 1, True, "5"])
def test_there_is_a_digit_for_equal(levels):
    with pytest.raises(ConfigError, match="levels"):
        Pairwise(Script(fair).model, levels=levels)


def test_its_name_has_its_settings():
    assert Pairwise(Script(fair).model).name == "pairwise(scripted)"
    other = Pairwise(Script(fair).model, pairs="knockout", levels=9)
    assert other.name == "pairwise(scripted, pairs=knockout, levels=9)"
