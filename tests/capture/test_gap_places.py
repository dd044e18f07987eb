"""Which place a missing token is given, and of how many it is said that they may be elsewhere, case by case."""

from __future__ import annotations

import pytest

from ec_agent.capture.shapes.aligning import aligned
from ec_agent.capture.shapes.gaps import placed
from ec_agent.capture.shapes.pieces import Piece, Said

BROKEN = "\ufffd"


def entries(*texts):
    """Tokens by their texts; U+FFFD without bytes says nothing of itself."""
    return [{"token": text, "bytes": None if text == BROKEN else list(text.encode())} for text in texts]


def said(*pieces):
    """Pieces of an answer: text, how many entries came with it, the running count."""
    return tuple(Piece((("said", text),) if text else (), *counts) for text, *counts in pieces)


def strip(known, gaps):
    """The timeline as text: entries, and missing tokens in their places; and how many of these are unsure."""
    missing = {gap.place: gap.tokens for gap in gaps.each}
    return "".join("." * missing.get(place, 0) + "#" * (place < known) for place in range(known + 1)), gaps.unsure


def lay(texts, pieces, tokens, finish="length", thought=0, counted=True):
    gaps = placed(entries(*texts), tokens, Said(said(*pieces), finish, thought), counted=counted)
    return strip(len(texts), gaps)


# Counts


def test_without_a_count_a_missing_token_is_a_gap():
    assert lay("ab", [("a", 1), ("b", 1)], 3, "stop", counted=False) == ("##.", 1)
    assert lay("ab", [("a", 1), ("b", 1)], 3, "stop") == ("##", 0)


@pytest.mark.parametrize(
    ("totals", "tokens"),
    [
        pytest.param((None, 1, None, 4), 4, id="fewer than came"),
        pytest.param((5, None, None, None), 4, id="more than there are"),
        pytest.param((None, None, None, 8), 4, id="a second closing count that doubles the first"),
    ],
)
def test_running_counts_that_cannot_be_are_left_alone(totals, tokens):
    pieces = [(text, known, total) for text, known, total in zip("abcd", (1, 1, 0, 1), totals, strict=True)]
    assert lay("abd", pieces, tokens) == ("##.#", 0)


def test_a_gap_stays_in_the_part_that_lacks_it():
    """Nothing shows where in the stretch: after its text, as in an answer of one stretch, and it is said."""
    assert lay("abc", [("a", 1), ("b", 1, 3), ("c", 1, 4)], 4) == ("##.#", 1)


# Thinking


def test_shown_thinking_is_not_placed_in_front_again():
    pieces = (Piece((("thought", "I see"), ("said", "42 x")), 4),)
    gaps = placed(entries("I", " see", "4", "2"), 5, Said(pieces, "length", 2))
    assert strip(4, gaps) == ("####.", 0)


def test_hidden_thinking_stands_before_the_first_stretch_alone():
    assert lay("abd", [("a", 1, 3), ("b", 1), ("c", 0), ("d", 1)], 6, thought=3) == ("..##.#", 0)


# Sharing out


def test_a_hole_has_at_most_one_token_per_byte():
    assert lay(["aaaa", "bbbb", "cccc"], [("aaaaxbbbbyycccc", 3)], 6) == ("#.#..#", 0)


def test_holes_of_one_size_get_alike():
    texts = ["aaaa", "bbbb", "cccc", "dddd"]
    assert lay(texts, [("aaaawwwwbbbbxxxxccccyyyydddd", 4)], 9) == ("#..#..#.#", 2)


def test_pieces_without_entries_come_before_the_end_token():
    pieces = [("a", 1), ("b", 0), ("c", 0), ("d", 1)]
    assert lay("ad", pieces, 4, "stop") == ("#..#", 0)
    assert lay("ad", pieces, 5, "stop") == ("#..#.", 0)


def test_a_gap_at_two_long_characters_is_unsure():
    shape, unsure = lay(["\U0001f600", "\u65e5"], [("\U0001f600\u65e5", 2)], 3)
    assert (sorted(shape), unsure) == ([*"##."], 1)


def test_a_long_character_outside_the_text_hides_no_tokens():
    shape, unsure = lay(["\u65e5", "a", "b"], [("ab", 3)], 4)
    assert (shape[:2], unsure) == ("#.", 1)  # where the server took something off


def test_an_empty_first_entry_does_not_mean_removed_text():
    assert lay([BROKEN, "a", "b"], [("ab", 3)], 5) == ("###..", 2)


# Laying entries along the text


def laid(texts, *pieces):
    return aligned(said(*pieces), entries(*texts), 1)


def test_a_text_with_half_of_the_entries_is_trusted():
    assert laid("abxy", ("ab", 4)).tells
    assert not laid("abxyz", ("ab", 5)).tells


def test_text_that_came_a_piece_late_is_found():
    found = laid(["ab", "cd"], ("", 1), ("ab", 1), ("cd", 0))
    assert (found.outside, found.holes) == (set(), [])


def test_an_entry_before_its_text_is_matched():
    found = laid("b", ("", 1), ("b", 0))
    assert (found.outside, found.holes) == (set(), [])


def test_pieces_are_used_unless_the_text_fits_better():
    (hole,) = laid(["x", "cd"], ("ab", 1), ("cd", 1)).holes
    assert (hole.place, hole.text) == (1, "ab")
    (hole,) = laid(["ab"], ("b", 1), ("\xe9", 0)).holes
    assert (hole.text, hole.pieces) == ("b\xe9", 1)


def test_an_entry_explains_one_hole():
    (hole,) = laid(["ab"], ("\xe9", 0), ("b", 1)).holes
    assert (hole.place, hole.text) == (1, "b")


def test_an_entry_behind_a_hole_explains_it_too():
    assert laid(["aa"], ("b", 0), ("", 1)).holes == []


@pytest.mark.parametrize(
    ("texts", "pieces"),
    [
        pytest.param(["\xe9", "\xe9"], [("a\xe9", 2)], id="either of two alike"),
        pytest.param(["\xe9", "b"], [("aa\xe9\xe9", 0), ("aab", 2)], id="before or behind"),
        pytest.param(["\xe9"], [("\xe9\xe9", 1), ("\xe9b", 0)], id="a hole that goes on in the next piece"),
    ],
)
def test_a_hole_that_may_be_elsewhere_is_not_sure(texts, pieces):
    found = laid(texts, *pieces)
    assert found.holes
    assert not any(hole.sure for hole in found.holes)


def test_the_size_of_a_hole_is_limited_by_missing_tokens():
    pieces = said(("a" + "x" * 150 + "b", 2))
    assert aligned(pieces, entries("a", "b"), 20).outside == set()
    assert aligned(pieces, entries("a", "b"), 1).outside == {1}
