"""Chat spans: by LangChain, by a raw client, streamed, wrapped; with content only where it was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import warnings
from pathlib import Path

import pytest
from clerks import ASKED, clerk, peak, searching
from fake_openai import MODEL, Answer
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAI
from openai import AsyncOpenAI
from openai import OpenAI as Client
from opentelemetry.trace import StatusCode

from ec_agent import (
    AllRolloutsFailedError,
    Limits,
    MissingLogprobsError,
    Ranking,
    SelectorWarning,
    TokenLimitError,
    best_of_n,
    record_calls,
)
from ec_agent.judges import Pairwise
from ec_agent.prompted import PromptedToolModel
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.tracing import instrument
from ec_agent.tracing.attributes import request
from ec_agent.tracing.messages import answered_in, as_json, asked_in, input_messages, output_messages

SAID = [{"role": "user", "content": "a private question"}]


@pytest.fixture
def server(fake):
    fake.otherwise = Answer(peak(3), text="a private answer")
    return fake


@pytest.fixture
def with_content(spans, provider):
    instrument(provider[0], content=True)
    return spans


def asking(server, **params):
    """An agent, sync and async, that asks with a raw client."""
    body = {"model": MODEL, "messages": SAID, "logprobs": True, "top_logprobs": 20, **params}

    def ask(state):
        with Client(base_url=server.url, api_key="sk-private") as client:
            answer = client.chat.completions.create(**body)
            for _ in answer if body.get("stream") else ():
                pass
        return {"said": "it"}

    async def aask(state):
        async with AsyncOpenAI(base_url=server.url, api_key="sk-private") as client:
            answer = await client.chat.completions.create(**body)
            if body.get("stream"):
                async for _ in answer:
                    pass
        return {"said": "it"}

    return ask, aask


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("form", [0, 1], ids=["sync", "async"])
async def test_a_raw_request_is_a_chat_span(server, spans, form, stream):
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    agent = asking(server, temperature=0.5, max_tokens=64, seed=7, **more)[form]
    node = best_of_n(agent, n=1)
    await (node.arun({}) if form else asyncio.to_thread(node.run, {}))
    tree = spans()
    call = tree.one(f"chat {MODEL}")
    assert tree.under(tree.one(f"invoke_agent {agent.__name__}")) == [call]
    told = dict(call.attributes)
    assert told.pop("gen_ai.response.id").startswith("chatcmpl")
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.seed": 7,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.output_tokens": 20,
    }


def test_a_refused_request_is_an_error(server, spans):
    server.otherwise = Answer(status=400, error="a private refusal")
    with pytest.raises(Exception, match="private"):
        best_of_n(asking(server)[0], n=1).run({})
    call = spans().one(f"chat {MODEL}")
    assert call.status.status_code is StatusCode.ERROR
    assert call.attributes["error.type"] == "_OTHER"
    assert spans().named("invoke_agent ask")[0].attributes["error.type"] == "openai.BadRequestError"
    assert "private" not in spans().text()


def test_the_texts_of_a_raw_request_on_request(server, with_content):
    best_of_n(asking(server)[0], n=1).run({})
    told = with_content().one(f"chat {MODEL}").attributes
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "a private question"}]}
    ]
    assert json.loads(told["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "a private answer"}], "finish_reason": "stop"}
    ]
    assert "sk-private" not in with_content().text()


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_chat_openai_is_one_span(server, spans, run, streaming):
    model = ChatOpenAI(
        model=MODEL, base_url=server.url, api_key="sk", logprobs=True, top_logprobs=20, seed=3, streaming=streaming
    )

    def ask(state):
        return {"said": model.invoke(state["question"]).content}

    run(best_of_n(ask, n=1), {"question": "a private question"})
    told = spans().one(f"chat {MODEL}").attributes
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.seed"] == 3
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert told["gen_ai.usage.output_tokens"] == 20
    assert "private" not in spans().text()


def test_a_completion_model_completes_text(server, spans):
    model = OpenAI(model=MODEL, base_url=server.url, api_key="sk", logprobs=5)
    best_of_n(lambda state: {"said": model.invoke("a private question")}, n=1, on_unscored="first").run({})
    told = spans().one(f"text_completion {MODEL}").attributes
    assert told["gen_ai.operation.name"] == "text_completion"
    assert told["gen_ai.usage.output_tokens"] == 20


def test_a_model_around_a_model_uses_nothing_itself(spans, run):
    inner = ScriptedChatModel([[Reply('{"answer": "x"}', entropies=peak(1))]])
    model = PromptedToolModel(model=inner)
    run(best_of_n(lambda state: {"said": model.invoke("hi").content}, n=1))
    tree = spans()
    (outer,) = tree.under(tree.one("invoke_agent <lambda>"))
    (below,) = tree.under(outer)
    assert "gen_ai.usage.output_tokens" not in outer.attributes
    assert below.attributes["gen_ai.usage.output_tokens"] == 20


def test_a_call_that_fails_is_an_error(spans, run):
    run(best_of_n(clerk([Reply(error=OSError("x"))], [Reply("a", entropies=peak(1))]), n=2))
    tree = spans()
    assert [call.attributes["error.type"] for call in tree.under(tree.rollout(0))] == ["OSError"]


def test_content_is_the_conventions_messages(with_content, run):
    run(best_of_n(clerk(searching(5)), n=1))
    tree = with_content()
    asked, answered = tree.named("chat scripted")
    called = {"type": "tool_call", "id": "call_1_0", "name": "look", "arguments": {"q": "private things"}}
    assert json.loads(asked.attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [called], "finish_reason": "tool_call"}
    ]
    assert json.loads(answered.attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "a private question"}]},
        {"role": "assistant", "parts": [called]},
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "call_1_0", "response": "found private things"}],
        },
    ]
    tool = tree.one("execute_tool look").attributes
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"q": "private things"}
    assert json.loads(tool["gen_ai.tool.call.result"]) == "found private things"


def test_without_being_asked_for_there_is_no_content(spans, run):
    run(best_of_n(clerk(searching(5)), n=1))
    assert "private" not in spans().text()


def test_odd_messages_have_a_form_too():
    picture = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    messages = [
        SystemMessage("be brief"),
        HumanMessage(content=[{"type": "text", "text": "see"}, picture]),
        AIMessage(""),
        ToolMessage(content=[{"type": "text", "text": "ok"}], tool_call_id="c"),
    ]
    roles = [message["role"] for message in json.loads(input_messages(messages))]
    assert roles == ["system", "user", "assistant", "tool"]
    assert "AAAA" not in input_messages(messages)


def test_what_is_no_json_has_a_form_too():
    circle = []
    circle.append(circle)
    assert json.loads(as_json({(1, 2): "x"})) == "{(1, 2): 'x'}"
    assert json.loads(as_json(circle)) == "[[...]]"
    assert json.loads(as_json({"at": Path("x")})) == {"at": "x"}
    blocks = AIMessage(content=[{"no": "type"}])
    assert json.loads(output_messages([blocks], []))[0]["parts"]


@pytest.mark.parametrize(
    "params",
    [{"seed": float("nan")}, {"temperature": "hot"}, {"n": True}, {"n": 1}, {"max_tokens": None}, {"stop": ["s3cr3t"]}],
    ids=str,
)
def test_odd_parameters_are_left_out(params):
    assert request(params) == {}


@pytest.mark.parametrize(
    "body",
    [{}, {"messages": 3}, {"messages": [{"no": "role"}]}, {"input": [{"type": "function_call_output"}]}],
    ids=["nothing", "a number", "no role", "items"],
)
def test_requests_that_cannot_be_read_are_none(body):
    assert asked_in(body) == []


def test_answers_are_read_in_any_form():
    calls = [{"id": "c", "function": {"name": "look", "arguments": '{"q": 1}'}}]
    whole = {"choices": [{"message": {"content": None, "tool_calls": calls}}, {"text": "two"}]}
    first, second = answered_in(whole, [])
    assert (first.tool_calls[0]["args"], second.content) == ({"q": 1}, "two")
    parts = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("a", "b", None)]
    assert [message.content for message in answered_in(None, parts)] == ["ab"]
    assert [message.content for message in answered_in({"output_text": "r"}, [])] == ["r"]
    assert answered_in(None, []) == []


def recorded(judge):
    with record_calls() as recorder:
        judge.invoke("which?")
    assert len(recorder.trajectory().calls) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda judge: judge.invoke("which?"),
        lambda judge: list(judge.stream("which?")),
        lambda judge: asyncio.run(judge.ainvoke("which?")),
        recorded,
    ],
    ids=["invoke", "stream", "ainvoke", "record_calls"],
)
def test_a_judge_in_the_selector_is_beneath_the_choice(spans, ask):
    judge = ScriptedChatModel([[Reply("fine", entropies=peak(1, 5))]])

    class Judged:
        name, signals = "judged", ("entropy",)

        def select(self, candidates):
            ask(judge)
            return Ranking(tuple(c.index for c in candidates), {c.index: 1.0 for c in candidates}, {})

    result = best_of_n(clerk([Reply("a", entropies=peak(1))]), n=1, selector=Judged()).run(ASKED)
    (call,) = spans().under(spans().one("ec_agent.select"))
    assert (call.name, call.attributes["gen_ai.usage.output_tokens"]) == ("chat scripted", 5)
    assert "ec_agent.call.partial" not in call.attributes
    told = result.selection
    assert (told.candidates[0].calls, told.usage["generated_tokens"], told.selector_usage["calls"]) == (1, 25, 1)
    assert spans().one("ec_agent.select").attributes["ec_agent.selector_usage.generated_tokens"] == 5


@pytest.mark.parametrize("client", ["ChatOpenAI", "OpenAI"])
def test_the_calls_of_a_ready_judge_are_beneath_the_choice(spans, server, client):
    if client == "OpenAI":
        judge = Pairwise(Client(base_url=server.url, api_key="k"), model_name=MODEL, on_failure="first")
    else:
        judge = Pairwise(ChatOpenAI(base_url=server.url, api_key="k", model=MODEL), on_failure="first")
    agent = clerk([Reply("a", entropies=peak(1))], [Reply("b", entropies=peak(1))])
    with pytest.warns(SelectorWarning):
        best_of_n(agent, n=2, selector=judge).run(ASKED)
    choice = spans().one("ec_agent.select")
    calls = spans().under(choice)
    assert [call.name for call in calls] == [f"chat {MODEL}"] * 2
    assert choice.attributes["ec_agent.selector_usage.calls"] == 2
    assert choice.attributes["ec_agent.selection.fell_back"] is True
    assert "private" not in spans().text()


def test_a_judge_that_fails_ends_its_span(spans):
    judge = ScriptedChatModel([[Reply(error=OSError("private"))]])

    class Judged:
        name, signals = "judged", ("entropy",)

        def select(self, candidates):
            judge.invoke("which?")

    with pytest.raises(Exception, match="private"):
        best_of_n(clerk([Reply("a", entropies=peak(1))]), n=1, selector=Judged()).run(ASKED)
    assert spans().under(spans().one("ec_agent.select"))[0].attributes["error.type"] == "OSError"


def test_a_call_that_ends_its_rollout_has_its_answer_in_its_span(spans, run):
    with pytest.raises(MissingLogprobsError):
        run(best_of_n(clerk([Reply("a", tokens=7)]), n=1, on_missing="raise"))
    (call,) = spans().named("chat scripted")
    assert call.attributes["gen_ai.usage.output_tokens"] == 7
    assert "ec_agent.call.partial" not in call.attributes


def test_a_call_that_a_limit_refuses_has_no_span_and_leaves_nothing_unawaited(spans):
    model = ScriptedChatModel(lambda messages, index: Reply("a", entropies=peak(1)))

    async def agent(state):
        for _ in range(3):
            with contextlib.suppress(TokenLimitError):
                await model.ainvoke("hi")

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(AllRolloutsFailedError, match="max_tokens=5"):
            asyncio.run(best_of_n(agent, n=1, limits=Limits(max_tokens=5)).arun({}))
        gc.collect()
    assert len(spans().named("chat scripted")) == 1
    assert not [each for each in told if "never awaited" in str(each.message)]
