"""Refusals of an endpoint that is asked for logprobs: many at once, of one kind of request, or of something else."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from asking import INCLUDE, timelines
from fake_openai import MODEL, Answer
from openai import BadRequestError, OpenAI
from unasked import CALLED, ENTROPIES, HI, TOOLS, WAYS, calling, gathered, sent

from ec_agent import best_of_n, record_calls


def most_five(path, body):
    time.sleep(0.05)
    return "top_logprobs must be at most 5" if (body.get("top_logprobs") or 0) > 5 else None


async def test_many_refusals_at_once(told, aclient):
    told.refuse = most_five
    told.answers["hi"] = [Answer([*ENTROPIES, *[0.1] * more]) for more in range(8)]

    async def agent(state):
        answer = await aclient.chat.completions.create(**HI)
        return {"messages": [("ai", answer.choices[0].message.content)]}

    result = await best_of_n(agent, n=8, request_logprobs=True).arun({"messages": [("user", "hi")]})
    assert [candidate.coverage for candidate in result.selection.candidates] == [1.0] * 8
    before = len(told.asked)
    with record_calls(request_logprobs=True):
        await aclient.chat.completions.create(**HI)
    assert sent(told)[before:] == [{"logprobs": True, "top_logprobs": 5}]


def test_hidden_tokens_of_a_whole_answer_are_gaps(llama, client):
    llama.answers["call"] = Answer(ENTROPIES, usage=8, tool_calls=[("look", {"at": "x"})])
    with record_calls(request_logprobs=True) as recorder:
        chunks = list(client.chat.completions.create(**calling()))
    assert all(chunk.choices for chunk in chunks)
    assert timelines(recorder) == [[*ENTROPIES, *[None] * 5]]


async def test_many_streams_refused_at_once(llama, aclient):
    refuse = llama.refuse

    def slowly(path, body):
        time.sleep(0.05)
        return refuse(path, body) or ("unknown field stream_options" if "stream_options" in body else None)

    llama.refuse = slowly

    async def ask():
        stream = await aclient.chat.completions.create(**calling(logprobs=True, top_logprobs=20))
        return gathered([chunk async for chunk in stream])

    with record_calls(request_logprobs=True) as recorder:
        assert await asyncio.gather(*(ask() for _ in range(4))) == [(*CALLED, [])] * 4
    assert timelines(recorder) == [ENTROPIES] * 4


def test_a_refusal_repeating_the_request_is_not_about_logprobs(told, client):
    def refuse(path, body):
        return [{"loc": ["body", "messages"], "msg": "context length exceeded", "input": body}] if too_long else None

    too_long = True
    told.refuse = refuse
    with record_calls(request_logprobs=True) as recorder:
        with pytest.raises(BadRequestError):
            WAYS["chat"][0](client)
        assert len(told.asked) == 1
        too_long = False
        WAYS["chat"][0](client)
    assert timelines(recorder) == [ENTROPIES]


def refusing(status, most, error):
    """An endpoint that takes at most so many candidates, and refuses more with such a body."""

    def answer(body):
        if (body.get("top_logprobs") or 0) > most or (most == 0 and "logprobs" in body):
            said = (error, "text/plain") if isinstance(error, str) else (json.dumps(error), "application/json")
            return Answer(status=status, raw=(said[1], said[0].encode()))
        return Answer(ENTROPIES)

    return answer


def wrapped(message):
    """As OpenRouter passes on what a provider says."""
    raw = json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None}})
    metadata = {"raw": raw, "provider_name": "x"}
    return {"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}, "user_id": "x"}


GOOGLE = {"code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT"}
UNKNOWN_NAME = {"code": 400, "message": 'Invalid JSON payload received. Unknown name "logprobs": Cannot find field.'}
TOO_MANY = "Input validation error: `top_n_tokens` must be >= 0 and <= 5. Given: 20"
WORDS = {
    "text-generation-inference": (422, 5, {"error": TOO_MANY, "error_type": "validation"}),
    "OpenRouter": (400, 0, wrapped("Unsupported parameter: 'logprobs' is not supported with this model.")),
    "OpenRouter, no JSON inside": (400, 0, {"error": {"message": "x", "metadata": {"raw": "no logprobs here"}}}),
    "Google": (400, 0, [{"error": UNKNOWN_NAME}]),
    "Google, who says no more": (400, 0, [{"error": GOOGLE}]),
    "Google behind a gateway": (400, 0, {"error": {"message": json.dumps({"error": GOOGLE}), "code": 400}}),
    "OpenAI, who does not allow it": (403, 0, {"error": {"message": "You are not allowed to request logprobs"}}),
    "Mistral": (422, 0, {"detail": [{"type": "extra_forbidden", "loc": ["body", "logprobs"], "msg": "Extra inputs"}]}),
    "Cloudflare": (400, 0, {"errors": [{"message": "AiError: Bad input: '/logprobs' not expected", "code": 5006}]}),
    "Ollama, in a text": (400, 0, {"error": "logprobs are not supported by this model"}),
    "no JSON at all": (400, 0, "logprobs are not supported"),
    "not implemented": (501, 0, {"error": {"message": "logprobs are not implemented"}}),
}


@pytest.mark.parametrize(("status", "most", "error"), WORDS.values(), ids=WORDS)
def test_in_whatever_words_it_is_refused_the_agent_runs(fake, client, status, most, error):
    fake.answers["hi"] = refusing(status, most, error)
    with record_calls(request_logprobs=True) as recorder:
        assert WAYS["chat"][0](client.with_options(max_retries=0)).choices[0].message.content
    assert recorder.trajectory().calls[0].capability == ("full" if most else "none")


def test_a_wrapped_refusal_may_be_about_something_else(fake, client):
    message = wrapped("Invalid schema for function 'look'")
    message["error"]["metadata"]["raw"] = json.dumps({"error": {"message": "too long"}, "input": {"logprobs": True}})
    fake.answers["hi"] = refusing(400, 0, message)
    with record_calls(request_logprobs=True), pytest.raises(BadRequestError):
        WAYS["chat"][0](client)
    assert len(fake.asked) == 1


def test_a_refusal_with_tools_does_not_affect_others(told, client):
    told.refuse = lambda path, body: (
        "logprobs is not supported with tools" if body.get("tools") and "logprobs" in body else None
    )
    with record_calls(request_logprobs=True) as recorder:
        WAYS["chat"][0](client)
        WAYS["chat"][0](client, tools=TOOLS)
        WAYS["chat"][0](client)
    assert [call.capability for call in recorder.trajectory().calls] == ["full", "none", "full"]


def test_a_refusal_counts_for_one_model_only(llama, client):
    with record_calls(request_logprobs=True):
        list(client.chat.completions.create(**calling()))
        llama.refuse = lambda path, body: None
        chunks = list(client.chat.completions.create(**{**calling("hi"), "model": "other"}))
    assert len(chunks) > 3
    assert llama.bodies()[-1]["stream"] is True


def test_streams_that_are_refused_logprobs_without_tools_too(told, client):
    told.refuse = lambda path, body: (
        "logprobs is not supported with streaming" if body.get("stream") and "logprobs" in body else None
    )
    with record_calls(request_logprobs=True) as recorder:
        assert list(client.chat.completions.create(**HI, stream=True))
        WAYS["chat"][0](client)
    assert timelines(recorder) == [ENTROPIES] * 2


def test_a_refused_legacy_stream_reads_like_others(told, client):
    told.refuse = lambda path, body: "logprobs: not with stream" if body.get("stream") and "logprobs" in body else None
    ask = WAYS["legacy"][0]
    with record_calls():
        plain = list(ask(client, stream=True))
    with record_calls(request_logprobs=True) as recorder:
        parts = list(ask(client, stream=True))
    for read in (plain, parts):
        assert "".join(part.choices[0].text for part in read) == "w0 w1 w2 "
        assert {part.object for part in read} == {"text_completion"}
        assert [part.choices[0].finish_reason for part in read if part.choices[0].finish_reason] == ["stop"]
    assert timelines(recorder) == [ENTROPIES]
    assert not recorder.trajectory().calls[0].partial


def test_the_responses_api_gives_none_without_include(told, client, chat_model):
    with record_calls(request_logprobs=True) as recorder:
        client.responses.create(model=MODEL, input="hi", top_logprobs=5)
        chat_model(use_responses_api=True, include=None, top_logprobs=5).invoke("hi")
    assert [call.capability for call in recorder.trajectory().calls] == ["full", "full"]
    assert [{**INCLUDE, "top_logprobs": 5}.items() <= request.items() for request in sent(told)] == [True, True]


def test_a_streaming_response_gets_no_extra_usage(told, client):
    create = client.chat.completions.with_streaming_response.create
    with record_calls(request_logprobs=True), create(**HI, stream=True) as response:
        assert all(chunk.choices for chunk in response.parse())


def test_a_whole_answer_gets_the_time_of_its_stream(llama, fake):
    llama.answers["call"] = Answer(ENTROPIES, tool_calls=[("look", {})], delay=0.6)
    client = OpenAI(base_url=fake.url, api_key="none", timeout=0.3, max_retries=0)
    with client, record_calls(request_logprobs=True) as recorder:
        list(client.chat.completions.create(**calling()))
    assert timelines(recorder) == [ENTROPIES]


def test_readers_get_togethers_numbers_unchanged(fake, client):
    parts = [("a", -0.5), ("b", -0.25)]
    chunks = [
        {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": MODEL,
            "choices": [{"index": 0, "delta": {"content": text}, "logprobs": lp, "finish_reason": None}],
        }
        for text, lp in parts
    ]
    chunks.append({**chunks[0], "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    raw = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    fake.answers["hi"] = Answer(raw=("text/event-stream", raw.encode()))
    with record_calls(signals=["logprob"]) as recorder:
        read = list(client.chat.completions.create(**HI, stream=True))
    assert [chunk.choices[0].logprobs for chunk in read[:2]] == [-0.5, -0.25]
    assert recorder.trajectory().signal("logprob").tolist() == [-0.5, -0.25]
