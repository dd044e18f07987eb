"""A trace file full of markup, shown in a real browser with every token pane open; and what no page may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import made
import pytest
from click.testing import CliRunner

from ec_agent import LowestCentroid, TraceStore
from ec_agent.cli.app import app
from ec_agent.numbers.trajectory import Call
from ec_agent.visual.chosen_anew import selection_of
from ec_agent.visual.page import POLICY


@dataclass
class Recorded:
    selection: Any
    trajectories: Any
    final_actions: Any


def whole(text):
    return text.replace("\ud800", "")  # half of a pair is no text for a database


def full_of_markup():
    """Hostile words in every text of a call: tokens, candidates, tools, node and model."""
    words = made.HOSTILE
    calls = [
        Call(
            [2.0, 0.1, 1.5, *[0.05] * 6],
            texts=words,
            node=whole(words[at]),
            model=whole(words[-at]),
            tools=(made.use(*([words[at]] * 3), words[at]),),
            candidates=tuple(tuple((word, 0.1) for word in words) for _ in words),
        )
        for at in range(len(words))
    ]
    lost = made.candidate(1, *calls[:1], error=" ".join(words))
    return selection_of([made.candidate(0, *calls, said=" ".join(words)), lost], LowestCentroid())


@pytest.fixture
def page_file(tmp_path):
    chosen = full_of_markup()
    file, page = tmp_path / "traces.db", tmp_path / "made.html"
    with TraceStore(file, create=True) as store:
        result = Recorded(chosen, chosen.seen.trajectories, [" ".join(made.HOSTILE), None])
        store.record(result, name=whole("".join(made.HOSTILE)))
    done = CliRunner().invoke(app, ["report", str(file), "--html", str(page)])
    assert done.exception is None
    return page


@pytest.mark.whole_form("each token in turn; test_in_a_browser.py has hostile words in the short form")
def test_nothing_of_a_hostile_trace_file_is_markup(visit, page_file):
    def look(page):
        for summary in page.locator(".rollout > summary").all():
            summary.click()
        page.wait_for_selector("#rollout-0 .t")
        told = []
        for token in page.locator("#rollout-0 .t").all()[: len(made.HOSTILE)]:
            token.hover()
            told.append(page.locator("#tip").inner_text())
        added = page.locator("img, form, base, iframe, a[href^=javascript], main style, #tip script").count()
        return told, added, page.locator("script").count()

    told, added, scripts = visit(page_file.read_text(encoding="utf-8"), look)
    assert added == 0
    assert scripts == 3  # the page's own, and the data of two rollouts
    assert all("<script>alert(1)</script>" in tip for tip in told)  # a candidate, as text


REACHING_OUT = """() => new Promise((done) => {
    const seen = new Set();
    document.addEventListener("securitypolicyviolation", (event) => seen.add(event.effectiveDirective));
    document.body.insertAdjacentHTML("beforeend", `
        <form id="f" action="http://127.0.0.1:9/"><input name="a" value="b"></form>
        <img src="http://127.0.0.1:9/i.png"><iframe src="http://127.0.0.1:9/"></iframe>
        <a id="a" href="javascript:document.title='run'">x</a><span onclick="document.title='run'" id="s">x</span>`);
    const base = document.createElement("base");
    base.href = "http://127.0.0.1:9/";
    document.head.append(base);
    document.getElementById("f").submit();
    document.getElementById("a").click();
    document.getElementById("s").click();
    fetch("http://127.0.0.1:9/").catch(() => {});
    setTimeout(() => done([[...seen], document.title, document.baseURI, location.protocol]), 300);
})"""


def test_even_markup_could_reach_nothing(browser, tmp_path):
    thread, opened = browser
    file = tmp_path / "page.html"
    file.write_text(made.usual().to_html("?"), encoding="utf-8")

    def run():
        around = opened.new_context()
        try:
            page = around.new_page()
            page.goto(file.as_uri())
            return page.evaluate(REACHING_OUT), page.locator("meta[name=referrer]").get_attribute("content")
        finally:
            around.close()

    (violated, title, base, protocol), referrer = thread.submit(run).result()
    assert {"form-action", "base-uri", "img-src", "frame-src", "connect-src"} <= set(violated)
    assert title != "run"
    assert base == file.as_uri()
    assert protocol == "file:"
    assert referrer == "no-referrer"


def test_every_page_has_the_policy():
    assert "form-action 'none'; base-uri 'none'" in POLICY
    assert POLICY.replace("'", "&#39;") in made.usual().to_html("?")
