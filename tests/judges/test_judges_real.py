"""Judges on the real embedded model: its first tokens have probabilities that rank rollouts; never which is right."""

from __future__ import annotations

import math

import pytest
from judging import candidates
from openai import AsyncOpenAI, OpenAI

from ec_agent import best_of_n
from ec_agent.judges import Pairwise, PTrue
from ec_agent.local import LocalChatModel

pytestmark = pytest.mark.model
ANSWERS = ("5", "6", "fish", "5")


@pytest.fixture(scope="module")
def judge(local_server):
    return LocalChatModel(base_url=local_server.base_url)


def check(ranking, least, most):
    assert sorted(ranking.order) == [0, 1, 2, 3]
    assert ranking.scores[0] == ranking.scores[3]
    assert all(least < score < most for score in ranking.scores.values())
    assert [ranking.scores[index] for index in ranking.order] == sorted(ranking.scores.values(), reverse=True)


@pytest.mark.whole_form("more of the real model; it judges its own rollouts in the short form")
def test_p_true(judge, local_server):
    check(PTrue(judge).select(candidates(*ANSWERS)), 0, 1)
    client = OpenAI(base_url=local_server.base_url, api_key="none")
    check(PTrue(client, model_name=judge.model).select(candidates(*ANSWERS)), 0, 1)


@pytest.mark.whole_form("more of the real model; it judges its own rollouts in the short form")
async def test_pairs(judge, local_server):
    check(await Pairwise(judge).aselect(candidates(*ANSWERS)), 0, 1)
    async with AsyncOpenAI(base_url=local_server.base_url, api_key="none") as client:
        check(await Pairwise(client, model_name=judge.model, pairs="knockout").aselect(candidates(*ANSWERS)), -0.001, 3)


def test_the_model_judges_its_own_rollouts(judge):
    model = judge.model_copy(update={"max_tokens": 8})

    def solve(state):
        return {"messages": [model.invoke(state["messages"])]}

    told = best_of_n(solve, n=2, selector=PTrue(model)).run({"messages": [("user", "What is 2 + 3?")]}).selection
    assert told.selector == "p_true(SmolLM2-135M-Instruct)"
    assert 1 <= told.selector_usage["calls"] <= 2
    assert told.selector_usage["prompt_tokens"] > 20
    assert math.isfinite(told.won.score)
    assert told.usage["generated_tokens"] > told.selector_usage["generated_tokens"] > 0
