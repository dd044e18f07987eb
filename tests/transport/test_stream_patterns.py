"""An event that fits the pattern of another one says the same as it, but for its text, its logprobs and its letters."""

from __future__ import annotations

import json
import random

import pytest

from ec_agent.support.stream_patterns import pattern_of

LOGPROBS = {"content": [{"token": "a", "logprob": -1.5, "top_logprobs": []}], "refusal": None}


def event(text="one", logprobs=LOGPROBS, **more):
    choice = {"index": 0, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": None}
    return {"id": "x", "model": "m\n{}[]", "choices": [choice], **more}


def turned(thing):
    if isinstance(thing, list):
        return [turned(each) for each in thing]
    return {name: turned(thing[name]) for name in reversed(thing)} if isinstance(thing, dict) else thing


FORMS = {
    "OpenAI's order": json.dumps,
    "sorted keys, no spaces": lambda each: json.dumps(each, sort_keys=True, separators=(",", ":")),
    "the other way round": lambda each: json.dumps(turned(each)),
    "not ASCII": lambda each: json.dumps({**each, "name": "é漢"}, ensure_ascii=False),
}
TEXTS = ["", "one", 'a "quote"', "back\\slash", "{}, [] }", "é漢\U0001f600", '},"logprobs":{"content":null}', "\n\t"]
SHAPES = {
    "logprobs": lambda text: event(text),
    "none": lambda text: event(text, None),
    "letters": lambda text: event(text, obfuscation=text[::-1]),
    "letters, no logprobs": lambda text: event(text, None, obfuscation="abc"),
    "another text": lambda text: event(text, note={"said": {"content": ["x"]}, "logprobs": 3}),
}


def pattern(data):
    return pattern_of(data, json.loads(data))


def of(logprobs):
    return None if logprobs is None else json.loads(logprobs)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", FORMS)
def test_what_differs_is_found(form, shape):
    form, shape = FORMS[form], SHAPES[shape]
    first = form(shape("one")).encode()
    fits, bare = pattern(first)
    assert bare == {**json.loads(first), "choices": [{**event()["choices"][0], "logprobs": None}]}
    for text in TEXTS:
        data = form(shape(text)).encode()
        told, found = json.loads(data), fits.found_in(data)
        (choice,) = told["choices"]
        assert (found.text, of(found.logprobs)) == (choice["delta"]["content"], choice["logprobs"])
        assert found.varies == told.get("obfuscation")


def test_half_of_a_surrogate_pair_is_kept():
    fits, _ = pattern(json.dumps(event()).encode())
    assert fits.found_in(json.dumps(event("\ud83d")).encode()).text == "\ud83d"


OTHERS = {
    "id": event("two", id="y"),
    "usage": event("two", usage=None),
    "no logprobs": event("two", None),
    "end": {**event("two"), "choices": [{**event()["choices"][0], "finish_reason": "stop"}]},
    "two choices": {**event("two"), "choices": event()["choices"] * 2},
    "no text": event(None),
    "list": event(["two"]),
    "letters": event("two", obfuscation="abc"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_an_event_that_differs_in_more_does_not_fit(other):
    fits, _ = pattern(json.dumps(event()).encode())
    found = fits.found_in(json.dumps(OTHERS[other]).encode())
    # With two choices, the logprobs reach from those of the first to those of the last, which is no JSON.
    assert found is None or (other == "two choices" and not is_json(found.logprobs))


ODD = [None, [], {"choices": []}, {"choices": None}, event(None), event(3), {"choices": [{"delta": None}]}]
ODD += [{"choices": [{"delta": {}}]}, event("one", [1]), event("one", obfuscation=3)]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_events_of_other_forms_have_no_pattern(odd):
    assert pattern(json.dumps(odd).encode()) is None


def test_a_key_that_comes_twice_has_no_pattern():
    assert pattern(b'{"choices": [{"delta": {"content": "a", "content": "b"}, "logprobs": null}]}') is None


@pytest.mark.parametrize("seed", range(20))
def test_damaged_bytes_fit_only_if_they_say_the_same(seed):
    """What fits is JSON if its logprobs are, and says what the first event said, with the values that were found."""
    chance = random.Random(seed)
    shape, form = chance.choice(list(SHAPES.values())), chance.choice(list(FORMS.values()))
    fits, bare = pattern(form(shape("one")).encode())
    fitted = 0
    for _ in range(150):
        data = bytearray(form(shape(chance.choice(TEXTS[:6]))).encode())
        for _ in range(chance.randint(0, 2)):
            data[chance.randrange(len(data))] = chance.choice(b'\x00\xff\xc3"{}[],:-e09\\u \n')
        found = fits.found_in(bytes(data))
        if found is None or not is_json(found.logprobs):
            continue
        fitted += 1
        told = json.loads(bytes(data))
        (choice,) = told["choices"]
        assert (choice["delta"], choice["logprobs"]) == ({"content": found.text}, of(found.logprobs))
        choice["delta"], choice["logprobs"] = bare["choices"][0]["delta"], None
        assert {**told, "obfuscation": None} == {**bare, "obfuscation": None}
    assert fitted > 30


def is_json(data):
    try:
        return data is None or isinstance(json.loads(data), dict)
    except ValueError:
        return False


@pytest.mark.parametrize("text", ['"\\' * 100_000, '},"logprobs":{' * 20_000], ids=["quotes", "braces"])
def test_a_long_text_full_of_quotes_is_read_in_one_pass(text):
    fits, _ = pattern(json.dumps(event()).encode())
    assert fits.found_in(json.dumps(event(text)).encode()).text == text
