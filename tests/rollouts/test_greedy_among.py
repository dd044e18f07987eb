"""The recipe of docs/choosing.md: rollout 0 at temperature 0, the others sampled, through requests to a server."""

from __future__ import annotations

import kit
import pytest
from fake_openai import Answer, FakeOpenAI
from langchain_openai import ChatOpenAI

from ec_agent import best_of_n
from ec_agent.selectors import MeanEntropy

pytestmark = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")


def greedy_first(index):
    return {"temperature": 0} if index == 0 else {"temperature": 0.8, "seed": index}


@pytest.fixture
def server():
    fake = FakeOpenAI(otherwise=Answer())
    yield fake
    fake.close()


def agent_of(server, way):
    model = ChatOpenAI(model="m", base_url=server.url, api_key="none", temperature=1.0, max_retries=0, logprobs=True)
    if way == "graph":
        return kit.chat(model)

    def function(state):
        return {"messages": [model.invoke(state["messages"])]}

    return function


@pytest.mark.parametrize("way", ["graph", "function"])
def test_only_the_first_rollouts_request_has_temperature_0(run, server, way):
    node = best_of_n(agent_of(server, way), n=4, sampling=greedy_first, selector=MeanEntropy(), request_logprobs=True)
    result = run.run(node, {"messages": [("user", "?")]})
    asked = sorted((body["temperature"], body.get("seed")) for body in server.bodies() if "seed" in body)
    assert asked == [(0.8, 1), (0.8, 2), (0.8, 3)]
    assert [body["temperature"] for body in server.bodies() if "seed" not in body] == [0]
    assert [dict(c.sampling) for c in result.selection.candidates] == [greedy_first(index) for index in range(4)]
    assert [c.unsampled_calls for c in result.selection.candidates] == [0] * 4


def test_the_page_has_this_recipe():
    from pages_kit import ROOT

    page = (ROOT / "docs/choosing.md").read_text(encoding="utf-8")
    assert '{"temperature": 0} if index == 0 else {"temperature": 0.8, "seed": index}' in page
