"""Run, log, score: ``ec-agent score`` reads of Inspect's own logs the numbers that the run itself had, bit by bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bridge_kit import SAMPLES, entropies_of, judged, numbered, run, slow_centroid, slow_timeline
from click.testing import CliRunner
from fake_openai import Answer, FakeOpenAI
from inspect_ai.log import write_eval_log
from inspect_ai.model import get_model
from inspect_ai.scorer import match
from inspect_ai.solver import basic_agent, generate, use_tools
from inspect_ai.tool import tool

from ec_agent import token_entropy
from ec_agent.cli.app import app
from ec_agent.evaluation.inspect_ai import centroid, with_centroid
from ec_agent.logs import found_in, opened
from ec_agent.testing import logprobs_for

EPOCHS = 3
FORMS = ["json", "eval"]


def answered(body):
    """A tool call, then the answer; the entropies depend on the question, which names the epoch."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    question = next(message["content"] for message in body["messages"] if message["role"] == "user")
    seed = sum(map(ord, str(question)))
    entropies = entropies_of(seed, turn)
    if turn == 0:
        return Answer(entropies, tool_calls=[("look", {"q": "x"})])
    if any(each["function"]["name"] == "submit" for each in body.get("tools") or []):
        return Answer(entropies, tool_calls=[("submit", {"answer": "right"})])
    return Answer(entropies, text="right")


@pytest.fixture(scope="module")
def model():
    endpoint = FakeOpenAI(otherwise=answered)
    yield get_model("openai-api/fake/fake-model", base_url=endpoint.url, api_key="none", memoize=False)
    endpoint.close()


@tool
def look():
    async def execute(q: str):
        """Look.

        Args:
            q: what at.
        """
        return "found"

    return execute


def with_generate():
    return [numbered(), use_tools(look()), generate()]


def with_an_agent_of_inspect():
    return [numbered(), basic_agent(tools=[look()])]


AGENT = pytest.mark.whole_form("runs of seconds; those with_generate are scored again in the short form")
RUNS = [with_generate, pytest.param(with_an_agent_of_inspect, marks=AGENT)]


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: run.__name__)
def log(request, tmp_path_factory, model):
    scorers = [with_centroid(match()), centroid(), judged()]
    asked = {"logprobs": True, "top_logprobs": 20}
    home = tmp_path_factory.mktemp("logs")
    return run(home, request.param(), scorers, epochs=EPOCHS, model=model, **asked)


@pytest.mark.parametrize("form", FORMS)
def test_each_sample_scored_again_is_the_run(tmp_path, log, form):
    assert log.status == "success"
    file = tmp_path / f"log.{form}"
    write_eval_log(log, str(file))
    live = {f"{sample.id} epoch {sample.epoch}": sample.scores["centroid"].value for sample in log.samples}
    assert len(live) == EPOCHS * len(SAMPLES)
    assert len(set(live.values())) > EPOCHS
    done = CliRunner().invoke(app, ["score", str(file), "--json"])
    assert done.exception is None, done.exception
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["id"]: row["centroid"] for row in rows} == live
    assert {row["outcome"] for row in rows} == {1.0}
    for sample in SAMPLES:
        of_it = [row for row in rows if row["id"].startswith(f"{sample.id} ")]
        lowest = min(row["centroid"] for row in of_it)
        assert [row["centroid"] == lowest for row in of_it].index(True) == [row["best"] for row in of_it].index(True)


@pytest.mark.parametrize("form", FORMS)
def test_each_token_has_the_entropy_of_what_the_server_sent(tmp_path, log, form):
    file = tmp_path / f"log.{form}"
    write_eval_log(log, str(file))
    samples = {f"{sample.id} epoch {sample.epoch}": sample for sample in log.samples}
    with opened(file) as source:
        found = list(found_in(source, pytest.fail))
    assert len(found) == len(samples)
    for each in found:
        sample = samples[each.name]
        first = next(message.text for message in sample.messages if message.role == "user")
        seed = sum(map(ord, first))
        sent = [entropies_of(seed, turn) for turn in range(2)]
        rows = [[top["logprob"] for top in entry["top_logprobs"]] for turn in sent for entry in logprobs_for(turn)]
        assert each.trajectory.entropies.tobytes() == token_entropy(rows).tobytes()
        np.testing.assert_allclose(each.trajectory.entropies, slow_timeline(*sent), rtol=1e-12)
        assert each.trajectory.centroid() == slow_centroid(*sent) == sample.scores["centroid"].value
