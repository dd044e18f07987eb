"""``request_logprobs``: agents that do not ask for logprobs get them, whatever their endpoint refuses."""

from __future__ import annotations

import pytest
from asking import INCLUDE, in_thread, timelines
from fake_openai import MODEL, Answer
from langchain.agents import create_agent
from langchain_core.tools import tool
from openai import BadRequestError, OpenAI
from pydantic import BaseModel
from unasked import CALLED, ENTROPIES, HI, WAYS, calling, gathered, sent

from ec_agent import best_of_n, read_only, record_calls


@pytest.mark.parametrize("way", WAYS)
def test_it_asks(told, client, way):
    ask, added = WAYS[way]
    with record_calls(request_logprobs=True) as recorder:
        ask(client)
    assert timelines(recorder) == [ENTROPIES]
    assert sent(told) == [added]


@pytest.mark.parametrize("way", WAYS)
async def test_it_asks_async(told, aclient, way):
    ask, added = WAYS[way]
    with record_calls(request_logprobs=True) as recorder:
        await ask(aclient)
    assert timelines(recorder) == [ENTROPIES]
    assert sent(told) == [added]


def test_it_does_not_ask_unless_told(told, client):
    with record_calls() as recorder:
        WAYS["chat"][0](client)
    assert timelines(recorder) == [[None] * 3]
    assert sent(told) == [{}]


