"""``probability=``: the receipt says how likely the winner is right, or why nobody can tell."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

import kit
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.types import Command, interrupt

from ec_agent import Agreement, Candidate, Limits, Selection, SelectorWarning, best_of_n, load_settings
from ec_agent.evaluation import BaseTask, RunSettings, aevaluate, evaluate, load_results
from ec_agent.probability.evidence import replayed_evidence
from ec_agent.rollouts.settings_files import Setting, save_settings
from ec_agent.selectors import MajorityVote, MeanEntropy
from ec_agent.testing import Reply, ScriptedChatModel

sys.path.append(str(Path(__file__).parents[1] / "probability"))
from calibrated import isotonic, platt

pytestmark = kit.SAME
ASK = {"messages": "go"}


def saying(answers, **reply):
    """Rollout ``i`` gives the ``i``-th letter, ``!`` fails."""

    def said(messages, index):
        if answers[index] == "!":
            raise LookupError("lost")
        return Reply(answers[index], entropies=kit.peak(index, 10), **reply)

    return ScriptedChatModel(said)


def asked(run, answers, fitted, n=4, **options):
    options = {"selector": MajorityVote(), **options}
    node = best_of_n(kit.chat(saying(answers)), n=n, probability=fitted, **options)
    return run.run(node, ASK).selection


@pytest.mark.parametrize(("answers", "agreement"), [("aaab", 0.75), ("abab", 0.5), ("aaaa", 1.0), ("a!ab", 0.5)])
def test_the_receipt_has_it_with_what_it_rests_on(run, answers, agreement):
    told = asked(run, answers, platt())
    assert told.probability == pytest.approx(1 / (1 + math.exp(3 - 6 * agreement)))
    assert told.no_probability is None
    assert {name: told.rests_on[name] for name in ("tasks", "selector", "n", "run", "fitted")} == {
        "tasks": 40,
        "selector": "majority_vote",
        "n": 4,
        "run": "run.db",
        "fitted": "2026-01-02",
    }
    plain = json.loads(json.dumps(told.to_dict()))
    assert plain["probability"] == told.probability
    assert Selection.from_dict(plain) == told
    assert f"Probability that the winner is right: {told.probability:.2f}, fitted on 40 tasks in run.db." in str(told)
    assert f"right: {told.probability:.2f}" in told.to_html()


def test_without_a_calibration_nothing_is_said(run):
    told = asked(run, "aaab", None)
    assert (told.probability, told.no_probability, told.rests_on) == (None, None, {})
    assert "robability" not in str(told)


def test_it_changes_no_choice(run):
    for answers in ("abcb", "aabb", "!aba"):
        with_it, without = asked(run, answers, isotonic()), asked(run, answers, None)
        assert (with_it.winner, with_it.order, with_it.usage) == (without.winner, without.order, without.usage)


OTHERWISE = {
    "another selector": ({"selector": MeanEntropy()}, "for the selector majority_vote, not for mean_entropy"),
    "another n": ({"n": 3}, "n=4, not n=3"),
    "a plan": ({"stop": Agreement([2, 2])}, "with no stopping plan"),
    "a quorum that few reach": ({"answers": "a!!b", "limits": Limits(quorum=2)}, "2 of its rollouts have a score"),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_in_another_situation_it_says_why_there_is_none(run, case):
    changed, said = OTHERWISE[case]
    options = {"answers": "aaab", "fitted": platt(scored=3), **changed}
    told = asked(run, **options)
    assert told.probability is None
    assert said in told.no_probability
    assert told.rests_on["tasks"] == 40
    assert "No probability that the winner is right: " in str(told)


def test_where_another_selector_chose_in_its_place_there_is_none(run):
    class Failing:
        name = "failing"
        signals = ()
        on_failure = MajorityVote()

        def select(self, candidates):
            raise OSError("the judge is away")

    with pytest.warns(SelectorWarning, match="majority_vote chose in its place"):
        told = asked(run, "aaab", platt(), selector=Failing())
    assert told.probability is None
    assert "the selector failed, and majority_vote chose in its place" in told.no_probability


def test_where_nothing_could_be_scored_there_is_none(run):
    model = ScriptedChatModel(lambda messages, index: Reply("a", tokens=5))
    fitted = platt(selector="mean_entropy")
    node = best_of_n(
        kit.chat(model), n=4, selector=MeanEntropy(), on_unscored="first", request_logprobs=False, probability=fitted
    )
    assert "no rollout could be scored" in run.run(node, ASK).selection.no_probability


def test_the_runs_own_n_counts(run):
    node = best_of_n(kit.chat(saying("aaab")), n=2, selector=MajorityVote(), probability=platt())
    result = run.run(node, ASK, context={"n": 4})
    assert result.selection.probability is not None
    assert "n=4, not n=2" in run.run(node, ASK).selection.no_probability


def test_a_winner_that_asks_a_person_is_no_answer_yet(run):
    class Asked(MessagesState):
        answer: str

    def ask(state):
        return {"answer": interrupt("sure?")}

    agent = kit.graph(Asked, model=kit.chat(saying("aaaa")), ask=ask)
    node = best_of_n(agent, n=4, selector=MajorityVote(), probability=platt(), selection_key="receipt")

    class Outer(Asked):
        receipt: dict[str, Any]

    graph = kit.graph(Outer, solve=node, checkpointer=InMemorySaver())
    told = []
    for part in run.stream(graph, ASK, kit.THREAD, stream_mode="custom"):
        told += [part["selection"]] if part.get("type") == "ec_agent.selection" else []
    done = run.invoke(graph, Command(resume="yes"), kit.THREAD)
    assert done["answer"] == "yes"
    assert "asks a person" in done["receipt"]["no_probability"]


@pytest.mark.parametrize("stop", [None, Agreement([2, 2])], ids=["all", "waves"])
def test_live_equals_a_replay_of_the_same_rollouts(run, stop):
    plain = None if stop is None else {"name": "agreement", "waves": [2, 2]}
    weights = {"score": 0.5, "margin": 1.0, "agreement": 2.0, "coverage": 1.0, "length": -0.5}
    fitted = platt(weights, selector="mean_entropy", stop=plain)
    for answers in ("abab", "aabc", "b!bb"):
        node = best_of_n(kit.chat(saying(answers)), n=4, selector=MeanEntropy(), probability=fitted, stop=stop)
        live = run.run(node, ASK).selection
        whole = run.run(best_of_n(kit.chat(saying(answers)), n=4, selector=MeanEntropy()), ASK)
        stored = [
            Candidate(row.index, whole.trajectories[row.index], whole.final_actions[row.index], error=row.error)
            for row in whole.selection.candidates
        ]
        evidence, winner = replayed_evidence(stored, MeanEntropy(), stop)
        assert (live.winner, live.probability) == (winner, fitted.probability(evidence))


class Easy(BaseTask):
    def verdict(self, outcome):
        return outcome.final_action.text == "a"


def test_live_equals_a_replay_of_an_evaluations_file(run, tmp_path):
    """What is stored has single precision; the agent of the evaluation and of the live run is the same."""
    weights = {"score": 0.5, "margin": 1.0, "agreement": 2.0, "coverage": 1.0, "length": -0.5}
    fitted = platt(weights, selector="mean_entropy")
    turns = itertools.count()

    def said(messages, index):  # four rollouts, one after the other: which of them is the first makes no difference
        at = next(turns) % 4
        return Reply("abaa"[at], entropies=[0.3 + at / 7, 0.1, 1.7])

    agent = kit.chat(ScriptedChatModel(said))
    settings = RunSettings(n=4, greedy=False)
    path = tmp_path / "run.db"
    if run.name == "sync":
        evaluate([Easy("t", "go")], agent, path, settings)
    else:
        asyncio.run(aevaluate([Easy("t", "go")], agent, path, settings))
    (result,) = load_results(path)
    evidence, _ = replayed_evidence(result.read_by(MeanEntropy()).candidates, MeanEntropy())
    live = run.run(best_of_n(agent, n=4, selector=MeanEntropy(), probability=fitted), ASK).selection
    assert (evidence.agreement, result.correct.sum()) == (0.75, 3)
    assert live.probability == pytest.approx(fitted.probability(evidence), abs=1e-6)


def test_a_settings_file_is_all_that_is_needed(run, tmp_path):
    path = tmp_path / "settings.json"
    save_settings(path, Setting("majority_vote"), probability=platt())
    told = run.run(best_of_n(kit.chat(saying("aaab")), n=4, **load_settings(path)), ASK).selection
    assert told.probability == pytest.approx(1 / (1 + math.exp(-1.5)))
