"""A guard is told which call is about to be made, once a call, and can end the rollout there."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest
from langchain_core.tools import tool

from ec_agent.capture.guard import Coming, Guard
from ec_agent.capture.installing import recording
from ec_agent.capture.recorder import Recorder
from ec_agent.errors import RolloutError
from ec_agent.testing import Reply, ScriptedChatModel


@tool
def weigh(parcel: str) -> str:
    """Weigh a parcel."""
    return f"{parcel}: 3 kg"


@tool
def send(text: str) -> str:
    """Send a text."""
    return text


class Told(Guard):
    """Keeps what it is told."""

    def __init__(self):
        self.coming, self.tokens = [], 0

    def before(self, coming):
        self.coming.append(coming)

    def after(self, tokens):
        self.tokens += tokens


class FewTools(Guard):
    """Lets so many tools start."""

    def __init__(self, most):
        self.left = most

    def before(self, coming):
        if coming is not None and coming.kind == "tool":
            self.left -= 1
            if self.left < 0:
                raise RolloutError(f"{coming.name} is one tool too many")


def steps(model):
    return [lambda: model.invoke("?"), lambda: weigh.invoke({"parcel": "mugs"}), lambda: send.invoke({"text": "x"})]


def asteps(model):
    return [lambda: model.ainvoke("?"), lambda: weigh.ainvoke({"parcel": "mugs"}), lambda: send.ainvoke({"text": "x"})]


def run(guard, how):
    model, recorder = ScriptedChatModel([[Reply("a", entropies=[0.1, 0.2])]]), Recorder(guard=guard)

    async def one_by_one():
        for step in asteps(model):
            await step()

    with recording(recorder):
        if how == "async":
            asyncio.run(one_by_one())
        else:
            for step in steps(model):
                step()
    return recorder


@pytest.mark.parametrize("how", ["sync", "async"])
def test_it_is_told_of_models_and_tools_by_name(how):
    guard = Told()
    run(guard, how)
    assert [(each.kind, each.name) for each in guard.coming if each is not None][1:] == [
        ("tool", "weigh"),
        ("tool", "send"),
    ]
    assert [each.kind for each in guard.coming if each is not None].count("model") == 1
    assert guard.tokens > 0


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_limit_of_tools_is_a_guard_and_no_more(how):
    assert run(FewTools(2), how).failure is None
    recorder = Recorder(guard=FewTools(1))
    with recording(recorder):
        weigh.invoke({"parcel": "mugs"})
        with pytest.raises(RolloutError, match="send is one tool too many"):
            send.invoke({"text": "x"})
    assert "send" in str(recorder.failure)


def test_a_request_of_an_openai_client_is_one_call_with_the_model_asked_for():
    said = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]}
    answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m-2026", **said}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answer))
    client = openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=httpx.Client(transport=transport))
    guard = Told()
    with recording(Recorder(guard=guard)):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
    assert guard.coming == [Coming("model", "m")]


def test_the_base_limits_nothing():
    assert run(Guard(), "sync").failure is None
    assert Guard().remaining is None
