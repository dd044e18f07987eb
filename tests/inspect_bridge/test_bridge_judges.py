"""A judge that runs within the agent, as ``react(attempts=2)`` has it: its calls are not the agent's."""

from __future__ import annotations

import pytest
from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.agent import react
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, ModelOutput, get_model
from inspect_ai.scorer import Score, accuracy, scorer
from inspect_ai.scorer import score as score_now
from inspect_ai.solver import solver

from ec_agent.evaluation.inspect_ai import trajectory_of_events
from ec_agent.testing import logprobs_for


def with_tokens(output, count):
    plain = output.model_dump()
    plain["choices"][0]["logprobs"] = {"content": [{"bytes": None, **each} for each in logprobs_for([1.0] * count)]}
    plain["usage"] = {"input_tokens": 1, "output_tokens": count, "total_tokens": count + 1}
    return ModelOutput.model_validate(plain)


def submitted(count, answer):
    return with_tokens(ModelOutput.for_tool_call("mockllm/model", "submit", {"answer": answer}), count)


def said(count, text):
    return with_tokens(ModelOutput.from_content("mockllm/model", text), count)


def model(*outputs):
    return get_model("mockllm/model", custom_outputs=list(outputs), memoize=False)


@scorer(metrics=[accuracy()])
def judged(judge):
    async def by(state, target):
        result = await judge.generate(f"is {state.output.completion} right?")
        return Score(value="C" if result.completion == "yes" else "I")

    return by


@scorer(metrics=[accuracy()])
def never():
    async def by(state, target):
        return Score(value="I")

    return by


@solver
def twice():
    async def solve(state, generate):
        for _ in range(2):
            state = await generate(state)
            await score_now(state)
            state.messages.append(ChatMessageUser(content="again"))
        return state

    return solve


CASES = {
    "submitting": (lambda: react(attempts=2), [submitted(3, "a"), submitted(4, "b")], 2),
    "saying": (twice, [said(3, "a"), said(4, "b")], 3),
    "no judge": (twice, [said(3, "a"), said(4, "b")], 0),
}


@pytest.mark.parametrize("case", CASES)
def test_the_calls_of_the_agent(case, tmp_path):
    solving, outputs, judgements = CASES[case]
    judge = model(said(7, "no"), said(8, "yes"), said(9, "yes"))
    task = Task([Sample("q", target="b")], solver=solving(), scorer=judged(judge) if judgements else never())
    (log,) = inspect_eval(task, model=model(*outputs), log_dir=str(tmp_path), display="none")
    (sample,) = log.samples
    assert sum(event.event == "model" for event in sample.events) == 2 + judgements
    for messages in (sample.messages, ()):
        assert [call.tokens for call in trajectory_of_events(sample.events, messages=messages).calls] == [3, 4]
