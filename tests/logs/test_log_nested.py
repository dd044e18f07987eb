"""Answers are found wherever they lie in a record, each once; and what is said where there are none is true."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, messages_to_dict
from langchain_core.outputs import ChatGeneration

from ec_agent import CentroidEvaluator, trajectory_of
from ec_agent.cli.app import app
from ec_agent.logs import found_in, opened
from ec_agent.testing import Reply, logprobs_for, message_of

FIRST, SECOND = [2.0, 0.1, 0.1], [0.1, 1.0]


def read(folder, record):
    (folder / "log.jsonl").write_text((record if isinstance(record, str) else json.dumps(record)) + "\n")
    troubles = []
    with opened(folder / "log.jsonl") as source:
        found = list(found_in(source, lambda where, what: troubles.append(f"{where} {what}"), "responses"))
    return found, troubles


def answer(entropies, name="c1"):
    choice = {"message": {"role": "assistant", "content": "x"}, "logprobs": {"content": logprobs_for(entropies)}}
    usage = {"prompt_tokens": 1, "completion_tokens": len(entropies), "total_tokens": len(entropies) + 1}
    return {"id": name, "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def said(entropies, name=None):
    return message_of(Reply("x", entropies=entropies)).model_copy(update={"id": name})


ASKED = [
    {"role": "user", "content": "q"},
    {"role": "assistant", "content": "earlier"},
    {"role": "user", "content": "r"},
]
STATE = [HumanMessage("q"), said(FIRST), HumanMessage("r"), said(SECOND)]
GENERATION = ChatGeneration(message=said(FIRST), generation_info={"logprobs": {"content": logprobs_for(FIRST)}})
PYDANTIC_AI = {
    "kind": "response",
    "parts": [{"content": "x", "part_kind": "text"}],
    "usage": {"input_tokens": 1, "output_tokens": 3},
    "provider_details": {"logprobs": logprobs_for(FIRST)},
}
RECORDS = {
    "messages beside choices": ({"messages": ASKED, **answer(FIRST)}, [FIRST]),
    "messages and response": ({"messages": ASKED, "response": answer(FIRST)}, [FIRST]),
    "messages and another name": ({"messages": ASKED, "raw_completion": answer(FIRST)}, [FIRST]),
    "answers of earlier turns": ({"messages": messages_to_dict(STATE), "output": answer([1.0], "n")}, [[1.0]]),
    "earlier answers in a request": (
        {"call": {"request": {"messages": messages_to_dict(STATE)}, "response": answer([1.0], "n")}},
        [[1.0]],
    ),
    "request and response": ({"request": {"messages": ASKED}, "response": answer(FIRST)}, [FIRST]),
    "as text": ({"attributes": {"input.value": "{}", "output.value": json.dumps(answer(FIRST))}}, [FIRST]),
    "steps": ({"steps": [{"in": 1, "response": answer(FIRST)}, {"response": answer(SECOND, "c2")}]}, [FIRST, SECOND]),
    "steps alike": ({"steps": [{"response": answer(FIRST, None)}, {"response": answer(FIRST, None)}]}, [FIRST, FIRST]),
    "one answer twice": ({"response": answer(FIRST), "raw": json.dumps(answer(FIRST))}, [FIRST]),
    "in messages": (
        {
            "messages": [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": "x", "extra": {"response": answer(FIRST)}},
                {"role": "assistant", "content": "x", "extra": {"response": answer(SECOND, "c2")}},
            ]
        },
        [FIRST, SECOND],
    ),
    "pydantic-ai": ([{"kind": "request", "parts": []}, PYDANTIC_AI], [FIRST]),
    "model_dump": ({"messages": [message.model_dump() for message in STATE]}, [FIRST, SECOND]),
    "dumps": (dumps({"messages": STATE}), [FIRST, SECOND]),
    "dumps, a list": (dumps(STATE), [FIRST, SECOND]),
    "messages_to_dict": (messages_to_dict(STATE), [FIRST, SECOND]),
    "one message": (dumps(said(FIRST)), [FIRST]),
    "an event": (dumps({"event": "on_chat_model_end", "data": {"output": said(FIRST)}}), [FIRST]),
    "states one after the other": (
        {
            "states": [
                {"values": messages_to_dict([said(FIRST, "a")])},
                {"values": messages_to_dict([said(FIRST, "a")])},
            ]
        },
        [FIRST],
    ),
    "a generation": (dumps({"outputs": {"generations": [[GENERATION]]}}), [FIRST]),
    "a message of the Responses API": (
        {"role": "assistant", "items": [{"type": "output_text", "text": "x", "logprobs": logprobs_for(FIRST)}]},
        [FIRST],
    ),
}


@pytest.mark.parametrize("form", RECORDS)
def test_answers_are_found_each_once(tmp_path, form):
    record, expected = RECORDS[form]
    (found,), troubles = read(tmp_path, record)
    assert troubles == []
    calls = found.trajectory.calls
    assert [call.tokens for call in calls] == list(map(len, expected))
    for call, entropies in zip(calls, expected, strict=True):
        np.testing.assert_allclose(call.entropies, entropies)


def test_serial_forms_are_read_by_the_evaluator():
    for form in (json.loads(dumps({"messages": STATE})), messages_to_dict(STATE)):
        np.testing.assert_allclose(trajectory_of(form).entropies, [*FIRST, *SECOND])


def test_a_step_without_logprobs_is_a_gap(tmp_path):
    bare = {"choices": [{"message": {"content": "y"}}], "usage": {"completion_tokens": 3}}
    (found,), _ = read(tmp_path, {"steps": [{"response": answer(FIRST)}, {"response": bare}]})
    assert found.trajectory.coverage == 0.5


# Where nothing can be scored


def comment(folder, record):
    (folder / "log.json").write_text(json.dumps([record, {"entropies": [1.0, 0.1]}]))
    done = CliRunner().invoke(app, ["score", str(folder / "log.json"), "--json"])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[-1]["best"]
    return rows[0]["comment"] if len(rows) == 2 else done.stderr


UNREAD = {"a": -0.5, "b": -1.25}
ELSEWHERE = {
    "top_logprobs": (
        {"choices": [{"message": {"content": "x"}}], "meta": {"top_logprobs": [UNREAD]}},
        "meta.top_logprobs",
    ),
    "logprobsResult": (
        {"output": [], "candidates": [{"content": {}}], "raw": {"logprobsResult": {"some": [UNREAD]}}},
        "raw.logprobsResult",
    ),
    "top_probs": (
        {"content": "x", "tokens": [{"token": "x", "prob": 0.9, "top_probs": [{"token": "x", "prob": 0.9}]}]},
        "tokens[0].top_probs",
    ),
    "logProbs": ({"response": {"output": "x", "logProbs": [-0.1, -0.2]}}, "response.logProbs"),
    "in a message": (
        {"messages": [{"role": "assistant", "content": "x", "extra": {"token_logprobs": [-0.1]}}]},
        "messages[0].extra.token_logprobs",
    ),
}


@pytest.mark.parametrize("form", ELSEWHERE)
def test_the_key_under_which_they_lie_is_named(tmp_path, form):
    record, path = ELSEWHERE[form]
    told = comment(tmp_path, record)
    assert repr(path) in told
    assert "ask the model" not in told


BARE = {"choices": [{"message": {"role": "assistant", "content": "x"}}], "usage": {"completion_tokens": 3}}
TOOLS = {
    "Traceloop": {
        "name": "openai.chat",
        "attributes": {"gen_ai.request.model": "m", "gen_ai.completion.0.content": "x"},
    },
    "opentelemetry": {"spans": [{"attributes": [{"key": "traceloop.span.kind", "value": {"stringValue": "llm"}}]}]},
    "langfuse": {"id": "1", "traceId": "2", "type": "GENERATION", "modelParameters": {}, "output": {"content": "x"}},
    "AgentDojo": {"suite_name": "s", "user_task_id": "u", "messages": [{"role": "assistant", "content": "x"}]},
    "LiteLLM": {"litellm_call_id": "1", "stream": True, "messages": ASKED, "response": BARE},
    "smolagents": {"step_number": 1, "model_output_message": {"role": "assistant", "content": "x", "raw": None}},
    "verifiers": {"traces": [{"verifiers": {"version": "0.4.0"}, "nodes": [], "calls": []}], **BARE},
    "lm-eval": {"doc_id": 1, "resps": [["x"]], "filtered_resps": ["x"]},
    "MLflow": {"attributes": {"mlflow.spanOutputs": json.dumps(BARE)}},
    "Responses route": {"messages": [AIMessage("x", response_metadata={"id": "resp_1"}).model_dump()]},
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_that_drops_them_is_named(tmp_path, tool):
    told = comment(tmp_path, TOOLS[tool])
    assert tool in told
    assert "leaves logprobs out" in told
    assert "ask the model" not in told


@pytest.mark.parametrize(
    "record",
    [
        BARE,
        {"messages": ASKED},
        {"request": {"logprobs": True, "top_logprobs": 20, "temperature": 0.5}, **BARE},  # what was asked for
        {**BARE, "choices": [{**BARE["choices"][0], "logprobs": {"content": []}}]},
        {**BARE, "choices": [{**BARE["choices"][0], "logprobs": None}]},
    ],
)
def test_without_logprobs_the_advice_is_to_ask_the_model(tmp_path, record):
    assert "no logprobs; ask the model for them" in comment(tmp_path, record)


def test_the_evaluator_names_the_key_too():
    verdict = CentroidEvaluator()(outputs={**BARE, "meta": {"top_logprobs": [UNREAD]}})
    assert "'meta.top_logprobs'" in verdict["comment"]
    message = AIMessage("x", additional_kwargs={"logprobs": [-0.5]})
    assert "'[0].additional_kwargs.logprobs'" in CentroidEvaluator()(outputs=[message])["comment"]
