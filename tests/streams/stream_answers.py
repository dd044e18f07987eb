"""What models say: whole answers of many kinds, made from a seed, with the numbers that they stand for.

The numbers are worked out here from the candidates alone, by the definition, without ``ec_agent``.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Part = Literal["thinking", "content", "name", "call", "mark"]
MODEL, PROMPT = "m", 7
CANDIDATES = 4
CALLS = ("look_up", "note")
_WORDS = ("The ", "tea ", "is ", "not ", "quite ", "ready", ", ", "so ", "we ", "wait ", "here ", "a ", "while", ". ")
_WIDE = ("\u00e9", "\u4e2d", "\U0001f600", "\U0001f375")
_ARGUMENTS = ('{"', "word", '": "', "tea ", "and ", "milk", '", "', "n", '": ', "3", "}")
_JSON = ('{"', "word", '": ["', "tea", '", "', "milk", '", "', "bread", '"], "', "n", '": ', "3", "}")
_FENCE = ("```", "json", "\n")


@dataclass(frozen=True)
class Token:
    """One generated token.

    Attributes:
        raw: its bytes, which may be a part of a character.
        candidates: ``(bytes, logprob)`` each.
        sampled: its place among them.
        part: what of the answer it belongs to; a ``"mark"`` is no text of it (an end token, a tag).
        call: of which tool call.
        listed: whether its logprobs come.
    """

    raw: bytes
    candidates: tuple[tuple[bytes, float], ...]
    sampled: int = 0
    part: Part = "content"
    call: int = 0
    listed: bool = True

    @property
    def logprob(self) -> float:
        """Its own."""
        return self.candidates[self.sampled][1]

    @property
    def entropy(self) -> float:
        """In nats: the probabilities scaled to sum to 1, then -sum p ln p."""
        weights = [math.exp(logprob) for _, logprob in self.candidates]
        total = math.fsum(weights)
        return -math.fsum(w / total * math.log(w / total) for w in weights)


@dataclass(frozen=True)
class Form:
    """How a server writes what it says.

    Attributes:
        name: for messages.
        api: which endpoint's answers these are.
        broken: how a part of a character is written: as U+FFFD with its own bytes, escaped with its bytes, as an empty
            text without bytes.
        candidates: whether the candidates come, too.
        by_number: whether candidates are named by numbers, with their text in ``bytes``.
        bare: whether a streamed part has one bare entry.
        sampled_first: whether the sampled token stands first among its candidates.
        thought: the key of what is thought.
        thought_apart: whether its logprobs stand under a key of their own.
        padding: a candidate of probability 0 beside the others.
    """

    name: str
    api: Literal["chat", "legacy", "responses", "gemini"] = "chat"
    broken: Literal["fffd", "escaped", "empty"] = "fffd"
    candidates: bool = True
    by_number: bool = False
    bare: bool = False
    sampled_first: bool = False
    thought: str = "reasoning_content"
    thought_apart: bool = False
    padding: float | None = None


@dataclass(frozen=True)
class Said:
    """A whole answer.

    Attributes:
        kind: for messages.
        form: how it is written.
        choices: the tokens of each alternative.
        finish: why it ended.
        end_counted: whether the usage counts an end token that is not listed.
    """

    kind: str
    form: Form
    choices: tuple[tuple[Token, ...], ...]
    finish: str = "stop"
    end_counted: bool = False

    @property
    def counted(self) -> int:
        """The generated tokens, as the usage has them."""
        return sum(map(len, self.choices)) + (len(self.choices) if self.end_counted else 0)

    @property
    def all_listed(self) -> bool:
        """Whether the logprobs of all tokens come."""
        return all(token.listed for tokens in self.choices for token in tokens)

    def numbers(self, place: int = 0) -> tuple[list[float], list[float]]:
        """Entropies and surprisals of an alternative; NaN for tokens without."""
        full = self.form.candidates
        tokens = self.choices[place]
        entropies = [t.entropy if t.listed and full else math.nan for t in tokens]
        surprisals = [-t.logprob if t.listed else math.nan for t in tokens]
        # An end token that is counted and not listed is no gap, unless there are others.
        if self.end_counted and not all(t.listed for t in tokens):
            entropies, surprisals = [*entropies, math.nan], [*surprisals, math.nan]
        return entropies, surprisals


OPENAI = Form("OpenAI", broken="escaped")
VLLM = Form("vLLM", broken="empty", sampled_first=True, thought="reasoning", padding=-9999.0)
LLAMA = Form("llama.cpp", padding=-3.4028234663852886e38)
DEEPSEEK = Form("DeepSeek", thought_apart=True)
MISTRAL_RS = Form("mistral.rs", by_number=True, bare=True)
BARE_SAMPLED = Form("sampled only", candidates=False)
LEGACY = Form("completions", api="legacy")
RESPONSES = Form("Responses", api="responses", broken="escaped")
GEMINI = Form("Gemini", api="gemini")


def _candidates(chance: random.Random, raw: bytes, broken: bool) -> tuple[tuple[tuple[bytes, float], ...], int]:
    """Likely or not, as it comes, so that the place of every token shows in the centroid."""
    spread = chance.choice((6.0, 6.0, 6.0, 2.0, 0.5))
    weights = sorted((math.exp(-spread * chance.random() * (place > 0)) for place in range(CANDIDATES)), reverse=True)
    total = sum(weights) / chance.uniform(0.9, 0.999)
    logprobs = [round(math.log(w / total), chance.choice((6, 12))) for w in weights]
    place = chance.choice((0, 0, 0, 1))
    texts = [raw + b"~%d" % i for i in range(CANDIDATES)]
    if broken and chance.random() < 0.7:  # others that are parts of characters, and equally likely
        texts[2:] = [b"\xf0\x9f", b"\xf0\x9d"]
        logprobs[3] = logprobs[2]
    texts[place] = raw
    return tuple(zip(texts, logprobs, strict=True)), place


def _tokens(chance: random.Random, pieces: Sequence[str | bytes], part: Part = "content", **more: Any) -> list[Token]:
    made = []
    for piece in pieces:
        raw = piece if isinstance(piece, bytes) else piece.encode()
        candidates, place = _candidates(chance, raw, isinstance(piece, bytes))
        made.append(Token(raw, candidates, place, part, **more))
    return made


def _text(chance: random.Random, least: int = 6, most: int = 24) -> list[str | bytes]:
    return [chance.choice(_WORDS) for _ in range(chance.randint(least, most))]


def _with_parts_of_characters(chance: random.Random) -> list[str | bytes]:
    # The last token is a word: behind a part of a character nobody can tell whether an unlisted end token follows.
    words: list[list[str | bytes]] = [[word] for word in _text(chance)]
    for _ in range(chance.randint(1, 3)):
        raw = chance.choice(_WIDE).encode()
        cuts = sorted({0, len(raw), *chance.choices(range(1, len(raw)), k=2)})
        words.insert(chance.randint(0, len(words) - 1), [raw[a:b] for a, b in itertools.pairwise(cuts)])
    return [piece for word in words for piece in word]


def _plain(chance: random.Random, form: Form) -> list[Token]:
    return _tokens(chance, _text(chance))


def _thinking(chance: random.Random, form: Form) -> list[Token]:
    thought = _tokens(chance, _text(chance, 3, 10), "thinking")
    between = [] if form.thought_apart else _tokens(chance, ["</think>"], "mark")
    return [*thought, *between, *_tokens(chance, _text(chance, 3, 10))]


def _calling(chance: random.Random, form: Form) -> list[Token]:
    """One tool call or two; OpenAI lists none of their tokens."""
    listed, tokens = form is not OPENAI, _tokens(chance, _text(chance, 3, 8)) if form is OPENAI else []
    for number in range(chance.choice((1, 2))):
        tokens += _tokens(chance, ["<tool_call>"], "mark", call=number, listed=listed)
        tokens += _tokens(chance, [CALLS[number]], "name", call=number, listed=listed)
        tokens += _tokens(chance, _ARGUMENTS, "call", call=number, listed=listed)
    return tokens


def _schema(chance: random.Random, form: Form) -> list[Token]:
    """A fence, an object, a fence; the text of a streamed one is the object alone."""
    fence = _tokens(chance, _FENCE, "mark"), _tokens(chance, ("\n", "```"), "mark")
    return [*fence[0], *_tokens(chance, _JSON), *fence[1]]


_KINDS = {
    "text": (_plain, (OPENAI, VLLM, LLAMA, MISTRAL_RS, BARE_SAMPLED, LEGACY, RESPONSES, GEMINI)),
    "characters in parts": (
        lambda chance, form: _tokens(chance, _with_parts_of_characters(chance)),
        (OPENAI, VLLM, LLAMA, MISTRAL_RS),
    ),
    "thinking": (_thinking, (VLLM, LLAMA, DEEPSEEK)),
    "tools": (_calling, (OPENAI, VLLM, LLAMA)),
    "n = 2": (_plain, (OPENAI, VLLM, LEGACY, GEMINI)),
    "schema": (_schema, (LLAMA,)),
}
KINDS = tuple((kind, form) for kind, (_, forms) in _KINDS.items() for form in forms)


def said(chance: random.Random, kind: str, form: Form) -> Said:
    """An answer of this kind."""
    make = _KINDS[kind][0]
    choices = [make(chance, form) for _ in range(2 if kind == "n = 2" else 1)]
    finish = "tool_calls" if kind == "tools" else chance.choice(("stop", "stop", "length"))
    ends = "not at all" if finish == "length" else chance.choice(("listed", "counted", "not at all"))
    if ends == "listed" and form in (VLLM, LLAMA) and kind != "schema":
        for tokens in choices:
            tokens += _tokens(chance, ["<|end|>"], "mark")
    # Of several alternatives a count is that of all, so that a token more tells nothing.
    return Said(kind, form, tuple(map(tuple, choices)), finish, end_counted=ends == "counted" and kind != "n = 2")


def written(raw: bytes, form: Form) -> tuple[str, list[int]]:
    """A token's text and bytes in this form."""
    try:
        return raw.decode(), list(raw)
    except UnicodeDecodeError:
        if form.broken == "empty":
            return "", []
        escaped = "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)
        return (escaped if form.broken == "escaped" else "\ufffd"), list(raw)


