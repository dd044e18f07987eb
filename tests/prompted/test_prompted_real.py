"""Prompted tools on the real embedded model: whatever it says, all of it is on the timeline."""

from __future__ import annotations

import asyncio
import math
from typing import Annotated

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient
from pydantic import Field

from ec_agent import best_of_n, read_only, record_calls
from ec_agent.local import LocalChatModel
from ec_agent.prompted import JsonSchemaProtocol, PromptedToolModel

pytestmark = pytest.mark.model

# The 135M model seldom writes Hermes by itself, so llama.cpp's grammar holds it to a call, or to an answer.
CALL = (
    r"""root ::= "<tool_call>\n{\"name\": \"price_of\", \"arguments\": {\"product\": \"" """
    r"""("mug" | "lamp") "\"}}\n</tool_call>" """
)
ANSWER = r"""root ::= "It costs " [0-9]+ "." """


@read_only
@tool
def price_of(product: Annotated[str, Field(pattern="^(mug|lamp)$")]) -> str:
    """The price of a mug or a lamp."""
    return "4.50" if product == "mug" else "28.00"


@pytest.fixture(scope="module")
def local(local_server):
    return LocalChatModel(base_url=local_server.base_url, max_tokens=64)


@pytest.fixture
def chat_openai(local_server):
    return ChatOpenAI(
        http_async_client=DefaultAsyncHttpxClient(),  # its own, for the default one stays with the first event loop
        base_url=local_server.base_url,
        api_key="none",
        model=local_server.model,
        max_tokens=64,
        logprobs=True,
        top_logprobs=20,
    )


@pytest.fixture(params=["local", "chat_openai"])
def below(request):
    return request.getfixturevalue(request.param)


class LookUpThenAnswer(AgentMiddleware):
    """Leaves the order of the steps to no chance: first any tool, then the answer."""

    def __init__(self, grammars=None):
        self.grammars = grammars

    def choose(self, request):
        looked_up = any(isinstance(message, ToolMessage) for message in request.messages)
        held = {"extra_body": {"grammar": self.grammars[looked_up]}} if self.grammars else {}
        choice = "none" if looked_up else "any"
        return request.override(tool_choice=choice, model_settings={**request.model_settings, **held})

    def wrap_model_call(self, request, handler):
        return handler(self.choose(request))

    async def awrap_model_call(self, request, handler):
        return await handler(self.choose(request))


def agent_on(model, protocol):
    grammars = (CALL, ANSWER) if protocol == "hermes" else None
    return create_agent(
        PromptedToolModel(model=model, protocol=protocol), [price_of], middleware=[LookUpThenAnswer(grammars)]
    )


def seen(call):
    """How many of a call's tokens have an entropy."""
    return sum(math.isfinite(entropy) for entropy in call.entropies.tolist())


def check_timeline(recorder, messages):
    """Call by call, the tokens on the timeline are those that the server says it generated, each with an entropy.

    But for two: the end token may go unreported, and llama.cpp reports the tokens of a character that is spelled
    byte by byte as one. Those are a gap in the timeline.
    """
    said = [message for message in messages if isinstance(message, AIMessage)]
    calls = recorder.trajectory().calls
    assert len(calls) == len(said)
    for call, message in zip(calls, said, strict=True):
        spelled = "".join(call.texts)
        bytewise = len(spelled.encode()) - len(spelled)
        used = message.usage_metadata["output_tokens"]
        assert used - 1 <= call.tokens <= used
        assert used - 1 - bytewise <= seen(call) <= call.tokens
        if message.tool_calls:
            assert seen(call) == call.tokens


STATE = {"messages": [("user", "Price of a mug?")]}
PROTOCOLS = ["json_schema", "hermes"]


