"""Finds the places of tokens that came without an entry (docs/method.md section 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from ec_agent.capture.shapes.aligning import Aligned, aligned
from ec_agent.capture.shapes.pieces import Piece, Said

_USUAL_TOKEN = 4.0  # usual length of a token, in bytes


class Gap(NamedTuple):
    """Tokens that are missing at one place.

    Attributes:
        place: index of the next entry; the number of entries if the gap is at the end.
        tokens: how many tokens are missing.
        text: their text, or an empty text if it is not known.
    """

    place: int
    tokens: int
    text: str = ""


class Gaps(NamedTuple):
    """All gaps of an answer.

    Attributes:
        each: the gaps, in order.
        unsure: for how many of the missing tokens the place is a guess.
    """

    each: tuple[Gap, ...] = ()
    unsure: int = 0

    @property
    def total(self) -> int:
        """Number of missing tokens."""
        return sum(gap.tokens for gap in self.each)


@dataclass(eq=False, slots=True)
class _Slot:
    """A place where tokens may be missing.

    Attributes:
        place: as in ``Gap``.
        weight: how many tokens are expected there, relative to other slots.
        least: the smallest number of tokens there, if enough are missing.
        most: the largest number of tokens there.
        text: their text.
        count: how many tokens were assigned to it.
    """

    place: int
    weight: float = 1.0
    least: int = 1
    most: float = inf
    text: str = ""
    count: int = 0


class _Part(NamedTuple):
    """A section of an answer for which the number of missing tokens is known.

    Attributes:
        pieces: the pieces of text in it.
        first: index of its first entry.
        last: index of the entry after it.
        missing: how many tokens are missing in it.
        begins: whether it is the beginning of the answer.
        ends: whether it is the end of the answer.
    """

    pieces: tuple[Piece, ...]
    first: int
    last: int
    missing: int
    begins: bool
    ends: bool


def placed(entries: Sequence[Any], tokens: int, said: Said | None, *, counted: bool = True) -> Gaps:
    """Find the places of the missing tokens of an answer.

    If one token is missing, it is usually the end token, which some providers count but do not list. It is no gap then,
    unless there is text without an entry, the answer was cut at its limit, or the end token is listed.

    Args:
        entries: one per token that came with logprobs.
        tokens: how many tokens were generated.
        said: what the answer says, or ``None`` if that is not known.
        counted: whether the provider counted the tokens, including the end token.
    """
    missing = tokens - len(entries)
    if missing <= 0:
        return Gaps()
    if not entries:
        return Gaps((Gap(0, missing),))
    said = said or Said(())
    if sum(piece.entries for piece in said.pieces) != len(entries):  # nobody knows which entries belong to which piece
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
    """Return the smallest number of tokens without an entry: the number of holes in the text.

    Args:
        entries: one per token that came with logprobs.
        said: what the answer says.

    Returns:
        The number, or ``None`` if the entries do not fit the text.
    """
    found = aligned([Piece(tuple(pair for piece in said.pieces for pair in piece.words), len(entries))], entries, 1)
    return None if found is None or not found.tells else len(found.holes) + found.rewritten


def _parts(pieces: tuple[Piece, ...], known: int, tokens: int) -> Iterator[_Part]:
    """Divide the answer at each place where the server says how many tokens there are up to there.

    Without such places, the answer is one part.
    """
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
    """Yield each place with a count of tokens: the number of pieces, of entries, and of tokens up to there."""
    entries = 0
    for place, piece in enumerate(pieces, 1):
        entries += piece.entries
        if piece.total:
            yield place, entries, piece.total


@dataclass(eq=False, slots=True)
class _Placing:
    """Assigns missing tokens to places, part by part.

    Attributes:
        cut: whether no end token is expected, because the answer was cut at its limit or nobody counted the tokens.
        thought: number of thinking tokens, whose text did not come.
        slots: the places, with the number of tokens assigned to each.
        end: the slot of the end token.
        unsure: for how many tokens the place is a guess.
    """

    cut: bool
    thought: int
    slots: list[_Slot] = field(default_factory=list)
    end: _Slot | None = None
    unsure: int = 0

    def place(self, part: _Part, entries: Sequence[Any]) -> None:
        """Assign the missing tokens of a part to places."""
        found = aligned(part.pieces, entries, part.missing)
        left = part.missing
        if part.begins and self.thought and not _says_thoughts(part.pieces):
            # Thinking that is not shown was generated before everything else.
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
        """Tell whether one of the missing tokens is the end token.

        If the text has holes, only if they consist of whole pieces: usually a piece is one token, so that the holes
        explain all other missing tokens.
        """
        told = all(hole.pieces for hole in found.holes)
        return told and left > sum(slot.least for slot in holes) and not _lists_its_end(found)

    def _outside(self, part: _Part, found: Aligned, left: int) -> None:
        """Assign tokens that are not in the text: marks that the server removed, or tokens lost with their text."""
        spoken = sum(bool(piece.words or piece.entries) for piece in part.pieces)
        if spoken < 2 and not (part.begins and part.ends):  # tokens without text were generated before the piece
            self._give([_Slot(part.first)], left)
            return
        edge = _edge(found) if part.begins else 0
        places = [*([part.first + edge] if edge else []), *(part.first + seam for seam in found.seams), part.last]
        self._give([_Slot(place) for place in places], left)
        self.unsure += left

    def _blindly(self, part: _Part, left: int) -> None:
        """Assign tokens to the end of the part, because nothing shows where they are."""
        if part.ends and not self.cut and left:
            self.end = _Slot(part.last)
            left -= self._give([self.end], 1)
        self.unsure += self._give([_Slot(part.last)], left)

    def _give(self, slots: Sequence[_Slot], count: int) -> int:
        """Divide tokens among places by their weights. Return how many were assigned."""
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
    """Make slots for the holes in the text. Each has at least one token, and at most one for each of its bytes."""
    told = [len(raw) for number, raw in enumerate(found.raw) if raw and number not in found.outside]
    width = max(sum(told) / len(told), 1.0) if told else _USUAL_TOKEN
    sizes = [len(hole.text.encode(errors="replace")) for hole in found.holes]
    return [
        _Slot(first + hole.place, max(size / width, 1.0), max(min(hole.pieces, size), 1), size, hole.text)
        for hole, size in zip(found.holes, sizes, strict=True)
    ]


def _hidden(found: Aligned, first: int) -> list[_Slot]:
    """Make slots before characters of several bytes: each may be several tokens, of which only the last is listed."""
    rooms = [
        (number, len(raw) - len(raw.decode(errors="replace")))
        for number, raw in enumerate(found.raw)
        if raw and not raw.isascii() and number not in found.outside
    ]
    return [_Slot(first + number, room, 0, room) for number, room in rooms if room > 0]


def _edge(found: Aligned) -> int:
    """Return how many entries at the beginning are not in the text. The server removed text there."""
    edge = 0
    while edge in found.outside:
        edge += 1
    return edge if any(found.raw[:edge]) else 0


def _lists_its_end(found: Aligned) -> bool:
    return len(found.raw) - 1 in found.outside or bool(found.raw and found.raw[-1] == b"")
