"""Reads whole (not streamed) answers into a payload, joins payloads, and finds where tokens are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial as bound
from typing import Any

from ec_agent.capture.shapes.aligning import part_of_character
from ec_agent.capture.shapes.alternatives import Alternative, among, split, words_of
from ec_agent.capture.shapes.entries import HELD_UNDER, entries_of
from ec_agent.capture.shapes.gaps import Gap, Gaps, at_least_missing, placed
from ec_agent.capture.shapes.payload import FACTS, Payload, told_by
from ec_agent.capture.shapes.pieces import Said, said_by_response
from ec_agent.capture.shapes.readings import ReadEntries, Reading
from ec_agent.capture.shapes.usage import with_thinking
from ec_agent.capture.shapes.values import count, first, get, listed

_PROMPT_COUNTS = (
    "prompt_tokens",
    "input_tokens",
    "prompt_eval_count",
    "tokens_evaluated",
    "prompt_token_count",
    "promptTokenCount",
)
_GEMINI_COUNTS = (("candidates_token_count", "candidatesTokenCount"), ("thoughts_token_count", "thoughtsTokenCount"))
HOLDS = ("content", "tool_calls", "invalid_tool_calls", "function_call", "refusal", "reasoning_content", "reasoning")
# Keys with the answer: of OpenAI, of its Responses API, of Gemini, of llama.cpp. Ollama's own format has none of them.
_ANSWERS = ("choices", "output", "candidates", "completion_probabilities")
_USAGES = ("usage", "usage_metadata", "usageMetadata")


def is_response(thing: Any) -> bool:
    """Tell whether a value looks like a whole answer of a provider."""
    return any(isinstance(get(thing, key), list) for key in _ANSWERS) or isinstance(get(thing, "eval_count"), int)


def payload_of_response(response: Any, prompts: int = 1, unreturned: int = 0) -> Payload:
    """Read a whole answer: OpenAI's chat completion, legacy completion or response; Gemini's, Ollama's, llama.cpp's.

    If it has several alternatives, the payload is that of the first, and holds the others.

    Args:
        response: the answer, as an object or JSON.
        prompts: how many prompts it answers.
        unreturned: how many alternatives were generated, but not returned (``best_of``).
    """
    each = split([response], prompts)
    if len(each) > 1 or unreturned:
        whole = payload_of_one({name: get(response, name) for name in _USAGES}, told_by(response))
        return first_of(alternatives_of(each, [payload_of_one(parts[0]) for parts in each]), whole, unreturned)
    return payload_of_one(response)


def alternatives_of(each: Sequence[Sequence[Any]], payloads: Sequence[Payload]) -> list[Alternative]:
    """Make the alternatives of several answers to one request.

    Args:
        each: for each answer its parts: messages; or a whole answer, or chunks, with one choice.
        payloads: the payload of each answer.
    """
    return [Alternative(payload, words_of(parts)) for payload, parts in zip(payloads, each, strict=True)]


def first_of(each: Sequence[Alternative], whole: Payload, unreturned: int = 0) -> Payload:
    """Make the payload of the first of several answers to one request, which also holds the others.

    Args:
        each: the answers, each read separately.
        whole: what was reported for all of them together: usage, model, id.
        unreturned: how many further answers were generated, but not returned.
    """
    if len(each) == 1:  # the other answers were not returned, but the count includes them
        each = [replace(each[0], payload=replace(each[0].payload, tokens=None))]
    if whole.tokens == 0 and any(alternative.words for alternative in each):
        whole = replace(whole, tokens=None)
    entries = [alternative.payload.entries for alternative in each]
    echoed = whole.tokens is not None and sum(map(len, entries)) > whole.tokens and any(map(_echoes, entries))
    return among(each, whole, unreturned, echoed)


def first_of_messages(payloads: Sequence[Payload], messages: Sequence[Any]) -> Payload:
    """Make the payload of the first of LangChain's generations, with which agents go on.

    Each generation has the usage of all of them.

    Args:
        payloads: the payload of each generation.
        messages: the message of each generation.
    """
    if len(payloads) == 1:
        return payloads[0]
    alone = [replace(payload, tokens=None) for payload in payloads]
    return first_of(alternatives_of([[message] for message in messages], alone), payloads[0])


def payload_of_one(response: Any, told: Mapping[str, Any] | None = None) -> Payload:
    """Read a whole answer with one alternative, or a dict with some of its keys, such as ``usage``.

    Args:
        response: the answer.
        told: the facts that stand under keys of their own, if they were read already.
    """
    usage = first(response, *_USAGES)
    tokens = _of_usage(usage, response, "completion_tokens", "output_tokens", "eval_count", "tokens_predicted")
    if tokens is None:
        said, thought = (count(first(usage, *names)) for names in _GEMINI_COUNTS)
        tokens = None if said is None else said + (thought or 0)
    prompt = _of_usage(usage, response, *_PROMPT_COUNTS)
    tokens = with_thinking(usage, tokens, prompt)
    cached = count(get(usage, "prompt_tokens_details", "cached_tokens"))
    entries = _entries(response, tokens)
    return Payload(
        entries=entries,
        tokens=believed(tokens, entries, _holds(response)),
        prompt_tokens=prompt,
        cached_tokens=count(get(usage, "input_tokens_details", "cached_tokens")) if cached is None else cached,
        said=bound(said_by_response, response, len(entries)),
        **(told_by(response) if told is None else told),
    )


def _entries(response: Any, tokens: int | None) -> list[Any]:
    choices = [entries_of(get(choice, "logprobs")) for choice in listed(get(response, "choices"))]
    entries = without_echo(choices, tokens)
    for item in listed(get(response, "output")):
        for part in listed(get(item, "content")):
            entries += entries_of(get(part, "logprobs"))
    for candidate in listed(get(response, "candidates")):
        entries += entries_of(first(candidate, *HELD_UNDER))
    return entries or entries_of(first(response, "completion_probabilities", "logprobs"))


def without_echo(choices: Sequence[Sequence[Any]], tokens: int | None) -> list[Any]:
    """Return the entries of the choices without those of a prompt that a legacy completion repeated.

    If there are several choices, nobody knows where each answer begins, and no entry can be used.

    Args:
        choices: the entries of each choice.
        tokens: number of generated tokens, or ``None`` if not reported.
    """
    entries = list(choices[0]) if len(choices) == 1 else [entry for choice in choices for entry in choice]
    if tokens is None or len(entries) <= tokens or not any(_echoes(choice) for choice in choices):
        return entries
    return entries[len(entries) - tokens :] if len(choices) == 1 else []


def believed(tokens: int | None, entries: Sequence[Any], holds: bool) -> int | None:
    """Return a provider's count of tokens, or ``None`` if it is 0 although the answer is not empty.

    Args:
        tokens: the count.
        entries: the entries of the answer.
        holds: whether the answer has text, tool calls or anything else that was generated.
    """
    return None if tokens == 0 and holds and not entries else tokens


def _holds(response: Any) -> bool:
    choices = listed(get(response, "choices"))
    said = (get(choice, "text") or any(get(choice, "message", name) for name in HOLDS) for choice in choices)
    items = listed(get(response, "output"))
    written = (get(part, "text") for item in items for part in listed(get(item, "content")))
    called = (get(item, "arguments") or get(item, "input") for item in items)
    return any(said) or any(written) or any(called) or bool(get(response, "candidates") or get(response, "content"))


def _echoes(entries: Sequence[Any]) -> bool:
    # The first token of a prompt has no logprob, because nothing comes before it. A generated token always has one.
    return bool(entries) and get(entries[0], "logprob") is None and get(entries[0], "top_logprobs") == []


def _of_usage(usage: Any, response: Any, *names: str) -> int | None:
    return next(
        (n for place in (usage, response) for name in names if (n := count(get(place, name))) is not None), None
    )


def merge_payloads(payloads: Sequence[Payload]) -> Payload:
    """Join the payloads of several requests that one call made, in order.

    Missing tokens of each keep their places. If the length of one is unknown, the length of the whole is unknown.
    """
    if len(payloads) == 1:
        return payloads[0]
    entries: list[Any] = []
    unsure = 0
    for payload in payloads:
        gaps = gaps_of(payload)
        entries += spread(payload.entries, gaps, lambda gap, number: None)
        unsure += gaps.unsure
    unknown = any(payload.tokens is None and not payload.entries for payload in payloads)
    return Payload(
        entries=() if unknown else entries,
        tokens=None if unknown else len(entries),
        beside=sum(payload.beside for payload in payloads),
        unsure=0 if unknown else unsure,
        **{each.name: each.requests([getattr(payload, each.name) for payload in payloads]) for each in FACTS},
    )


def generated(payload: Payload) -> int:
    """Return the number of generated tokens, including those without logprobs; 0 if nothing is known."""
    return len(payload.entries) + gaps_of(payload).total


def gaps_of(payload: Payload) -> Gaps:
    """Find where in an answer tokens are missing, and how many."""
    found = payload.entries.gaps.get(payload.tokens) if isinstance(payload.entries, ReadEntries) else None
    return _gaps_of(payload) if found is None else found


def read_once(payload: Payload, reading: Reading, again: Callable[[], Payload]) -> Payload:
    """Read the entries of an answer, and let what is kept of them take their place.

    Args:
        payload: the answer.
        reading: how to read them.
        again: reads the answer again, for whoever looks at its entries.
    """
    if not payload.alternatives:
        return _read_one(payload, reading, again)
    each = tuple(
        replace(alternative, payload=_read_one(alternative.payload, reading, bound(_alternative, again, place)))
        for place, alternative in enumerate(payload.alternatives)
    )
    first = each[0].payload
    return replace(payload, entries=first.entries, said=first.said, alternatives=each)


def _read_one(payload: Payload, reading: Reading, again: Callable[[], Payload]) -> Payload:
    def said() -> Said:
        what = again().said
        assert what is not None
        return what()

    entries = ReadEntries(payload.entries, reading, lambda: again().entries)
    entries.gaps[payload.tokens] = gaps_of(payload)
    return replace(payload, entries=entries, said=None if payload.said is None else said)


def _alternative(again: Callable[[], Payload], place: int) -> Payload:
    return again().alternatives[place].payload


def _gaps_of(payload: Payload) -> Gaps:
    known = len(payload.entries)
    if payload.tokens is None:
        complete = not payload.silent and (payload.said is None or not any(map(part_of_character, payload.entries)))
    else:
        complete = payload.tokens <= known
    if complete:
        return Gaps(unsure=payload.unsure)
    if not known and payload.tokens is not None:  # all are missing, so what the answer says shows no places
        return placed((), payload.tokens, None)
    said = None if payload.said is None else payload.said()
    tokens = known + uncounted(payload, said) if payload.tokens is None else payload.tokens
    return placed(payload.entries, tokens, said, counted=payload.tokens is not None)


def uncounted(payload: Payload, said: Said | None) -> int:
    """Return the smallest number of tokens that came without an entry, for an answer without a count of tokens.

    Args:
        payload: the answer.
        said: what it says, or ``None`` if that is not known. Its text shows holes.
    """
    holes = None if said is None else at_least_missing(payload.entries, said)
    if holes is None:
        return payload.mute
    return max(holes, payload.mute) if holes else 0


def spread(values: Sequence[Any], gaps: Gaps, missing: Callable[[Gap, int], Any]) -> list[Any]:
    """Insert a value for each missing token in its place.

    Args:
        values: one per entry.
        gaps: the missing tokens.
        missing: function that makes the value, from the gap and the index of the token in it.
    """
    out: list[Any] = []
    begin = 0
    for gap in gaps.each:
        out += values[begin : gap.place]
        out += [missing(gap, number) for number in range(gap.tokens)]
        begin = gap.place
    return [*out, *values[begin:]]
