"""Makes the files say a version: ``python3 .ci/release.py 0.1.0``, before it is checked, committed and tagged.

What stands under ``[Unreleased]`` in CHANGELOG.md goes to the version's section, kind by kind; the section is made,
unless an earlier try made it. The version is written to pyproject.toml, the package and CITATION.cff, with today's date
(``--date 2030-01-31``). docs/contributing.md has the steps after that.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
LATE = "#### Late before the release"  # where a kind's lines stand under headings of their own


class RefusedError(Exception):
    """The files cannot say that version; the text says why."""


def main() -> None:
    """Write the version to all files that name it."""
    parser = argparse.ArgumentParser(prog=".ci/release.py", description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--date", type=date.fromisoformat, default=date.today())
    asked = parser.parse_args()
    tagged = subprocess.run(["git", "tag"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    try:
        files = released({name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}, asked, tagged)
    except RefusedError as why:
        sys.exit(f"release: {why}")
    for name, text in files.items():
        (ROOT / name).write_text(text, encoding="utf-8")
        print(f"{name} says {asked.version}")


NAMES = {
    "CHANGELOG.md": (),
    "pyproject.toml": ((r'^version = ".*"$', 'version = "{version}"'),),
    "ec_agent/__init__.py": ((r'^__version__ = ".*"$', '__version__ = "{version}"'),),
    "CITATION.cff": ((r"^version: .*$", "version: {version}"), (r"^date-released: .*$", 'date-released: "{date}"')),
}


def released(files: dict[str, str], asked: argparse.Namespace, tagged: list[str]) -> dict[str, str]:
    """The files as they are in the release.

    Raises:
        RefusedError: the version is none, or was released.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", asked.version):
        raise RefusedError(f"{asked.version} is no version such as 0.1.0")
    if f"v{asked.version}" in tagged:
        raise RefusedError(f"{asked.version} was released: there is a tag v{asked.version}; take the next version")
    made = {}
    for name, text in files.items():
        for pattern, line in NAMES[name]:
            text, count = re.subn(
                pattern, line.format(version=asked.version, date=asked.date), text, flags=re.MULTILINE
            )
            if count != 1:
                raise RefusedError(f"{name} has {count} lines like {pattern}, and not one")
        made[name] = text
    return {**made, "CHANGELOG.md": folded(files["CHANGELOG.md"], asked.version, asked.date)}


def folded(changelog: str, version: str, on: date) -> str:
    """The changelog, with what is unreleased in the section of the version."""
    head, *sections = re.split(r"^(?=## )", changelog, flags=re.MULTILINE)
    if not sections or not sections[0].startswith("## [Unreleased]"):
        raise RefusedError("the first section of CHANGELOG.md is not [Unreleased]")
    top, *news = sections[0].split("\n### ")
    if "\n- " in top:
        raise RefusedError("entries of [Unreleased] stand under no kind, such as ### Added")
    at = next((at for at, text in enumerate(sections) if text.startswith(f"## [{version}]")), None)
    before, *kinds = sections[at].split("\n### ") if at else ["## \n"]
    blocks = dict(kind.split("\n", 1) for kind in kinds)
    for kind, lines in (block.split("\n", 1) for block in news):
        had = blocks.get(kind, "")
        apart = f"\n{LATE}\n" if "\n#### " in had and LATE not in had else ""
        blocks[kind] = "\n" + "\n".join(part for part in (had.strip("\n"), apart, lines.strip("\n")) if part) + "\n"
    if not any(text.strip() for text in blocks.values()):
        raise RefusedError(f"CHANGELOG.md has nothing for {version}")
    intro = before.partition("\n")[2].strip("\n")
    made = [f"## [{version}] - {on}\n", *([f"{intro}\n"] if intro else [])]
    order = sorted(blocks, key=lambda kind: KINDS.index(kind) if kind in KINDS else len(KINDS))
    made += [f"### {kind}\n\n" + blocks[kind].strip("\n") + "\n" for kind in order if blocks[kind].strip()]
    rest = [text for number, text in enumerate(sections[1:], 1) if number != at]
    return "".join([head, "## [Unreleased]\n\n", "\n".join(made), *(["\n"] if rest else []), *rest])


if __name__ == "__main__":
    main()
