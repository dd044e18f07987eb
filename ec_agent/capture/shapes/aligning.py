"""Aligns token entries with the text of the answer. Text without an entry (a *hole*) shows where tokens are missing.

Of all ways to align them, the one with the fewest holes is used. An entry that is not in the text (an end token, or a
mark that the server removed) stays between its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ec_agent.capture.shapes.pieces import Piece
from ec_agent.capture.shapes.values import BROKEN, NUMBERED, get

_MOST_STEPS = 100_000  # a search with more steps is given up; this many take some tenths of a second
_SLACK = 3  # a way of aligning is dropped if it has this many holes more than the best one so far
_REACH = 64, 32  # largest size of a hole in bytes: this many, and this many more for each missing token

Found = list[int | None]
"""For each entry, the index in the text (in bytes) where it begins, or ``None`` if it is not in the text."""


class Hole(NamedTuple):
    """A stretch of text without entries.

    Attributes:
        place: index of the next entry; the number of entries if the hole is at the end.
        text: the text of the missing tokens.
        sure: whether this is the only place where the hole can be.
        pieces: how many whole pieces without any entry it consists of; 0 for a hole within a piece.
    """

    place: int
    text: str
    sure: bool
    pieces: int = 0


@dataclass(eq=False, slots=True)
class Aligned:
    """The result of aligning entries with a text.

    Attributes:
        holes: the holes, in order.
        outside: indices of the entries that are not in the text.
        seams: indices of the entries before which the text changes its channel, from thinking to text, for example.
        raw: the bytes of each entry, or ``None`` if they are not known.
        rewritten: number of holes that are next to entries outside of the text. These entries may be the text of the
            hole, which the server wrote in another way.
    """

    holes: list[Hole] = field(default_factory=list)
    outside: set[int] = field(default_factory=set)
    seams: list[int] = field(default_factory=list)
    raw: list[bytes | None] = field(default_factory=list)
    rewritten: int = 0

    @property
    def tells(self) -> bool:
        """Whether the alignment can be trusted: at least half of the entries with a known text are in the text."""
        speak = [number for number, raw in enumerate(self.raw) if raw]
        if not speak:
            return None not in self.raw
        return len(self.outside.intersection(speak)) * 2 <= len(speak)


def aligned(pieces: Sequence[Piece], entries: Sequence[Any], missing: int) -> Aligned | None:
    """Align entries with the pieces of text that they came with, or with the whole text if that fits better.

    Args:
        pieces: the pieces of the answer. Their numbers of entries add up to the number of entries.
        entries: one per token that came with logprobs.
        missing: how many tokens came without an entry.

    Returns:
        The alignment, or ``None`` if the search would take too long.
    """
    raw = [bytes_of(entry) for entry in entries]
    # vLLM sends an empty text for a token that is a part of a character. Only the end token is really empty.
    raw[:-1] = [told or None for told in raw[:-1]]
    found = _along(pieces, raw, missing)
    with_text = {number for number, piece in _numbered(pieces) if piece.words}
    # Entries outside of their piece's text may belong to the text of another piece.
    doubtful = found is None or any(raw[n] and (found.holes or n in with_text) for n in found.outside)
    if len(pieces) > 1 and doubtful:
        whole = Piece(tuple(pair for piece in pieces for pair in piece.words), len(raw))
        other = _along([whole], raw, missing)
        if found is None or (other is not None and len(other.outside) < len(found.outside)):
            found = other
    if found is not None:
        found.holes = _unexplained(found)
    return found


def bytes_of(entry: Any) -> bytes | None:
    """Return the text of a token as bytes, or ``None`` if it is not known (a part of a character, or only an id)."""
    token, raw = get(entry, "token"), get(entry, "bytes")
    named = not isinstance(token, str) or token.startswith((NUMBERED, "bytes:\\x"))  # OpenAI writes the second
    text = raw if named else token  # mistral.rs puts a number into "token", and the text into "bytes"
    if isinstance(text, str) and BROKEN not in text and (text or not named):
        return text.encode(errors="replace")
    try:
        told = bytes(raw) if isinstance(raw, list | tuple | bytes) else b""
    except (TypeError, ValueError):
        return None
    return told if told and BROKEN.encode() not in told else None


def part_of_character(entry: Any) -> bool:
    """Tell whether a token is only a part of a character."""
    try:
        (bytes_of(entry) or b"").decode()
    except UnicodeDecodeError:
        return True
    return BROKEN in str(get(entry, "token"))


def _numbered(pieces: Sequence[Piece]) -> list[tuple[int, Piece]]:
    return list(enumerate(piece for piece in pieces for _ in range(piece.entries)))


def _along(pieces: Sequence[Piece], raw: Sequence[bytes | None], missing: int) -> Aligned | None:
    """Align each piece with its own entries. ``None`` if the search would take too long."""
    found = Aligned(raw=list(raw))
    number, channel = 0, None
    for piece in pieces:
        parts = raw[number : number + piece.entries]
        laid = _laid(parts, piece.text.encode(errors="replace"), missing)
        if laid is None:
            return None
        starts, holes = laid
        for hole in holes:
            _add(found.holes, hole._replace(place=number + hole.place))
        found.outside |= {number + place for place, start in enumerate(starts) if start is None}
        reached = 0
        for kind, text in piece.words:
            if channel not in (None, kind):
                found.seams.append(number + sum(start is not None and start < reached for start in starts))
            channel, reached = kind, reached + len(text.encode(errors="replace"))
        number += piece.entries
    return found


def _add(holes: list[Hole], hole: Hole) -> None:
    """Add a hole. If it directly follows the last one, join both."""
    if holes and holes[-1].place == hole.place:
        before = holes.pop()
        pieces = before.pieces + hole.pieces
        hole = Hole(hole.place, before.text + hole.text, before.sure and hole.sure, pieces)
    holes.append(hole)


def _laid(parts: Sequence[bytes | None], text: bytes, missing: int) -> tuple[Found, list[Hole]] | None:
    known = [part or b"" for part in parts]
    if None not in parts and b"".join(known) == text:  # the usual case: the entries are exactly the text
        return _ends(known), []
    if not parts or not text:
        return [None] * len(parts), [_hole(0, text, True)._replace(pieces=not parts)] if text else []
    reach = _REACH[0] + _REACH[1] * missing
    early = _search(known, text, reach, latest=False)
    late = None if early is None else _search(known, text, reach, latest=True)
    if early is None or late is None:
        return None
    holes, others = _between(known, text, early), _between(known, text, late)
    sure = [(place, len(gap)) for place, gap in holes] == [(place, len(gap)) for place, gap in others]
    return early, [_hole(place, gap, sure) for place, gap in holes]


def _ends(known: Sequence[bytes]) -> Found:
    starts: Found = []
    reached = 0
    for part in known:
        starts.append(reached)
        reached += len(part)
    return starts


def _hole(place: int, gap: bytes, sure: bool) -> Hole:
    return Hole(place, gap.decode(errors="replace"), sure)


def _between(known: Sequence[bytes], text: bytes, starts: Found) -> list[tuple[int, bytes]]:
    holes, reached = [], 0
    for place, (part, start) in enumerate(zip(known, starts, strict=True)):
        if start is not None:
            if start > reached:
                holes.append((place, text[reached:start]))
            reached = start + len(part)
    return [*holes, (len(known), text[reached:])] if reached < len(text) else holes


# The decisions of one way of aligning, as a linked list: where the latest entry begins, and the earlier decisions.
_Trail = tuple[int | None, Any] | None
_States = dict[int, tuple[int, _Trail]]
"""The state of the search: for each index of the text that was reached, the cost (1 per hole, 2 per entry left out of
the text) and the trail."""


def _search(known: Sequence[bytes], text: bytes, reach: int, *, latest: bool) -> Found | None:
    """Find the way of aligning with the lowest cost, entry by entry (dynamic programming).

    Args:
        known: the bytes of each entry; empty if they are not known.
        text: the text, as bytes.
        reach: largest size of a hole, in bytes.
        latest: if several have the lowest cost, whether to use the one with the latest holes, or the earliest.

    Returns:
        For each entry, where it begins in the text. ``None`` if the search would take too long.
    """
    states: _States = {0: (0, None)}
    steps = 0
    for part in known:
        if not part:
            states = {reached: (cost, (None, trail)) for reached, (cost, trail) in states.items()}
            continue
        further: _States = {}
        for reached, (cost, trail) in states.items():
            _keep(further, reached, cost + 2, (None, trail), latest)
        order = sorted(states)
        before: tuple[int, _Trail] | None = None
        waiting = 0
        start = text.find(part, order[0])
        while 0 <= start <= order[-1] + reach:
            while waiting < len(order) and order[waiting] < start:
                here = states[order[waiting]]
                if before is None or here[0] < before[0] or (latest and here[0] == before[0]):
                    before = here
                waiting += 1
            if start in states:
                _keep(further, start + len(part), states[start][0], (start, states[start][1]), latest)
            if before is not None:
                _keep(further, start + len(part), before[0] + 1, (start, before[1]), latest)
            start = text.find(part, start + 1)
            steps += 1
        best = min(cost for cost, _ in further.values())
        states = {reached: state for reached, state in further.items() if state[0] <= best + _SLACK}
        steps += len(states)
        if steps > _MOST_STEPS:
            return None
    ends = [
        (cost + (reached < len(text)), -reached if latest else reached, trail)
        for reached, (cost, trail) in states.items()
    ]
    _, _, trail = min(ends, key=lambda end: end[:2])
    starts: Found = []
    while trail is not None:
        starts.append(trail[0])
        trail = trail[1]
    return starts[::-1]


def _keep(states: _States, reached: int, cost: int, trail: _Trail, latest: bool) -> None:
    known = states.get(reached)
    if known is None or cost < known[0] or (latest and cost == known[0]):
        states[reached] = cost, trail


def _unexplained(found: Aligned) -> list[Hole]:
    """Remove from the holes what neighbouring entries outside of the text explain.

    Such entries are broken characters, or text that the server wrote in another way.
    """
    left: list[Hole] = []
    taken: set[int] = set()
    for hole in found.holes:
        text, place = hole.text, hole.place
        beside = _run(found.outside - taken, place)
        if any(found.raw[number] is None for number in beside):
            # The entries with unknown bytes are parts of characters, so they can explain only characters outside ASCII.
            # If other text comes before these, the hole is before the entries.
            broken = [at for at, letter in enumerate(text) if not letter.isascii()]
            if broken and broken[0] > 0:
                place = beside[0]
            text = text.encode("ascii", "ignore").decode()
        size = len(text.encode(errors="replace"))
        for number in beside:
            if size > 0:
                size -= len(found.raw[number] or b"")
                taken.add(number)
        if size > 0:
            left.append(hole._replace(place=place, text=text))
        elif None not in [found.raw[number] for number in beside]:
            found.rewritten += 1
    return left


def _run(numbers: set[int], place: int) -> list[int]:
    """Return the unbroken run of these numbers that ends just before ``place`` or contains it."""
    first = last = place
    while first - 1 in numbers:
        first -= 1
    while last in numbers:
        last += 1
    return list(range(first, last))
