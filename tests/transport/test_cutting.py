"""Logprobs that are cut out of an answer's bytes are those that a decoder takes out which visits everything."""

from __future__ import annotations

import json

import msgspec
import pytest

from ec_agent.capture.transport import decoder
from ec_agent.capture.transport.cutting import cut_out

ODD = ['"', "\\", "]", "}", "]}", '"logprobs":', '"top_logprobs":', '\\"', "{", "é", "\n", '{"token":"']


def entry(token, **more):
    top = [{"token": each, "logprob": -0.5 - place, "bytes": [1, 2]} for place, each in enumerate((token, "]}"))]
    return {"token": token, "logprob": -0.5, "bytes": [1, 2], "top_logprobs": top, **more}


def choice(tokens=("a", "b"), logprobs=None, text="said", **more):
    held = {"content": [entry(token) for token in tokens], "refusal": None} if logprobs is None else logprobs
    return {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "logprobs": held,
        "finish_reason": "stop",
        **more,
    }


def answer(*choices, **more):
    return {"id": "x", "choices": list(choices or [choice()]), "model": "m", "usage": {"completion_tokens": 2}, **more}


LEGACY = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5, "b": -1.0}], "text_offset": [0]}
PLAIN = {
    "usual": answer(),
    "odd tokens": answer(choice(ODD)),
    **{f"text {text!r}": answer(choice(text=text * 3)) for text in ODD},
    "one token": answer(choice(["a"])),
    "the logprobs first": answer(
        {"logprobs": choice()["logprobs"], **{k: v for k, v in choice().items() if k != "logprobs"}}
    ),
    "a long text behind": answer(choice(), said='"logprobs": {"content": [' * 100),
    "candidates first": answer(choice(logprobs={"content": [dict(reversed(entry("a").items()))]})),
}
OTHERS = {
    "two choices": answer(choice(), choice(["c"])),
    "two choices, one without": answer(choice(), choice(logprobs=[]) | {"logprobs": None}),
    "another key further up": answer(logprobs={"content": []}),
    "the refusal first": answer(choice(logprobs={"refusal": None, "content": [entry("a")]})),
    "no candidates": answer(choice(logprobs={"content": [{"token": "a", "logprob": -1.0}]})),
    "no tokens": answer(choice(logprobs={"content": []})),
    "refusal": answer(choice(logprobs={"content": None, "refusal": [entry("no")]})),
    "reasoning": answer(choice(logprobs={"content": [entry("a")], "reasoning_content": [entry("b")]})),
    "legacy": answer({"index": 0, "text": "a", "logprobs": LEGACY}),
    "a list": answer(choice(logprobs=[entry("a")])),
    "an unknown key": answer(choice(logprobs={"content": [entry("a")], "more": 1})),
    "a text for a number": answer(choice(logprobs={"content": [entry("a", logprob="-1")]})),
    "candidates at the top": answer(top_logprobs=[1]),
    "an event": answer(type="response.done"),
    "responses": {"output": [{"content": [{"text": "a", "logprobs": [entry("a")]}]}]},
    "not under choices": {"id": "x", "answer": choice()},
    "logprobs of nobody before a choice without": {
        "logprobs": choice()["logprobs"],
        **answer(choice() | {"logprobs": None}),
    },
    "a key that ends so": {'x"logprobs': choice()["logprobs"], **answer(choice() | {"logprobs": None})},
    "choices are no list": {"choices": choice()},
}


def parts(taken):
    if taken is None:
        return None
    emptied, logprobs = taken
    return json.loads(emptied), [(path, plain(found)) for path, found in logprobs]


def plain(thing):
    if isinstance(thing, msgspec.Raw):
        return bytes(thing)
    if isinstance(thing, msgspec.Struct):
        return {name: plain(getattr(thing, name)) for name in thing.__struct_fields__}
    return list(map(plain, thing)) if isinstance(thing, list) else thing


def visited(body):
    return decoder._guarded(lambda body: decoder._taken(decoder._object.decode(body)), body)


@pytest.mark.parametrize("spacing", [(",", ":"), (", ", ": "), (" ,\n", "\t:  ")], ids=["close", "usual", "wide"])
@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("name", [*PLAIN, *OTHERS])
def test_the_same_is_taken(name, escaped, spacing):
    body = json.dumps({**PLAIN, **OTHERS}[name], separators=spacing, ensure_ascii=escaped).encode()
    assert parts(decoder.of_whole(body)) == parts(visited(body))


@pytest.mark.parametrize("name", PLAIN)
def test_usual_answers_are_not_visited(name, monkeypatch):
    monkeypatch.setattr(decoder, "_taken", lambda _: pytest.fail("all of it was visited"))
    assert decoder.of_whole(json.dumps(PLAIN[name]).encode()) is not None


def test_a_body_that_broke_off_gives_nothing():
    body = json.dumps(answer()).encode()
    assert decoder.of_whole(body) is not None
    assert [place for place in range(len(body)) if decoder.of_whole(body[:place]) is not None] == []


def test_a_key_that_is_part_of_a_text_is_none():
    assert cut_out(rb'{"a": "\"logprobs\": {\"top_logprobs\": []}"}') is None
    assert cut_out(rb'{"a": "x\"logprobs": {}, "top_logprobs": []}') is None


def test_other_forms_are_not_gone_through():
    legacy = json.dumps(OTHERS["legacy"]).encode()
    assert cut_out(legacy) is None
    assert cut_out(legacy.replace(b'{"tokens"', b'{"content": null, "tokens"')) is None


def test_a_wrong_end_is_noticed():
    """The last candidates are not within three brackets of the end."""
    body = json.dumps(answer(choice(logprobs={"content": [entry("a", more=[{"top_logprobs": []}])]}))).encode()
    assert parts(decoder.of_whole(body)) == parts(visited(body))
