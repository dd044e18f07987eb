"""The facts that an answer tells are listed once, beside ``Payload``: one that is added there comes through all joins.

The package is copied, a few lines are added to two classes, and the copy is used in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import ec_agent
from ec_agent.capture.shapes.payload import FACTS, Payload

HOUSE = Path(ec_agent.__file__).parent
TOLD = {"route": "north-1", "shards": 2, "spared": True}
UNTOLD = {"route": None, "shards": None, "spared": False}
ADDED = {
    "capture/shapes/payload.py": (
        "    beside: int = 0\n",
        '    route: str | None = fact(requests=first_known, keys=("routed_by", "route"))\n'
        '    shards: int | None = fact(requests=total, parts=last_known, keys=("shards",), read=unchanged)\n'
        '    spared: bool = fact(False, requests=any, parts=any, keys=("spared",), read=bool)\n',
    ),
    "numbers/trajectory.py": (
        "    beside: int = 0\n",
        "    route: str | None = None\n    shards: int | None = None\n    spared: bool = False\n",
    ),
}
PROGRAM = """
import json, sys
import ec_agent
from ec_agent import trajectory_of
from ec_agent.capture.which_account import account_of
from ec_agent.capture.open_calls import Request
from ec_agent.capture.shapes import *
from ec_agent.capture.shapes import first_of_messages
from ec_agent.capture.transport.decoder import of_event
from ec_agent.testing import logprobs_for

told = json.loads(sys.argv[1])
of = lambda thing: {name: getattr(thing, name) for name in told}
A, B = logprobs_for([0.5, 1.5])
found = {"house": ec_agent.__file__}

def chat(entry=A, index=0, **more):
    message = {"role": "assistant", "content": entry["token"]}
    return {"index": index, "message": message, "finish_reason": "stop", "logprobs": {"content": [entry]}, **more}

def chunk(entry, index=0, end=None, **more):
    delta = {"content": entry["token"]}
    choice = {"index": index, "delta": delta, "finish_reason": end, "logprobs": {"content": [entry]}}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}

def message(**metadata):
    held = {"logprobs": {"content": [A]}, "finish_reason": "stop", **metadata}
    return {"type": "ai", "content": "a", "response_metadata": held}

def part(entry, **metadata):
    held = {"logprobs": {"content": [entry]}, **metadata}
    return {"type": "AIMessageChunk", "id": "run-1", "content": entry["token"], "response_metadata": held}

def gemini(entry, index, **more):
    logprobs = {"chosenCandidates": [{"token": entry["token"], "logProbability": -0.5}], "topCandidates": []}
    content = {"parts": [{"text": entry["token"]}]}
    return {"candidates": [{"index": place, "content": content, "logprobsResult": logprobs} for place in index], **more}

def saved(*parts):
    streams = Streams()
    (stream,) = {id(stream): stream for stream, _ in map(streams.place, parts)}.values()
    return stream.payloads()

whole = {"id": "r", "choices": [chat()], **told}
several = {"id": "r", "choices": [chat(), chat(B, 1)], **told}
streamed = [chunk(A), chunk(B, **told), chunk(B, end="stop")]
of_two = [chunk(A), chunk(B, 1, **told), chunk(A, end="stop"), chunk(B, 1, "stop")]
fast = [of_event(json.dumps(each).encode())[1] for each in streamed[:2]]
assert all(type(each).__name__ == "Chunk" for each in fast)
events = [{"type": "response.created", "response": {"id": "r"}}]
events += [{"type": "response.completed", "response": {"id": "r", "output": [], **told}}]
bare = {"id": "r", "choices": [chat()]}
payload = payload_of_response(whole)

