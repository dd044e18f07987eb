from __future__ import annotations

import inspect
import re
from types import SimpleNamespace

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import (
    CentroidEvaluator,
    ConfigError,
    HEPConfig,
    LogprobsError,
    Trajectory,
    best_of_n,
    reward,
    token_entropy,
    trajectory_of,
)
from ec_agent.testing import Reply, ScriptedChatModel, logprobs_for, message_of

CALLS = [[2.0, 0.1, 0.2], [0.3, 1.5, 0.1, 0.1]]
TRAJECTORY = Trajectory.from_entropies(*CALLS)


def answers():
    return [message_of(Reply(f"a{i}", entropies=entropies)) for i, entropies in enumerate(CALLS)]


def conversation():
    first, second = answers()
    return [HumanMessage("x"), first, ToolMessage("y", tool_call_id="1"), second]


def completion(entropies, **usage):
    choice = {"index": 0, "message": {"role": "assistant"}, "logprobs": {"content": logprobs_for(entropies)}}
    return {"choices": [choice], "usage": {"completion_tokens": len(entropies), **usage}}


def responses(entropies):
    part = {"type": "output_text", "text": "x", "logprobs": logprobs_for(entropies)}
    return {"output": [{"type": "message", "content": [part]}], "usage": {"output_tokens": len(entropies)}}


class Held:
    def __init__(self, **kwargs):
        vars(self).update(kwargs)


ACCEPTED = {
    "trajectory": TRAJECTORY,
    "something that holds one": Held(trajectory=TRAJECTORY),
    "messages": conversation(),
    "a tuple of messages": tuple(conversation()),
    "messages as dicts": [message.model_dump() for message in conversation()],
    "chunks": [AIMessage.model_validate(m.model_dump()) if m.type == "ai" else m for m in conversation()],
    "a state": {"messages": conversation(), "other": 1},
    "a state object": Held(messages=conversation()),
    "openai messages": [
        {"role": "user", "content": "x"},
        *({"role": "assistant", "response_metadata": m.response_metadata} for m in answers()),
    ],
    "completions": [completion(entropies) for entropies in CALLS],
    "responses": [responses(entropies) for entropies in CALLS],
    "both": [completion(CALLS[0]), responses(CALLS[1])],
}


@pytest.mark.parametrize("form", ACCEPTED)
def test_accepted_outputs(form):
    found = trajectory_of(ACCEPTED[form])
    assert len(found.calls) == 2
    assert found.entropies == pytest.approx(TRAJECTORY.entropies, abs=1e-9)
    result = CentroidEvaluator()(inputs={}, outputs=ACCEPTED[form])
    assert result["score"] == reward(found)
    assert result["key"] == "entropy_centroid_reward"


@pytest.mark.parametrize("one", [completion(CALLS[0]), responses(CALLS[0])])
def test_one_response(one):
    assert trajectory_of(one).entropies == pytest.approx(CALLS[0], abs=1e-9)


def test_a_trajectory_is_taken_as_it_is():
    assert trajectory_of(TRAJECTORY) is TRAJECTORY


@pytest.mark.parametrize(
    "outputs",
    [
        *(None, 5, "text", b"text", {}, {"answer": "x"}, [1, 2], ["text"], [None], {"messages": "text"}),
        *({"messages": 5}, {"output": "text"}, {"output": AIMessage("x")}, {"choices": "text"}, AIMessage("x")),
    ],
    ids=repr,
)
def test_outputs_without_calls_are_refused(outputs):
    with pytest.raises(LogprobsError, match="give"):
        trajectory_of(outputs)
    with pytest.raises(LogprobsError, match="give"):
        CentroidEvaluator()(inputs={}, outputs=outputs)


def test_the_signature_is_langsmiths():
    parameters = inspect.signature(CentroidEvaluator()).parameters
    assert list(parameters) == ["inputs", "outputs", "reference_outputs", "kwargs"]
    assert all(
        parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ("inputs", "outputs", "reference_outputs")
    )
    assert parameters["reference_outputs"].default is None
    assert parameters["kwargs"].kind is inspect.Parameter.VAR_KEYWORD
    with pytest.raises(TypeError):
        CentroidEvaluator()({}, {"messages": conversation()})


