"""10,000 damaged payloads of every provider: nothing raises, and every entropy is one that the payload holds.

A payload is taken from the wire, some places in it are replaced, deleted or doubled, and it is read. What a list of
candidates stands for is restated here, slowly and without our code; so a number that no list in the payload stands for,
a confident zero above all, is found.
"""

from __future__ import annotations

import copy
import json
import math
import random
import warnings
from collections import Counter

import numpy as np
import wire_gemini
import wire_hosts
import wire_ollama
import wire_openai
import wire_servers
from hypothesis import given, settings
from hypothesis import strategies as st
from said import PLAIN, REASONING, TOOLS
from short_form import part_of
from wire import Asked
from wire_openai import speaks

from ec_agent.capture.shapes import call_of, payload_of_message, payload_of_response, payload_of_stream

NAN, INF = math.nan, math.inf
LOGPROBS = {"logprobs": True, "top_logprobs": 20}
LISTS = {"logprobs": 5, "prompt": "hi"}
INCLUDE = {"include": ["message.output_text.logprobs"], "top_logprobs": 20}
WIRES = {
    "OpenAI": (speaks(wire_openai.OPENAI), LOGPROBS),
    "Azure": (speaks(wire_openai.AZURE), LOGPROBS),
    "Responses": (wire_openai.responses, INCLUDE),
    "completions": (wire_openai.legacy, LISTS),
    "completions, echo": (wire_openai.legacy, {**LISTS, "echo": True}),
    "vLLM": (speaks(wire_servers.VLLM), LOGPROBS),
    "vLLM, token ids": (speaks(wire_servers.VLLM_TOKEN_IDS), LOGPROBS),
    "SGLang": (speaks(wire_servers.SGLANG), LOGPROBS),
    "llama.cpp": (wire_servers.llama, LOGPROBS),
    "llama.cpp completion": (wire_servers.llama_native, {"n_probs": 20}),
    "Ollama": (wire_ollama.chat, LOGPROBS),
    "TGI": (speaks(wire_servers.TGI), LOGPROBS),
    "Gemini": (wire_gemini.generate, {"generationConfig": {"responseLogprobs": True, "logprobs": 20}}),
    "Mistral": (speaks(wire_hosts.MISTRAL), LOGPROBS),
    "Together": (speaks(wire_hosts.TOGETHER), {"logprobs": 5}),
    "Fireworks": (speaks(wire_hosts.FIREWORKS), LOGPROBS),
    "Fireworks, lists": (speaks(wire_hosts.FIREWORKS_LISTS), {"logprobs": 5}),
    "DeepSeek": (speaks(wire_hosts.DEEPSEEK), LOGPROBS),
    "xAI": (speaks(wire_hosts.XAI), LOGPROBS),
    "OpenRouter": (speaks(wire_hosts.OPENROUTER), LOGPROBS),
}
NOT_STREAMED = ("llama.cpp completion", "Ollama", "Gemini")  # not by an openai client, that is
TURNS = {"text": PLAIN, "tools": TOOLS, "thinking": REASONING}


def served(name, turn, stream):
    wire, body = WIRES[name]
    body = {**body, "stream": stream, "stream_options": {"include_usage": True}}
    raw = b"".join(wire(turn, Asked("/v1/x:generateContent", body)).pieces)
    if not stream:
        return json.loads(raw)
    lines = (line.removeprefix("data: ") for line in raw.decode().splitlines() if line.startswith("data: "))
    return [json.loads(line) for line in lines if line != "[DONE]"]


def as_message(whole):
    """What LangChain makes of an answer."""
    choice = (whole.get("choices") or whole.get("candidates") or [{}])[0]
    held = {"logprobs": choice.get("logprobs", whole.get("logprobs")), "logprobs_result": choice.get("logprobsResult")}
    usage = {"input_tokens": 2, "output_tokens": 6, "total_tokens": 8}
    return {"type": "ai", "response_metadata": {"model_name": "m", **held}, "usage_metadata": usage}


def corpus():
    for name in WIRES:
        for turn in TURNS.values():
            whole = served(name, turn, stream=False)
            yield payload_of_response, whole
            yield payload_of_message, as_message(whole)
            if name not in NOT_STREAMED:
                yield payload_of_stream, served(name, turn, stream=True)


CORPUS = list(corpus())
SCRAP = [
    *(None, True, False, 0, 1, -1, 5.0, -5.0, NAN, INF, -INF, -9999.0, -0.0, -1e-9, 10**400, 2**40, "", "x", "-0.5"),
    *([], {}, [None], ["x"], [[]], {"a": 1}, {"content": None}, {"logprob": -0.5}, [{"logprob": -0.5}], b"x"),
]


