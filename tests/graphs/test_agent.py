"""The parcel clerk: built without a server, run on a script, and really run."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_openai import ChatOpenAI

from ec_agent.local import LocalChatModel
from ec_agent.prompted import PromptedToolModel
from ec_agent.testing import Reply, ScriptedChatModel
from graphs import agent as clerk

ROOT = Path(__file__).parents[2]
ASKED = {"messages": [("user", clerk.DEMO_QUESTION)]}


def on_embedded(model, local_server):
    """The clerk's own model, on the session's server."""
    inner = model.model.model_copy(update={"base_url": local_server.base_url})
    return model.model_copy(update={"model": inner})


def is_embedded(model):
    return isinstance(model, PromptedToolModel) and isinstance(model.model, LocalChatModel) and bool(model.examples)


@pytest.mark.whole_form("a process of its own, to import one module")
def test_importing_it_starts_nothing():
    code = (
        "import sys, graphs.agent as a; from ec_agent.local import server; "
        "print(a.agent.name, server._shared, 'xllamacpp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["parcel_clerk", "None", "False"]


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "OPENAI_API_KEY"])
def test_the_environment_names_the_model(monkeypatch, variable):
    for name in ("EC_AGENT_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert is_embedded(clerk.default_model())
    monkeypatch.setenv("EC_AGENT_MODEL", "some-model")
    assert is_embedded(clerk.default_model())
    monkeypatch.setenv(variable, "http://127.0.0.1:9/v1")
    model = clerk.default_model()
    assert isinstance(model, ChatOpenAI)
    assert (model.model_name, model.logprobs, model.top_logprobs, model.disable_streaming) == (
        "some-model",
        True,
        20,
        True,
    )


def test_the_right_steps_give_the_right_answer():
    steps = clerk.worked_examples([clerk.DEMO_QUESTION.removeprefix("Parcel: ")])
    calls = [call for step in steps if isinstance(step, AIMessage) for call in step.tool_calls]
    assert [call["name"] for call in calls] == ["weigh", "weigh", "weigh", "convert"]
    script = [Reply(tool_calls=[(call["name"], call["args"])]) for call in calls] + [Reply(steps[-1].text)]
    messages = clerk.make_agent(ScriptedChatModel([script])).invoke(ASKED)["messages"]
    assert clerk.DEMO_ANSWER in messages[-1].text
    assert not any("Error" in message.text for message in messages)


def test_a_rollout_in_circles_ends():
    script = [Reply(tool_calls=[("weigh", {"parcel": "1 mug"})])] * 30
    messages = clerk.make_agent(ScriptedChatModel([script])).invoke(ASKED)["messages"]
    assert sum(isinstance(message, ToolMessage) for message in messages) == clerk.MAX_CALLS


@pytest.mark.whole_form("real rollouts of many calls; the model of these is asked in the short form")
@pytest.mark.model
def test_real_rollouts_take_several_calls(local_server):
    model = on_embedded(clerk.default_model(), local_server)
    results = clerk.make_agent(model).batch([ASKED] * 3)
    calls = [[m for m in result["messages"] if isinstance(m, AIMessage) and m.usage_metadata] for result in results]
    assert sum(len(messages) >= 2 for messages in calls) >= 2
    assert sum(any(message.tool_calls for message in messages) for messages in calls) >= 2
    for message in (message for messages in calls for message in messages):
        tokens = message.response_metadata["logprobs"]["content"]
        assert all(math.isfinite(top["logprob"]) for token in tokens for top in token["top_logprobs"])


@pytest.mark.model
def test_the_model_is_sampled(local_server):
    # Free text: the clerk's own answers are few, so four rollouts may well agree.
    model = on_embedded(clerk.default_model(), local_server)
    said = {str(model.invoke("Tell me a story.", seed=seed).content) for seed in range(4)}
    assert len(said) > 1
