"""Where in an answer the tokens are that came without an entry: docs/method.md, section 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from ec_agent.capture.shapes.aligning import Aligned, aligned
from ec_agent.capture.shapes.pieces import Piece, Said

_USUAL_TOKEN = 4.0  # bytes


class Gap(NamedTuple):
    """Missing tokens.

    Attributes:
        place: number of the entry that they stand before; the number of entries for the end.
        tokens: how many.
        text: what they say, where that is known.
    """

    place: int
    tokens: int
    text: str = ""


class Gaps(NamedTuple):
    """All missing tokens of an answer.

    Attributes:
        each: in order.
        unsure: how many of these tokens may be elsewhere.
    """

    each: tuple[Gap, ...] = ()
    unsure: int = 0

    @property
    def total(self) -> int:
        """How many tokens are missing."""
        return sum(gap.tokens for gap in self.each)


@dataclass(eq=False, slots=True)
class _Slot:
    """A place where tokens may be missing.

    Attributes:
        place: as a gap's.
        weight: how many are to be expected there, in proportion to others.
        least: how many there are at least, if there are so many missing.
        most: how many there may be.
        text: what they say.
        count: how many it is given.
    """

    place: int
    weight: float = 1.0
    least: int = 1
    most: float = inf
    text: str = ""
    count: int = 0


class _Part(NamedTuple):
    """A stretch of an answer of which it is known how many tokens are missing.

    Attributes:
        pieces: what it says.
        first: number of its first entry.
        last: number of the entry after it.
        missing: how many tokens are.
        begins: whether the answer begins with it.
        ends: whether the answer ends with it.
    """

    pieces: tuple[Piece, ...]
    first: int
    last: int
    missing: int
    begins: bool
    ends: bool


def placed(entries: Sequence[Any], tokens: int, said: Said | None, *, counted: bool = True) -> Gaps:
    """Where the missing ones of ``tokens`` generated tokens are.

    One that is missing is taken for an end token, which some providers count and do not list, unless something speaks
    against it: text without an entry, an answer cut at its limit, an end token that is listed.

    Args:
        entries: one per token that came with logprobs.
        tokens: how many were generated.
        said: what the answer says; ``None`` where that is not known.
        counted: whether the provider counted the tokens, end token included.
    """
    missing = tokens - len(entries)
    if missing <= 0:
        return Gaps()
    if not entries:
        return Gaps((Gap(0, missing),))
    said = said or Said(())
    if sum(piece.entries for piece in said.pieces) != len(entries):  # what came with what is not known
        words = tuple(pair for piece in said.pieces for pair in piece.words)
        said = said._replace(pieces=(Piece(words, len(entries)),))
    placing = _Placing(not counted or said.finish == "length", said.thought)
    for part in _parts(said.pieces, len(entries), tokens):
        if part.missing:
            placing.place(part, entries[part.first : part.last])
    if missing == 1 and placing.end is not None:
        return Gaps()
    given = sorted((slot for slot in placing.slots if slot.count), key=lambda slot: slot.place)
    return Gaps(tuple(Gap(slot.place, slot.count, slot.text) for slot in given), placing.unsure)


def at_least_missing(entries: Sequence[Any], said: Said) -> int | None:
    """How many tokens at least came without an entry, by text that no entry says; ``None`` where that tells nothing.

    Args:
        entries: one per token that came with logprobs.
        said: what the answer says.
    """
    found = aligned([Piece(tuple(pair for piece in said.pieces for pair in piece.words), len(entries))], entries, 1)
    return None if found is None or not found.tells else len(found.holes) + found.rewritten


def _parts(pieces: tuple[Piece, ...], known: int, tokens: int) -> Iterator[_Part]:
    """The answer in parts, each up to where the server says how many tokens there are; in one, if it never does."""
    marks = list(_marks(pieces))
    lacks = [total - entries for _, entries, total in marks]
    if lacks != sorted(lacks) or any(lack < 0 for lack in lacks) or any(total > tokens for *_, total in marks):
        marks = []
    begin = first = behind = 0
    for end, last, total in [*marks, (len(pieces), known, tokens)]:
        yield _Part(
            pieces[begin:end],
            first,
            last,
            total - last - behind,
            begins=begin == 0,
            ends=total == tokens and last == known,
        )
        begin, first, behind = end, last, total - last


def _marks(pieces: Sequence[Piece]) -> Iterator[tuple[int, int, int]]:
    """Where the server says it: the number of pieces and entries so far, and of tokens."""
    entries = 0
    for place, piece in enumerate(pieces, 1):
        entries += piece.entries
        if piece.total:
            yield place, entries, piece.total


@dataclass(eq=False, slots=True)
class _Placing:
    """Missing tokens being placed, part by part.

    Attributes:
        cut: whether there is no end token among them, as in an answer that was cut at its limit.
        thought: tokens of thinking that nothing is said of.
        slots: places, with the number of tokens that each was given.
        end: that of the end token.
        unsure: how many tokens may be elsewhere.
    """

    cut: bool
    thought: int
    slots: list[_Slot] = field(default_factory=list)
    end: _Slot | None = None
    unsure: int = 0

    def place(self, part: _Part, entries: Sequence[Any]) -> None:
        """Place what is missing of a part."""
        found = aligned(part.pieces, entries, part.missing)
        left = part.missing
        if part.begins and self.thought and not _says_thoughts(part.pieces):
            # What was thought and not shown comes before all that is said.
            left -= self._give([_Slot(part.first)], min(left, self.thought))
        if found is None or not found.tells:
            self._blindly(part, left)
            return
        holes = _holes(found, part.first)
        if part.ends and not self.cut and self._lacks_its_end(found, holes, left):
            self.end = _Slot(part.last)
            left -= self._give([self.end], 1)
        given = self._give(holes, left)
        certain = all(hole.sure for hole in found.holes)
        if given < sum(slot.most for slot in holes) or not certain:
            least = sum(slot.least for slot in holes)
            self.unsure += given if not certain else max(given - least, 0) if len(holes) > 1 else 0
        left -= given
        hidden = _hidden(found, part.first)
        given = self._give(hidden, left)
        self.unsure += given if len(hidden) > 1 and given < sum(slot.most for slot in hidden) else 0
        if left > given:
            self._outside(part, found, left - given)

    def _lacks_its_end(self, found: Aligned, holes: Sequence[_Slot], left: int) -> bool:
        """Whether one of the missing tokens is taken for the end token.

        Where the text has holes, only if their pieces account for the others: a piece is a token, as a rule.
        """
        told = all(hole.pieces for hole in found.holes)
        return told and left > sum(slot.least for slot in holes) and not _lists_its_end(found)

    def _outside(self, part: _Part, found: Aligned, left: int) -> None:
        """Tokens of which the text shows nothing: a mark that the server took off, or an entry lost with its text."""
        spoken = sum(bool(piece.words or piece.entries) for piece in part.pieces)
        if spoken < 2 and not (part.begins and part.ends):  # what is not shown comes before what is
            self._give([_Slot(part.first)], left)
            return
        edge = _edge(found) if part.begins else 0
        places = [*([part.first + edge] if edge else []), *(part.first + seam for seam in found.seams), part.last]
        self._give([_Slot(place) for place in places], left)
        self.unsure += left

    def _blindly(self, part: _Part, left: int) -> None:
        """Nothing tells: at the end."""
        if part.ends and not self.cut and left:
            self.end = _Slot(part.last)
            left -= self._give([self.end], 1)
        self.unsure += self._give([_Slot(part.last)], left)

    def _give(self, slots: Sequence[_Slot], count: int) -> int:
        """Share tokens out over places; how many there was room for."""
        self.slots += slots
        count = int(min(count, sum(slot.most for slot in slots)))
        left = count
        if count >= (least := sum(slot.least for slot in slots)):
            for slot in slots:
                slot.count = slot.least
            left -= least
        while left > 0:
            room = [slot for slot in slots if slot.count < slot.most]
            weight = sum(slot.weight for slot in room)
            shares = [(slot, int(min(left * slot.weight / weight, slot.most - slot.count))) for slot in room]
            if not any(share for _, share in shares):
                shares = [(max(room, key=lambda slot: slot.weight / (slot.count + 0.5)), 1)]
            for slot, share in shares:
                slot.count += share
                left -= share
        return count


def _says_thoughts(pieces: Sequence[Piece]) -> bool:
    return any(channel == "thought" for piece in pieces for channel, _ in piece.words)


def _holes(found: Aligned, first: int) -> list[_Slot]:
    """The text's own holes: each holds a token at least, and one for each of its bytes at most."""
    told = [len(raw) for number, raw in enumerate(found.raw) if raw and number not in found.outside]
    width = max(sum(told) / len(told), 1.0) if told else _USUAL_TOKEN
    sizes = [len(hole.text.encode(errors="replace")) for hole in found.holes]
    return [
        _Slot(first + hole.place, max(size / width, 1.0), max(min(hole.pieces, size), 1), size, hole.text)
        for hole, size in zip(found.holes, sizes, strict=True)
    ]


def _hidden(found: Aligned, first: int) -> list[_Slot]:
    """Characters of several bytes may have been several tokens, of which the last alone has an entry."""
    rooms = [
        (number, len(raw) - len(raw.decode(errors="replace")))
        for number, raw in enumerate(found.raw)
        if raw and not raw.isascii() and number not in found.outside
    ]
    return [_Slot(first + number, room, 0, room) for number, room in rooms if room > 0]


def _edge(found: Aligned) -> int:
    """How many entries come before the text and are not in it: there the server took something off."""
    edge = 0
    while edge in found.outside:
        edge += 1
    return edge if any(found.raw[:edge]) else 0


def _lists_its_end(found: Aligned) -> bool:
    return len(found.raw) - 1 in found.outside or bool(found.raw and found.raw[-1] == b"")
