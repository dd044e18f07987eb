"""The changelog keeps the form of Keep a Changelog, and has the version that the package has."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def faults(text: str) -> list[str]:
    """What is not in the form, a line for each fault."""
    found = []
    heads = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    if heads[:1] != ["[Unreleased]"]:
        found.append("the first section is not [Unreleased]")
    dates = []
    for head in heads[1:]:
        parts = re.fullmatch(r"\[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d)", head)
        if parts is None:
            found.append(f"{head!r} is not [VERSION] - DATE")
        else:
            dates.append(date.fromisoformat(parts[1]))
    if dates != sorted(dates, reverse=True):
        found.append("the newest version is not the first")
    for head, section in zip(heads, re.split(r"^## .*$", text, flags=re.MULTILINE)[1:], strict=True):
        loose, *blocks = re.split(r"^### ", section, flags=re.MULTILINE)
        kinds = [block.splitlines()[0] for block in blocks]
        found += [f"{head}: {kind!r} is none of {sorted(KINDS)}" for kind in kinds if kind not in KINDS]
        found += [f"{head}: {kind!r} stands twice" for kind in {kind for kind in kinds if kinds.count(kind) > 1}]
        if head == "[Unreleased]":  # it may be loose until it is released
            continue
        found += [f"{head}: nothing is under {block.splitlines()[0]!r}" for block in blocks if "\n- " not in block]
        if "\n- " in loose:
            found.append(f"{head}: entries stand under none of {sorted(KINDS)}")
    return found


def test_the_changelog_is_in_the_form():
    assert faults(TEXT) == []


def test_it_has_the_version_of_the_package():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\n## [{version}] - " in TEXT


IN_FORM = """# Changelog

## [Unreleased]

- a line

### Changed

## [0.2.0] - 2030-02-01

### Added

- a line

### Changed

#### In one place

- a line

## [0.1.0] - 2030-01-01

### Fixed

- a line
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("## [Unreleased]\n", "", "the first section is not"),
        ("2030-02", "2029-02", "the newest version is not"),
        ("## [0.1.0] - ", "## 0.1.0, ", "is not [VERSION] - DATE"),
        ("### Fixed", "### Improved", "'Improved' is none of"),
        ("### Added\n", "### Changed\n", "'Changed' stands twice"),
        ("### Fixed\n", "### Fixed\n\n### Removed\n", "nothing is under 'Fixed'"),
        ("01-01\n", "01-01\n\n- a line\n", "entries stand under none of"),
    ],
)
def test_what_is_not_in_the_form_is_seen(old, new, fault):
    assert faults(IN_FORM) == []
    assert old in IN_FORM
    assert any(fault in said for said in faults(IN_FORM.replace(old, new, 1)))