def test_inputs_and_references_are_ignored():
    evaluator = CentroidEvaluator()
    result = evaluator(inputs=object(), outputs=TRAJECTORY, reference_outputs=object(), run=object(), example=object())
    assert result == evaluator(outputs=TRAJECTORY, inputs=None)
    assert set(result) == {"key", "score", "comment"}


def test_key_and_config():
    config = HEPConfig(10, 50, 1)
    result = CentroidEvaluator(config, key="mine")(inputs={}, outputs=TRAJECTORY)
    assert result["key"] == "mine"
    assert result["score"] == 1 - TRAJECTORY.centroid(config)
    assert "7 tokens of 2 LLM calls" in result["comment"]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([AIMessage("x")], "no logprobs"),
        ([], "no logprobs"),
        ({"messages": [HumanMessage("x")]}, "no logprobs"),
        ([message_of(Reply("x", tokens=5))], "no logprobs"),
        ([message_of(Reply("x", entropies=[None, None]))], "no candidates beside the sampled tokens"),
        ([message_of(Reply("x", entropies=[1.0], tokens=5))], "20%.*50%"),
        ([message_of(Reply("x", entropies=[1.0])), AIMessage("y")], "unknown"),
    ],
)
def test_not_scored_is_not_zero(outputs, said):
    result = CentroidEvaluator()(inputs={}, outputs=outputs)
    assert result["score"] is None
    assert result["comment"].startswith("not scored")
    assert re.search(said, result["comment"])


@pytest.mark.parametrize(("min_coverage", "scored"), [(0.0, True), (0.2, True), (0.21, False), (1.0, False)])
def test_min_coverage(min_coverage, scored):
    outputs = [message_of(Reply("x", entropies=[1.0], tokens=5))]
    result = CentroidEvaluator(min_coverage=min_coverage)(inputs={}, outputs=outputs)
    assert (result["score"] is not None) is scored


def test_unknown_coverage_is_below_any_positive_minimum():
    outputs = [message_of(Reply("x", entropies=[1.0])), AIMessage("y")]
    assert CentroidEvaluator(min_coverage=1e-9)(inputs={}, outputs=outputs)["score"] is None
    assert CentroidEvaluator(min_coverage=0)(inputs={}, outputs=outputs)["score"] is not None


@pytest.mark.parametrize("wrong", [-0.1, 1.1, 50, float("nan"), "half", None])
def test_a_wrong_min_coverage(wrong):
    with pytest.raises(ConfigError, match="min_coverage"):
        CentroidEvaluator(min_coverage=wrong)


def talking_agent():
    scripts = [[Reply(f"r{i}", entropies=[0.1 * i, 1.0, 0.2, 0.1, 0.1, 0.0, 0.0][: 4 + i])] for i in range(3)]
    model = ScriptedChatModel(scripts)

    def talk(state: MessagesState):
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("talk", talk)
    builder.add_edge(START, "talk")
    return builder.compile()


def test_it_agrees_with_the_node():
    node = best_of_n(talking_agent(), n=3, keep_logprobs=True)
    result = node.run({"messages": [HumanMessage("x")]})
    score = CentroidEvaluator()(inputs={}, outputs=result.output)["score"]
    assert score == 1 - result.selection.candidates[result.selection.winner].centroid
    scores = [CentroidEvaluator()(inputs={}, outputs=t)["score"] for t in result.trajectories]
    assert scores == [1 - c.centroid for c in result.selection.candidates]
    assert max(range(3), key=scores.__getitem__) == result.selection.winner


async def test_it_agrees_with_the_node_async():
    node = best_of_n(talking_agent(), n=3, keep_logprobs=True)
    result = await node.arun({"messages": [HumanMessage("x")]})
    score = CentroidEvaluator()(inputs={}, outputs=result.output)["score"]
    assert score == 1 - result.selection.candidates[result.selection.winner].centroid


