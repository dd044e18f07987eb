"""Token entries laid along the text that they came with: where there is text without an entry, tokens are missing.

The likeliest reading is the one with the fewest holes. An entry that is not in the text (a mark that the server took
off, an end token) stays between its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ec_agent.capture.shapes.pieces import Piece
from ec_agent.capture.shapes.reading import BROKEN, NUMBERED, get

_MOST_STEPS = 100_000  # of a search, some tenths of a second
_SLACK = 3  # holes that a reading may have more than another so far, and still win
_REACH = 64, 32  # bytes that a hole may have at least, and more for every missing token

Found = list[int | None]
"""Of each entry the place in the text where it begins; ``None`` where it is not in it."""


class Hole(NamedTuple):
    """Text without entries.

    Attributes:
        place: number of the entry that it stands before; the number of entries for the end.
        text: what the missing tokens say.
        sure: whether the text allows no other place.
        pieces: how many pieces it is of that came without any entry; 0 for a hole within a piece.
    """

    place: int
    text: str
    sure: bool
    pieces: int = 0


@dataclass(eq=False, slots=True)
class Aligned:
    """Entries laid along a text.

    Attributes:
        holes: in order.
        outside: numbers of the entries that are not in the text.
        seams: numbers of the entries before which the text goes on in another channel.
        raw: the bytes of each entry; ``None`` where they cannot be told.
        rewritten: how many more holes there were, beside entries that are not in the text and may say the same.
    """

    holes: list[Hole] = field(default_factory=list)
    outside: set[int] = field(default_factory=set)
    seams: list[int] = field(default_factory=list)
    raw: list[bytes | None] = field(default_factory=list)
    rewritten: int = 0

    @property
    def tells(self) -> bool:
        """Whether the text has to do with the entries: of those whose text is known, half are in it at least."""
        speak = [number for number, raw in enumerate(self.raw) if raw]
        if not speak:
            return None not in self.raw
        return len(self.outside.intersection(speak)) * 2 <= len(speak)


def aligned(pieces: Sequence[Piece], entries: Sequence[Any], missing: int) -> Aligned | None:
    """The entries along the pieces that they came with, or along all of the text where that fits better.

    Args:
        pieces: of the answer, with as many entries in all.
        entries: one per token that came.
        missing: how many tokens did not come.

    Returns:
        ``None`` where the search would take too long.
    """
    raw = [bytes_of(entry) for entry in entries]
    # Before the end, a token that says nothing is a part of a character (vLLM).
    raw[:-1] = [told or None for told in raw[:-1]]
    found = _along(pieces, raw, missing)
    with_text = {number for number, piece in _numbered(pieces) if piece.words}
    # They may have come ahead of their text or behind it; parts of a character come before it.
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
    """What a token says, as bytes; ``None`` where that cannot be told: half a character without bytes, a mere id."""
    token, raw = get(entry, "token"), get(entry, "bytes")
    named = not isinstance(token, str) or token.startswith((NUMBERED, "bytes:\\x"))  # the second is OpenAI's
    text = raw if named else token  # mistral.rs: named by a number, the text in its bytes
    if isinstance(text, str) and BROKEN not in text and (text or not named):
        return text.encode(errors="replace")
    try:
        told = bytes(raw) if isinstance(raw, list | tuple | bytes) else b""
    except (TypeError, ValueError):
        return None
    return told if told and BROKEN.encode() not in told else None


def part_of_character(entry: Any) -> bool:
    """Whether a token is a part of a character."""
    try:
        (bytes_of(entry) or b"").decode()
    except UnicodeDecodeError:
        return True
    return BROKEN in str(get(entry, "token"))


def _numbered(pieces: Sequence[Piece]) -> list[tuple[int, Piece]]:
    return list(enumerate(piece for piece in pieces for _ in range(piece.entries)))


def _along(pieces: Sequence[Piece], raw: Sequence[bytes | None], missing: int) -> Aligned | None:
    """Piece by piece."""
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
    """One more, which may go on with the one before it."""
    if holes and holes[-1].place == hole.place:
        before = holes.pop()
        pieces = before.pieces + hole.pieces
        hole = Hole(hole.place, before.text + hole.text, before.sure and hole.sure, pieces)
    holes.append(hole)


def _laid(parts: Sequence[bytes | None], text: bytes, missing: int) -> tuple[Found, list[Hole]] | None:
    known = [part or b"" for part in parts]
    if None not in parts and b"".join(known) == text:  # as a rule
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


# How a reading came about: where the latest entry begins, and how the ones before it were read.
_Trail = tuple[int | None, Any] | None
_States = dict[int, tuple[int, _Trail]]
"""By the place in the text that was reached: holes so far, two more for each entry left out, and the trail."""


def _search(known: Sequence[bytes], text: bytes, reach: int, *, latest: bool) -> Found | None:
    """The reading with the fewest holes; of several, with the ``latest`` holes or the earliest."""
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
    """The holes less what entries beside them say that are not in the text: broken characters, text written anew."""
    left: list[Hole] = []
    taken: set[int] = set()
    for hole in found.holes:
        text, place = hole.text, hole.place
        beside = _run(found.outside - taken, place)
        if any(found.raw[number] is None for number in beside):
            # Broken characters are some of those that are not ASCII; what comes before these comes before them.
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
    """Those numbers that lie around a place without a break."""
    first = last = place
    while first - 1 in numbers:
        first -= 1
    while last in numbers:
        last += 1
    return list(range(first, last))
