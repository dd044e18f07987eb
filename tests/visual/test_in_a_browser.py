"""The pages in a real browser: what is drawn, keys, pointer, dark and small screens, a large page, hostile words."""

from __future__ import annotations

import time

import made
import pytest

from ec_agent.visual.many_selections import page_of_many
from ec_agent.visual.views import view_of

DARK = {"color_scheme": "dark"}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LONGEST = 10.0  # seconds; 3 on a machine of its own: the tests' machine may be busy


@pytest.fixture(scope="module")
def text():
    return made.usual().to_html("What is in the parcel?")


def wide(page):
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def names(page):
    """What has the focus, and which rollouts are open."""
    focus = page.evaluate("(document.activeElement.closest('.rollout') || {}).id")
    return focus, page.eval_on_selector_all(".rollout[open]", "all => all.map(each => each.id)")


@pytest.mark.parametrize(("name", "context"), [("light", {}), ("dark", DARK), ("phone", PHONE)])
def test_it_fits_and_the_winner_is_seen_first(visit, kept, text, name, context):
    def look(page):
        kept(page, f"selection-{name}")
        strips = page.eval_on_selector_all(".plot > svg", "all => all.map(each => each.getBoundingClientRect().width)")
        first = page.locator(".rollout.won").bounding_box()
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return wide(page), strips, first["y"], ground

    over, strips, top, ground = visit(text, look, **context)
    assert over <= 0
    assert len(strips) == 5
    assert max(strips) - min(strips) < 1  # one axis for all
    assert min(strips) > 250
    assert top < 900
    assert ground == ("rgb(20, 23, 27)" if name == "dark" else "rgb(255, 255, 255)")


def test_the_keyboard_leads_from_one_to_the_next(visit, text):
    def look(page):
        seen = []
        page.locator(".rollout > summary").first.focus()
        for key in ("ArrowDown", "ArrowRight", "ArrowUp", "Enter", "Escape"):
            page.keyboard.press(key)
            seen.append(names(page))
        page.keyboard.press("Tab")
        return [*seen, names(page)]

    assert visit(text, look) == [
        ("rollout-2", []),
        ("rollout-0", []),
        ("rollout-2", []),
        ("rollout-2", ["rollout-2"]),
        ("rollout-2", []),
        ("rollout-0", []),
    ]


def test_each_token_tells_its_entropy_and_its_candidates(visit, kept, text):
    def look(page):
        page.locator(".rollout.won > summary").click()
        token = page.locator("#rollout-1 .t").nth(6)
        token.hover()
        hovered = page.locator("#tip").inner_text()
        kept(page, "selection-token")
        token.click()
        page.keyboard.press("ArrowRight")
        at = page.evaluate("document.activeElement.dataset.at")
        next_one = page.locator("#tip").inner_text()
        phase = page.locator("#rollout-1 .p").all_inner_texts()
        page.keyboard.press("Escape")
        return hovered, at, next_one, phase, names(page), page.locator("#tip").is_visible()

    hovered, at, next_one, phase, after, tip = visit(text, look)
    assert "token 7 of 100: 2.50 nats" in hovered
    assert "c6.0" in hovered
    assert "50.0 %" in hovered
    assert "\u2423" in hovered  # a candidate that is a blank
    assert at == "7"
    assert "token 8 of 100: 0.05 nats" in next_one
    assert phase == ["w6 "]
    assert after == ("rollout-1", [])
    assert tip is False


def test_a_button_leads_to_the_hesitation(visit, text):
    def look(page):
        page.locator("#rollout-0 > summary").click()
        page.locator("#rollout-0 .go").nth(1).click()
        page.wait_for_function("document.activeElement.matches('.t')")
        return page.evaluate("document.activeElement.dataset.at"), page.locator("#tip").inner_text()

    at, tip = visit(text, look)
    assert at == "62"
    assert "2.50 nats" in tip
    assert "candidates were not kept" in tip


def test_tokens_without_logprobs_are_grey(visit, text):
    def look(page):
        page.locator("#rollout-3 > summary").click()
        page.locator("#rollout-3 .t").first.hover()
        return page.locator("#rollout-3 .none").count(), page.locator("#tip").inner_text()

    assert visit(text, look) == (12, "token 1 of 12: no logprobs came with it")


