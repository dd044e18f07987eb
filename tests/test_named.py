"""What the pages name exists: every command with its options, every file, every name of the package."""

from __future__ import annotations

import importlib.machinery
import re
import shlex
from pathlib import Path

import click
import pytest

import ec_agent
from ec_agent.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTION = re.compile(r"^--?[a-z][\w-]*")
# Options that pages name by themselves (`--fresh`), where they belong to programs of others or to scripts of ours.
ELSEWHERE = {
    "--enable-auto-tool-choice",  # vLLM's
    "--tool-call-parser",
    "--max-logprobs",
    "--no-enable-prefix-caching",
    "--jinja",  # llama.cpp's
    "--kv-unified",
    "--parallel",
    "--logprobs",  # Inspect's
    "--top-logprobs",
    "--no-fail-on-error",
    "--score-on-error",
    "--epochs",
    "--epochs-reducer",
    "--solver",
    "--strict",
    "--docs",  # python -m benchmarks
    "--seed",  # make chaos
    "--only",  # make cluster
    "--nodes",
    "--array",  # SLURM's
    "--working-dir",  # Ray's
    "--runtime-env-json",
}
# Files that pages name and a user's own command writes, or another program.
WRITTEN = {
    "runs/TASKS-AGENT.db",
    "runs/TASKS-AGENT-shard-3-16.db",
    "tasks.jsonl",
    "my_agent.py",
    "build/screenshots",
    "entropy_results.jsonl",
    "test.jsonl",  # LiveCodeBench's
    "requirements.txt",  # SynLogic's
    "requirements-eval.txt",  # BigCodeBench's
    "task2verifier.py",
    "page.html",
}
# The first parts of names of events, feedback and span attributes, which no module has.
TOLD = {"call", "centroid", "config", "coverage", "n", "rollout", "score", "select", "selected", "selection"}
TOLD |= {"selector", "selector_usage", "usage"}


def shell_lines(text: str) -> list[str]:
    """The commands of the blocks for a shell, a command a line."""
    blocks = re.findall(r"```(?:bash|console)\n(.*?)```", text, flags=re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def commands(text: str) -> list[list[str]]:
    """Each use of ``ec-agent`` on a page, in a block or in a line, as its words after the program's name."""
    spans = re.findall(r"`([^`\n]+)`", text)
    parts = [part for line in [*shell_lines(text), *spans] for part in re.split(r"\s[|;&]+\s", line.split("  #")[0])]
    ours = [re.fullmatch(r"\s*(?:\$ )?(?:\.venv/bin/)?ec-agent(?:\s+(.*))?", part) for part in parts]
    return [shlex.split((found[1] or "").replace("...", ""), comments=True) for found in ours if found]


def wrong_in(words: list[str]) -> str | None:
    """What a command's words name that the command line does not have."""
    command: click.Command = app
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        if name not in command.commands:
            return name
        command = command.commands[name]
    known = {spelled for parameter in command.params for spelled in (*parameter.opts, *parameter.secondary_opts)}
    named = {word.split("=")[0] for word in words if OPTION.match(word)}
    return next(iter(sorted(named - known - {"--help", "--version"})), None)


def all_options(command: click.Command = app) -> set[str]:
    found = {spelled for parameter in command.params for spelled in parameter.opts}
    for within in command.commands.values() if isinstance(command, click.Group) else ():
        found |= all_options(within)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_ours_has_the_options_it_is_given(page):
    wrong = {" ".join(words): wrong_in(words) for words in commands(page.read_text(encoding="utf-8"))}
    assert not {line: name for line, name in wrong.items() if name}


def test_commands_are_found_where_pages_have_them():
    text = "`ec-agent nope x`\n```bash\nprogram | ec-agent watch --nope -\nec-agent eval t \\\n  --nope=1  # why\n```"
    assert [wrong_in(words) for words in commands(text)] == ["--nope", "--nope", "nope"]
    assert sum(len(commands(page.read_text(encoding="utf-8"))) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_exists(page):
    text = page.read_text(encoding="utf-8")
    spans = " ".join(re.findall(r"`([^`\n]+)`", text))
    named = set(re.findall(r"(?<!\S)--[a-z][\w-]*", spans))
    assert not named - all_options() - ELSEWHERE - {"--help", "--version"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_exists(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|json|jsonl|toml|db|sh))`", text)
    named += re.findall(r"(?<![\w/])((?:docs|tests|benchmarks|examples|findings|graphs)/[\w./-]*\w)", text)
    named += re.findall(r"(?<![\w/])(ec_agent/\w+(?:\.py|/[\w./]*))", text)  # `ec_agent/shortest` is an Inspect reducer
    named += [word for line in shell_lines(text) for word in re.findall(r"(?:tests|benchmarks)/[\w/]+\.py", line)]
    assert not {name for name in named if not (ROOT / name).exists()} - WRITTEN


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_of_the_package_exists(page):
    named = set(re.findall(r"(?<![\w./`{])`?ec_agent((?:\.\w+)+)", page.read_text(encoding="utf-8")))
    named = {name[1:] for name in named if name.split(".")[1] not in TOLD}
    assert not {name for name in named if not exists(ec_agent, name.split("."))}


def exists(thing: object, names: list[str]) -> bool:
    for name in names:
        inner = getattr(thing, name, None)
        if inner is None and (path := getattr(thing, "__path__", None)) is not None:
            place = f"{thing.__name__}.{name}"
            found = importlib.machinery.PathFinder.find_spec(place, path)
            if found and name == names[-1]:  # what it needs (Inspect AI, say) may not be here
                return True
            inner = found and importlib.import_module(place)
        if inner is None:
            return False
        thing = inner
    return True


def test_a_name_that_is_gone_is_seen():
    assert exists(ec_agent, ["live", "log"])
    assert exists(ec_agent, ["evaluation", "inspect_ai"])
    assert not exists(ec_agent, ["live", "lgo"])
    assert not exists(ec_agent, ["visul"])


def modules_in(row: str) -> list[str]:
    """The modules that a row of the table "Where something belongs" names; the first in a room names the room."""
    found, room = [], ""
    for name in re.findall(r"`([a-z_]+(?:/[a-z_]+)*/?)`", row):
        room = (
            name[: name.rindex("/") + 1] if "/" in name and (ROOT / "ec_agent" / name.split("/")[0]).exists() else room
        )
        found.append(name if name.startswith(room) else room + name)
    return found


def test_every_module_on_the_page_of_rooms_exists():
    page = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.partition("| you look for |")[2].splitlines()[2:] if line.startswith("|")]
    named = {row[1]: modules_in(row[2]) for row in rows}
    assert len(named) > 25
    assert sum(map(len, named.values())) > 100
    missing = [name for names in named.values() for name in names if not module_or_room(name)]
    assert missing == []


def module_or_room(name: str) -> bool:
    place = ROOT / "ec_agent" / name
    return place.is_dir() if name.endswith("/") else place.with_suffix(".py").exists()
