"""Every selector at work in ``best_of_n``, on a scripted model."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from ec_agent import MissingLogprobsError, NoScoredRolloutError, best_of_n
from ec_agent.selectors import (
    SELECTORS,
    Candidate,
    CentroidWeightedVote,
    DeepConfTail,
    LowestCentroid,
    MajorityVote,
    MeanEntropy,
    Shortest,
    selector_named,
    validity,
)
from ec_agent.testing import Reply, ScriptedChatModel

DRAW = np.random.default_rng(11)
# Two calls each, no two alike in anything a selector looks at; every entropy above 0.
ANSWERS = ["no", "yes", "maybe", " yes"]
SCRIPTS = [
    [
        *[Reply(tool_calls=[("look", {"n": step})], entropies=DRAW.uniform(0.01, 2.9, 9)) for step in range(index)],
        Reply(answer, entropies=DRAW.uniform(0.01, 2.9, 12 + 5 * (index % 3) + index)),
    ]
    for index, answer in enumerate(ANSWERS)
]
BLIND = [[Reply(answer, tokens=5 + index)] for index, answer in enumerate(ANSWERS)]


def agent(scripts):
    model = ScriptedChatModel(scripts)

    def ask(state):
        said = [model.invoke(state["messages"])]
        while said[-1].tool_calls:
            said.append(model.invoke([*state["messages"], *said]))
        return {"messages": said}

    return ask


def asked(scripts, **options):
    return best_of_n(agent(scripts), n=len(scripts), **options)


ASK = {"messages": [("user", "?")]}


@pytest.fixture(params=["sync", "async"])
def run(request):
    return (lambda node: node.run(ASK)) if request.param == "sync" else (lambda node: asyncio.run(node.arun(ASK)))


@pytest.mark.parametrize("name", SELECTORS)
def test_online_and_offline_selection_agree(run, name):
    selector = selector_named(name)
    result = run(asked(SCRIPTS, selector=selector))
    trajectories, actions = result.trajectories, result.final_actions
    offline = selector.select([Candidate(i, trajectories[i], actions[i]) for i in range(4)])
    selection = result.selection
    assert selection.selector == name
    assert selection.order == offline.order
    assert [c.score for c in selection.candidates] == [offline.scores[i] for i in range(4)]
    assert len(selection.order) == 4
    assert result.final_actions[selection.winner].content == ANSWERS[offline.order[0]]
    assert set(offline.warnings) <= set(selection.warnings)
    assert type(selection).from_dict(json.loads(json.dumps(selection.to_dict()))) == selection


@pytest.mark.whole_form("a run with every selector, which others here have one by one")
def test_the_winners_are_not_all_the_same():
    winners = {asked(SCRIPTS, selector=selector_named(n)).run(ASK).selection.winner for n in SELECTORS}
    assert len(winners) > 2


@pytest.mark.parametrize("name", ["majority_vote", "shortest", "longest", "fewest_calls", "most_calls"])
@pytest.mark.parametrize("on_missing", ["exclude", "raise"])
def test_a_selector_that_reads_no_logprobs_needs_none(run, name, on_missing):
    selection = run(asked(BLIND, selector=selector_named(name), on_missing=on_missing, min_coverage=1.0)).selection
    assert len(selection.order) == 4
    assert selection.winner == {"majority_vote": 1, "longest": 3}.get(name, 0)
    assert [c.reason for c in selection.candidates] == [None] * 4
    assert [(c.centroid, c.scored_tokens, c.coverage) for c in selection.candidates] == [(None, 0, 0.0)] * 4


@pytest.mark.parametrize("name", [n for n in SELECTORS if selector_named(n).signals])
def test_one_that_reads_them_does(run, name):
    with pytest.raises(NoScoredRolloutError, match="returned no logprobs"):
        run(asked(BLIND, selector=selector_named(name)))
    with pytest.raises(MissingLogprobsError) as caught:
        asked(BLIND[:1], selector=selector_named(name), on_missing="raise").run(ASK)
    assert "logprobs" in str(caught.value)


def test_a_vote_without_votes_is_an_error_with_receipt(run):
    with pytest.raises(NoScoredRolloutError, match=r"'majority_vote.*\(no_vote\).*give a vote a normalize=") as caught:
        run(asked(BLIND, selector=MajorityVote(normalize=lambda action: None)))
    assert [c.final_action.content for c in caught.value.candidates] == ANSWERS
    assert len(caught.value.outputs) == 4


def test_unknown_lengths_are_said_too():
    unknown = [[Reply(answer)] for answer in ANSWERS]
    with pytest.raises(NoScoredRolloutError, match=r"'shortest' could score no rollout \(length_unknown\)"):
        asked(unknown, selector=Shortest()).run(ASK)


def test_votes_count_rollouts_with_and_without_logprobs():
    mixed = [[Reply("a", entropies=[0.1, 2.0])], [Reply("b", tokens=3)], [Reply("b", tokens=3)]]
    assert asked(mixed, selector=MajorityVote()).run(ASK).selection.winner == 1
    assert asked(mixed).run(ASK).selection.winner == 0


def test_coverage_is_counted_by_the_signal_that_is_read():
    """Tokens with one possible candidate have an entropy, 0, and no confidence."""
    sure = [[Reply("a", entropies=[0.0] * 20)], [Reply("b", entropies=[1.0] * 20)]]
    by_entropy = asked(sure, selector=MeanEntropy()).run(ASK).selection
    assert (by_entropy.winner, by_entropy.candidates[0].coverage) == (0, 1.0)
    by_confidence = asked(sure, selector=DeepConfTail()).run(ASK).selection
    assert (by_confidence.winner, by_confidence.candidates[0].reason) == (1, "coverage")


@pytest.mark.filterwarnings("error")
def test_warnings_are_in_the_receipt_and_nowhere_else(run):
    result = run(asked(SCRIPTS))
    group = [Candidate(i, trajectory) for i, trajectory in enumerate(result.trajectories)]
    assert result.selection.warnings == validity(group)
    assert any("fewer than 3 phases" in note for note in result.selection.warnings)
    long = [[Reply(str(i), entropies=DRAW.uniform(0.01, 2.9, 1200))] for i in range(2)]
    assert run(asked(long, selector=LowestCentroid())).selection.warnings == ()


def around(inner, **options):
    """A best_of_n whose agent asks another one."""
    return best_of_n(lambda state: {"messages": inner.run(state).output["messages"][-1:]}, **options)


@pytest.mark.parametrize("selector", [MajorityVote(), CentroidWeightedVote()], ids=lambda each: each.name)
def test_a_vote_without_agreement_is_in_the_receipt(run, selector):
    apart = SCRIPTS[:3]  # "no", "yes", "maybe"
    (said,) = [note for note in run(asked(apart, selector=selector)).selection.warnings if "no majority" in note]
    assert "no two of the 3 votes agree" in said
    together = run(asked(SCRIPTS, selector=selector)).selection.warnings
    assert not [note for note in together if "no majority" in note]


@pytest.mark.members(6)
@pytest.mark.parametrize("name", SELECTORS)
def test_a_nested_best_of_n_keeps_the_outer_signals(run, name):
    inner = asked(SCRIPTS[:2])
    outer = run(around(inner, n=1, selector=selector_named(name))).selection
    assert (outer.order, outer.candidates[0].calls) == ((0,), 1 + inner.run(ASK).selection.winner)
    assert outer.candidates[0].score is not None


def test_only_the_own_selector_requires_its_signals():
    inner = asked(BLIND[:2], selector=MajorityVote(), on_missing="raise")
    with pytest.raises(NoScoredRolloutError, match="returned no logprobs"):
        around(inner, n=1, selector=MeanEntropy()).run(ASK)
