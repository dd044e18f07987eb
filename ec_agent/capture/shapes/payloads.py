"""What one LLM call returned: the form that all answers are brought to, and whole answers read into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial as bound
from typing import Any

from ec_agent.capture.shapes.aligning import part_of_character
from ec_agent.capture.shapes.alternatives import Alternative, among, split, words_of
from ec_agent.capture.shapes.entries import entries_of
from ec_agent.capture.shapes.gaps import Gap, Gaps, at_least_missing, placed
from ec_agent.capture.shapes.pieces import Said, said_by_response
from ec_agent.capture.shapes.reading import count, first, get, listed
from ec_agent.capture.shapes.usage import with_thinking

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
_OF_ALL = ("usage", "usage_metadata", "usageMetadata", "model", "model_version", "modelVersion", "id")


@dataclass(frozen=True, slots=True)
class Payload:
    """What one LLM call returned, reduced to what counts.

    Attributes:
        entries: one per generated token that came with logprobs: ``{"token", "logprob", "top_logprobs"}``.
        tokens: generated tokens as the provider counts them; ``None`` where it does not say.
        prompt_tokens: tokens of the prompt, where reported.
        cached_tokens: those of them read from the provider's cache, where reported.
        model: the model's name, where reported.
        cache_hit: whether a client-side LLM cache answered instead of the model.
        top_k: how many candidates were asked for, where that is known.
        constrained: whether the request held the answer to a grammar, a schema or a certain tool.
        partial: whether the answer broke off, or its reader did, before its end.
        response: the provider's id of the answer, where reported.
        beside: generated tokens of other answers to the same request, which are on the bill alone.
        alternatives: all answers to the request, this one included, where it brought several.
        mute: tokens at least that came without an entry, where no count of tokens came, by the number of parts.
        silent: whether a part came that says something and has no entry.
        unsure: how many tokens without an entry may be in another place than their ``None`` in ``entries``.
        said: tells what the answer says, which is asked only where tokens are missing: by it they are placed.
    """

    entries: Sequence[Any] = ()
    tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    model: str | None = None
    cache_hit: bool = False
    top_k: int | None = None
    constrained: bool = False
    partial: bool = False
    response: str | None = None
    beside: int = 0
    alternatives: Sequence[Alternative] = ()
    mute: int = 0
    silent: bool = False
    unsure: int = 0
    said: Callable[[], Said] | None = field(default=None, repr=False, compare=False)


def payload_of_response(response: Any, prompts: int = 1, unreturned: int = 0) -> Payload:
    """A whole answer: OpenAI's chat completion, legacy completion or response; Gemini's, Ollama's, llama.cpp's own.

    Of several alternatives the first, with the others beside it.

    Args:
        response: the answer.
        prompts: how many prompts it answers.
        unreturned: how many alternatives were generated and kept back (``best_of``).
    """
    each = split([response], prompts)
    if len(each) > 1 or unreturned:
        whole = payload_of_one({name: get(response, name) for name in _OF_ALL})
        return first_of(alternatives_of(each, [payload_of_one(parts[0]) for parts in each]), whole, unreturned)
    return payload_of_one(response)


def alternatives_of(each: Sequence[Sequence[Any]], payloads: Sequence[Payload]) -> list[Alternative]:
    """Several answers to one request, each with what it is known by.

    Args:
        each: the parts of each: messages, or whole answers or chunks with one choice.
        payloads: what each is read as.
    """
    return [Alternative(payload, words_of(parts)) for payload, parts in zip(payloads, each, strict=True)]


def first_of(each: Sequence[Alternative], whole: Payload, unreturned: int = 0) -> Payload:
    """The first of several answers to one request, with the others beside it.

    Args:
        each: all of them, as they are read alone.
        whole: what is reported of all of them together: usage, model, id.
        unreturned: how many more were generated and kept back.
    """
    if len(each) == 1:  # to which the count of all was given
        each = [replace(each[0], payload=replace(each[0].payload, tokens=None))]
    if whole.tokens == 0 and any(alternative.words for alternative in each):
        whole = replace(whole, tokens=None)
    entries = [alternative.payload.entries for alternative in each]
    echoed = whole.tokens is not None and sum(map(len, entries)) > whole.tokens and any(map(_echoes, entries))
    return among(each, whole, unreturned, echoed)


def first_of_messages(payloads: Sequence[Payload], messages: Sequence[Any]) -> Payload:
    """The first of LangChain's generations, with which agents go on; each says the usage of all."""
    if len(payloads) == 1:
        return payloads[0]
    alone = [replace(payload, tokens=None) for payload in payloads]
    return first_of(alternatives_of([[message] for message in messages], alone), payloads[0])


def payload_of_one(response: Any) -> Payload:
    """A whole answer with one alternative, or the facts of one under the names that they have there."""
    usage = first(response, "usage", "usage_metadata", "usageMetadata")
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
        model=first(response, "model", "model_version", "modelVersion"),
        response=named_in(response),
        said=bound(said_by_response, response, len(entries)),
    )


