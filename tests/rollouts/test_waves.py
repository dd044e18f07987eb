"""``stop=``: rollouts are started in waves, and the plan says after each whether they are enough."""

from __future__ import annotations

from itertools import pairwise

import kit
import pytest
from langgraph.types import RetryPolicy
from plans_at_work import Started, Upto, answer

from ec_agent import (
    AllRolloutsFailedError,
    ConfigError,
    IdenticalRolloutsWarning,
    Limits,
    QuorumError,
    StoppingError,
    best_of_n,
)
from ec_agent.selectors import LowestCentroid, MajorityVote
from ec_agent.stopping import Agreement, More, Stop

pytestmark = kit.SAME
GO = {"messages": "go"}
NO_JITTER = {"initial_interval": 0.0, "jitter": False, "retry_on": LookupError}


def test_a_wave_starts_after_the_one_before(run):
    agent, plan = Started(), Upto(2, 5)
    result = run.run(best_of_n(agent.graph, n=8, stop=plan), GO)
    selection = result.selection
    assert plan.asked == [([], 0, 8), ([0, 1], 0, 8), ([0, 1, 2, 3], 0, 8), ([0, 1, 2, 3, 4, 5], 0, 8)]
    assert agent.counts == dict.fromkeys(range(6), 1)
    assert [set(agent.indices[at : at + 2]) for at in (0, 2, 4)] == [{0, 1}, {2, 3}, {4, 5}]
    assert (selection.planned, selection.started, selection.ended, selection.cancelled) == (8, 6, 6, 0)
    assert (selection.waves, selection.stopped) == ((2, 2, 2), "6 ended")
    assert selection.saved_tokens == 2 * 20
    assert selection.usage["generated_tokens"] == 6 * 20
    assert selection.winner == 5  # of those that ended the surest, whoever they were
    assert len(result.trajectories) == len(result.final_actions) == len(selection.candidates) == 6


def test_the_last_wave_is_smaller(run):
    agent, plan = Started(), Upto(3, 99)
    selection = run.run(best_of_n(agent.graph, n=7, stop=plan), GO).selection
    assert [asked[0] for asked in plan.asked] == [[], [0, 1, 2], [0, 1, 2, 3, 4, 5]]
    assert (selection.waves, selection.stopped, selection.saved_tokens) == ((3, 3, 1), None, 0)
    assert selection.winner == 6


def test_every_selector_takes_a_named_rollout(run):
    plan = Upto(4, 4, among=(0, 2))
    for selector in (LowestCentroid(), MajorityVote()):
        selection = run.run(best_of_n(Started().graph, n=8, stop=plan, selector=selector), GO).selection
        assert set(selection.order) == {0, 2}
        assert selection.winner == selection.order[0]
        assert [c.reason for c in selection.candidates] == [None, "passed over", None, "passed over"]
    assert "passed over" in selection.to_html()


def test_if_no_named_one_scores_the_first_wins(run):
    def unscored(messages, index):
        return kit.Reply(f"answer {index}", entropies=None if index < 2 else kit.peak(3))

    node = best_of_n(kit.chat(kit.ScriptedChatModel(unscored)), n=8, stop=Upto(4, 4, among=(1, 0)))
    selection = run.run(node, GO).selection
    assert (selection.winner, selection.order) == (0, ())


def test_agreement_takes_the_agreed_answer(run):
    agreeing = Started(lambda index: "same" if index < 4 else "other")
    assert run.run(best_of_n(agreeing.graph, n=8, stop=Agreement()), GO).output["messages"][-1].content == "same"
    assert agreeing.counts == dict.fromkeys(range(4), 1)
    divided = Started(lambda index: "same" if index < 3 else "other")
    result = run.run(best_of_n(divided.graph, n=8, stop=Agreement()), GO)
    assert result.selection.stopped is None
    assert result.selection.waves == (4, 4)
    assert result.selection.winner == 7


def test_failed_rollouts_are_no_candidates(run):
    agent, plan = Started(fail=(0, 3)), Upto(2, 3)
    selection = run.run(best_of_n(agent.graph, n=6, stop=plan), GO).selection
    assert plan.asked == [([], 0, 6), ([1], 0, 5), ([1, 2], 0, 4)]
    assert (selection.started, selection.ended, len(selection.candidates)) == (6, 4, 6)


def test_after_a_failed_wave_the_next_starts(run):
    agent = Started(fail=(0, 1))
    selection = run.run(best_of_n(agent.graph, n=6, stop=Upto(2, 2)), GO).selection
    assert (selection.waves, selection.ended, selection.winner) == ((2, 2), 2, 3)
    with pytest.raises(AllRolloutsFailedError, match="all 6 rollouts failed"):
        run.run(best_of_n(Started(fail=range(6)).graph, n=6, stop=Upto(2, 2)), GO)


def test_retries_are_within_their_wave(run):
    agent, plan = Started(fail={1: 2}), Upto(2, 2)
    selection = run.run(best_of_n(agent.graph, n=6, stop=plan, retry=RetryPolicy(**NO_JITTER)), GO).selection
    assert agent.counts == {0: 1, 1: 3}
    assert (selection.started, selection.ended) == (2, 2)


def test_the_token_budget_is_over_all_waves(run):
    limits = Limits(token_budget=50, max_concurrency=1)
    selection = run.run(best_of_n(Started().graph, n=8, stop=Upto(2, 8), limits=limits), GO).selection
    errors = [c.error or "" for c in selection.candidates]
    assert ["TokenBudgetError" in error for error in errors] == [False] * 3 + [True] * 5
    assert selection.ended == 3


