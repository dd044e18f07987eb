"""A call that waits on disk for the rest of its rollout comes back as it was.

That a new field of a call does, too, is in ``tests/traces/test_a_field_more.py``.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from ec_agent import Call
from ec_agent.cli.app import app
from ec_agent.logs.spool import Spool
from ec_agent.numbers.call_fields import plain_of
from ec_agent.testing import logprobs_for

ODD = Call(
    np.array([0.5, np.nan, 0.1]),
    tokens=3,
    model="m",
    node="n",
    started=1.5,
    ended=2.5,
    prompt_tokens=7,
    cached_tokens=2,
    signals={"surprisal": np.array([0.3, np.nan, 0.2])},
    capability="full",
    partial=True,
    constrained=True,
    from_cache=True,
    unplaced=1,
    beside=4,
)


@pytest.mark.parametrize("call", [ODD, Call(np.array([0.5]))], ids=["all", "few"])
def test_each_fact_of_a_call_comes_back(call):
    with Spool() as spool:
        spool.add("r", "0", call)
        ((_, _, trajectory),) = spool.rollouts()
    (back,) = trajectory.calls
    assert plain_of(back) == plain_of(call)
    assert {name: type(value) for name, value in plain_of(back).items()} == {
        name: type(value) for name, value in plain_of(call).items()
    }
    assert back.entropies.tobytes() == call.entropies.tobytes()
    assert {name: each.tobytes() for name, each in back.signals.items()} == {
        name: each.tobytes() for name, each in call.signals.items()
    }


def answer(number):
    """Five of twelve tokens have logprobs; nobody knows which, for they do not fit the text."""
    content = logprobs_for([2.0, 0.1, 0.1, 0.1, 0.1])
    choice = {"message": {"content": "other words"}, "logprobs": {"content": content}, "finish_reason": "stop"}
    return {"id": f"r{number}", "session_id": str(number), "choices": [choice], "usage": {"completion_tokens": 8}}


def span(number):
    attributes = {"openinference.span.kind": "LLM", "output.value": json.dumps(answer(number))}
    context = {"trace_id": f"0x{number}", "span_id": f"0x{number}"}
    return {"name": "call", "context": context, "parent_id": None, "attributes": attributes, "start_time": "2026-11-30"}


FORMS = {
    "answers": answer,
    "calls of sessions": lambda number: {**answer(number), "session_id": "s"},
    "LangSmith's runs": lambda number: {
        "id": str(number),
        "trace_id": str(number),
        "run_type": "llm",
        "outputs": {key: answer(number)[key] for key in ("choices", "usage")},
    },
    "spans": span,
}


@pytest.mark.parametrize("form", FORMS)
def test_tokens_whose_place_is_a_guess_are_told_of_every_format(tmp_path, form):
    file = tmp_path / "log.jsonl"
    file.write_text("\n".join(json.dumps(FORMS[form](number)) for number in range(2)))
    options = ["--one-task", *(["--rollout-from", "session_id"] if "sessions" in form else [])]
    done = CliRunner().invoke(app, ["score", str(file), "--json", *options])
    assert done.exception is None, done.exception
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(row["unplaced"] for row in rows) == 4  # of the three that each lacks, one may be the end token
    table = CliRunner().invoke(app, ["score", str(file), *options]).stdout
    assert "whose place is not known" in " ".join(table.split())
