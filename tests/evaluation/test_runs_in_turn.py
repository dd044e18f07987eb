"""Several evaluations in one process, with one chat model."""

from __future__ import annotations

import pytest
from eval_fakes import tasks
from fake_openai import FakeOpenAI
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import evaluate


@pytest.fixture
def server():
    server = FakeOpenAI(keeps_alive=True)
    yield server
    server.close()


def test_the_second_finds_the_connections_of_the_first(server, tmp_path):
    model = ChatOpenAI(model="m", base_url=server.url, api_key="none", logprobs=True, top_logprobs=5, max_retries=0)
    agent = create_agent(model, [])
    for name in ("first", "second", "third"):
        report = evaluate(tasks(2), agent, tmp_path / f"{name}.db", RunSettings(n=2, greedy=False))
        assert (report.stored, report.failures) == (4, ())
