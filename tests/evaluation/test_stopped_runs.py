"""Evaluations with a stopping plan: which rollouts run, after a stop in the middle too, and what the report says."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest
from eval_fakes import Calls, agent_of, contents, rollouts, tasks

from ec_agent.cli.eval import stop_of
from ec_agent.cli.traces_merge import run_merge
from ec_agent.errors import ConfigError, TraceError
from ec_agent.evaluation.report.content import report_of, selectors_in
from ec_agent.evaluation.report.json_csv import to_json
from ec_agent.evaluation.report.wording import what_was_run
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import aevaluate, evaluate
from ec_agent.evaluation.statistics import Resampling
from ec_agent.evaluation.stored_results import load_results
from ec_agent.rollouts.settings_files import Setting, save_settings
from ec_agent.selectors import MajorityVote
from ec_agent.stopping import Agreement, Beta, More, OutOfReach, ScoreThreshold, replay
from ec_agent.traces.sql.store import TraceStore

ALL = RunSettings(n=6, seed=1)
PLANS = [Agreement([2, 1], 0.6), OutOfReach(), Beta(0.7), ScoreThreshold(-1.0, waves=[2])]
NAMES = [plan.label for plan in PLANS]


def stopping(plan, **more):
    return dataclasses.replace(ALL, stop=plan, **more)


def by_task(path):
    return {
        name: [r for r in rollouts(path) if r.key.task == name] for name in sorted({r.key.task for r in rollouts(path)})
    }


@pytest.mark.members(1)
@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_what_runs_is_what_a_replay_starts(tmp_path, plan):
    evaluate(tasks(6), agent_of(Calls()), tmp_path / "all.db", ALL)
    report = evaluate(tasks(6), agent_of(Calls()), tmp_path / "some.db", stopping(plan))
    assert report.finished
    whole, some = by_task(tmp_path / "all.db"), by_task(tmp_path / "some.db")
    started = {}
    for result in load_results(tmp_path / "all.db"):
        played = replay(result.candidates, plan, MajorityVote())
        started[result.task] = played.started
        assert [r.key.number for r in some[result.task]] == list(range(played.started))
        assert [r.seed for r in some[result.task]] == [r.seed for r in whole[result.task]][: played.started]
    assert min(started.values()) < 6
    assert report.total == report.stored == sum(started.values()) + 6  # the greedy ones run in any case


@pytest.mark.members(1)
@pytest.mark.parametrize("concurrency", [1, 8])
def test_however_many_run_at_once(tmp_path, concurrency):
    calls = Calls(delay=0.002)
    report = evaluate(tasks(5), agent_of(calls), tmp_path / "a.db", stopping(PLANS[0], concurrency=concurrency))
    evaluate(tasks(5), agent_of(Calls()), tmp_path / "b.db", stopping(PLANS[0], concurrency=2))
    assert report.finished
    assert contents(tmp_path / "a.db") == contents(tmp_path / "b.db")
    assert calls.most <= concurrency


def test_the_async_twin(tmp_path):
    report = asyncio.run(aevaluate(tasks(3), agent_of(Calls()), tmp_path / "a.db", stopping(PLANS[0])))
    evaluate(tasks(3), agent_of(Calls()), tmp_path / "b.db", stopping(PLANS[0]))
    assert report.finished
    assert contents(tmp_path / "a.db") == contents(tmp_path / "b.db")


@pytest.mark.members(1)
@pytest.mark.parametrize("budget", [2, 20, 38])
def test_a_run_that_was_stopped_goes_on_in_its_wave(tmp_path, budget):
    evaluate(tasks(4), agent_of(Calls()), tmp_path / "whole.db", stopping(PLANS[0]))
    path, calls = tmp_path / "halves.db", Calls()
    first = evaluate(tasks(4), agent_of(calls), path, stopping(PLANS[0], call_budget=budget, concurrency=2))
    if not first.finished:
        with pytest.raises(TraceError, match="is not finished"):
            load_results(path)
    report = evaluate(tasks(4), agent_of(calls), path, stopping(PLANS[0]))
    assert report.finished
    assert contents(path) == contents(tmp_path / "whole.db")
    seeds = [rollout.seed for rollout in [*rollouts(path), *rollouts(path, "greedy")]]
    assert len(calls.seeds) <= 2 * len(seeds)  # two calls a rollout at most: none ran twice
    ended = len(calls.seeds)
    assert evaluate(tasks(4), agent_of(calls), path, stopping(PLANS[0])).finished
    assert len(calls.seeds) == ended  # nothing was left to do


@pytest.mark.parametrize("waves", [(1, 1, 4), (2, 1, 3), (3, 1, 2)])
@pytest.mark.parametrize("spent", ["call_budget", "token_budget"])
def test_a_budget_that_is_spent_while_workers_wait_for_a_wave_ends_the_run(tmp_path, waves, spent):
    settings = stopping(Agreement(waves, 1.0), concurrency=6, greedy=False, **{spent: 1})

    async def run():
        # All workers but the wave's wait; what one of them would begin next is not begun, and nobody waits for it.
        return await asyncio.wait_for(aevaluate(tasks(1), agent_of(Calls(delay=0.01)), tmp_path / "a.db", settings), 20)

    report = asyncio.run(run())
    assert not report.finished
    assert report.stored == waves[0]
    report = evaluate(tasks(1), agent_of(Calls()), tmp_path / "a.db", dataclasses.replace(settings, **{spent: None}))
    assert report.finished


def test_a_file_goes_on_with_its_own_plan_only(path):
    evaluate(tasks(2), agent_of(Calls()), path, stopping(PLANS[0]))
    for other in (PLANS[1], None):
        with pytest.raises(TraceError, match="stop"):
            evaluate(tasks(2), agent_of(Calls()), path, stopping(other))


def test_a_merged_run_is_complete_where_its_plan_was_done(tmp_path, capsys):
    evaluate(tasks(6), agent_of(Calls()), tmp_path / "a.db", stopping(PLANS[0]))
    run_merge([tmp_path / "a.db"], tmp_path / "b.db", keep_first=False)
    assert "all 6 tasks are complete" in capsys.readouterr().out


def test_failed_rollouts_that_run_again_are_in_their_places(path):
    evaluate(tasks(6), agent_of(Calls()), path, stopping(PLANS[0]))
    before = len(rollouts(path))
    report = evaluate(tasks(6), agent_of(Calls()), path, stopping(PLANS[0]), retry_failed=True)
    assert report.finished
    assert len(rollouts(path)) == before


class Own:
    name = "mine"

    def enough(self, candidates, running, n):
        return More(n)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Own(), "cannot hold"),
        (Agreement, "not the class"),
        ("agreement", "an object with enough"),
        (Agreement(normalize=str.lower), "cannot hold"),
    ],
    ids=["own", "class", "text", "function"],
)
def test_what_is_no_plan_for_a_file_is_refused(plan, said):
    with pytest.raises(ConfigError, match=said):
        stopping(plan)


def test_the_report_says_what_was_run_and_who_won(path):
    plan = PLANS[0]
    evaluate(tasks(6), agent_of(Calls()), path, stopping(plan))
    fast, named = Resampling(199), selectors_in("majority_vote,mean_logprob")
    report = report_of(path, selectors=named, resampling=fast)
    counts = [len(result.candidates) for result in load_results(path)]
    assert (report.as_run.n, report.as_run.started) == (6, sum(counts) / 6)
    assert report.as_run.stopped == sum(count < 6 for count in counts) > 0
    assert report.stops == ()
    said = " ".join(what_was_run(report))
    assert f"Stopped by agreement:2,1:threshold=0.6: {sum(counts) / 6:.1f} of 6 rollouts a task" in said
    assert "with majority_vote" in said
    tree = json.loads(to_json(report))
    assert tree["stopping"] == []
    assert (tree["stopped_run"]["plan"], tree["stopped_run"]["n"]) == ("agreement:2,1:threshold=0.6", 6)
    won = tree["stopped_run"]["winners"]["majority_vote"]
    assert won["value"] == report.as_run.winners["majority_vote"].value
    with pytest.raises(ConfigError, match="no other plan can be replayed"):
        report_of(path, selectors=named, resampling=fast, stops=[OutOfReach()])


def test_its_winners_are_those_of_the_replay(tmp_path):
    plan = PLANS[0]
    evaluate(tasks(8), agent_of(Calls()), tmp_path / "all.db", ALL)
    evaluate(tasks(8), agent_of(Calls()), tmp_path / "some.db", stopping(plan))
    report = report_of(tmp_path / "some.db", selectors=selectors_in("majority_vote"), resampling=Resampling(199))
    won = []
    for result in load_results(tmp_path / "all.db"):
        winner = replay(result.candidates, plan, MajorityVote()).winner
        won.append(0.0 if winner is None else result.correct[winner])
    assert report.as_run.winners["majority_vote"].value == pytest.approx(sum(won) / len(won))


def test_what_the_file_says_of_the_plan(path):
    evaluate(tasks(1), agent_of(Calls()), path, stopping(PLANS[0]))
    with TraceStore(path) as store:
        assert store.settings()["stop"] == {"name": "agreement", "waves": [2, 1], "threshold": 0.6}
    assert "stop" not in ALL.lasting()


def test_a_plan_of_a_command_line(tmp_path):
    assert stop_of(None) is None
    assert stop_of("agreement:2,1:threshold=0.6") == PLANS[0]
    save_settings(tmp_path / "s.json", Setting(), stop=PLANS[0])
    assert stop_of(str(tmp_path / "s.json")) == PLANS[0]
    save_settings(tmp_path / "s.json", Setting())
    with pytest.raises(ConfigError, match=r"s\.json has no stopping plan"):
        stop_of(str(tmp_path / "s.json"))
    with pytest.raises(ConfigError, match="unknown stopping plan"):
        stop_of("later")
