"""Documents that list the results of an evaluation: each of them is a rollout, not a call of one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from log_kit import by_hand, told

from ec_agent.cli.app import app
from ec_agent.testing import logprobs_for

FIRST, SECOND = [2.0, 0.1, 0.7], [0.1, 1.0]


def answer(entropies):
    choice = {"message": {"role": "assistant", "content": "x"}, "logprobs": {"content": logprobs_for(entropies)}}
    return {"object": "chat.completion", "choices": [choice], "usage": {"completion_tokens": len(entropies)}}


def row(entropies, question="q", **more):
    return {"prompt": {"raw": question, "label": "l"}, "response": {"output": "x", "raw": answer(entropies)}, **more}


LISTS = {
    "promptfoo": lambda rows: {
        "evalId": "e",
        "results": {"version": 3, "prompts": [{}], "results": rows},
        "config": {},
    },
    "results": lambda rows: {"model": "m", "results": rows},
    "rollouts": lambda rows: {"rollouts": rows, "usage": {"completion_tokens": 9}},
    "samples": lambda rows: {"eval": {"task": "t"}, "samples": rows},
    "rows, in a list of documents": lambda rows: [{"rows": rows}],
}


def written(folder, document):
    file = folder / "log.json"
    file.write_text(json.dumps(document, indent=1))
    return file


@pytest.mark.parametrize("form", LISTS)
def test_each_row_is_a_rollout(tmp_path, form):
    found, troubles = told(written(tmp_path, LISTS[form]([row(FIRST), row(SECOND)])))
    assert troubles == []
    for each, entropies in zip(found, (FIRST, SECOND), strict=True):
        np.testing.assert_array_equal(each.trajectory.entropies, by_hand(logprobs_for(entropies)))


def test_rows_are_compared_by_what_was_asked(tmp_path):
    rows = [row(entropies, question, id=f"{n}{question}") for n in "ab" for question, entropies in ASKED.items()]
    done = CliRunner().invoke(app, ["score", str(written(tmp_path, LISTS["promptfoo"](rows))), "--json"])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(each["best"] for each in found) == len(ASKED)
    assert "by what the model was asked: 2 tasks of 2" in done.stderr


ASKED = {"one": FIRST, "two": SECOND}


@pytest.mark.parametrize("odd", [{"response": {"output": "x"}}, {"response": {"logProbs": [-0.1]}}, {"error": "429"}])
def test_a_row_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path, odd):
    rows = [row(FIRST, id="a"), {"id": "b", **odd}, row(SECOND, id="c")]
    found, (trouble,) = told(written(tmp_path, LISTS["promptfoo"](rows)))
    assert [each.name for each in found] == ["a", "c"]
    assert "log.json, b cannot be read" in " ".join(trouble.split())


@pytest.mark.parametrize(
    ("document", "calls"),
    [
        ({"calls": [answer(FIRST), answer(SECOND)]}, [3, 2]),
        ({"steps": [{"response": answer(FIRST)}, {"response": answer(SECOND)}], "results": ["done", "well"]}, [3, 2]),
        ({"response": answer(FIRST), "results": [{"url": "a"}, {"url": "b"}]}, [3]),
    ],
)
def test_other_lists_are_the_calls_of_a_rollout(tmp_path, document, calls):
    ((found,), troubles) = told(written(tmp_path, document))
    assert troubles == []
    assert [call.tokens for call in found.trajectory.calls] == calls


def test_results_without_answers_are_refused_as_one(tmp_path):
    found, (trouble,) = told(written(tmp_path, {"results": [{"flagged": False}, {"flagged": True}]}))
    assert found == []
    assert "cannot find LLM calls" in trouble
