"""A native tool call of the real llama.cpp server, parsed by it out of what its model generated: all counts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI

from ec_agent import IdenticalRolloutsWarning, best_of_n, read_only, record_calls
from ec_agent.capture import request_logprobs
from ec_agent.local import LocalServer

pytestmark = pytest.mark.model

# The model's own template knows no tools. With this one, and a few calls before its eyes, it calls one.
TEMPLATE = (
    "{%- if tools %}{{ '<|im_start|>system\\n<tools>' }}{%- for tool in tools %}{{ tool | tojson }}{%- endfor %}"
    "{{ '</tools><|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + ('user' if message.role == 'tool' else message.role) + '\\n' }}{{- message.content or '' }}"
    "{%- for call in message.tool_calls or [] %}"
    '{{- \'<tool_call>\\n{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
ASKED = {"logprobs": True, "top_logprobs": 20}


class WithTools(LocalServer):
    def _params(self, xllamacpp, path):
        params = super()._params(xllamacpp, path)
        params.chat_template = TEMPLATE
        return params


@pytest.fixture(scope="module")
def server():
    with WithTools(n_parallel=2, n_ctx=4096) as server:
        yield server


@pytest.fixture(autouse=True)
def _fresh():
    request_logprobs.forget()


@read_only
@tool
def look(city: str) -> str:
    """Look at a city."""
    return "It is sunny."


def before():
    messages = []
    for number, city in enumerate(("Rome", "Oslo", "Madrid")):
        called = {"name": "look", "args": {"city": city}, "id": f"call{number}"}
        messages += [
            HumanMessage(f"Look at {city}."),
            AIMessage("", tool_calls=[called]),
            ToolMessage("It is sunny.", tool_call_id=called["id"]),
            AIMessage("I have looked."),
        ]
    return [*messages, HumanMessage("Look at Paris.")]


def model(server, **kwargs):
    settings = {"model": server.model, "base_url": server.base_url, "api_key": "none", "max_retries": 0}
    return ChatOpenAI(**settings | {"temperature": 0, "max_tokens": 64, "timeout": 60} | kwargs)


def body(server, **kwargs):
    """The same for a bare client."""
    return {**model(server).bind_tools([look]).kwargs, **model(server)._get_request_payload(before()), **kwargs}


def whole(call):
    """The call's text, its marks included, with an entropy for each token of it."""
    text = "".join(call.texts).strip()
    assert text.startswith("<tool_call>")
    assert text.endswith("</tool_call>")
    assert '"city": "Paris"' in text
    return call.capability == "full" and not np.isnan(call.entropies).any() and len(call.texts) == call.tokens


def arguments(answer):
    if hasattr(answer, "choices"):
        return [json.loads(each.function.arguments) for each in answer.choices[0].message.tool_calls]
    deltas = [chunk.choices[0].delta for chunk in answer if chunk.choices]
    return [json.loads("".join(each.function.arguments for d in deltas for each in d.tool_calls or ()))]


@pytest.mark.members(1)
@pytest.mark.parametrize("choice", [None, "required", {"type": "function", "function": {"name": "look"}}])
def test_a_client(server, choice):
    held = {} if choice is None else {"tool_choice": choice}
    with OpenAI(base_url=server.base_url, api_key="none") as client, record_calls(keep_text=True) as recorder:
        assert arguments(client.chat.completions.create(**body(server, **ASKED, **held))) == [{"city": "Paris"}]
    (call,) = recorder.trajectory().calls
    assert whole(call)
    assert call.constrained == (choice is not None)


async def test_a_client_that_does_not_ask_streamed_or_not(server):
    with record_calls(keep_text=True, request_logprobs=True) as recorder:
        async with AsyncOpenAI(base_url=server.base_url, api_key="none") as client:
            assert arguments(await client.chat.completions.create(**body(server))) == [{"city": "Paris"}]
            stream = await client.chat.completions.create(**body(server, stream=True))
            assert arguments([chunk async for chunk in stream]) == [{"city": "Paris"}]
    assert [whole(call) for call in recorder.trajectory().calls] == [True, True]


def test_a_stream_without_logprobs_is_never_taken_for_scored(server):
    with OpenAI(base_url=server.base_url, api_key="none") as client, record_calls() as recorder:
        for options in ({}, {"stream_options": {"include_usage": True}}):
            assert arguments(client.chat.completions.create(**body(server, stream=True, **options)))
    unknown, known = recorder.trajectory().calls
    assert (unknown.tokens, unknown.capability) == (None, "none")
    assert known.tokens > 20
    assert np.isnan(known.entropies).all()
    assert recorder.trajectory().coverage is None


@pytest.mark.members(1)
@pytest.mark.parametrize("streamed", [False, True])
def test_chat_openai(server, streamed):
    asks = model(server, **({} if streamed else ASKED)).bind_tools([look], tool_choice="any")
    with record_calls(keep_text=True, request_logprobs=streamed) as recorder:
        if streamed:
            parts = list(asks.stream(before()))
            answer = sum(parts[1:], parts[0])
        else:
            answer = asks.invoke(before())
    assert [(each["name"], each["args"]) for each in answer.tool_calls] == [("look", {"city": "Paris"})]
    (call,) = recorder.trajectory().calls
    assert whole(call)
    assert call.constrained


@pytest.mark.whole_form("whole rollouts; the calls of one are in the short form")
def test_rollouts_of_an_agent(server):
    """Told nothing of logprobs, it calls its tool, and answers: every token of both calls counts."""
    agent = create_agent(model(server), [look])
    with pytest.warns(IdenticalRolloutsWarning, match="temperature is 0"):
        result = best_of_n(agent, n=2, keep_text=True, request_logprobs=True).run({"messages": before()})
    assert any(isinstance(message, ToolMessage) for message in result.output["messages"][-2:])
    for trajectory, candidate in zip(result.trajectories, result.selection.candidates, strict=True):
        assert whole(trajectory.calls[0])
        assert trajectory.coverage == 1.0
        assert candidate.logprobs == {"full": len(trajectory.calls)}
        assert [use.name for use in trajectory.calls[0].tools] == ["look"]
