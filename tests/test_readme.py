"""The README and the pages say what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import ec_agent
from ec_agent.rollouts.options import Options

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


def test_every_setting_is_named_with_its_default():
    signature = " ".join(re.search(r"`best_of_n\(agent, (.*?)\)`;", README, flags=re.DOTALL).group(1).split())
    given = eval(f"dict({signature})", {**vars(ec_agent), **{n: getattr(ec_agent, n) for n in ec_agent.__all__}})
    options = Options()
    assert list(given) == list(Options.__slots__)
    assert given == {name: getattr(options, name) for name in Options.__slots__}


def test_commands_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE) + re.findall(r"`make (\w+)`", README):
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
    listed = set(re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE))
    assert listed == {extra for extra in extras if extra != "demo" and not extra.startswith("dev")}
