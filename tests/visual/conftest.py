from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
ADVICE = "the pages are tested in Debian's Chromium by Playwright; run as root: apt-get install -y"


@pytest.fixture(scope="session")
def chromium():
    """Path of Debian's Chromium, which is installed where it is missing and this may be done."""
    missing = [] if shutil.which("chromium") else ["chromium"]
    if not _driver_starts():
        missing.append("libatomic1")  # Playwright's Node needs it, and where there is no compiler it may not be there
    if missing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.fail(f"{ADVICE} {' '.join(missing)}")
        for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            done = subprocess.run(["apt-get", "-q", *words], capture_output=True, text=True, timeout=500, check=False)
            if done.returncode:
                pytest.fail(f"{ADVICE} {' '.join(missing)}\n{done.stderr[-2000:]}")
    return shutil.which("chromium")


def _driver_starts():
    node, _ = import_module("playwright._impl._driver").compute_driver_executable()
    return subprocess.run([node, "--version"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def browser(chromium):
    """A browser, and the thread it lives in: its event loop would be in the way of other tests in theirs."""
    with ThreadPoolExecutor(max_workers=1) as thread:

        def start():
            driver = import_module("playwright.sync_api").sync_playwright().start()
            arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            return driver, driver.chromium.launch(executable_path=chromium, args=arguments)

        driver, browser = thread.submit(start).result()
        yield thread, browser
        thread.submit(lambda: (browser.close(), driver.stop())).result()


@pytest.fixture
def visit(browser, tmp_path):
    """``visit(html, look)``: ``look(page)`` is called with the opened page; its result is returned.

    The page must load nothing but itself, and its console must stay empty.
    """
    thread, opened = browser

    def visiting(html, look, *, fragment="", **context):
        file = tmp_path / "page.html"
        file.write_text(html, encoding="utf-8")

        def run():
            around = opened.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
            try:
                page = around.new_page()
                page.set_default_timeout(30_000)
                trouble, asked = [], []
                page.on("console", lambda message: trouble.append(message.text))
                page.on("pageerror", lambda error: trouble.append(str(error)))
                page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
                page.on("request", lambda each: asked.append(each.url))
                page.goto(file.as_uri() + fragment)
                found = look(page)
                assert trouble == []
                assert {url.partition("#")[0] for url in asked} == {file.as_uri()}
                return found
            finally:
                around.close()

        return thread.submit(run).result()

    return visiting


@pytest.fixture
def kept():
    """``kept(page, name)``: a screenshot to look at, under build/screenshots."""

    def keep(page, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return keep