@pytest.mark.members(1)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_agent_end_to_end(below, protocol, mode):
    agent = agent_on(below, protocol)
    with record_calls(keep_text=True) as recorder:
        result = agent.invoke(STATE) if mode == "sync" else asyncio.run(agent.ainvoke(STATE))
    messages = result["messages"]
    assert [type(message) for message in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert messages[2].text in {"4.50", "28.00"}
    check_timeline(recorder, messages)
    # The tool call's own tokens are among them: its text is spelled by the first call of the timeline.
    spelled = "".join(recorder.trajectory().calls[0].texts)
    (call,) = messages[1].tool_calls
    assert f'"{call["name"]}"' in spelled
    assert f'"{call["args"]["product"]}"' in spelled


@pytest.mark.whole_form("more of the real model; an agent on it runs to its end in the short form")
@pytest.mark.members(1)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_rollouts_are_scored_over_all_they_generated(local, protocol):
    better = best_of_n(agent_on(local, protocol), n=4, sampling=lambda index: {"seed": index, "temperature": 1.0})
    result = better.run(STATE)
    for candidate, trajectory in zip(result.selection.candidates, result.trajectories, strict=True):
        assert (candidate.calls, candidate.unsampled_calls) == (2, 0)
        assert seen(trajectory.calls[0]) == trajectory.calls[0].tokens > 10
        assert candidate.coverage > 0.9
    assert result.output["messages"][2].text in {"4.50", "28.00"}


@pytest.mark.whole_form("more of the real model; an agent on it runs to its end in the short form")
@pytest.mark.members(1)
@pytest.mark.parametrize("seed", range(3))
def test_hermes_without_a_grammar_says_what_it_will(local, seed):
    with record_calls(keep_text=True) as recorder:
        message = PromptedToolModel(model=local, protocol="hermes").bind_tools([price_of]).invoke("A mug?", seed=seed)
    check_timeline(recorder, [message])


@pytest.mark.whole_form("more of the real model; an agent on it runs to its end in the short form")
def test_a_forced_tool_gets_arguments_of_its_pattern(below):
    model = PromptedToolModel(model=below).bind_tools([price_of], tool_choice="price_of")
    for seed in range(4):
        (call,) = model.invoke("What does a mug cost?", seed=seed).tool_calls
        assert call["name"] == "price_of"
        assert call["args"]["product"] in {"mug", "lamp"}


@pytest.mark.whole_form("more of the real model; an agent on it runs to its end in the short form")
def test_a_wrapped_step(local):
    model = PromptedToolModel(model=local, protocol=JsonSchemaProtocol(wrapper="step"))
    assert model.bind_tools([price_of], tool_choice="any").invoke("What does a mug cost?").tool_calls
    assert model.bind_tools([price_of], tool_choice="none").invoke("What is a mug?").tool_calls == []


def test_a_cut_reply_does_not_raise(below):
    with record_calls(keep_text=True) as recorder:
        message = (
            PromptedToolModel(model=below)
            .bind_tools([price_of], tool_choice="any")
            .invoke("What does a mug cost?", max_tokens=6)
        )
    assert message.response_metadata["finish_reason"] == "length"
    assert message.tool_calls == []
    assert message.text or message.invalid_tool_calls
    check_timeline(recorder, [message])


@pytest.mark.whole_form("more of the real model; an agent on it runs to its end in the short form")
def test_natively_the_tool_does_not_even_reach_this_model(chat_openai):
    # Its chat template has no place for tools: llama.cpp leaves them out and holds the model to none, unasked.
    native = chat_openai.bind_tools([price_of], tool_choice="any").invoke("What does a mug cost?", temperature=0)
    plain = chat_openai.invoke("What does a mug cost?", temperature=0)
    assert native.usage_metadata["input_tokens"] == plain.usage_metadata["input_tokens"]
    assert (native.tool_calls, native.text) == ([], plain.text)
    prompted = PromptedToolModel(model=chat_openai).bind_tools([price_of], tool_choice="any")
    assert prompted.invoke("What does a mug cost?", temperature=0).tool_calls


@pytest.mark.whole_form("more of the real model; an agent on it runs to its end in the short form")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_agents_take_their_steps_at_the_same_time(local, mode):
    agent = agent_on(local, "json_schema")
    results = agent.batch([STATE] * 4) if mode == "sync" else asyncio.run(agent.abatch([STATE] * 4))
    for result in results:
        kinds = [type(message) for message in result["messages"]]
        assert kinds == [HumanMessage, AIMessage, ToolMessage, AIMessage]
        assert result["messages"][2].text in {"4.50", "28.00"}