def test_a_link_opens_its_rollout(visit, text):
    def look(page):
        page.wait_for_function("document.activeElement.matches('summary')")
        return names(page)

    assert visit(text, look, fragment="#rollout-2") == ("rollout-2", ["rollout-2"])


def test_it_can_be_read_without_scripts(visit, kept, text):
    def look(page):
        page.locator("#rollout-1 > summary").click()
        kept(page, "selection-no-scripts")
        return page.locator("main").inner_text(), page.locator(".go").first.is_visible()

    said, button = visit(text, look, java_script_enabled=False)
    assert "Rollout 1 won" in said
    assert "w0 w1 w2" in said
    assert "6730 g" in said
    assert button is False


def test_hostile_words_do_nothing(visit, kept):
    def look(page):
        for summary in page.locator(".rollout > summary").all():
            summary.click()
        page.wait_for_selector("#rollout-0 .t")
        page.locator("#rollout-0 .t").first.hover()
        kept(page, "selection-hostile")
        return page.locator("#rollout-0 .t").first.inner_text(), page.locator("img, a[href^=javascript]").count()

    assert visit(made.hostile().to_html("".join(made.HOSTILE)), look) == (made.HOSTILE[0], 0)


@pytest.mark.whole_form("it takes seconds to draw, and asks what the others ask of smaller pages")
def test_sixteen_rollouts_of_32000_tokens_open_at_once_and_stay_smooth(visit, kept):
    text = made.large().to_html()
    assert len(text.encode()) < 10_000_000

    def look(page):
        begun = time.perf_counter()
        page.reload(wait_until="load")
        page.locator(".rollout.won").wait_for()
        opened = time.perf_counter() - begun
        page.locator(".rollout.won > summary").click()
        page.wait_for_selector(".rollout.won .t")
        shown = time.perf_counter() - begun - opened
        made_at_once = page.locator(".t").count()
        page.locator(".rollout.won .chunk").last.scroll_into_view_if_needed()
        page.wait_for_selector('.rollout.won [data-at="31999"]')
        page.locator(".rollout.won .go").last.click()
        page.wait_for_function("document.activeElement.matches('.t')")
        page.wait_for_timeout(300)  # what lies around is made
        kept(page, "selection-large")
        place = page.evaluate("document.activeElement.getBoundingClientRect().top")
        return opened, shown, made_at_once, page.locator(".t").count(), place

    opened, shown, at_first, at_last, place = visit(text, look)
    assert opened + shown < LONGEST
    assert 0 < at_first < 4000
    assert at_last < 10_000
    assert 0 < place < 900  # the hesitation is in sight


def test_in_a_notebook_it_styles_nothing_but_itself(visit, kept):
    piece = made.usual()._repr_html_()
    assert "<script" not in piece
    assert "<style" not in piece
    table = "<table><tr><td id='own'>own</td></tr></table>"
    around = f"<!DOCTYPE html><meta charset='utf-8'>{table}<div id='cell'>{piece}</div>"
    style = (
        "(each => JSON.stringify([...each].map(n => [n, each[n]])))(getComputedStyle(document.getElementById('own')))"
    )

    def look(page):
        kept(page, "notebook")
        before = page.evaluate(style)
        sizes = page.eval_on_selector_all("svg", "all => all.map(each => each.getBoundingClientRect().height)")
        page.evaluate("document.getElementById('cell').remove()")
        return before == page.evaluate(style), sizes

    same, sizes = visit(around, look)
    assert same
    assert len(sizes) == 5
    assert all(20 < size < 50 for size in sizes)


def test_a_link_to_one_of_many_opens_it(visit, kept):
    views = [view_of(made.usual(), f"question {number}", [0, 1, 0, 0, 0]) for number in range(3)]

    def look(page):
        page.wait_for_function("document.activeElement.matches('summary')")
        kept(page, "many")
        return page.eval_on_selector_all(".picture[open]", "all => all.map(each => each.id)"), names(page)

    text = page_of_many(views, "Recorded")
    assert "rollout 1 won, right; 1 of 5 are right" in text
    assert visit(text, look, fragment="#task-1-2") == (["task-1"], ("task-1-2", ["task-1-2"]))
