"""Judges as selectors of best_of_n: what they see, what they cost, and what happens where they cannot judge."""

from __future__ import annotations

import asyncio

import pytest
from fake_openai import Answer
from judging import Script, pair_in, proposed_in, true_with
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from openai import AsyncOpenAI, OpenAI

from ec_agent import Agreement, Limits, SelectorError, SelectorWarning, best_of_n
from ec_agent.judges import Pairwise, PTrue
from ec_agent.selectors import MajorityVote
from ec_agent.testing import Reply, ScriptedChatModel

ASKED = {"messages": [("user", "What is 2 + 3?")]}
SAID = ("5", "6", "5", "4")
SHARES = {"5": 0.6, "6": 0.2, "4": 0.8}
RUNS = {
    "sync": lambda node, *rest: node.run(ASKED, *rest),
    "async": lambda node, *rest: asyncio.run(node.arun(ASKED, *rest)),
}


@pytest.fixture(params=RUNS)
def run(request):
    return RUNS[request.param]


def agent(said=SAID):
    model = ScriptedChatModel([[Reply(each, entropies=[0.5] * (10 + i))] for i, each in enumerate(said)])
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_edge(START, "model")
    builder.add_edge("model", END)
    return builder.compile()


def test_p_true_chooses_and_is_billed_apart(run):
    judge = true_with(SHARES)
    told = run(best_of_n(agent(), n=4, selector=PTrue(judge.model))).selection
    assert (told.selector, told.order, told.winner) == ("p_true(scripted)", (3, 0, 2, 1), 3)
    assert told.won.score == pytest.approx(0.8)
    assert told.margin == pytest.approx(0.2)
    assert all("<question>\nWhat is 2 + 3?\n</question>" in prompt for prompt in judge.prompts)
    assert told.selector_usage["calls"] == told.selector_usage["generated_tokens"] == 3
    assert told.usage["generated_tokens"] == 10 + 11 + 12 + 13 + 3
    assert [candidate.tokens for candidate in told.candidates] == [10, 11, 12, 13]


def test_pairwise_chooses_and_is_billed_apart(run):
    def larger(prompt):
        a, b = pair_in(prompt)
        return {"5" if b > a else "1": 0.9, "3": 0.1}

    judge = Script(larger)
    told = run(best_of_n(agent(), n=4, selector=Pairwise(judge.model))).selection
    assert told.order == (1, 0, 2, 3)
    assert told.selector_usage["calls"] == len(judge.prompts) == 6


def test_at_a_stop_only_those_that_agree_are_judged(run):
    judge = true_with(SHARES)
    told = run(best_of_n(agent(("6", "5", "5", "6")), n=4, selector=PTrue(judge.model), stop=Agreement([3, 1], 0.6)))
    assert set(map(proposed_in, judge.prompts)) == {"5"}
    assert told.selection.winner == 1


CLIENTS = {
    "ChatOpenAI": lambda url, kind: kind(ChatOpenAI(base_url=url, api_key="k", model="fake-model", max_retries=0)),
    "OpenAI": lambda url, kind: kind(OpenAI(base_url=url, api_key="k", max_retries=0), model_name="fake-model"),
    "AsyncOpenAI": lambda url, kind: kind(
        AsyncOpenAI(base_url=url, api_key="k", max_retries=0), model_name="fake-model"
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_an_endpoint_judges(fake, run, client):
    script = true_with(SHARES)
    fake.otherwise = script.answering
    told = run(best_of_n(agent(), n=4, selector=CLIENTS[client](fake.url, PTrue))).selection
    assert told.order == (3, 0, 2, 1)
    assert told.selector_usage == {"calls": 3, "prompt_tokens": 21, "cached_tokens": 9, "generated_tokens": 3}
    assert told.usage["prompt_tokens"] == 21


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("on_failure", "chosen"), [(MajorityVote(), "majority_vote"), ("first", "first")], ids=["vote", "first"]
)
def test_without_logprobs_another_chooses_as_told_and_what_was_asked_is_billed(fake, run, client, on_failure, chosen):
    fake.otherwise = Answer(entropies=[0.1], logprobs=False, text="True")
    judge = CLIENTS[client](fake.url, lambda *args, **more: PTrue(*args, **more, on_failure=on_failure))
    with pytest.warns(
        SelectorWarning, match=rf"p_true\(fake-model\) failed, and {chosen} chose .*no logprobs in 3 of 3"
    ):
        told = run(best_of_n(agent(), n=4, selector=judge)).selection
    assert (told.selector, told.winner, told.selector_usage["calls"]) == (chosen, 0, 3)
    assert told.failed_selector.startswith("p_true(fake-model): SelectorError: fake-model returned no logprobs")


def test_by_default_it_is_an_error_with_the_rollouts(fake, run):
    fake.otherwise = Answer(status=500, error="out of memory")
    judge = CLIENTS["OpenAI"](fake.url, Pairwise)
    with pytest.raises(SelectorError, match=r"the selector pairwise\(fake-model\) failed: 6 of 6 calls") as caught:
        run(best_of_n(agent(), n=4, selector=judge))
    assert [candidate.final_action.text for candidate in caught.value.candidates] == list(SAID)


def test_a_slow_judge_ends_at_the_time_limit(fake, run):
    fake.otherwise = Answer(entropies=[0.1], text="True", delay=3.0)
    judge = CLIENTS["OpenAI"](
        fake.url, lambda *args, **more: PTrue(*args, **more, on_failure="first", max_concurrency=1)
    )
    with pytest.warns(SelectorWarning, match=r"took longer than 0.5 s|timed out"):
        told = run(best_of_n(agent(), n=4, selector=judge, limits=Limits(timeout=0.5))).selection
    assert told.selector == "first"
    assert len(fake.bodies()) <= 3


def test_a_resumed_run_does_not_ask_again(fake):
    judge, failed = true_with(SHARES), []

    def after(state):
        if not failed:
            failed.append(True)
            raise OSError("down")
        return {}

    builder = StateGraph(MessagesState)
    builder.add_node("solve", best_of_n(agent(), n=4, selector=PTrue(judge.model)))
    builder.add_node("after", after)
    builder.add_edge(START, "solve")
    builder.add_edge("solve", "after")
    graph, config = builder.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    with pytest.raises(OSError, match="down"):
        graph.invoke(ASKED, config)
    assert graph.invoke(None, config)["messages"][-1].text == "4"
    assert len(judge.prompts) == 3