# Answers that are not OpenAI's, and signals that are not the entropy

TOP = [(-0.1, -2.6), (-0.7, -0.8), (-0.2, -1.8)]


def pairs(rows, name):
    return [[{"token": f"t{i}", name: lp} for i, lp in enumerate(row)] for row in rows]


def entries(name="logprob"):
    return [{**row[0], "top_logprobs": row} for row in pairs(TOP, name)]


def as_objects(thing):
    if isinstance(thing, dict):
        return SimpleNamespace(**{key: as_objects(value) for key, value in thing.items()})
    return [as_objects(each) for each in thing] if isinstance(thing, list) else thing


FOREIGN = {
    "Ollama": {"model": "m", "message": {"role": "assistant"}, "logprobs": entries(), "eval_count": 3},
    "llama.cpp": {"content": "x", "completion_probabilities": entries(), "tokens_predicted": 3},
    "Gemini over HTTP": {
        "candidates": [
            {
                "logprobsResult": {
                    "topCandidates": [{"candidates": row} for row in pairs(TOP, "logProbability")],
                    "chosenCandidates": [row[0] for row in pairs(TOP, "logProbability")],
                },
                "avgLogprobs": -0.3,
            }
        ],
        "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, "thoughtsTokenCount": 1},
    },
    "Gemini's client": {
        "candidates": [
            {
                "logprobs_result": {
                    "top_candidates": [{"candidates": row} for row in pairs(TOP, "log_probability")],
                    "chosen_candidates": [row[0] for row in pairs(TOP, "log_probability")],
                }
            }
        ],
        "usage_metadata": {"prompt_token_count": 4, "candidates_token_count": 3, "thoughts_token_count": None},
    },
    "DeepSeek": {
        "choices": [{"logprobs": {"content": entries()[1:], "reasoning_content": entries()[:1]}}],
        "usage": {"completion_tokens": 3},
    },
}


@pytest.mark.parametrize("form", [lambda thing: thing, as_objects], ids=["json", "objects"])
@pytest.mark.parametrize("provider", FOREIGN)
def test_foreign_answers(provider, form):
    trajectory = trajectory_of(form(FOREIGN[provider]))
    expected = [token_entropy(row) for row in TOP]
    assert np.allclose(trajectory.entropies, expected, rtol=0, atol=1e-12)
    assert trajectory.coverage == 1.0
    assert trajectory.signal("surprisal").tolist() == [0.1, 0.7, 0.2]
    assert CentroidEvaluator()(outputs=form(FOREIGN[provider]))["score"] == reward(trajectory)


def test_probabilities_after_sampling_are_no_logprobs():
    """llama.cpp's ``post_sampling_probs``."""
    token = {"token": "x", "prob": 0.9, "top_probs": [{"token": "x", "prob": 0.9}, {"token": "y", "prob": 0.1}]}
    trajectory = trajectory_of({"completion_probabilities": [token], "tokens_predicted": 1})
    assert (len(trajectory), trajectory.scored_tokens) == (1, 0)


def test_surprisal_has_to_be_asked_for():
    bare = {"choices": [{"logprobs": {"content": [{"token": "x", "logprob": -0.5}] * 3}}]}
    verdict = CentroidEvaluator()(outputs=bare)
    assert verdict["score"] is None
    assert "no candidates beside the sampled tokens" in verdict["comment"]
    verdict = CentroidEvaluator(signal="surprisal")(outputs=bare)
    assert verdict["score"] == 1 - 0.5 / 3
    assert "surprisal" in verdict["comment"]
    with pytest.raises(ConfigError, match="unknown signal"):
        CentroidEvaluator(signal="surprise")
    with pytest.raises(ConfigError, match="not kept"):
        CentroidEvaluator(signal="surprisal")(outputs=Trajectory.from_entropies([1.0, 2.0]))