def entry(token: Token, form: Form) -> dict[str, Any]:
    """One element of ``logprobs.content``."""
    text, raw = written(token.raw, form)
    rows = []
    for number, (its, logprob) in enumerate(token.candidates if form.candidates else ()):
        each, own = written(its, form)
        named = {"token": 100 + number, "bytes": each} if form.by_number else {"token": each, "bytes": own}
        rows.append({**named, "logprob": logprob})
    if form.sampled_first:
        rows.insert(0, rows.pop(token.sampled))
    if form.padding is not None:
        rows.append({"token": "<pad>", "bytes": [], "logprob": form.padding})
    return {"token": text, "logprob": token.logprob, "bytes": raw, "top_logprobs": rows}


def lists(tokens: Sequence[Token], form: Form, offset: int = 0) -> dict[str, Any]:
    """The legacy endpoint's lists side by side."""
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.raw.decode())
    return {
        "tokens": [t.raw.decode() for t in tokens],
        "token_logprobs": [t.logprob for t in tokens],
        "top_logprobs": [{raw.decode(): logprob for raw, logprob in t.candidates} for t in tokens],
        "text_offset": offsets,
    }


def gemini(tokens: Sequence[Token]) -> dict[str, Any]:
    """Gemini's ``logprobsResult``."""

    def candidate(raw: bytes, logprob: float) -> dict[str, Any]:
        return {"token": raw.decode(), "tokenId": sum(raw), "logProbability": logprob}

    return {
        "chosenCandidates": [candidate(t.raw, t.logprob) for t in tokens],
        "topCandidates": [{"candidates": [candidate(*each) for each in t.candidates]} for t in tokens],
    }


def text_of(tokens: Sequence[Token], part: Part, call: int = 0) -> str:
    """What these tokens say in this part of the answer."""
    raw = b"".join(t.raw for t in tokens if t.part == part and t.call == call)
    return raw.decode(errors="replace")


def usage_of(form: Form, tokens: int) -> dict[str, Any]:
    """The usage, as its endpoint writes it."""
    total = PROMPT + tokens
    if form.api == "gemini":
        return {"promptTokenCount": PROMPT, "candidatesTokenCount": tokens, "totalTokenCount": total}
    if form.api == "responses":
        return {"input_tokens": PROMPT, "output_tokens": tokens, "total_tokens": total}
    return {"prompt_tokens": PROMPT, "completion_tokens": tokens, "total_tokens": total}
