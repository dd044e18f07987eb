from __future__ import annotations

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from report_parts import facts, family, small, task

from ec_agent import Call, Candidate, HEPConfig, Trajectory
from ec_agent.errors import ConfigError
from ec_agent.evaluation.report import html as page
from ec_agent.evaluation.report.html import to_html
from ec_agent.evaluation.report.task_pictures import outcomes
from ec_agent.evaluation.results import TaskResult
from ec_agent.support.extras import installing
from ec_agent.traces.stored import Asked
from ec_agent.visual.drawing import check_installed

VOID = {"meta", "br", "link", "img", "hr", "input"}
HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"


class Page(HTMLParser):
    """Reads strictly: every element must be closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.attributes, self.texts = [], [], [], [], {}
        self.said = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append((tag, dict(attributes).get("id")))

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.said.append(data)
        if self.open and self.open[-1][1]:
            self.texts[self.open[-1][1]] = self.texts.get(self.open[-1][1], "") + data


@pytest.fixture(scope="module")
def report():
    return family(tasks=30, selectors="lowest_centroid,mean_logprob,majority_vote")


@pytest.fixture(scope="module")
def text(report):
    return to_html(report)


def test_it_is_one_whole_file_of_its_own(text):
    found = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert len(text.encode()) < 2_000_000
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    for _, name, value in found.attributes:
        assert not name.startswith("on")
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#")
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {f"#{each}" for each in found.ids}
    assert len(found.ids) == len(set(found.ids))
    references = {value[1:] for _, name, value in found.attributes if name == "xlink:href"}
    assert references <= set(found.ids)


def test_every_row_of_a_table_has_as_many_cells(text):
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    assert len(tables) >= 5
    for table in tables:
        cells = [len(re.findall(r"<t[hd][ >]", row)) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
        assert len(set(cells)) == 1, table[:200]


def test_every_figure_is_there_and_says_what_it_shows(report, text):
    found = Page(text)
    assert found.tags.count("figure") == 4
    assert found.tags.count("svg") == 3 + len(report.summary.selectors)  # of the curves one a selector
    labelled = [value for tag, name, value in found.attributes if tag == "div" and name == "aria-labelledby"]
    assert labelled == ["forest-said", "curves-said", "calibration-said", "confounds-said"]
    for row in report.summary.selectors:
        assert f"{row.name} {row.difference.value:+.3f}" in found.texts["forest-said"]
        assert f"{row.name} {row.curve.accuracy[0]:.3f} to {row.curve.accuracy[-1]:.3f}" in found.texts["curves-said"]
        assert f"{row.name} {row.auroc.value:.2f}" in found.texts["confounds-said"]
    bins = report.summary.selectors[0].calibration
    assert f"in {len(bins)} bins" in found.texts["calibration-said"]
    assert f"{bins[0].success:.2f} of {bins[0].rollouts}" in found.texts["calibration-said"]


def test_the_forest_has_a_mark_and_an_interval_for_each(report):
    rows = [*report.summary.selectors, *report.summary.panel]
    svg = page.figures.forest(report.summary).svg
    widened = sum(row.difference.low is not None for row in rows)
    drawn = re.findall(r"stroke: var\(--(?:accent|second)\); stroke-width: 1\.4", svg)
    assert len(drawn) == widened
    assert 0 < widened < len(rows)  # fewest and most calls never differ in this family: no interval is made up


def test_the_words_and_the_numbers_are_those_of_the_summary(report, text):
    said = " ".join(" ".join(Page(text).said).split())
    for row in report.summary.selectors:
        assert row.verdict.sentence in said
    for words in ("What may be concluded", "What may not be concluded", "not measured again here", "Confound panel"):
        assert words in said


def test_the_same_report_is_the_same_page(report, text):
    assert to_html(report) == text
    assert not re.search(r"20\d\d-\d\d-\d\d", text)


def test_colours_follow_the_page_in_light_dark_and_print(text):
    style = text[text.index("<style>") : text.index("</style>")]
    used = set(re.findall(r"var\((--\w+)\)", text))
    schemes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(schemes) == 3
    for scheme in schemes:
        assert used <= set(re.findall(r"(--\w+):", scheme))
    assert not re.search(r"#(101112|202122|303132|404142)", text)


def test_what_others_said_is_text():
    run = facts(
        file=HOSTILE,
        models=(HOSTILE,),
        failures={f"ValueError: {HOSTILE}": 2},
        settings={"agent": HOSTILE, "temperature": 1, "seed": 0},
    )
    results = [task(HOSTILE + str(place), [-1.0, -2.0], [1, 0], errors={1: HOSTILE}) for place in range(3)]
    results[0] = task(HOSTILE, [-1.0, -2.0], [0, 1], texts={0: HOSTILE})
    text = to_html(small(results, run=run))
    found = Page(text)
    assert "script" not in found.tags
    assert "<script" not in text
    said = "".join(found.said)
    assert said.count(HOSTILE) >= 6  # title, agent, model, file, error, tasks: whole, as text


def test_the_smallest_evaluation_has_a_page():
    text = to_html(small([task("a", [-1.0], [0])]))
    found = Page(text)
    assert "cannot be told" in text
    assert "lowest_centroid was not compared" in text
    assert found.tags.count("svg") == 0  # one task shows nothing but chance
    assert "No charts are drawn: in 0 of 1 task" in " ".join("".join(found.said).split())


def test_rollouts_that_all_failed_have_a_page():
    results = [task(name, [-1.0, -2.0], [0, 0], errors={0: "E: x", 1: "E: x"}) for name in "ab"]
    assert "4 of 4 rollouts failed" in to_html(small(results, "lowest_centroid,mean_logprob", run=facts()))


def test_many_tasks_are_listed_up_to_a_number():
    results = [task(f"task-{place:03}", [-1.0, -2.0], [place % 2, 0]) for place in range(page.MOST_TASKS + 5)]
    text = to_html(small(results))
    assert f"The first {page.MOST_TASKS} of {page.MOST_TASKS + 5} tasks" in text
    assert f"task-{page.MOST_TASKS - 1:03}" in text
    assert f"task-{page.MOST_TASKS:03}" not in text


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_what_is_not_installed_is_named(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"needs? {missing}; run: {re.escape(installing('ec-agent[html]'))}$"):
        check_installed()


def pictured(count=4, most_bytes=None, monkeypatch=None):
    results = [task(f"task-{place:03}", [-1.0, -2.0], [place % 2, 1 - place % 2]) for place in range(count)]
    if most_bytes is not None:
        monkeypatch.setattr("ec_agent.visual.many_selections.MOST_BYTES", most_bytes)
    return results, to_html(small(results, "lowest_centroid,mean_logprob"), results)


def test_ids_and_errors_neither_hide_nor_turn_what_stands_around_them():
    odd = "a\x00b\x1b[31m \u202ec <b>"
    results = [task(odd, [-1.0, -2.0], [1, 0]), task("b", [-1.0, -2.0], [0, 1])]
    run = facts(failures={f"E: {odd}": 1}, models=(odd,))
    text = to_html(small(results, run=run), results)
    assert re.findall("[\x00-\x08\x0b-\x1f\u202a-\u202e]", text) == []
    assert text.count("<bdi>a\u2400b\u241b[31m \\u202ec &lt;b&gt;</bdi>") >= 1
    Page(text)


def test_each_task_has_its_rollouts_and_links_to_them():
    _, text = pictured()
    said = " ".join("".join(Page(text).said).split())
    assert text.count('<details class="picture"') == 4
    assert "task-002: rollout 0 won, wrong; 1 of 2 are right" in said
    assert '<a href="#task-2"><bdi>task-002</bdi></a>' in text
    assert text.count('<script type="text/plain"') == 8


def test_right_and_wrong_rollouts_are_drawn_apart():
    rng = np.random.default_rng(3)
    results = [
        TaskResult(
            f"task {place}",
            tuple(Candidate(index, Trajectory([Call(rng.random(60))])) for index in range(4)),
            np.array([1.0, 0, 0, 0]),
        )
        for place in range(5)
    ]
    figure = outcomes(results, HEPConfig())
    centroids = [[c.trajectory.centroid() for c in result.candidates] for result in results]
    right = np.median([row[0] for row in centroids])
    wrong = np.median([value for row in centroids for value in row[1:]])
    assert f"5 right ones: median {right:.3f}" in figure.description
    assert f"15 wrong ones: median {wrong:.3f}" in figure.description
    assert outcomes([replace(result, correct=np.zeros(4)) for result in results], HEPConfig()) is None


def test_a_page_that_would_be_too_large_names_the_rest(monkeypatch):
    _, text = pictured(6, 30_000, monkeypatch)
    assert 0 < text.count('<details class="picture"') < 6
    assert "ec-agent report RUN --task ID --html FILE draws it" in text
    assert '<a href="#task-5">' not in text


@pytest.mark.parametrize(("mixed", "alike", "drawn"), [(9, 30, False), (10, 0, True), (10, 30, True)])
def test_charts_are_drawn_from_enough_tasks_that_tell_selectors_apart(mixed, alike, drawn):
    results = [task(f"m{place}", [-1.0, -2.0], [place % 2, 1 - place % 2]) for place in range(mixed)]
    results += [task(f"a{place}", [-1.0, -2.0], [1, 1]) for place in range(alike)]
    text = to_html(small(results))
    assert ("<svg" in text) is drawn
    assert (f"in {mixed} of {mixed + alike} tasks some rollouts are right" in text) is not drawn


@pytest.mark.parametrize(("wrong", "drawn"), [(19, False), (20, True)])
def test_centroids_are_drawn_from_enough_right_and_wrong_rollouts(wrong, drawn):
    results = [task(f"t{place}", [-1.0, -2.0], [1, 0 if place < wrong else 1]) for place in range(30)]
    text = to_html(small(results, "lowest_centroid"), results)
    assert ('id="outcomes-said"' in text, 'id="calibration-said"' in text) == (drawn, drawn)
    assert ("fewer than 20 rollouts with a centroid are right" in text) is not drawn


def asked(name, question, expected, correct):
    return replace(task(name, [-1.0, -2.0], correct), asked=Asked(question, expected))


def test_each_question_stands_on_the_page_with_the_expected_answer():
    results = [
        asked("a", f"How many? {HOSTILE}", "391", [1, 0]),
        asked("b", None, "Canberra", [0, 1]),
        asked("c", "Which city?", None, [1, 1]),
        task("d", [-1.0, -2.0], [1, 0]),  # of an older file
    ]
    found = Page(to_html(small(results, "lowest_centroid"), results))
    said = " ".join("".join(found.said).split())
    assert said.count(f"How many? {HOSTILE}") == 2  # in the list, and in full
    assert (said.count("391"), said.count("Canberra"), said.count("Which city?")) == (2, 2, 2)
    assert found.tags.count("dl") == 3


@pytest.mark.parametrize(
    ("correct", "words"),
    [
        ([1, 0, 0], "★ Rollout 0 won."),
        ([0, 1, 1], "✗ Rollout 0 was picked, and it is wrong. Rollouts 1 and 2 were right."),
        ([0, 0, 1], "✗ Rollout 0 was picked, and it is wrong. Rollout 2 was right."),
        ([0, 0, 0], "✗ Rollout 0 was picked, and it is wrong. No rollout was right."),
        ([0.25, 0, 1], "✗ Rollout 0 was picked, and it is 25% right. Rollout 2 was right."),
        ([0.5, 0, 1], "★ Rollout 0 won."),
    ],
)
def test_a_winner_that_was_wrong_has_no_star(correct, words):
    results = [task("a", [-1.0, -2.0, -3.0], correct)]
    text = to_html(small(results, "lowest_centroid"), results)
    said = " ".join("".join(Page(text).said).split())
    assert words in said
    assert ("★" in said) is words.startswith("★")
    assert text.count(" lost") - text[: text.index("</style>")].count(" lost") == (0 if "★" in words else 2)


@pytest.mark.whole_form("two pages of twenty tasks; a list of many is in the short form")
def test_more_tasks_than_a_screen_holds_open_together():
    _, text = pictured(23)
    assert "<summary>3 more</summary>" in text
    assert text.index('<details class="more">') < text.index('id="task-20"')
    _, few = pictured(20)
    assert '<details class="more">' not in few
