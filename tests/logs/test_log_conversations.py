"""A saved conversation is one rollout, whichever tool saved it; answers alone, and records that look alike, are not."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from fake_openai import Answer, FakeOpenAI
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, messages_to_dict
from log_kit import by_hand, told
from openai import AsyncOpenAI, OpenAI
from openai.pagination import SyncCursorPage
from openai.types.chat import ChatCompletion

from ec_agent import LogprobsError
from ec_agent.testing import Reply, logprobs_for, message_of

FIRST, SECOND = [2.0, 0.1, 0.1], [0.1, 1.0]


def is_one_rollout(found, troubles, *expected):
    (rollout,) = found
    assert troubles == []
    for call, entropies in zip(rollout.trajectory.calls, expected, strict=True):
        np.testing.assert_array_equal(call.entropies, by_hand(logprobs_for(entropies)))


@pytest.fixture
def fake():
    server = FakeOpenAI({"q": Answer(entropies=FIRST), "r": Answer(entropies=SECOND)})
    yield server
    server.close()


# Written by the tools themselves


def langchain_conversation(fake):
    answers = [message_of(Reply("x", entropies=each)) for each in (FIRST, SECOND)]
    return [SystemMessage("s"), HumanMessage("q"), answers[0], HumanMessage("r"), answers[1]]


def of_pydantic_ai(fake):
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("m", provider=OpenAIProvider(base_url=fake.url, api_key="x"))
    agent = Agent(model, model_settings={"openai_logprobs": True, "openai_top_logprobs": 20})
    first = asyncio.run(agent.run("q"))
    return asyncio.run(agent.run("r", message_history=first.all_messages())).all_messages_json().decode()


def of_smolagents(fake):
    from smolagents import CodeAgent, OpenAIServerModel

    steps = [
        Answer(entropies=FIRST, text="Thought: first\n<code>\nprint(1)\n</code>"),
        Answer(entropies=SECOND, text='Thought: now\n<code>\nfinal_answer("1")\n</code>'),
    ]
    fake.otherwise = lambda body: steps.pop(0)
    model = OpenAIServerModel("m", api_base=fake.url, api_key="x", logprobs=True, top_logprobs=20)
    agent = CodeAgent(tools=[], model=model, max_steps=3, verbosity_level=0)
    agent.run("q")
    return json.dumps(agent.memory.get_full_steps(), default=str)


def of_openai_agents(fake):
    from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner, SQLiteSession, set_tracing_disabled

    set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=fake.url, api_key="x")
    settings = ModelSettings(top_logprobs=20, response_include=["message.output_text.logprobs"])
    agent = Agent("a", model=OpenAIResponsesModel("m", client), model_settings=settings)
    session = SQLiteSession("s")

    async def items():
        for question in ("q", "r"):
            await Runner.run(agent, question, session=session)
        return json.dumps(await session.get_items())

    return asyncio.run(items())


TOOLS = {
    "LangChain dumps": lambda fake: dumps(langchain_conversation(fake)),
    "LangChain dumps, pretty": lambda fake: dumps(langchain_conversation(fake), pretty=True),
    "LangChain messages_to_dict": lambda fake: json.dumps(messages_to_dict(langchain_conversation(fake))),
    "LangChain model_dump": lambda fake: json.dumps([each.model_dump() for each in langchain_conversation(fake)]),
    "pydantic-ai": of_pydantic_ai,
    "smolagents": of_smolagents,
    "openai-agents": of_openai_agents,
}


@pytest.fixture
def written(fake, request):
    return TOOLS[request.param](fake)


@pytest.mark.parametrize("written", TOOLS, indirect=True)
@pytest.mark.parametrize("layout", ["document", "indented", "a line", "messages as lines"])
def test_a_conversation_is_one_rollout(tmp_path, written, layout):
    file = tmp_path / ("log.json" if layout in ("document", "indented") else "log.jsonl")
    messages = json.loads(written)
    text = {
        "document": written,
        "indented": json.dumps(messages, indent=1),
        "a line": json.dumps(messages) + "\n",
        "messages as lines": "".join(json.dumps(each) + "\n" for each in messages),
    }
    file.write_text(text[layout])
    is_one_rollout(*told(file), FIRST, SECOND)


@pytest.mark.parametrize("lines", [False, True])
def test_several_conversations_are_a_rollout_each(tmp_path, lines):
    both = [messages_to_dict([HumanMessage("q"), message_of(Reply("x", entropies=each))]) for each in (FIRST, SECOND)]
    file = tmp_path / ("log.jsonl" if lines else "log.json")
    file.write_text("\n".join(map(json.dumps, both)) if lines else json.dumps(both))
    found, troubles = told(file)
    assert troubles == []
    assert [len(each.trajectory) for each in found] == [3, 2]
    assert [len(each.trajectory.calls) for each in found] == [1, 1]


def test_an_agent_that_speaks_first_is_in_a_conversation(tmp_path):
    file = tmp_path / "log.json"
    greeting = [
        message_of(Reply("hello", entropies=FIRST)),
        HumanMessage("q"),
        message_of(Reply("x", entropies=SECOND)),
    ]
    file.write_text(dumps(greeting))
    is_one_rollout(*told(file), FIRST, SECOND)


def test_answers_alone_are_a_rollout_each(tmp_path):
    file = tmp_path / "log.json"
    file.write_text(dumps([message_of(Reply("x", entropies=each)) for each in (FIRST, SECOND)]))
    found, troubles = told(file)
    assert troubles == []
    assert [len(each.trajectory) for each in found] == [3, 2]


def test_stored_completions_are_a_rollout_each(tmp_path, fake):
    client = OpenAI(base_url=fake.url, api_key="x")
    asked = {"model": "m", "logprobs": True, "top_logprobs": 20, "messages": [{"role": "user", "content": "q"}]}
    raw = [client.chat.completions.create(**asked, store=True).to_dict() for _ in range(2)]
    page = SyncCursorPage[ChatCompletion](
        data=[{**each, "id": f"chatcmpl-{number}"} for number, each in enumerate(raw)], has_more=False
    )
    listed = {"object": "list", **json.loads(page.to_json())}
    for name, text in {"page.json": json.dumps(listed, indent=1), "pages.jsonl": f"{json.dumps(listed)}\n" * 2}.items():
        (tmp_path / name).write_text(text)
        found, troubles = told(tmp_path / name)
        assert troubles == []
        assert [each.name for each in found] == ["chatcmpl-0", "chatcmpl-1"] * (2 if "pages" in name else 1)
        for each, entropies in zip(found, raw * 2, strict=False):
            expected = by_hand(entropies["choices"][0]["logprobs"]["content"])
            np.testing.assert_array_equal(each.trajectory.entropies, expected)


def test_conversations_one_after_the_other_are_refused(tmp_path, fake):
    file = tmp_path / "log.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in messages_to_dict(langchain_conversation(fake)) * 2))
    with pytest.raises(LogprobsError, match=r"several conversations: message 5 .* an array of its own"):
        told(file)
    assert [len(each.trajectory) for each in told(file, format="responses")[0]] == [3, 2] * 2


# Files that look like a conversation


def record(entropies, **more):
    return {"choices": [{"message": {"role": "assistant"}, "logprobs": {"content": logprobs_for(entropies)}}], **more}


ALIKE = {
    "records with a role": [record(FIRST, role="user", content="q"), record(SECOND, role="user", content="q")],
    "records of type message": [record(FIRST, type="message"), record(SECOND, type="message")],
    "records with messages": [
        {"messages": [{"role": "user", "content": "q"}], "response": record(each)} for each in (FIRST, SECOND)
    ],
    "requests and responses": [{"kind": "call", "request": "q", "response": record(each)} for each in (FIRST, SECOND)],
}


@pytest.mark.parametrize("kind", ALIKE)
def test_records_that_look_like_messages_are_rollouts(tmp_path, kind):
    file = tmp_path / "log.json"
    file.write_text(json.dumps(ALIKE[kind]))
    found, troubles = told(file)
    assert troubles == []
    assert [len(each.trajectory) for each in found] == [3, 2]


def test_a_conversation_without_answers_says_so(tmp_path):
    file = tmp_path / "log.json"
    file.write_text(dumps([HumanMessage("q"), AIMessage("x")]))
    (found,), _ = told(file)
    assert found.trajectory.scored_tokens == 0
