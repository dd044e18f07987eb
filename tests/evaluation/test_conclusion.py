from __future__ import annotations

import pytest

from ec_agent.evaluation.statistics.bootstrap import Estimate
from ec_agent.evaluation.statistics.conclusion import verdict

UP, DOWN = Estimate(0.1234, 0.05, 0.2, 100), Estimate(-0.1, -0.2, -0.01, 100)


@pytest.mark.parametrize(
    ("difference", "p", "detectable", "suspicions", "kind", "sentence"),
    [
        (
            UP,
            0.01,
            0.09,
            (),
            "better",
            "s: better than Pass@1 on these tasks, +0.123 [+0.05, +0.20] (corrected p = 0.010, 7 selectors compared).",
        ),
        (
            DOWN,
            0.0004,
            0.09,
            (),
            "worse",
            "s: worse than Pass@1 on these tasks, -0.100 [-0.20, -0.01] (corrected p < 0.001, 7 selectors compared).",
        ),
        (
            UP,
            0.05,
            0.091,
            ("it is long",),
            "no difference found",
            "s: no difference from Pass@1 found, +0.123 [+0.05, +0.20] (corrected p = 0.050, 7 selectors compared); "
            "the interval leaves out 0, but it is made for one selector alone: among 7 selectors some have such an "
            "interval by chance, and the corrected p allows for that; smallest detectable 0.09, and a smaller "
            "one may exist.",
        ),
        (
            UP,
            0.04,
            0.09,
            ("it is long", "it is slow"),
            "confounded",
            "s: better than Pass@1, +0.123 [+0.05, +0.20] (corrected p = 0.040, 7 selectors compared), but confounded, "
            "so what it reads may not be the cause: it is long; it is slow.",
        ),
        (
            Estimate(0.0, -0.2, 0.2, 5),
            1.0,
            None,
            (),
            "no difference found",
            "s: no difference from Pass@1 found, +0.000 [-0.20, +0.20] (corrected p = 1.000, 7 selectors compared); "
            "with 5 tasks like these no difference can be found, however large.",
        ),
        (
            Estimate(0.5, None, None, 20),
            0.001,
            None,
            (),
            "better",
            "s: better than Pass@1 on these tasks, +0.500 on each of 20 tasks (corrected p = 0.001, 7 selectors "
            "compared).",
        ),
        (
            Estimate(0.5, None, None, 1),
            1.0,
            None,
            (),
            "cannot be told",
            "s: cannot be told from 1 task.",
        ),
        (
            Estimate(0.0, None, None, 9),
            1.0,
            None,
            (),
            "cannot be told",
            "s: cannot be told from 9 tasks: the difference from Pass@1 is +0.000 on each of them.",
        ),
    ],
)
def test_each_rule_gives_its_kind_and_its_sentence(difference, p, detectable, suspicions, kind, sentence):
    found = verdict("s", difference, p, 7, detectable, suspicions)
    assert found.kind == kind
    assert found.sentence == sentence


@pytest.mark.parametrize(
    ("low", "high", "told"), [(0.01, 0.2, True), (-0.2, -0.01, True), (0, 0.2, False), (-1, 1, False)]
)
@pytest.mark.parametrize(("compared", "words"), [(1, "follows the test"), (5, "among 5 selectors")])
def test_an_interval_without_0_beside_no_difference_is_explained(low, high, told, compared, words):
    found = verdict("s", Estimate(0.1, low, high, 20), 0.06, compared, 0.1)
    assert found.kind == "no difference found"
    assert ("leaves out 0" in found.sentence, words in found.sentence) == (told, told)


def test_one_selector_is_counted_in_the_singular():
    assert "1 selector compared" in verdict("s", UP, 0.01, 1, 0.1).sentence
