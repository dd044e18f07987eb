"""Several answers to one request (``n=2``) are not one timeline: one counts, and all are on the bill."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asking import chat, shown, timelines
from fake_openai import MODEL, Answer
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI, OpenAI
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import best_of_n, record_calls
from ec_agent.capture.shapes import call_of, payload_of_response, payloads_of_response
from ec_agent.capture.transport import async_http_client, http_client
from ec_agent.numbers.call_fields import pack_calls, unpack_calls
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.testing import logprobs_for

FIRST, SECOND = [0.25, 0.5, 0.75], [1.5, 1.0, 0.1, 0.2]
BOTH = len(FIRST) + len(SECOND)


@pytest.fixture
def told(fake):
    fake.answers["hi"] = Answer(FIRST, more=[SECOND])
    return fake


def bill(recorder):
    return [(call.tokens, call.generated, recorder.trajectory().coverage) for call in recorder.trajectory().calls]


ONE = [(len(FIRST), BOTH, 1.0)]


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("transport", [False, True])
def test_by_the_client(told, client, stream, transport, usage):
    if transport:
        client = client.with_options(http_client=http_client())
    if not usage:
        told.answers["hi"] = Answer(FIRST, more=[SECOND], usage=None)
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    with record_calls() as recorder:
        answer = client.chat.completions.create(**chat("hi"), n=2, **options)
        list(answer) if stream else None
    assert (timelines(recorder), bill(recorder)) == ([FIRST], ONE)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("transport", [False, True])
async def test_by_the_client_async(told, aclient, stream, transport):
    if transport:
        aclient = aclient.with_options(http_client=async_http_client())
    with record_calls() as recorder:
        answer = await aclient.chat.completions.create(**chat("hi"), n=2, stream=stream)
        [_ async for _ in answer] if stream else None
    assert (timelines(recorder), bill(recorder)) == ([FIRST], ONE)


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "generate", "stream", "astream"])
def test_by_langchain(told, chat_model, way):
    """Streamed, it mixes the answers into one message; the request tells them apart."""
    model = chat_model(stream_usage=True) if "stream" in way else chat_model(n=2)

    async def streamed():
        return [part async for part in model.astream("hi", n=2)]

    ways = {
        "invoke": lambda: model.invoke("hi"),
        "ainvoke": lambda: asyncio.run(model.ainvoke("hi")),
        "generate": lambda: model.generate([[HumanMessage("hi")]]),
        "stream": lambda: list(model.stream("hi", n=2)),
        "astream": lambda: asyncio.run(streamed()),
    }
    with record_calls() as recorder:
        ways[way]()
    assert (timelines(recorder), bill(recorder)) == ([FIRST], ONE)


@pytest.mark.parametrize(("tokens", "gaps"), [(BOTH, 0), (BOTH + 2, 0), (BOTH + 6, 3), (BOTH + 7, 4)])
@pytest.mark.parametrize("stream", [False, True])
def test_unexplained_tokens_are_divided_among_answers(told, client, tokens, gaps, stream):
    """Two end tokens are no gap; hidden thinking is, and nobody says whose it was."""
    told.answers["hi"] = Answer(FIRST, more=[SECOND], usage=tokens)
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    with record_calls() as recorder:
        answer = client.chat.completions.create(**chat("hi"), n=2, **options)
        list(answer) if stream else None
    (call,) = recorder.trajectory().calls
    assert (shown(call.entropies), call.generated) == (FIRST + [None] * gaps, tokens)


def choice(number, entropies, text="said", **more):
    logprobs = {"content": logprobs_for(entropies)} if entropies else None
    return {"index": number, "message": {"content": text}, "logprobs": logprobs, "finish_reason": "stop", **more}


def whole(choices, tokens):
    return {"object": "chat.completion", "choices": choices, "usage": {"prompt_tokens": 5, "completion_tokens": tokens}}


def test_missing_tokens_belong_to_the_answer_without_logprobs():
    first = call_of(payload_of_response(whole([choice(0, FIRST), choice(1, None)], 13)), ("entropy",))
    assert (shown(first.entropies), first.generated) == (FIRST, 13)
    second = call_of(payload_of_response(whole([choice(0, None), choice(1, FIRST)], 13)), ("entropy",))
    assert (shown(second.entropies), second.generated) == ([None] * 10, 13)
    silent = call_of(payload_of_response(whole([choice(0, FIRST), choice(1, None, "")], 3)), ("entropy",))
    assert (shown(silent.entropies), silent.generated) == (FIRST, 3)


def test_they_are_told_apart_by_their_numbers():
    call = call_of(payload_of_response(whole([choice(1, SECOND), choice(0, FIRST)], BOTH)), ("entropy",))
    assert shown(call.entropies) == FIRST


def test_geminis_candidates():
    def candidate(entropies):
        tops = [
            [{"token": c["token"], "logProbability": c["logprob"]} for c in e["top_logprobs"]]
            for e in logprobs_for(entropies)
        ]
        chosen = {"chosenCandidates": [row[0] for row in tops], "topCandidates": [{"candidates": row} for row in tops]}
        return {"content": {"parts": [{"text": "x"}]}, "logprobsResult": chosen}

    answer = {"candidates": [candidate(FIRST), candidate(SECOND)], "usageMetadata": {"candidatesTokenCount": BOTH}}
    call = call_of(payload_of_response(answer), ("entropy",))
    assert (shown(call.entropies), call.generated) == (FIRST, BOTH)
    assert [len(each.entries) for each in payloads_of_response(answer)] == [len(FIRST), len(SECOND)]


# Legacy completions: several prompts are several answers, and each may have alternatives


def legacy(fake, **kwargs):
    return OpenAI(model=MODEL, base_url=fake.url, api_key="none", logprobs=20, max_retries=0, **kwargs)


def test_completions(told, client):
    """The server streams as many tokens of each as the first has, and no usage."""
    with record_calls() as recorder:
        client.completions.create(model=MODEL, prompt="hi", logprobs=20, n=2)
        list(client.completions.create(model=MODEL, prompt="hi", logprobs=20, n=2, stream=True))
        legacy(told, n=2).invoke("hi")
    assert timelines(recorder) == [FIRST] * 3
    assert [call.generated for call in recorder.trajectory().calls] == [BOTH, 2 * len(FIRST), BOTH]


def test_of_several_prompts_each_has_its_answers(told, client):
    told.answers["hi"] = Answer(FIRST, more=[[0.1], [0.2, 0.3], [0.4]])
    with record_calls() as recorder:
        client.completions.create(model=MODEL, prompt=["ho", "hi"], logprobs=20, n=2)
        client.completions.create(model=MODEL, prompt=["a", "b", "ho", "hi"], logprobs=20)
    assert timelines(recorder) == [[*FIRST, 0.2, 0.3], [*FIRST, 0.1, 0.2, 0.3, 0.4]]
    assert [call.generated for call in recorder.trajectory().calls] == [7, 7]


@pytest.mark.parametrize("by", ["client", "langchain"])
def test_answers_that_were_kept_back_are_on_the_bill(told, client, by):
    told.answers["hi"] = Answer(FIRST, usage=3 * len(FIRST))
    with record_calls() as recorder:
        if by == "client":
            client.completions.create(model=MODEL, prompt="hi", logprobs=20, best_of=3)
        else:
            legacy(told, best_of=3).invoke("hi")
    assert (timelines(recorder), bill(recorder)) == ([FIRST], [(3, 9, 1.0)])


# Which of them the agent went on with


class State(MessagesState):
    answer: Any


def agent_of(node):
    builder = StateGraph(State)
    builder.add_node("ask", node)
    builder.add_edge(START, "ask")
    return builder.compile()


def called(number):
    return [{"id": f"call-{number}", "type": "function", "function": {"name": "look", "arguments": "{}"}}]


WROTE = {
    "the first": (lambda c: c[0].message.content, FIRST, 1),
    "the second": (lambda c: c[1].message.content, SECOND, 1),
    "neither": (lambda c: "three", FIRST, 0),
    "both": (lambda c: [each.message.content for each in c], FIRST, 0),
}


@pytest.mark.parametrize("wrote", WROTE)
@pytest.mark.parametrize("how", ["a message", "a message of a function", "a key"])
def test_the_one_whose_text_was_written(fake, client, wrote, how):
    answers = [choice(0, FIRST, "one"), choice(1, SECOND, "two")]
    fake.answers["hi"] = Answer(raw=("application/json", json.dumps(whole(answers, BOTH)).encode()))
    said, expected, chosen = WROTE[wrote]

    def messages(choices):
        texts = said(choices)
        return [AIMessage(text) for text in ([texts] if isinstance(texts, str) else texts)]

    agents = {
        "a message": agent_of(lambda state: {"messages": messages(ask(client))}),
        "a message of a function": lambda state: {"messages": messages(ask(client))},
        "a key": agent_of(lambda state: {"answer": said(ask(client))}),
    }
    result = best_of_n(agents[how], n=1).run({"messages": [("user", "hi")]})
    (call,) = result.trajectories[0].calls
    assert (shown(call.entropies), call.generated) == (expected, BOTH)
    (note,) = [note for note in result.selection.warnings if "several answers" in note]
    assert f"in {chosen} calls the answer that the agent used" in note
    assert result.selection.usage["generated_tokens"] == BOTH


def ask(client):
    return client.chat.completions.create(**chat("hi"), n=2).choices


def test_the_one_whose_tool_was_called(fake, client):
    answers = [choice(number, each, None) for number, each in enumerate((FIRST, SECOND))]
    for number, each in enumerate(answers):
        each["message"]["tool_calls"] = called(number)
    fake.answers["hi"] = Answer(raw=("application/json", json.dumps(whole(answers, BOTH)).encode()))

    def say(state):
        call = ask(client)[1].message.tool_calls[0]
        return {"messages": [AIMessage("", tool_calls=[{"id": call.id, "name": "look", "args": {}}])]}

    result = best_of_n(agent_of(say), n=1).run({"messages": [("user", "hi")]})
    assert shown(result.trajectories[0].entropies) == SECOND


@pytest.mark.parametrize("number", [0, 1])
def test_the_generation_that_was_written(told, number):
    model = ChatOpenAI(model=MODEL, base_url=told.url, api_key="none", n=2, logprobs=True, top_logprobs=20)

    def ask(state):
        return {"messages": [model.generate([state["messages"]]).generations[0][number].message]}

    for run in (lambda n: n.run, lambda n: lambda given: asyncio.run(n.arun(given))):
        result = run(best_of_n(agent_of(ask), n=1))({"messages": [("user", "hi")]})
        (call,) = result.trajectories[0].calls
        assert (shown(call.entropies), call.generated) == ((FIRST, SECOND)[number], BOTH)
        assert any("in 1 calls the answer that the agent used" in note for note in result.selection.warnings)


def test_langchains_mixture_is_named(told, chat_model):
    model = chat_model(stream_usage=True)

    def ask(state):
        parts = list(model.stream(state["messages"], n=2))
        return {"messages": [AIMessage("".join(part.text for part in parts))]}

    result = best_of_n(ask, n=1).run({"messages": [("user", "hi")]})
    assert shown(result.trajectories[0].entropies) == FIRST
    assert any("LangChain mixed several answers into one message" in note for note in result.selection.warnings)


def test_the_bill_survives_a_checkpoint():
    (call,) = unpack_calls(pack_calls(Trajectory([Call([0.5, 0.25], beside=7)]))).calls
    assert (call.tokens, call.generated) == (2, 9)
