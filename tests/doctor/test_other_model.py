"""A model that answers in the place of the one asked for is told of: by the preflight and by an evaluation."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner
from fake_openai import MODEL
from kinds import Kind

from ec_agent import OtherModelWarning
from ec_agent.cli.app import app
from ec_agent.doctor import preflight
from ec_agent.doctor.model_names import another_answered, may_be
from ec_agent.support.plans import adrive, drive

ASKING = {"logprobs": True, "top_logprobs": 20}


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("Qwen/Qwen3-8B", "Qwen3-8B", True),
        ("Qwen3-8B", "/models/qwen3-8b.gguf", True),
        ("gpt-4o", "gpt-4.1", False),
        ("llama-3.3-70b", "llama-3.1-8b", False),
        ("my-model", "SmolLM2-135M-Instruct", False),
    ],
)
def test_a_longer_or_shorter_name_may_be_the_same_models(asked, answered, same):
    assert may_be(asked, answered) is same
    assert (another_answered([asked], answered) is None) is same
    assert another_answered([asked, answered], answered) is None
    assert another_answered([], answered) is another_answered([asked], "") is None


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_preflight_warns(chat_model, fake, way):
    fly = {"sync": drive, "async": lambda plan: asyncio.run(adrive(plan))}[way]
    model = chat_model(Kind(), model="gpt-4o", **ASKING)
    for _ in range(2):  # also where the report is remembered
        with pytest.warns(OtherModelWarning, match=f"gpt-4o was asked, {MODEL} answered, at .*see that it is"):
            fly(preflight([model]))
    fly(preflight([chat_model(Kind(), **ASKING)]))


AGENTS = """
import os
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from openai import OpenAI

URL = os.environ["OPENAI_BASE_URL"]


def chat(name):
    return ChatOpenAI(model=name, logprobs=True, top_logprobs=20, disable_streaming=True)


def make(model):
    return create_agent(model, [])


its_own = create_agent(chat("gpt-4o"), [])
right = create_agent(chat("fake-model-2026-01-01"), [])
one_of_two = [chat("gpt-4o"), chat("fake-model")]


def router(state):
    return {"messages": [one_of_two[1].invoke(state["messages"])]}


def raw(state):
    words = [{"role": "user", "content": state["messages"][-1].content}]
    done = OpenAI().chat.completions.create(model="gpt-4o", messages=words, logprobs=True, top_logprobs=20)
    return {"messages": [("ai", done.choices[0].message.content)]}
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--agent", "asking_agents:make", "--model", "gpt-4o"], True),
        (["--agent", "asking_agents:make", "--model", "gpt-4o", "--live"], True),
        (["--agent", "asking_agents:make", "--model", MODEL], False),
        (["--agent", "asking_agents:its_own"], True),
        (["--agent", "asking_agents:right"], False),
        (["--agent", "asking_agents:router"], False),
        (["--agent", "asking_agents:raw"], False),  # its name is in no chat model, so nothing is known
    ],
)
def test_an_evaluation_says_it_once(fake, tmp_path, monkeypatch, words, told):
    fake.otherwise = Kind()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OPENAI_BASE_URL", fake.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    (tmp_path / "asking_agents.py").write_text(AGENTS)
    tasks = [{"id": name, "input": name, "expected": "x"} for name in ("a", "b")]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    done = CliRunner().invoke(app, ["eval", "tasks.jsonl", *words, "--n", "2"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.output.count(f"gpt-4o was asked, {MODEL} answered: see that it is the model you mean") == told
