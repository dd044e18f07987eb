"""Takes the pictures of docs/pictures.md; that page has the commands.

python tests/visual/take_pictures.py demo.html report.html docs/pictures
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

LATER = "[...document.querySelectorAll('h2')].find(each => /right and wrong/.test(each.textContent)).scrollIntoView()"
TO_TOP = "each => scrollTo(0, each.closest('.rollout').getBoundingClientRect().top + scrollY - 10)"


def take(demo: Path, report: Path, folder: Path) -> None:
    """Open the pages and photograph them."""
    folder.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])

        def opened(path, width=1100, height=1000, **context):
            page = browser.new_context(viewport={"width": width, "height": height}, **context).new_page()
            page.goto(path.resolve().as_uri())
            return page

        opened(demo).screenshot(path=folder / "selection.png")
        opened(demo, 390, 844, color_scheme="dark", device_scale_factor=1.5).screenshot(path=folder / "phone.png")
        page = opened(demo, height=1100)
        last = page.locator(".rollout").last  # the one that came in last
        last.locator("summary").first.click()
        last.locator(".go").first.click()
        token = last.locator(".t:focus")
        token.evaluate(TO_TOP)
        page.wait_for_timeout(500)
        token.hover()
        page.screenshot(path=folder / "tokens.png")
        page = opened(report, height=560)
        page.evaluate(LATER)
        page.screenshot(path=folder / "outcomes.png")


if __name__ == "__main__":
    take(*map(Path, sys.argv[1:]))
