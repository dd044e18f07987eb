"""The same token entries, read in every way there is: whole, streamed, as objects, as JSON, below the client, saved."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx2
from langchain_core.messages import AIMessage
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ec_agent.capture.open_calls import Request
from ec_agent.capture.plain_parts import light
from ec_agent.capture.shapes import call_of, payload_of_message, payload_of_response, payload_of_stream
from ec_agent.capture.shapes.tokens import tokens_of
from ec_agent.capture.taken_logprobs import restored
from ec_agent.capture.transport.decoder import of_event, of_whole
from ec_agent.evaluator import trajectory_of
from ec_agent.numbers.signals import SIGNALS

ALL = tuple(SIGNALS)
_CLIENT = OpenAI(api_key="none")
_RESPONSE = httpx2.Response(200, request=httpx2.Request("POST", "http://x"))


def completion(entries):
    """A chat completion with these entries."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": len(entries), "total_tokens": len(entries) + 1}
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
    return {**whole, "choices": [{**choice, "logprobs": {"content": entries}}]}


def chunks(entries):
    """The same streamed, an entry a chunk."""
    parts = []
    for entry in entries:
        choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": None, "logprobs": {"content": [entry]}}
        parts.append({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
    return parts


def response(entries):
    """A response of OpenAI's newer API."""
    part = {"type": "output_text", "text": "x", "annotations": [], "logprobs": entries}
    item = {"id": "i", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    usage = {"input_tokens": 1, "output_tokens": len(entries), "total_tokens": len(entries) + 1}
    return {"id": "x", "object": "response", "created_at": 1, "model": "m", "output": [item], "usage": usage}


def payloads(entries):
    """Way of reading -> payload."""
    whole, parts = completion(entries), chunks(entries)
    sent = json.dumps(whole).encode()
    body, taken = of_whole(sent) or (sent, ())
    below = []
    for part in parts:
        found = of_event(json.dumps(part).encode())
        below.append(_parsed(part, ChatCompletionChunk) if found is None else _put_back(*found))
    message = AIMessage("x", response_metadata={"logprobs": whole["choices"][0]["logprobs"]})
    objects = [_parsed(part, ChatCompletionChunk) for part in parts]
    return {
        "json": payload_of_response(whole),
        "objects": payload_of_response(_parsed(whole, ChatCompletion)),
        "below the client": payload_of_response(restored(_parsed(json.loads(body), ChatCompletion), taken)),
        "json, streamed": payload_of_stream(parts),
        "objects, streamed": payload_of_stream(objects),
        "objects, made light": payload_of_stream([light(part) for part in objects]),
        "below the client, streamed": payload_of_stream(below),
        "a message": payload_of_message(message),
        "a response": payload_of_response(response(entries)),
    }


def readings(entries, top_k=None):
    """Way of reading -> the call it makes of the entries, all signals kept."""
    calls = {}
    for way, payload in payloads(entries).items():
        asked = replace(payload, top_k=top_k)
        calls[way] = call_of(asked, ALL)
        calls[f"{way}, candidates kept"] = call_of(asked, ALL, keep_candidates=2)
    if top_k is None:
        (calls["the body's bytes"],) = trajectory_of(json.dumps(completion(entries)).encode()).calls
        (calls["saved"],) = trajectory_of(completion(entries)).calls
    return calls


def signal(entries, name="entropy", top_k=None):
    """The signal's values by all ways, which must agree to the last bit; ``None`` where a token has none."""
    found = {
        way: tuple(None if value != value else float(value) for value in call.signal(name))
        for way, call in readings(entries, top_k).items()
        if name == "entropy" or name in call.signals
    }
    assert len(set(found.values())) == 1, found
    return list(next(iter(found.values())))


def quick(entries, top_k=None):
    """Whether these are read without looking at every entry."""
    from ec_agent.capture.shapes.quick_tokens import usual_tokens

    return usual_tokens(entries, top_k) is not None


def _parsed(data, kind):
    return _CLIENT._process_response_data(data=data, cast_to=kind, response=_RESPONSE)


def _put_back(body, event):
    request = Request()
    request.taken.events.append(event)
    return request.taken.put_back(_parsed(json.loads(body), ChatCompletionChunk))


__all__ = ["ALL", "completion", "payloads", "quick", "readings", "response", "signal", "tokens_of"]