@pytest.mark.parametrize(
    ("way", "own", "expected"),
    [
        ("chat", {"logprobs": True, "top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ("chat", {"logprobs": True}, {"logprobs": True, "top_logprobs": 20}),
        ("legacy", {"logprobs": 3}, {"logprobs": 3}),
        ("responses", {"include": ["reasoning.encrypted_content"]}, {"top_logprobs": 20}),
    ],
)
def test_the_agents_own_parameters_are_kept(told, client, way, own, expected):
    with record_calls(request_logprobs=True):
        WAYS[way][0](client, **own)
    ((request),) = sent(told)
    include = request.pop("include", None)
    assert request == expected
    if way == "responses":
        assert include == [*own["include"], *INCLUDE["include"]]


def test_calls_that_do_not_count_are_left_alone(told, client):
    with record_calls(request_logprobs=True, calls=lambda call: False):
        WAYS["chat"][0](client)
    assert sent(told) == [{}]


@pytest.mark.parametrize("most", [8, 5])
def test_an_endpoint_that_gives_fewer(told, client, most):
    def refuse(path, body):
        asked = body.get("top_logprobs") or 0
        return f"top_logprobs must be at most {most}" if asked > most else None

    told.refuse = refuse
    with record_calls(request_logprobs=True) as recorder:
        WAYS["chat"][0](client)
        WAYS["chat"][0](client)
    assert [request["top_logprobs"] for request in sent(told)] == [*[k for k in (20, 8, 5) if k >= most], most]
    assert len(recorder.trajectory().calls) == 2  # a refused request is no call
    assert recorder.trajectory().coverage == 1.0


def test_an_endpoint_that_gives_none(told, client):
    told.refuse = lambda path, body: "logprobs are not supported with this model" if "logprobs" in body else None
    with record_calls(request_logprobs=True) as recorder:
        for _ in range(2):
            assert WAYS["chat"][0](client).choices[0].message.content
    assert [call.capability for call in recorder.trajectory().calls] == ["none", "none"]
    assert sent(told)[-2:] == [{}, {}]  # the second question is asked once
    assert len(sent(told)) == 5


def test_another_refusal_is_the_agents_own(told, client):
    told.refuse = lambda path, body: "messages are too long"
    with record_calls(request_logprobs=True) as recorder, pytest.raises(BadRequestError, match="too long"):
        WAYS["chat"][0](client)
    assert len(sent(told)) == 1
    assert recorder.trajectory().calls == ()


def test_refusals_of_the_agents_own_parameters_are_raised(told, client):
    told.refuse = lambda path, body: "top_logprobs is too large" if body.get("top_logprobs") == 30 else None
    with record_calls(request_logprobs=True), pytest.raises(BadRequestError, match="too large"):
        WAYS["chat"][0](client, logprobs=True, top_logprobs=30)
    assert len(sent(told)) == 1


# tools + streaming, which llama.cpp refuses together with logprobs


def test_tools_and_a_stream(llama, client):
    with record_calls(request_logprobs=True) as recorder:
        for _ in range(2):
            with client.chat.completions.create(**calling()) as stream:
                assert gathered(list(stream)) == (*CALLED, [])
        said = list(client.chat.completions.create(**calling("hi", stream_options={"include_usage": True})))
    assert gathered(said) == ("w0 w1 w2 ", [], ["stop"], [3])
    assert timelines(recorder) == [ENTROPIES] * 3
    assert not any(call.partial for call in recorder.trajectory().calls)
    asked = [{"logprobs": True, "top_logprobs": 20, "stream": True}, *[{"logprobs": True, "top_logprobs": 20}] * 3]
    assert sent(llama) == asked


async def test_tools_and_a_stream_async(llama, aclient):
    with record_calls(request_logprobs=True) as recorder:
        stream = await aclient.chat.completions.create(**calling())
        assert gathered([chunk async for chunk in stream]) == (*CALLED, [])
    assert timelines(recorder) == [ENTROPIES]


def test_it_steps_around_where_the_agent_asks_itself(llama, client):
    with record_calls(request_logprobs=True) as recorder:
        list(client.chat.completions.create(**calling(logprobs=True, top_logprobs=19)))
    assert [call.capability for call in recorder.trajectory().calls] == ["full"]
    assert [request["top_logprobs"] for request in sent(llama)] == [19, 19]


def test_without_it_the_refusal_is_the_agents_own(llama, client):
    with record_calls(), pytest.raises(BadRequestError, match=r"tools \+ stream"):
        client.chat.completions.create(**calling(logprobs=True, top_logprobs=4))


def test_the_stream_helper(llama, client):
    asked = {name: value for name, value in calling().items() if name != "stream"}
    with record_calls(request_logprobs=True) as recorder, client.chat.completions.stream(**asked) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    assert [call.function.name for call in final.choices[0].message.tool_calls] == ["look", "look"]
    assert timelines(recorder) == [ENTROPIES]


def test_raw_and_streaming_responses(llama, client):
    completions = client.chat.completions
    with record_calls(request_logprobs=True) as recorder:
        assert gathered(list(completions.with_raw_response.create(**calling()).parse())) == (*CALLED, [])
        with completions.with_streaming_response.create(**calling()) as response:
            assert gathered(list(response.parse())) == (*CALLED, [])
        with completions.with_streaming_response.create(**calling()) as response:
            lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert timelines(recorder) == [ENTROPIES] * 3


async def test_raw_and_streaming_responses_async(llama, aclient):
    completions = aclient.chat.completions
    with record_calls(request_logprobs=True) as recorder:
        raw = await completions.with_raw_response.create(**calling())
        assert gathered([chunk async for chunk in raw.parse()]) == (*CALLED, [])
        async with completions.with_streaming_response.create(**calling()) as response:
            assert gathered([chunk async for chunk in await response.parse()]) == (*CALLED, [])
    assert timelines(recorder) == [ENTROPIES] * 2


# An agent built without any thought of logprobs


@read_only
@tool
def look(at: str) -> str:
    """Look."""
    return "seen"


def make_agent(chat_model, **kwargs):
    return create_agent(chat_model(logprobs=None, top_logprobs=None, **kwargs), [look])


@pytest.mark.parametrize("kwargs", [{}, {"streaming": True}, {"use_responses_api": True, "include": None}], ids=repr)
@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_an_agent_that_does_not_ask(llama, chat_model, kwargs, mode):
    node = best_of_n(make_agent(chat_model, **kwargs), n=2, request_logprobs=True)
    llama.answers["hi"] = [Answer(ENTROPIES), Answer([*ENTROPIES, 0.5])]
    question = {"messages": [("user", "hi")]}
    result = await (node.arun(question) if mode == "async" else in_thread(node.run, question))
    assert [candidate.coverage for candidate in result.selection.candidates] == [1.0, 1.0]
    assert [candidate.logprobs for candidate in result.selection.candidates] == [{"full": 1}] * 2
    assert result.output["messages"][-1].text.startswith("w0 w1 w2 ")
    assert {candidate.tokens for candidate in result.selection.candidates} == {3, 4}


def test_an_agent_that_streams_tool_calls(llama, chat_model):
    llama.answers["seen"] = [Answer(ENTROPIES), Answer([*ENTROPIES, 0.5])]
    node = best_of_n(make_agent(chat_model, streaming=True), n=2, request_logprobs=True)
    result = node.run({"messages": [("user", "call")]})
    assert [candidate.logprobs for candidate in result.selection.candidates] == [{"full": 2}] * 2
    assert [candidate.tool_calls for candidate in result.selection.candidates] == [2, 2]
    assert [candidate.coverage for candidate in result.selection.candidates] == [1.0, 1.0]
    assert "logprobs" not in str(result.output["messages"])


# The length of streamed answers


HIDDEN = Answer(ENTROPIES, usage=8)  # five tokens of thinking, which show in the usage alone


def test_hidden_tokens_are_gaps_and_stay_hidden_from_the_reader(fake, client):
    fake.answers["hi"] = HIDDEN
    with record_calls(request_logprobs=True) as recorder:
        chunks = list(client.chat.completions.create(**HI, stream=True))
    assert all(chunk.choices for chunk in chunks)  # chunk.choices[0], as agents have it
    assert timelines(recorder) == [[*ENTROPIES, *[None] * 5]]
    (body,) = fake.bodies()
    assert body["stream_options"] == {"include_usage": True}


async def test_the_same_async(fake, aclient):
    fake.answers["hi"] = HIDDEN
    with record_calls(request_logprobs=True) as recorder:
        stream = await aclient.chat.completions.create(**HI, stream=True)
        assert all([chunk.choices async for chunk in stream])
    assert timelines(recorder) == [[*ENTROPIES, *[None] * 5]]


def test_a_reader_that_asks_for_usage_gets_it(fake, client):
    fake.answers["hi"] = HIDDEN
    with record_calls(request_logprobs=True):
        asked = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(**HI, **asked))
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [8]


def test_an_endpoint_that_does_not_know_stream_options(told, client):
    told.refuse = lambda path, body: "unknown field stream_options" if "stream_options" in body else None
    with record_calls(request_logprobs=True) as recorder:
        for _ in range(2):
            list(client.chat.completions.create(**HI, stream=True))
    assert timelines(recorder) == [ENTROPIES] * 2
    assert len(sent(told)) == 3


# The other ways into the client


class Word(BaseModel):
    word: str


def test_parse(fake, client):
    fake.answers["json"] = Answer(ENTROPIES, text='{"word": "tea"}')
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "json"}], "response_format": Word}
    with record_calls(request_logprobs=True) as recorder:
        assert client.chat.completions.parse(**asked).choices[0].message.parsed == Word(word="tea")
        assert client.with_options(timeout=9).chat.completions.parse(**asked).choices[0].message.parsed.word == "tea"
    assert timelines(recorder) == [ENTROPIES] * 2
    assert all(call.constrained for call in recorder.trajectory().calls)


def test_a_streamed_response(told, client):
    with record_calls(request_logprobs=True) as recorder:
        events = list(client.responses.create(model=MODEL, input="hi", stream=True))
        with client.responses.stream(model=MODEL, input="hi") as stream:
            assert stream.get_final_response().output_text == "w0 w1 w2 "
    assert events[-1].type == "response.completed"
    assert timelines(recorder) == [ENTROPIES] * 2
    assert all("stream_options" not in body for body in told.bodies())


def test_a_request_that_is_sent_again_counts_once(fake):
    fake.answers["hi"] = [Answer(status=500), Answer(status=500), Answer(ENTROPIES)]
    with OpenAI(base_url=fake.url, api_key="none", max_retries=2) as client, record_calls(request_logprobs=True) as rec:
        client.chat.completions.create(**HI)
    assert timelines(rec) == [ENTROPIES]