def named_in(answer: Any) -> str | None:
    """The provider's id of an answer, where it has one."""
    name = get(answer, "id")
    return name if isinstance(name, str) and name else None


def _entries(response: Any, tokens: int | None) -> list[Any]:
    choices = [entries_of(get(choice, "logprobs")) for choice in listed(get(response, "choices"))]
    entries = without_echo(choices, tokens)
    for item in listed(get(response, "output")):
        for part in listed(get(item, "content")):
            entries += entries_of(get(part, "logprobs"))
    for candidate in listed(get(response, "candidates")):
        entries += entries_of(first(candidate, "logprobs_result", "logprobsResult"))
    return entries or entries_of(first(response, "completion_probabilities", "logprobs"))


def without_echo(choices: Sequence[Sequence[Any]], tokens: int | None) -> list[Any]:
    """The entries of the choices, less those of a prompt that came back with a legacy completion.

    Of several choices nobody knows where each answer begins, so that none of their entries can be kept.
    """
    entries = [entry for choice in choices for entry in choice]
    if tokens is None or len(entries) <= tokens or not any(_echoes(choice) for choice in choices):
        return entries
    return entries[len(entries) - tokens :] if len(choices) == 1 else []


def believed(tokens: int | None, entries: Sequence[Any], holds: bool) -> int | None:
    """The count of tokens, unless it is 0 for an answer that is not empty."""
    return None if tokens == 0 and holds and not entries else tokens


def _holds(response: Any) -> bool:
    choices = listed(get(response, "choices"))
    said = (get(choice, "text") or any(get(choice, "message", name) for name in HOLDS) for choice in choices)
    items = listed(get(response, "output"))
    written = (get(part, "text") for item in items for part in listed(get(item, "content")))
    called = (get(item, "arguments") or get(item, "input") for item in items)
    return any(said) or any(written) or any(called) or bool(get(response, "candidates") or get(response, "content"))


def _echoes(entries: Sequence[Any]) -> bool:
    # The first token of a prompt has no logprob, for nothing comes before it.
    return bool(entries) and get(entries[0], "logprob") is None and get(entries[0], "top_logprobs") == []


def _of_usage(usage: Any, response: Any, *names: str) -> int | None:
    return next(
        (n for place in (usage, response) for name in names if (n := count(get(place, name))) is not None), None
    )


def merge_payloads(payloads: Sequence[Payload]) -> Payload:
    """One payload out of the several requests of one call, in their order.

    Each keeps its gaps in their place. Where one of them is of unknown length, so is the whole.
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

    def total(name: str) -> int | None:
        counts = [count for p in payloads if (count := getattr(p, name)) is not None]
        return sum(counts) if counts else None

    return Payload(
        entries=() if unknown else entries,
        tokens=None if unknown else len(entries),
        prompt_tokens=total("prompt_tokens"),
        cached_tokens=total("cached_tokens"),
        model=next((p.model for p in payloads if p.model), None),
        cache_hit=any(p.cache_hit for p in payloads),
        top_k=max((p.top_k for p in payloads if p.top_k), default=None),
        constrained=any(p.constrained for p in payloads),
        partial=any(p.partial for p in payloads),
        beside=sum(p.beside for p in payloads),
        unsure=0 if unknown else unsure,
    )


def generated(payload: Payload) -> int:
    """Generated tokens, those without logprobs included; 0 where nothing is known of them."""
    return len(payload.entries) + gaps_of(payload).total


def gaps_of(payload: Payload) -> Gaps:
    """Where its missing tokens are."""
    known = len(payload.entries)
    if payload.tokens is None:
        complete = not payload.silent and (payload.said is None or not any(map(part_of_character, payload.entries)))
    else:
        complete = payload.tokens <= known
    if complete:
        return Gaps(unsure=payload.unsure)
    said = None if payload.said is None else payload.said()
    tokens = known + uncounted(payload, said) if payload.tokens is None else payload.tokens
    return placed(payload.entries, tokens, said, counted=payload.tokens is not None)


def uncounted(payload: Payload, said: Said | None) -> int:
    """Tokens at least that came without an entry, where nothing counts them."""
    holes = None if said is None else at_least_missing(payload.entries, said)
    if holes is None:
        return payload.mute
    return max(holes, payload.mute) if holes else 0


def spread(values: Sequence[Any], gaps: Gaps, missing: Callable[[Gap, int], Any]) -> list[Any]:
    """The values of the entries with one for each missing token in its place.

    Args:
        values: one per entry.
        gaps: the missing tokens.
        missing: makes what stands for one of the gap and the token's number in it.
    """
    out: list[Any] = []
    begin = 0
    for gap in gaps.each:
        out += values[begin : gap.place]
        out += [missing(gap, number) for number in range(gap.tokens)]
        begin = gap.place
    return [*out, *values[begin:]]
