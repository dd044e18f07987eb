"""What happens to streams on their way: pieces dropped, doubled, split, merged, reordered, the end cut off.

A mutation says what it did to the tokens, so that the law can tell what anybody could have seen of it.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from stream_answers import KINDS as ANSWERS
from stream_answers import Form, Said, said
from stream_styles import Sent, Style, streamed, style


@dataclass
class Stream:
    """A stream, and what became of it.

    Attributes:
        said: the answer.
        how: how its server sends.
        pieces: what comes.
        done: the mutations, in words.
        lost: tokens whose text and logprobs are gone.
        doubled: tokens whose text and logprobs come twice.
        unlisted: tokens whose logprobs alone are gone.
        unsaid: tokens whose text alone is gone.
        resaid: tokens whose text alone comes twice.
        at_an_end: whether what is gone is the first part of its answer or the last.
        beside_a_mark: whether logprobs are gone beside those of a token that is no text.
        cut: whether what comes ends before the answer does.
        broken: a part of an event that comes at the very end.
    """

    said: Said
    how: Style
    pieces: list[Sent]
    done: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    unlisted: int = 0
    unsaid: int = 0
    resaid: int = 0
    at_an_end: bool = False
    beside_a_mark: bool = False
    cut: bool = False
    broken: bytes = b""

    @property
    def form(self) -> Form:
        return self.said.form

    def name(self) -> str:
        """For messages."""
        return f"{self.said.kind}, {self.form.name}: {' and '.join(self.done) or 'as sent'}; {self.how}"

    def chunks(self) -> list[dict[str, Any]]:
        """What comes, less comments and the end mark."""
        return [piece.body for piece in self.pieces if piece.kind not in ("comment", "done")]

    def body(self) -> bytes:
        """What comes, as bytes."""
        return b"".join(_event(piece, self.how.wire) for piece in self.pieces) + self.broken

    def says_why_it_ended(self) -> bool:
        """Whether the reason comes why the answer ended; of several, of each."""
        return set().union(*map(_ends, self.pieces)) == set(range(len(self.said.choices)))

    def told_whole(self) -> bool:
        """Whether its parts tell that the answer came whole: by a reason, or by a count that fits what came."""
        counted = self.said.all_listed and self.said.kind != "schema" and any(p.kind == "usage" for p in self.pieces)
        return self.says_why_it_ended() or counted

    def untouched(self) -> bool:
        """Whether all of the answer comes, each part once."""
        return not (self.lost or self.doubled or self.unlisted or self.unsaid or self.resaid or self.cut)


def _event(piece: Sent, wire: str) -> bytes:
    if isinstance(piece.body, str):
        text = piece.body
    else:
        name = f"event: {piece.body['type']}\n" if "type" in piece.body else ""
        text = f"{name}data: {json.dumps(piece.body)}\n\n"
    if wire == "crlf":
        text = text.replace("\n", "\r\n")
    elif wire == "no space":
        text = text.replace("data: ", "data:", 1)
    return text.encode()


def _saying(stream: Stream) -> list[int]:
    return [i for i, piece in enumerate(stream.pieces) if piece.kind == "said"]


def _any(stream: Stream, chance: random.Random) -> int:
    """The place of a piece, as a rule of one that says something."""
    others = [i for i, piece in enumerate(stream.pieces) if piece.kind != "said"]
    return chance.choice(others if others and chance.random() < 0.3 else _saying(stream))


def _drop(stream: Stream, chance: random.Random) -> None:
    """A piece never comes."""
    place = _any(stream, chance)
    lane = [i for i in _saying(stream) if _choice_of(stream.pieces[i]) == _choice_of(stream.pieces[place])]
    stream.at_an_end = place in (*lane[:1], *lane[-1:])
    gone = stream.pieces.pop(place)
    stream.done.append(f"{gone.kind} dropped")
    _count_lost(stream, gone)


def _count_lost(stream: Stream, gone: Sent) -> None:
    silent = all(token.part == "mark" for token in gone.tokens)
    if gone.tokens and (silent or gone.counts == len(gone.tokens)):
        stream.lost += len(gone.tokens)
    elif gone.tokens or stream.said.kind != "schema":  # of which the fences have neither text nor logprobs
        stream.unlisted += len(gone.tokens)
        stream.unsaid += gone.counts
    if gone.kind == "finish" or (gone.kind == "said" and _ends(gone)):
        stream.cut = not _still_ends(stream)
    if gone.kind in ("usage", "done"):
        stream.cut = not _still_ends(stream)


def _ends(piece: Sent) -> set[int]:
    """The alternatives of which it says why they ended."""
    body = piece.body if isinstance(piece.body, dict) else {}
    if str(body.get("type")) in ("response.completed", "response.incomplete"):
        return {0}
    choices = body.get("choices") or body.get("candidates") or ()
    return {choice["index"] for choice in choices if choice.get("finish_reason") or choice.get("finishReason")}


def _still_ends(stream: Stream) -> bool:
    return any(piece.kind == "done" for piece in stream.pieces) or stream.says_why_it_ended()


def _double(stream: Stream, chance: random.Random) -> None:
    """A piece comes twice, one after the other."""
    place = _any(stream, chance)
    piece = stream.pieces[place]
    stream.pieces.insert(place, piece)
    stream.done.append(f"{piece.kind} doubled")
    if piece.kind == "said":
        again = 0 if stream.how.cumulative else len(piece.tokens)
        stream.doubled += again
        stream.resaid += piece.counts if not again else 0


def _split(stream: Stream, chance: random.Random) -> None:
    """A piece comes as two: its text and then its logprobs, or the other way round."""
    if stream.form.bare or stream.form.api != "chat" or stream.how.cumulative:
        return
    choices = [i for i in _saying(stream) if _choice_of(stream.pieces[i]) is not None]
    if not choices:
        return
    place = chance.choice(choices)
    piece = stream.pieces[place]
    text, logprobs = copy.deepcopy(piece.body), copy.deepcopy(piece.body)
    text["choices"][0]["logprobs"] = None
    logprobs["choices"][0]["delta"] = {}
    if piece.body["choices"][0]["finish_reason"]:
        text["choices"][0]["finish_reason"] = None
    parts = [replace(piece, body=text, tokens=()), replace(piece, body=logprobs, counts=0)]
    if chance.random() < 0.5 and not _ends(piece):
        parts.reverse()
    stream.pieces[place : place + 1] = parts
    stream.done.append("split")


def _merge(stream: Stream, chance: random.Random) -> None:
    """Two pieces of one alternative come as one."""
    if stream.form.bare or stream.form.api != "chat" or stream.how.cumulative:
        return
    pairs = [place for place in _saying(stream)[:-1] if _mergeable(stream, place)]
    if not pairs:
        return
    place = chance.choice(pairs)
    first, second = stream.pieces[place : place + 2]
    body = copy.deepcopy(second.body)
    one, two = first.body["choices"][0], body["choices"][0]
    two["delta"] = _added(one["delta"], two["delta"])
    held = [each["logprobs"] for each in (one, two) if each["logprobs"]]
    names = dict.fromkeys(name for each in held for name in each)
    two["logprobs"] = {name: [e for each in held for e in each.get(name, ())] for name in names} or None
    merged = Sent("said", body, (*first.tokens, *second.tokens), first.counts + second.counts)
    stream.pieces[place : place + 2] = [merged]
    stream.done.append("merged")


def _mergeable(stream: Stream, place: int) -> bool:
    first, second = stream.pieces[place : place + 2]
    if second.kind != "said" or _choice_of(first) is None or _choice_of(first) != _choice_of(second):
        return False
    one, two = (each.body["choices"][0] for each in (first, second))
    parts = {token.part for each in (first, second) for token in each.tokens}
    return "tool_calls" not in {*one["delta"], *two["delta"]} and not ("thinking" in parts and len(parts) > 1)


def _choice_of(piece: Sent) -> int | None:
    """The alternative it is of, if it is of one."""
    choices = piece.body.get("choices") if isinstance(piece.body, dict) else None
    return choices[0]["index"] if choices and len(choices) == 1 else None


def _added(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    return {name: (one.get(name) or "") + (two.get(name) or "") for name in {**one, **two}}


def _usage_sooner(stream: Stream, chance: random.Random) -> None:
    """The usage comes before the finish reason."""
    at = next((i for i, piece in enumerate(stream.pieces) if piece.kind == "usage"), None)
    if at is None or stream.how.finish == "with usage":
        return
    ends = [i for i, piece in enumerate(stream.pieces[:at]) if piece.kind == "finish"]
    if not ends:
        return
    stream.pieces.insert(chance.choice(ends), stream.pieces.pop(at))
    stream.done.append("usage sooner")


def _calls_interleaved(stream: Stream, chance: random.Random) -> None:
    """The parts of two tool calls come by turns; the logprobs in the order of the tokens, as ever."""
    if stream.said.kind != "tools":
        return
    places = [i for i in _saying(stream) if "tool_calls" in stream.pieces[i].body["choices"][0]["delta"]]
    deltas = [stream.pieces[i].body["choices"][0]["delta"] for i in places]
    lanes = [[d for d in deltas if d["tool_calls"][0]["index"] == number] for number in (0, 1)]
    if not all(lanes):
        return
    for place in places:
        delta = chance.choice([lane for lane in lanes if lane]).pop(0)
        body = copy.deepcopy(stream.pieces[place].body)
        body["choices"][0]["delta"] = delta
        stream.pieces[place] = replace(stream.pieces[place], body=body)
    stream.done.append("calls interleaved")


def _unlist(stream: Stream, chance: random.Random) -> None:
    """The logprobs of a piece are not there, though its text is."""
    places = [i for i in _saying(stream) if stream.pieces[i].tokens and "choices" in stream.pieces[i].body]
    if not places or stream.how.cumulative:
        return
    place = chance.choice(places)
    body = copy.deepcopy(stream.pieces[place].body)
    for choice in body["choices"]:
        choice["logprobs"] = None
    tokens = stream.pieces[place].tokens
    said = stream.pieces[place].body["choices"][0].get("delta", {}).get("content")
    nameless = said == "" and stream.form.broken == "empty"  # a part of a character, without bytes
    silent = nameless or all(token.part == "mark" for token in tokens)  # no text stays behind
    stream.lost += len(tokens) if silent else 0
    stream.unlisted += 0 if silent else len(tokens)
    beside = [t for p in stream.pieces[max(place - 1, 0) : place + 2] for t in p.tokens]
    stream.beside_a_mark = not silent and any(token.part == "mark" for token in beside)
    stream.pieces[place] = replace(stream.pieces[place], body=body, tokens=())
    stream.done.append("logprobs dropped")


def _cut(stream: Stream, chance: random.Random) -> None:
    """The server falls silent: at the end of an event, or in the middle of one."""
    heard = next(i for i, piece in enumerate(stream.pieces) if piece.kind != "comment")
    place = chance.randint(heard + 1, len(stream.pieces) - 1)
    gone, stream.pieces = stream.pieces[place:], stream.pieces[:place]
    if chance.random() < 0.5:
        raw = _event(gone[0], stream.how.wire)
        stream.broken = raw[: chance.randrange(len(raw) - 1)]
    for piece in gone:
        stream.lost += len(piece.tokens)
        stream.unsaid += max(0, piece.counts - len(piece.tokens))
    stream.cut = not _still_ends(stream)
    stream.done.append("cut")


HARMLESS = (_split, _merge, _usage_sooner, _calls_interleaved)
HARMFUL = (_drop, _drop, _double, _double, _unlist, _cut)


def stream_of(seed: int) -> Stream:
    """The stream of this number: always the same."""
    chance = random.Random(seed)
    kind, form = ANSWERS[seed % len(ANSWERS)]
    answer = said(chance, kind, form)
    how = style(chance, form, kind)
    made = Stream(answer, how, streamed(answer, how, chance))
    made.cut = not (how.done or made.told_whole())
    if kind == "schema":  # what the schema's parser takes away comes in no way
        made.lost = sum(token.part == "mark" for token in answer.choices[0])
    mutations: list[Callable[[Stream, random.Random], None]] = []
    if chance.random() < 0.4:
        mutations.append(chance.choice(HARMLESS))
    if chance.random() < 0.65:
        mutations.append(chance.choice(HARMFUL))
    for mutate in mutations:
        mutate(made, chance)
    return made
