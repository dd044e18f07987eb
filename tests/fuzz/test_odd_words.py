"""Whatever somebody writes after ``ec-agent``: it works, or a plain line says what is wrong; never a traceback.

Every option and argument of every command is given every odd word, one at a time, beside valid ones. Where it is
refused, nothing was made.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click
import pytest
from fuzz_cases import TooLong, at_most
from odd_values import PATHS
from valid_stores import lines, tasks, traces

from ec_agent.cli import main
from ec_agent.cli.app import app

WORDS = ("", " ", "xyz", "-1", "0", "3", "0.5", "nan", "inf", "1e400", "9" * 400, "x" * 5000, "a\udcffb", "[1]", "1,2")
PLACES = ("module:name", "math:pi", "os:getcwd", "http://127.0.0.1:9/v1", "http://[", "{}", "@", "@missing")


def agents(folder):
    (folder / "my_agents.py").write_text(
        "from valid_agents import quick\nfrom valid_stores import Asks\ntasks = [Asks('t', 'q')]\nagent = quick\n",
        encoding="utf-8",
    )
    return "my_agents:agent"


def suites(folder):
    agent = agents(folder)
    (folder / "suite.toml").write_text(
        f'agent = "{agent}"\n[[models]]\nname = "m"\nbase_url = "http://127.0.0.1:9/v1"\n'
        f'[[families]]\ntasks = "{tasks(folder)}"\n',
        encoding="utf-8",
    )
    return folder / "suite.toml"


VALID = {
    "calibrate": lambda folder: [traces(folder), "--out", folder / "out.json", "--partial"],
    "commits ls": lambda folder: [traces(folder)],
    "commits settle": lambda folder: [traces(folder), "key", "--not-done"],
    "completion": lambda folder: ["bash"],
    "demo": None,
    "doctor": lambda folder: ["http://127.0.0.1:9/v1", "--model", "m", "--timeout", "0.2"],
    "eval": lambda folder: [tasks(folder), "--agent", agents(folder), "--out", folder / "run.db", "--dry-run"],
    "fetch bfcl": None,
    "fetch larger-model": None,
    "fetch model": None,
    "init": lambda folder: [folder / "mine.py"],
    "report": lambda folder: [traces(folder), "--resamples", "100", "--selectors", "lowest_centroid"],
    "score": lambda folder: [lines(folder)],
    "suite": lambda folder: [suites(folder), "--dry-run"],
    "traces export": lambda folder: [traces(folder), "--parquet", folder / "tables"],
    "traces ls": lambda folder: [traces(folder)],
    "traces merge": lambda folder: [traces(folder), "--into", folder / "merged.db"],
    "traces prune": lambda folder: [traces(folder), "--keep", "1", "--dry-run"],
    "traces show": lambda folder: [traces(folder), "s1"],
    "watch": lambda folder: [lines(folder), "--no-follow"],
}
"""Command -> valid words; ``None`` where it has no options, or asks a model that is there for it (tests/cli)."""


def commands(group=app, name=""):
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name}{word} ")
        else:
            yield f"{name}{word}", command


def said(words, folder, capfd, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["ec-agent", *map(str, words)])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b""), encoding="utf-8"))
    try:
        with at_most(8.0):
            main()
    except SystemExit as left:
        code = left.code or 0
    except TooLong:
        return 0, "takes longer than 8 seconds: Traceback"
    seen = capfd.readouterr()
    return code, seen.out + seen.err


def replaced(words, parameter, place, odd):
    """The words with the odd one in the place of the argument, or after the option."""
    if isinstance(parameter, click.Argument):
        return [*words[:place], odd, *words[place + 1 :]]
    name = parameter.opts[-1]
    if name in words:
        at = words.index(name)
        return [*words[: at + 1], odd, *words[at + 2 :]]
    return [*words, f"{name}={odd}"]


@pytest.mark.parametrize("name", [name for name, _ in commands() if VALID[name] is not None])
def test_every_odd_word_is_taken_or_refused_in_a_plain_line(name, tmp_path, capfd, monkeypatch):
    command = dict(commands())[name]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("ec_agent.evaluation.report.html.to_html", lambda *_: "")  # drawing takes its time
    wrong = []
    given = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    for parameter in command.params:
        if getattr(parameter, "is_flag", False):
            continue
        place = given.index(parameter) if parameter in given else 0
        for number, odd in enumerate((*WORDS, *PLACES, *PATHS)):
            folder = tmp_path / f"{parameter.name}{number}"
            folder.mkdir()
            words = [*name.split(), *replaced(VALID[name](folder), parameter, place, shaped(odd, folder))]
            before = sorted(folder.rglob("*"))
            code, seen = said(words, folder, capfd, monkeypatch)
            what = f"{parameter.name} {odd[:20]!r} ({code}): {seen.strip()[:60]} ... {seen.strip()[-240:]}"
            if "Traceback" in seen:
                wrong.append(what)
            elif code in (1, 2) and not seen.strip():
                wrong.append(f"says nothing: {what}")
            elif code == 2 and sorted(folder.rglob("*")) != before:
                wrong.append(f"refused after it had made something: {what}")
    assert not wrong, "\n".join(wrong)


def shaped(odd: str, folder: Path) -> str:
    if odd not in PATHS:
        return odd
    made = folder / "odd"
    made.mkdir()
    (made / "binary").write_bytes(bytes(range(256)) * 32)
    (made / "empty").touch()
    (made / "loop").symlink_to("loop")
    (made / "dead").symlink_to("nowhere/at/all")
    path = PATHS[odd](folder)
    return path.decode() if isinstance(path, bytes) else str(path)


def test_no_command_is_forgotten():
    assert sorted(VALID) == sorted(name for name, _ in commands())