def test_before_the_quorum_nothing_is_enough(run):
    agent = Started(fail=(0,))
    node = best_of_n(agent.graph, n=6, stop=Upto(2, 1), limits=Limits(quorum=3))
    selection = run.run(node, GO).selection
    assert (selection.waves, selection.ended, selection.stopped) == ((2, 2), 3, "3 ended")
    with pytest.raises(QuorumError):
        run.run(best_of_n(Started(fail=range(4)).graph, n=6, stop=Upto(2, 1), limits=Limits(quorum=3)), GO)


def test_a_small_agreement_wins_once_a_quorum_ended(run):
    node = best_of_n(Started().graph, n=8, stop=Upto(4, 4, among=(0,)), limits=Limits(quorum=3))
    assert run.run(node, GO).selection.winner == 0


@pytest.mark.parametrize("most", [1, 2, 5])
def test_fewer_at_once_than_a_wave_has(run, most):
    agent = Started()
    node = best_of_n(agent.graph, n=8, stop=Upto(3, 5), limits=Limits(max_concurrency=most))
    assert run.run(node, GO).selection.waves == (3, 3)


def test_n_of_the_runs_context_is_the_plans_n(run):
    plan, agent = Upto(2, 99), Started()
    selection = run.run(best_of_n(agent.graph, n=8, stop=plan), GO, context={"n": 3}).selection
    assert [asked[2] for asked in plan.asked] == [3, 3]
    assert (selection.planned, selection.waves) == (3, (2, 1))


def test_as_a_node_and_as_an_agent(run):
    node = best_of_n(Started().graph, n=8, stop=Upto(2, 4))
    assert answer(run.invoke(kit.outer(node), GO)) == "answer 3"
    assert answer(run.invoke(node, GO)) == "answer 3"
    assert answer(run.invoke(node.as_agent(), GO)) == "answer 3"


def test_a_nested_question_has_its_own_waves(run):
    inner_plan, outer_plan, agent = Upto(1, 2), Upto(2, 2), Started()
    inner = best_of_n(agent.graph, n=4, stop=inner_plan)
    selection = run.run(best_of_n(inner, n=6, stop=outer_plan), GO).selection
    assert selection.waves == (2,)
    assert agent.counts == {0: 2, 1: 2}  # two of them in each of two
    assert selection.usage["generated_tokens"] == 4 * 20


def test_events_show_waves_and_the_reason(run):
    told = []
    run.run(best_of_n(Started().graph, n=8, stop=Upto(2, 4)), GO, on_event=told.append)
    kinds = [event["type"].removeprefix("ec_agent.") for event in told if "rollout.call" not in event["type"]]
    assert kinds[0] == "wave"
    waves = [(event["wave"], event["indices"], event["n"]) for event in told if event["type"] == "ec_agent.wave"]
    assert waves == [(0, [0, 1], 8), (1, [2, 3], 8)]
    (stopped,) = (event for event in told if event["type"] == "ec_agent.stopped")
    assert (stopped["reason"], stopped["started"], stopped["n"]) == ("4 ended", 4, 8)
    assert kinds.index("stopped") < kinds.index("selection")
    starts = [at for at, kind in enumerate(kinds) if kind == "rollout.started"]
    assert all(a < b for a, b in pairwise(starts))


def test_without_stop_there_are_no_wave_events(run):
    told = []
    run.run(best_of_n(Started().graph, n=3), GO, on_event=told.append)
    assert not {"ec_agent.wave", "ec_agent.stopped"} & {event["type"] for event in told}


class Broken:
    """Answers something that is no answer, once rollouts have ended or before."""

    def __init__(self, answer, first=False):
        self.answer, self.first = answer, first

    def enough(self, candidates, running, n):
        if not candidates and not self.first:
            return More(2)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


BROKEN = {"raises": ZeroDivisionError("division"), "nothing": None, "a number": 3, "a class": Stop}


@pytest.mark.parametrize("how", BROKEN)
def test_a_failing_plan_loses_no_rollout(run, how):
    agent = Started()
    with pytest.raises(StoppingError, match=r"stopping plan Broken.*enough\(\) must return") as failed:
        run.run(best_of_n(agent.graph, n=4, stop=Broken(BROKEN[how])), GO)
    assert isinstance(failed.value, ConfigError)
    assert [candidate.index for candidate in failed.value.candidates] == [0, 1]
    assert [outputs[0][0] for outputs in failed.value.outputs] == ["messages", "messages"]
    assert agent.counts == {0: 1, 1: 1}


@pytest.mark.parametrize("how", BROKEN)
def test_a_plan_that_cannot_begin_costs_nothing(run, how):
    agent = Started()
    with pytest.raises(ConfigError, match="stopping plan Broken"):
        run.run(best_of_n(agent.graph, n=4, stop=Broken(BROKEN[how], first=True)), GO)
    assert agent.indices == []


def test_naming_an_unfinished_rollout_is_refused(run):
    with pytest.raises(StoppingError, match=r"\[7\] did not end"):
        run.run(best_of_n(Started().graph, n=8, stop=Upto(2, 2, among=(7,))), GO)


@pytest.mark.parametrize("plan", [Agreement, "agreement", 4, 0.9, lambda candidates, running, n: Stop("x")])
def test_anything_but_a_plan_is_refused(plan):
    with pytest.raises(ConfigError, match=r"^stop is "):
        best_of_n(Started().graph, stop=plan)


def test_equal_rollouts_are_still_reported(run):
    agent = Started(lambda index: "same")
    agent.graph = kit.chat(kit.ScriptedChatModel(lambda messages, index: kit.Reply("same", entropies=kit.peak(3))))
    with pytest.warns(IdenticalRolloutsWarning, match="3 of 4 rollouts repeat"):
        run.run(best_of_n(agent.graph, n=8, stop=Agreement()), GO)