def places_in(thing, path=()):
    """All paths into nested lists and dicts."""
    keys = thing if isinstance(thing, dict) else range(len(thing)) if isinstance(thing, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places_in(thing[key], (*path, key))


def damaged(thing, chance):
    """The thing with one to three places replaced, deleted, doubled or swapped."""
    thing = copy.deepcopy(thing)
    for _ in range(chance.randint(1, 3)):
        places = list(places_in(thing))
        if not places:
            break
        *way, last = chance.choice(places)
        holder = thing
        for key in way:
            holder = holder[key]
        how = chance.choice(["replace", "replace", "delete", "double", "swap"])
        if how == "delete":
            del holder[last]
        elif how == "double" and isinstance(holder, list):
            holder.insert(last, copy.deepcopy(holder[last]))
        elif how == "swap" and isinstance(holder, list):
            chance.shuffle(holder)
        else:
            holder[last] = copy.deepcopy(chance.choice(SCRAP))
    return thing


# The restatement


def rows_in(thing):
    """Every list or map in the payload that could be a token's candidates, as ``(name, logprob)`` each."""
    if isinstance(thing, dict):
        yield list(thing.items())
        for value in thing.values():
            yield from rows_in(value)
    elif isinstance(thing, list):
        if thing and all(isinstance(each, dict) for each in thing):
            logprobs = [each.get("logprob", each.get("logProbability")) for each in thing]
            numbered = not numbers_are_shared(thing, logprobs)
            yield [(name_of(each, numbered), lp) for each, lp in zip(thing, logprobs, strict=True)]
        for value in thing:
            yield from rows_in(value)


def number_of(candidate):
    """The number beside a candidate's text."""
    for number in (candidate.get(name) for name in ("id", "token_id", "tokenId")):
        if (type(number) is int and number >= 0) or (type(number) is str and number):
            return number
    return None


def numbers_are_shared(row, logprobs):
    """Whether one number stands beside several candidates, and so tells of none."""
    beside = {}
    for each, logprob in zip(row, logprobs, strict=True):
        if (number := number_of(each)) is not None:
            beside.setdefault(repr(number), set()).add(repr((each.get("token"), logprob)))
    return any(len(tokens) > 1 for tokens in beside.values())


def name_of(candidate, numbered):
    """What surely names a token: its number, or text and bytes of whole characters; ``None`` for a broken one."""
    text, raw = candidate.get("token"), candidate.get("bytes")
    if "logProbability" in candidate and "logprob" not in candidate:
        raw = None
    if type(text) is int or str(text).startswith("token_id:"):
        return repr((text, str(text)))
    if numbered and (number := number_of(candidate)) is not None:
        return repr((number, str(text)))
    if type(text) is not str or not text or "\ufffd" in text:
        return None
    if type(raw) is list:
        if not all(type(each) in (int, bool) and 0 <= each < 256 for each in raw):
            return None
        raw = bytes(raw).decode(errors="replace")
    if raw and (type(raw) is not str or "\ufffd" in raw):
        return None
    return repr((text, raw or ""))


def outcome(row):
    """The entropy that candidates stand for by the documented table; ``None`` for none."""
    kept, seen = [], set()
    for name, logprob in row:
        if type(logprob) not in (int, float) or logprob != logprob or logprob > 0.01:
            return None
        same = (name, float(max(logprob, -1e300)))
        if logprob > -9999 and (name is None or same not in seen):
            kept.append(math.exp(logprob))
        seen.add(same)
    total = math.fsum(kept)
    if total == 0.0:
        return None
    if max(kept) == total:
        return 0.0 if total >= 0.999 else None
    return -math.fsum(p / total * math.log(p / total) for p in kept if p > 0.0)


def read(seed):
    chance = random.Random(seed)
    reader, whole = chance.choice(CORPUS)
    broken = damaged(whole, chance)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return broken, call_of(reader(broken), ("entropy", "logprob", "surprisal"), keep_text=True)


@settings(max_examples=part_of(10_000), deadline=None)
@given(st.integers(0, 2**48))
def test_damaged_payloads_have_documented_outcomes(seed):
    broken, call = read(seed)
    known = call.entropies[~np.isnan(call.entropies)]
    documented = np.array([value for row in rows_in(broken) if (value := outcome(row)) is not None])
    for value in known:
        assert np.isclose(documented, value, rtol=0, atol=1e-9).any(), value
    assert call.capability == ("full" if len(known) else "sampled" if not_all_nan(call.signal("logprob")) else "none")
    assert not (call.signal("surprisal") < 0).any()
    lengths = {len(call.entropies), len(call.signal("logprob")), len(call.signal("surprisal"))}
    assert lengths == {call.tokens or 0}


def not_all_nan(values):
    return bool((values == values).any())


def test_the_corpus_is_alive():
    """Whole payloads are read whole, and damage shows: some tokens are lost, some calls whole, most are kept."""
    for reader, whole in CORPUS:
        assert call_of(reader(whole), ("entropy",)).tokens
    calls = [read(seed)[1] for seed in range(1000)]
    kinds = Counter(call.capability for call in calls)
    gaps = sum(bool(np.isnan(call.entropies).any()) and call.capability == "full" for call in calls)
    assert min(kinds["full"], kinds["none"], gaps) > 50
    assert kinds["sampled"] > 5
    assert sum(call.tokens is None for call in calls) > 5
