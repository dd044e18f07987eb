"""Servers as unlike as real ones: each has a model of its own, and its own idea of what logprobs are of."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from typing import Any

from fake_openai import MODEL, Answer
from kinds import refused

WORDS = ["The", " sea", " is", " wide", " and", " old", " blue", " deep", " here", " so", " as", " ever"]
HELD = ["{", '"answer"', ":", '"blue"', "}"]
CALLED = ["<call>", "weather", " Paris", "</call>"]
VOCABULARY = [*WORDS, *HELD, *CALLED, *(f" w{place}" for place in range(9))]
OUT = -9999.0


@dataclass
class Engine:
    """What a server does; ``engine(body)`` is its answer.

    Attributes:
        whole, streamed: whether answers have logprobs, in one piece and streamed.
        most: it refuses to be asked for more candidates, in the words of ``refusal``.
        fewer: it sends at most so many, without a word.
        after_temperature, after_grammar: whether logprobs are the sampler's.
        holds: whether schemas are held.
        schema_streamed: share of the entries that come streamed under a schema, from the middle.
        sampled_first: rows have the sampled token first, which pushes the last one out: vLLM's.
        numbered: candidates are named by numbers, their text in ``bytes``: mistral.rs's.
        bare: streamed, one entry comes in the place of a list: mistral.rs's too.
        sampled_only: there are no candidates.
        placeholder: no candidates, and 0.0 for each logprob.
        call_logprobs: whether tool calls have logprobs.
        tools_refused: the message of a 400 for tools; ``together``, of one for tools, streams and logprobs.
        unstreamed_refused: the message of a 400 for whatever is not streamed.
        unknown: parameters that it refuses by name.
        calls: whether it calls tools.
        n: whether it takes ``n``.
        name: of the model that answers.
        chat, completions, responses: which APIs there are.
        hottest: the highest temperature it takes.
    """

    whole: bool = True
    streamed: bool = True
    most: int = 20
    refusal: str = "top_logprobs must be at most {most}"
    fewer: int = 20
    after_temperature: bool = False
    after_grammar: bool = False
    holds: bool = True
    schema_streamed: float = 1.0
    sampled_first: bool = False
    numbered: bool = False
    bare: bool = False
    sampled_only: bool = False
    placeholder: bool = False
    call_logprobs: bool = True
    tools_refused: str | None = None
    together: str | None = None
    unstreamed_refused: str | None = None
    unknown: tuple[str, ...] = ()
    calls: bool = True
    n: bool = True
    name: str = MODEL
    chat: bool = True
    completions: bool = False
    hottest: float = 2.0

    def __call__(self, body: dict[str, Any]) -> Answer:
        if "input" in body or not (self.completions if "prompt" in body else self.chat):
            return refused("Not Found", 404)
        no = self._refusal(body)
        if no is not None:
            return refused(no)
        calling = bool(body.get("tools")) and self.calls
        held = "response_format" in body and self.holds
        tokens = CALLED if calling else HELD if held else self._sampled(body)
        entries = [self._entry(place, token, body, held) for place, token in enumerate(tokens)]
        if "prompt" in body:
            return _json(self._legacy(tokens, entries, body))
        if not self._gives(body, calling):
            entries = []
        if body.get("stream"):
            return self._events(tokens, self._left(entries, held), calling)
        return _json(self._completion(tokens, entries, calling, body.get("n", 1)))

    def _refusal(self, body: dict[str, Any]) -> str | None:
        if self.unstreamed_refused and not body.get("stream"):
            return self.unstreamed_refused
        if any(name in body for name in self.unknown):
            return f"Extra inputs are not permitted: {', '.join(self.unknown)}"
        if body.get("temperature", 0) > self.hottest:
            return f"temperature must be at most {self.hottest}"
        if body.get("top_logprobs", 0) > self.most:
            return self.refusal.format(most=self.most, asked=body["top_logprobs"])
        if body.get("n", 1) > 1 and not self.n:
            return "n is not supported"
        if body.get("tools") and self.tools_refused:
            return self.tools_refused
        if self.together and body.get("tools") and body.get("stream") and body.get("logprobs"):
            return self.together
        return None

    def _gives(self, body: dict[str, Any], calling: bool) -> bool:
        here = self.streamed if body.get("stream") else self.whole
        return bool(body.get("logprobs")) and here and (self.call_logprobs or not calling)

    def _sampled(self, body: dict[str, Any]) -> list[str]:
        temperature = body.get("temperature", 1.0)
        if not temperature:
            return WORDS
        draw = random.Random(body.get("seed", 0))
        rows = (_spread(place, temperature, None) for place in range(len(WORDS)))
        return [draw.choices(VOCABULARY, [math.exp(each) for each in row])[0] for row in rows]

    def _entry(self, place: int, token: str, body: dict[str, Any], held: bool) -> dict[str, Any]:
        warm = body.get("temperature", 1.0) or 1.0
        allowed = token if held and self.after_grammar else None
        row = _spread(place, warm if self.after_temperature else 1.0, allowed)
        ranked = sorted(range(len(row)), key=lambda each: -row[each])
        k = min(body.get("top_logprobs") or body.get("logprobs") or 0, self.fewer)
        own = VOCABULARY.index(token)
        kept = ranked[:k]
        if self.sampled_first and k:
            kept = [own, *(each for each in kept if each != own)][:k]
        entry = self._named(own, row)
        if self.placeholder:
            return {**entry, "logprob": 0.0, "top_logprobs": []}
        entry["top_logprobs"] = [] if self.sampled_only else [self._named(each, row) for each in kept]
        return {**entry, "token": token}

    def _named(self, which: int, row: list[float]) -> dict[str, Any]:
        text = VOCABULARY[which]
        if self.numbered:
            return {"token": which, "logprob": row[which], "bytes": text}
        return {"token": text, "logprob": row[which], "bytes": list(text.encode())}

    def _left(self, entries: list[dict[str, Any]], held: bool) -> list[Any]:
        lost = round(len(entries) * (1 - self.schema_streamed) / 2) if held else 0
        return [entry if lost <= place < len(entries) - lost else None for place, entry in enumerate(entries)]

    def _said(self, tokens: list[str], calling: bool) -> dict[str, Any]:
        if not calling:
            return {"role": "assistant", "content": "".join(tokens)}
        function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
        call = {"index": 0, "id": "call_0", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    def _usage(self, tokens: list[str], n: int = 1) -> dict[str, int]:
        count = n * len(tokens)
        return {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}

    def _completion(self, tokens: list[str], entries: list[Any], calling: bool, n: int) -> dict[str, Any]:
        choice = {
            "message": self._said(tokens, calling),
            "logprobs": {"content": entries} if entries else None,
            "finish_reason": "tool_calls" if calling else "stop",
        }
        choices = [{"index": place, **choice} for place in range(n)]
        return self._answer("chat.completion", choices, usage=self._usage(tokens, n))

    def _legacy(self, tokens: list[str], entries: list[Any], body: dict[str, Any]) -> dict[str, Any]:
        rows = [{each["token"]: each["logprob"] for each in entry["top_logprobs"]} for entry in entries]
        logprobs = {
            "tokens": tokens,
            "token_logprobs": [entry["logprob"] for entry in entries],
            "top_logprobs": rows,
            "text_offset": list(range(len(tokens))),
        }
        choice = {"index": 0, "text": "".join(tokens), "finish_reason": "stop"}
        choice["logprobs"] = logprobs if body.get("logprobs") else None
        return self._answer("text_completion", [choice], usage=self._usage(tokens))

    def _answer(self, kind: str, choices: list[Any], **more: Any) -> dict[str, Any]:
        return {"id": "c-1", "object": kind, "created": 1, "model": self.name, "choices": choices, **more}

    def _events(self, tokens: list[str], entries: list[Any], calling: bool) -> Answer:
        def chunk(delta: dict[str, Any], logprobs: Any = None, finish: str | None = None) -> dict[str, Any]:
            choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
            return self._answer("chat.completion.chunk", [choice])

        def held(entry: Any) -> Any:
            return entry if self.bare or entry is None else {"content": [entry]}

        texts = [{}] * len(tokens) if calling else [{"content": token} for token in tokens]
        padded = [*entries, *[None] * (len(tokens) - len(entries))]
        chunks = [chunk({"role": "assistant", "content": ""})]
        chunks += [chunk(text, held(entry)) for text, entry in zip(texts, padded, strict=True)]
        if calling:
            chunks.append(chunk({"tool_calls": self._said(tokens, True)["tool_calls"]}))
        chunks.append(chunk({}, None, "tool_calls" if calling else "stop"))
        chunks.append(self._answer("chat.completion.chunk", [], usage=self._usage(tokens)))
        lines = [f"data: {json.dumps(each)}\n\n" for each in chunks]
        return Answer(raw=("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode()))


def _json(body: dict[str, Any]) -> Answer:
    return Answer(raw=("application/json", json.dumps(body).encode()))


def _spread(place: int, temperature: float, allowed: str | None) -> list[float]:
    """Logprobs over the vocabulary: of a word of ``WORDS`` first, and others in an order of the place's own.

    A token that is ``allowed`` is the only one that a grammar allows.
    """
    order = random.Random(place).sample(range(len(VOCABULARY)), len(VOCABULARY))
    first = VOCABULARY.index(WORDS[place])
    logits = [3.0 if which == first else -0.3 * rank for which, rank in enumerate(order)]
    if allowed is not None:
        logits = [each if VOCABULARY[which] == allowed else -math.inf for which, each in enumerate(logits)]
    weights = [math.exp(each / temperature) for each in logits]
    return [math.log(each / sum(weights)) if each else OUT for each in weights]


FLAGS = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
TOO_MANY = "Requested sample logprobs of {asked}, which is greater than max allowed: {most}"
TOGETHER = "logprobs is not supported with tools + stream"

ENGINES: dict[str, Engine] = {
    "all there is": Engine(),
    "whole answers only": Engine(streamed=False),
    "streams only": Engine(whole=False),
    "at most 5": Engine(most=5),
    "at most 3": Engine(most=3),
    "none, refused": Engine(most=0, whole=False, streamed=False),
    "5 without a word": Engine(fewer=5),
    "ignored with a 200": Engine(whole=False, streamed=False),
    "not tools, streams and logprobs": Engine(together=TOGETHER),
    "the same in other words": Engine(together="these features cannot be combined"),
    "flags for tools": Engine(tools_refused=FLAGS, after_grammar=True, sampled_first=True),
    "a flag for candidates": Engine(most=5, refusal=TOO_MANY, after_grammar=True),
    "a flag for tools, in llama.cpp's words": Engine(tools_refused="tools param requires --jinja flag"),
    "calls without logprobs": Engine(call_logprobs=False),
    "no tools, no schemas": Engine(tools_refused="tools are not supported", holds=False),
    "no tool call": Engine(calls=False),
    "bare entries, named by numbers": Engine(bare=True, numbered=True, after_temperature=True),
    "numbers": Engine(numbered=True),
    "placeholders": Engine(placeholder=True),
    "after temperature": Engine(after_temperature=True),
    "not so hot": Engine(after_temperature=True, hottest=1.0),
    "after the grammar": Engine(after_grammar=True),
    "schemas lose entries in streams": Engine(schema_streamed=0.4),
    "the sampled alone": Engine(sampled_only=True),
    "the sampled alone, whole": Engine(sampled_only=True, streamed=False),
    "older completions only": Engine(chat=False, completions=True),
    "no API at all": Engine(chat=False),
    "another model": Engine(name="something-else"),
    "no n": Engine(n=False),
    "streams are all it answers with": Engine(unstreamed_refused="this model only supports stream mode"),
    "streams alone, without logprobs": Engine(unstreamed_refused="stream must be true", streamed=False),
    "streams alone, no tools": Engine(unstreamed_refused="set stream=true", tools_refused="no tools here"),
    "a limit by the old name alone": Engine(unknown=("max_completion_tokens",)),
    "a limit by neither name": Engine(unknown=("max_completion_tokens", "max_tokens")),
    "no number of candidates": Engine(sampled_only=True, unknown=("top_logprobs",)),
}
