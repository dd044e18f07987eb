"""The README and the pages say what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    (page.name, block)
    for page in PAGES
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
]


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_compile_and_import_what_exists(page, block):
    compile(block, page, "exec")
    for line in block.splitlines():
        # What needs Inspect AI is run, whole, in its own environment: tests/inspect_bridge/test_bridge_page.py.
        if line.startswith(("from ec_agent", "import ec_agent")) and "inspect_ai" not in line:
            exec(line, {})


def test_commands_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for target in re.findall(r"^make (\w+)(?:\s+#|$)", text, flags=re.MULTILINE) + re.findall(r"`make (\w+)`", text):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)[)#]", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_extras_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = re.findall(r"(?:ec-agent|'\.)\[(\w[\w,-]*)\]", text)
    assert {extra for names in named for extra in names.split(",")} <= extras.keys()
    listed = set(
        re.findall(r"^\| `(\w+)` \| \w", (ROOT / "docs/get-started.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert listed == {extra for extra in extras if extra not in ("demo", "docs") and not extra.startswith("dev")}


def test_the_readme_is_read_in_two_minutes():
    assert len(README.splitlines()) < 120
