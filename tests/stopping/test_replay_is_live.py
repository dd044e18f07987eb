"""A plan does the same with rollouts that run and with the same rollouts stored: it is one function that asks it."""

from __future__ import annotations

import asyncio

import kit
import numpy as np
import pytest

from ec_agent import best_of_n
from ec_agent.evaluation import TaskResult
from ec_agent.selectors import Candidate, LowestCentroid, MajorityVote, MeanEntropy, MeanLogprob, Shortest
from ec_agent.stopping import Agreement, Beta, OutOfReach, ScoreThreshold, Stop, replay
from ec_agent.testing import Reply, ScriptedChatModel

pytestmark = kit.SAME

N = 8
PLANS = [OutOfReach(), OutOfReach([3, 1]), Agreement([2, 2], 0.75), Beta(0.9), ScoreThreshold(0.25, MeanEntropy(), [2])]
SELECTORS = [MajorityVote(), LowestCentroid(), MeanLogprob(), Shortest()]


class Rollouts:
    """What each rollout says and how long it takes, drawn: answers, lengths, failures, answers without logprobs."""

    def __init__(self, seed, in_turn=False):
        rng = np.random.default_rng(seed)
        self.answers = [["a", "a", "b", "c", " "][kind] for kind in rng.integers(0, 5, N)]
        self.lengths = (rng.permutation(N) + 4 if in_turn else rng.integers(4, 12, N)).tolist()
        self.peaks = [int(rng.integers(0, length)) for length in self.lengths]
        self.fail = set(np.flatnonzero(rng.random(N) < 0.15).tolist()) - {int(rng.integers(N))}
        self.fail = set() if in_turn else self.fail  # nobody asks the plan after these, so that it could tell the next
        self.mute = set(np.flatnonzero(rng.random(N) < 0.1).tolist())

    def reply(self, index):
        if index in self.fail:
            raise LookupError(f"rollout {index} is lost")
        entropies = None if index in self.mute else kit.peak(self.peaks[index], self.lengths[index])
        return Reply(self.answers[index], entropies=entropies, tokens=self.lengths[index])

    def graph(self):
        return kit.chat(ScriptedChatModel(lambda messages, index: self.reply(index)))


def stored(run, agent, selector):
    """All N rollouts as an evaluation would have them, and as the selector meets them."""
    result = run.run(best_of_n(agent, n=N, selector=selector, on_unscored="first"), {"messages": "go"})
    candidates = [
        Candidate(row.index, result.trajectories[row.index], result.final_actions[row.index], error=row.error)
        for row in result.selection.candidates
    ]
    return TaskResult("t", candidates, [0.0] * N, min_coverage=0.5).read_by(selector).candidates


def said(selection):
    return {
        "winner": selection.winner,
        "waves": selection.waves,
        "started": selection.started,
        "ended": tuple(row.index for row in selection.candidates if row.error is None),
        "stopped": selection.stopped,
        "tokens": selection.usage["generated_tokens"],
    }


def replayed(done):
    return {
        "winner": done.winner,
        "waves": done.waves,
        "started": done.started,
        "ended": done.ended,
        "stopped": done.stop and done.stop.reason,
        "tokens": done.tokens,
    }


@pytest.mark.parametrize("selector", SELECTORS, ids=lambda selector: selector.name)
@pytest.mark.parametrize("plan", range(len(PLANS)))
def test_in_waves(run, plan, selector):
    for seed in range(3):
        rollouts = Rollouts(100 * plan + seed)
        candidates = stored(run, rollouts.graph(), selector)
        node = best_of_n(rollouts.graph(), n=N, selector=selector, stop=PLANS[plan], on_unscored="first")
        live = run.run(node, {"messages": "go"})
        assert said(live.selection) == replayed(replay(candidates, PLANS[plan], selector)), seed


class Telling:
    """A plan that tells the rollouts how many ended before it was asked, so that they end one after another."""

    def __init__(self, plan):
        self.plan, self.over = plan, 0

    def enough(self, candidates, running, n):
        answer = self.plan.enough(candidates, running, n)
        self.over = len(candidates) if not isinstance(answer, Stop) else -1
        return answer


@pytest.mark.parametrize("selector", SELECTORS[:2], ids=lambda selector: selector.name)
@pytest.mark.parametrize("plan", range(3))
def test_all_at_once(plan, selector):
    """Rollouts end by length, each when the plan was asked about those before it; the rest waits to be cancelled."""
    for seed in range(3):
        rollouts = Rollouts(500 + 100 * plan + seed, in_turn=True)
        candidates = stored(kit.Async(), rollouts.graph(), selector)
        rank = np.argsort(np.argsort([len(c.trajectory) * 100 + c.index for c in candidates])).tolist()
        telling = Telling(PLANS[plan])
        model = ScriptedChatModel(lambda messages, index, rollouts=rollouts: rollouts.reply(index))

        async def agent(state, rank=rank, telling=telling, model=model):
            async with asyncio.timeout(60):
                while telling.over != rank[kit.rollout_index()]:
                    await asyncio.sleep(0.001)
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph = kit.graph(kit.MessagesState, model=agent)
        node = best_of_n(graph, n=N, selector=selector, stop=telling, cancel=True, on_unscored="first")
        live = said(kit.Async().run(node, {"messages": "go"}).selection)
        done = replayed(replay(candidates, PLANS[plan], selector, cancel=True))
        for each in (live, done):
            del each["tokens"]  # of the cancelled: they had said nothing yet, or were in the middle
        assert live == done, seed