found["whole"] = [of(payload)]
found["second key"] = [of(payload_of_response({**bare, **told, "routed_by": told["route"], "route": "other"}))]
found["whole, several"] = list(map(of, payloads_of_response(several)))
found["chosen"] = [of(pick(payload_of_response(several), 1)), of(pick(pick(payload_of_response(several), 1), 0))]
found["stream"] = [of(payload_of_stream(streamed)), of(Request(chunks=streamed).payload())]
found["stream, several"] = [of(pick(payload_of_stream(of_two), place)) for place in (0, 1)]
found["stream, read by the transport"] = [of(payload_of_stream(fast))]
found["stream of events"] = [of(payload_of_stream(events))]
found["message"] = [of(payload_of_message(message(**told)))]
twice = {**told, "route": 2 * told["route"]}
found["message, doubled"] = [of(payload_of_message(message(**{**twice, "finish_reason": "stopstop"})))]
found["generations"] = [of(first_of_messages([payload_of_message(each) for each in said], said)) for said in
    ([message(**told), message()], [message(**told)] * 3)]
said = [message(**told), message()]  # the second generation is chosen, and what was told with the first holds for it
found["generations"] += [of(pick(first_of_messages([payload_of_message(each) for each in said], said), 1))]
parts = MessageParts()
for each in (part(A), part(B, **told, finish_reason="stop"), part(B, **told, finish_reason="stop")):
    parts.add(each)
found["message, summed"] = [of(parts.counted_once(Payload(entries=[A, B, B], **twice)))]
found["saved chunks"] = list(map(of, saved(*streamed)))
found["saved chunks, several"] = list(map(of, saved(*of_two)))
found["saved parts of a message"] = list(map(of, saved(part(A), part(B, **told))))
found["saved parts of Gemini"] = list(map(of, saved(gemini(A, [0]), gemini(B, [0], **told))))
found["saved parts of Gemini, several"] = list(map(of, saved(gemini(A, [0, 1], **told), gemini(B, [0, 1]))))
found["one of two requests"] = [of(merge_payloads(each)) for each in ([payload, Payload()], [Payload(), payload])]
found["two requests"] = of(merge_payloads([payload, payload]))
found["believed"] = [of(account_of(*each, "a", lambda: "a")) for each in
    ((payload, Payload()), (payload_of_response(bare), Payload(**told)), (Payload(), payload))]
found["call"] = [of(call_of(payload, ("entropy",)))]
found["trajectory"] = [of(call) for each in (whole, streamed, [message(**told)]) for call in trajectory_of(each).calls]
found["bytes"] = [of(call) for call in trajectory_of(json.dumps(whole).encode()).calls]
found["untold"] = [of(each) for each in (payload_of_response(bare), payload_of_stream([chunk(A)]),
    payload_of_message(message()), call_of(merge_payloads([Payload(), Payload()]), ("entropy",)))]
print(json.dumps(found))
"""
PLACES = [
    *("whole", "second key", "whole, several", "chosen", "stream", "stream, several", "stream, read by the transport"),
    *("stream of events", "message", "message, doubled", "message, summed", "generations", "saved chunks"),
    *("saved chunks, several", "saved parts of a message", "saved parts of Gemini", "saved parts of Gemini, several"),
    *("one of two requests", "believed", "call", "trajectory", "bytes"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What a copy with three more facts tells of them, place by place."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(HOUSE, folder / "ec_agent", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (line, more) in ADDED.items():
        path = folder / "ec_agent" / name
        assert path.read_text().count(line) == 1, f"{line!r} of {name} is the place where this test adds a line"
        path.write_text(path.read_text().replace(line, line + more))
    words = [sys.executable, "-c", PROGRAM, json.dumps(TOLD)]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=env, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert Path(said["house"]).parent == folder / "ec_agent"
    return said


@pytest.mark.parametrize("place", PLACES)
def test_a_new_fact_comes_through(place, found):
    assert found[place]
    assert found[place] == [TOLD] * len(found[place])


def test_facts_of_several_requests_are_joined_as_their_rows_say(found):
    assert found["two requests"] == {**TOLD, "shards": 4}


def test_what_no_answer_tells_stays_unknown(found):
    assert found["untold"] == [UNTOLD] * len(found["untold"])


def test_every_place_is_looked_at(found):
    assert {*PLACES, "two requests", "untold", "house"} == {*found}


def test_every_field_of_a_payload_is_a_fact_or_has_its_own_code():
    own = {"entries", "tokens", "beside", "alternatives", "mute", "silent", "unsure", "said"}
    assert own | {each.name for each in FACTS} == {each.name for each in fields(Payload)}
    assert not own & {each.name for each in FACTS}
