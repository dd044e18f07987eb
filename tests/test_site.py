"""The documentation builds into a site: no link leads nowhere, and no page loads anything from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ec_agent

ROOT = Path(__file__).parents[1]


def build(root: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("zensical"), "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", root / "docs")
    shutil.copy(ROOT / "zensical.toml", root)
    done = build(root)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def test_every_page_is_in_it_and_in_its_navigation(site):
    named = set(re.findall(r'"([\w-]+)\.md"', (ROOT / "zensical.toml").read_text(encoding="utf-8")))
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} == named
    assert all((site / "site" / f"{name}.html").exists() for name in named)


def test_nothing_is_loaded_from_elsewhere(site):
    for path in (site / "site").rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="(http[^"]*)"', path.read_text(encoding="utf-8"))
        loaded += re.findall(r'<link[^>]* rel="stylesheet"[^>]* href="(http[^"]*)"', path.read_text(encoding="utf-8"))
        assert not loaded, path.name


def test_every_public_name_is_in_the_reference(site):
    page = (site / "site" / "reference.html").read_text(encoding="utf-8")
    ids = {name.rpartition(".")[2] for name in re.findall(r'id="(ec_agent\.[\w.]+)"', page)}
    assert sorted(set(ec_agent.__all__) - ids) == []


@pytest.mark.whole_form("it builds the site a second time")
def test_a_link_that_leads_nowhere_fails_the_build(site, tmp_path):
    shutil.copytree(site / "docs", tmp_path / "docs")
    shutil.copy(site / "zensical.toml", tmp_path)
    with (tmp_path / "docs" / "faq.md").open("a", encoding="utf-8") as page:
        page.write("\n[nowhere](no-such-page.md)\n")
    assert build(tmp_path).returncode != 0
