"""The page of a selection, read as text: what it says, and that nothing of others becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import made
import numpy as np
import pytest

from ec_agent import Call, ConfigError, HEPConfig, LowestCentroid, Selection
from ec_agent.support.escaping import clipped, shown
from ec_agent.visual.chosen_anew import selection_of
from ec_agent.visual.packing import packed
from ec_agent.visual.views import view_of
from ec_agent.visual.wording import cautions, hesitated, picture_of, reasons

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads strictly: every element must be closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.said, self.scripts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append([dict(attributes), ""])

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts[-1][1] += data
        elif self.open[-1:] != ["style"]:
            self.said.append(data)

    @property
    def text(self):
        return " ".join("".join(self.said).split())


def unpacked(rollout, *more):
    return json.loads(zlib.decompress(base64.b64decode(packed(rollout, *more))))


@pytest.fixture(scope="module")
def usual():
    return made.usual()


@pytest.fixture(scope="module")
def text(usual):
    return usual.to_html("What is in the parcel?")


def test_it_says_who_won_why_and_where_each_hesitated(text):
    said = Page(text).text
    assert said.startswith("What is in the parcel?: rollout 1 of 5 won")
    assert "★ Rollout 1 won. It ended with: early" in said
    assert "Its entropy centroid is the lowest: 0.065." in said
    assert "The next best is rollout 2 with 0.500, 0.435 off." in said
    assert "Hesitated once, at 6%, in call 1 of 2, before the tools weigh and convert, for 1 token: w0" in said
    assert "Hesitated most at 11%, in call 1 of 2, before the tool look, for 1 token: w" in said
    assert "Not scored: too few of its tokens came with logprobs." in said
    assert "Failed: RuntimeError: the kettle blew" in said
    order = [int(index) for index in re.findall(r'<details class="rollout[^"]*" id="rollout-(\d)">', text)]
    assert order == [1, 2, 0, 3, 4]


def test_tools_stand_where_they_ran_with_what_they_returned(text):
    said = Page(text).text
    assert 'tool weigh {"parcel": "3 mugs"} returned 6730 g' in said
    assert "failed with ValueError: no" in said
    assert 'style="left:40.00%;max-width:60.00%" title="weigh, convert"' in text


def test_a_strip_has_its_gap_its_phases_its_calls_and_its_centroid(text):
    strips = dict(re.findall(r'id="rollout-(\d)">.*?(<svg.*?</svg>)', text, re.DOTALL))
    counts = {index: [svg.count(f"var(--{name})") for name in ("gap", "good", "line")] for index, svg in strips.items()}
    assert counts == {"1": [0, 1, 1], "2": [1, 1, 1], "0": [0, 1, 1], "3": [1, 0, 0], "4": [0, 0, 0]}
    phases = [strips[index].count("var(--phase)") for index in ("1", "2", "0", "3", "4")]
    assert phases == [1, 2, 2, 0, 1]
    assert not re.search(r"\d\.\d\d", strips["1"].replace("stroke-width: 2.5", ""))


def test_nothing_comes_from_elsewhere_and_only_its_own_script_runs(text):
    found = Page(text)
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(found.tags)
    for _, name, value in found.attributes:
        assert not name.startswith("on")
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#")
    live = [script for attributes, script in found.scripts if attributes.get("type") != "text/plain"]
    assert len(live) == 1
    digest = base64.b64encode(hashlib.sha256(live[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in text


def test_what_others_said_is_text():
    text = made.hostile().to_html(" ".join(made.HOSTILE))
    found = Page(text)
    usual = [Page(chosen.to_html("?")) for chosen in (made.usual(), made.large(1, 2000, 4))]
    assert set(found.tags) <= {tag for page in usual for tag in page.tags}
    attributes = {(tag, name) for page in usual for tag, name, _ in page.attributes}
    assert {(tag, name) for tag, name, _ in found.attributes} <= attributes
    assert found.tags.count("style") == 1
    assert "<script>alert(1)</script>" in found.text
    assert "{{ 7 * 7 }}{% raw %}" in found.text
    assert "javascript:alert(3)" in found.text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b\ufeff\ud800-\udfff]", text)
    text.encode("utf-8")


def test_colours_of_text_keep_their_contrast(text):
    def light(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        lines = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * lines[0] + 0.7152 * lines[1] + 0.0722 * lines[2]

    def contrast(one, other):
        high, low = sorted((light(one), light(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    blocks = re.findall(r":root \{(.*?)\}", text, re.DOTALL)

    schemes = [dict(re.findall(r"--(\w+): (#[0-9a-f]+)", block)) for block in blocks]
    assert len(schemes) == 3  # light, dark, print
    for scheme in schemes:
        levels = [f"h{level}" for level in range(1, 10)]
        for ground in ("paper", "box", "won", "phase", "gap", *levels):
            assert contrast(scheme["ink"], scheme[ground]) >= 4.5, ground
        for letters in ("soft", "good", "bad", "doubt", "accent"):
            for ground in ("paper", "box", "won"):
                assert contrast(scheme[letters], scheme[ground]) >= 4.5, (letters, ground)
        for mark in ("accent", "second", "good"):  # what is drawn
            assert contrast(scheme[mark], scheme["box"]) >= 3


def test_the_strip_is_there_in_words(usual):
    rollouts = {rollout.receipt.index: rollout for rollout in view_of(usual).rollouts}
    assert picture_of(rollouts[1]) == (
        "2 calls, 100 tokens; centroid at 6%; phase at 6%, in call 1 of 2, before the tools weigh and convert."
    )
    assert "33% of the tokens came without logprobs" in picture_of(rollouts[2])


def test_a_phase_reaches_over_its_gap():
    """A duration counts tokens that have an entropy; the place of its end does not."""
    values = np.full(50, 0.1)
    values[[10, 14, 15]] = 2.0
    values[11:14] = np.nan
    chosen = selection_of([made.candidate(0, Call(values))], LowestCentroid())
    (phase,) = view_of(replace(chosen, config=HEPConfig(5, 80, 2))).rollouts[0].hesitations
    assert (phase.start, phase.stop, phase.mass) == (10, 16, 3)


def test_of_a_receipt_alone_it_says_what_is_missing(usual):
    read = Selection.from_dict(json.loads(json.dumps(usual.to_dict())))
    assert read == usual
    text = read.to_html()
    said = Page(text).text
    assert "★ Rollout 1 won" in said
    assert "read back from its receipt, which holds no timelines" in said
    assert said.count("No timeline is at hand.") == 5
    assert "<svg" not in text


def test_equals_and_identical_rollouts_are_named():
    same = [made.candidate(index, made.call(40, (4,))) for index in range(3)]
    chosen = selection_of(same, LowestCentroid())
    assert "Rollouts 1 and 2 have the same score; of equals the first wins." in reasons(view_of(chosen))


def test_one_that_nobody_scored_or_that_all_failed():
    mute = selection_of([made.candidate(0, said="a", unscored="coverage")], LowestCentroid())
    assert reasons(view_of(mute)) == ["No rollout could be scored, so rollout 0, the first that ended, was taken."]
    text = selection_of([made.candidate(0, error="E: x"), made.candidate(1, error="E: y")], LowestCentroid()).to_html()
    assert "Every rollout failed" in text
    assert "won</strong>" not in text
    with pytest.raises(ConfigError, match="no rollout to choose from"):
        selection_of([], LowestCentroid())


def test_another_selector_is_named_with_its_score(usual):
    other = replace(usual, selector="mean_entropy")
    assert (
        reasons(view_of(other))[0] == "Rollout 1 was ranked first by the selector mean_entropy, with a score of 0.065."
    )
    assert "hesitated earliest" not in other.to_html()


def test_surprisal_is_drawn_where_it_was_weighed():
    def unsure(at):
        return Call(np.full(20, np.nan), signals={"surprisal": [2.0 if place == at else 0.1 for place in range(20)]})

    chosen = selection_of([made.candidate(0, unsure(15)), made.candidate(1, unsure(4))], LowestCentroid("surprisal"))
    view = view_of(chosen)
    assert (view.signal, view.winner.receipt.index, view.winner.mark) == ("surprisal", 1, 0.225)
    assert "what is drawn is their surprisal" in cautions(view)[-1]
    assert "surprisal centroid is the lowest: 0.225" in Page(chosen.to_html()).text


def test_tokens_are_packed_whole_and_candidates_where_it_hesitated_first(usual):
    winner = view_of(usual).winner
    content = unpacked(winner)
    assert content["values"] == [round(value * 1000) for value in winner.signal]
    assert content["texts"] == [text for call in winner.calls for text in call.texts]
    assert content["candidates"]["6"] == [["c6.0", 500], ["c6.1", 250], ["c6.2", 167], [" ", 125]]
    assert content["all"] is True
    few = unpacked(winner, 2)
    assert (sorted(few["candidates"]), few["all"]) == (["5", "6"], False)
    assert unpacked(view_of(usual).rollouts[2])["texts"]
    gap = unpacked(view_of(usual).rollouts[1])["values"]
    assert gap[40:70] == [None] * 30


def test_without_texts_it_says_how_to_keep_them():
    chosen = selection_of([made.candidate(0, Call([0.1, 2.0, 0.1, 0.1]))], LowestCentroid())
    assert "keep_text=True" in cautions(view_of(chosen))[-1]
    assert unpacked(view_of(chosen).winner)["texts"] is None
    assert hesitated(view_of(chosen).winner) == "Hesitated once, at 38%, in call 1 of 1, for 1 token"


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("a\nb\tc", "a\nb\tc"),
        ("\x00\r\x1b", "\u2400\u240d\u241b"),
        ("\u202e\u200b\ufeff", "\\u202e\\u200b\\ufeff"),
        ("\ud800x", "\ufffdx"),
        (
            "\u0645\u06cc\u200c\u062e \u00e9 \U0001f469\u200d\U0001f4bb",
            "\u0645\u06cc\u200c\u062e \u00e9 \U0001f469\u200d\U0001f4bb",
        ),
        (7, "7"),
    ],
    ids=["breaks", "control", "invisible", "surrogate", "joiners", "number"],
)
def test_what_cannot_be_seen_is_shown(said, seen):
    assert shown(said) == seen


def test_clipped_is_one_line_of_at_most_so_many_letters():
    assert clipped("a\n\n b", 9) == "a b"
    assert clipped("x" * 30, 10) == "xxxxxx ..."


def test_what_was_carried_out_and_that_this_is_the_last_stretch(usual):
    commits = ({"tool": "send", "args": {"to": "<x>"}, "key": "k"},)
    text = replace(usual, commits=commits, earlier=(usual,)).to_html()
    assert 'Carried out: send({"to": "<x>"})' in Page(text).text
    assert "this is the last of 2 rounds" in Page(text).text


def test_a_notebook_shows_the_first_of_very_many_rollouts():
    piece = made.large(40, 100, 1)._repr_html_()
    assert piece.count("<svg") == 16
    assert "And 24 rollouts more." in piece


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_notebook_without_the_libraries_falls_back(usual, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    assert usual._repr_html_() is None
    with pytest.raises(ConfigError, match=missing):
        usual.to_html()
