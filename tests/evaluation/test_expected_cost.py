"""What a run will cost, told before it starts."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from ec_agent.cli.eval import _costs
from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import load
from ec_agent.evaluation.expected_cost import Foreseen, foresee
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.tasks import BaseTask


@tool
def look(q: str) -> str:
    """Look something up."""
    return q


class Known(BaseTask):
    tools = (look,)

    def __init__(self, id, input, gold):
        super().__init__(id, input)
        self.gold = gold


CALL = ("look", {"q": "x"})


@pytest.mark.parametrize(
    ("gold", "calls"),
    [
        ([CALL, CALL], 2),
        ([["f()", "g()"], ["h()"], []], 3 + 3),  # a closing answer ends each turn
        ([], 1),
        ("an answer", 1),
        (None, 1),
    ],
)
def test_calls_of_a_known_solution(gold, calls):
    found = foresee([Known("a", "What is x?", gold)], RunSettings(n=3))
    assert (found.rollouts, found.calls) == (4, 4 * calls)
    assert found.known == isinstance(gold, list)
    assert found.prompt_tokens == found.calls * (found.tool_tokens + len(json.dumps(["What is x?"])) // 4)


@pytest.mark.parametrize(("told", "known"), [(1, True), (3, True), (None, False)])
def test_a_task_may_say_how_many_calls_it_takes(told, known):
    task = Known("a", "What is x?", "an answer")
    task.model_calls = told
    found = foresee([task], RunSettings(n=3))
    assert (found.calls, found.known) == (4 * (told or 1), known)


@pytest.mark.parametrize("state", [{"messages": [HumanMessage("x" * 400)]}, {"question": "x" * 400}])
def test_any_input_has_a_size(state):
    found = foresee([Known("a", state, [CALL])], RunSettings(n=1, greedy=False))
    assert 100 <= found.prompt_tokens - found.tool_tokens <= 115


def test_the_conversations_of_bfcl_need_thousands_of_tokens_a_call():
    found = foresee(load("bfcl:multi_turn", 2), RunSettings(n=8))
    assert found.calls == 9 * ((3 + 2 + 1 + 4 + 4) + (1 + 2 + 2 + 1 + 4))
    assert 4000 < found.tool_tokens < 5000
    assert found.prompt_tokens > found.calls * 2500


def test_expected_costs_are_said_in_rounded_numbers():
    assert _costs(Foreseen(9, 9, 100, 0, False)) == ["at least 9 model calls, one a rollout"]
    (said,) = _costs(Foreseen(9, 1234, 9_876_543, 0, True))
    assert said.startswith("about 1,200 model calls with 9,900,000 prompt tokens, if rollouts go the way of the known")
    assert _costs(Foreseen(9, 9, 100, 4496, True))[1] == "tool descriptions alone make up to 4,500 tokens of a prompt"


def test_tools_that_are_none_are_told():
    task = Known("a", "?", [])
    task.tools = (3,)
    with pytest.raises(ConfigError, match=r"(?s)task 'a' has tools that cannot be described .*give LangChain tools"):
        foresee([task], RunSettings())
