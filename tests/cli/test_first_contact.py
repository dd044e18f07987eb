"""What a newcomer meets: the list of commands, an example in every help, a first program, completion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fake_openai import FakeOpenAI

from ec_agent.cli import init
from ec_agent.cli.app import HEADINGS, app
from ec_agent.cli.init import EMBEDDED, EXAMPLE
from ec_agent.evaluation.loading import load_tasks
from ec_agent.support.extras import installing

ROOT = Path(__file__).parents[2]


def every_command(group=app, before=()):
    yield before, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, (*before, name))
        else:
            yield (*before, name), command


COMMANDS = dict(every_command())


def ran(*words):
    command = [sys.executable, "-m", "ec_agent.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env={**os.environ})


def test_the_help_has_every_command_once_under_its_heading():
    assert sorted(name for names in HEADINGS.values() for name in names) == sorted(app.commands)
    lines = CliRunner().invoke(app, ["--help"], terminal_width=80).output.splitlines()
    found, heading = {}, ""
    for line in lines:
        if re.fullmatch(r"[A-Z].*:", line):
            heading = line[:-1]
        elif heading in HEADINGS and (word := re.match(r"  (\w+) ", line)):
            found.setdefault(heading, []).append(word[1])
            assert "..." not in line  # it fits in a line
    assert found == {heading: list(names) for heading, names in HEADINGS.items()}


def test_a_command_under_no_heading_is_still_listed():
    class Listed(type(app)):
        pass

    group = Listed(headings={"One": ("a",)}, commands={name: click.Command(name, help="Do.") for name in "ba"})
    out = CliRunner().invoke(group, ["--help"]).output
    assert re.search(r"One:\n  a  Do\.\n\nOthers:\n  b  Do\.\n", out)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "ec-agent")
def test_every_help_has_an_example_of_that_command_that_click_takes(words):
    text = CliRunner().invoke(app, [*words, "--help"]).output
    examples = text.partition("Example")[2].split("\n\n")[0].splitlines()[1:]
    ours = [
        shlex.split(found[1]) for line in examples if (found := re.search(r"(?:^|\| |\()\s*ec-agent ([^|>)]*)", line))
    ]
    assert ours
    assert all(tuple(example[: len(words)]) == words for example in ours)
    for example in ours:
        command, rest = app, [word for word in example if word]
        if not words:
            rest = rest[: next((n for n, word in enumerate(rest) if word.startswith("--")), 1)]
        while isinstance(command, click.Group):
            command = command.commands[rest.pop(0)]
        left = command.make_parser(click.Context(command)).parse_args(rest)
        given = {name for name, value in left[0].items() if value is not None and value != ()}
        assert {each.name for each in command.params if each.required} <= given


def test_init_writes_a_program_of_ten_lines_and_says_what_to_edit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["init"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "my_agent.py").read_text()
    assert len([line for line in text.splitlines() if line]) <= 10
    assert text.count("# EDIT") == 4
    said = done.output.splitlines()
    assert said[0] == "written: my_agent.py"
    assert any("lines of my_agent.py that say EDIT" in line for line in said)
    assert any(line.endswith("python my_agent.py") for line in said)
    assert any("--agent my_agent:agent" in line for line in said)
    assert "pip install" not in done.output


@pytest.mark.parametrize("embedded", [False, True])
def test_init_names_what_is_not_installed(tmp_path, monkeypatch, embedded):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(init, "find_spec", lambda name: None)
    said = CliRunner().invoke(app, ["init", *(["--embedded"] if embedded else [])]).output
    assert "1. install what it uses: pip install langchain langchain-openai" in said
    assert (f"2. install its model: {installing('ec-agent[local]')}\n" in said) is embedded
    assert f". install the statistics: {installing('ec-agent[eval]')}\n" in said


def test_the_task_that_init_shows_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["init"]).output
    (tmp_path / "tasks.jsonl").write_text(re.search(r"a line such as (.*)", said)[1])
    (task,) = load_tasks("tasks.jsonl")
    assert task.id == "1"


@pytest.fixture
def endpoint():
    fake = FakeOpenAI()
    yield fake
    fake.close()


def test_the_program_runs_with_its_endpoint_edited(tmp_path, endpoint):
    program = tmp_path / "my_agent.py"
    assert ran("init", str(program)).returncode == 0
    program.write_text(program.read_text().replace("http://localhost:8000/v1", endpoint.url))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "8 rollouts, lowest centroid first" in done.stdout


@pytest.mark.parametrize("package", ["click", "rich"])
@pytest.mark.parametrize("words", [["demo"], ["score", "-"]], ids=["demo", "score"])
def test_where_one_of_the_command_lines_packages_is_missing_it_is_named(package, words):
    """Other packages bring one of them without the other."""
    code = f"import sys; sys.modules[{package!r}] = None; from ec_agent.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, input="", check=False)
    assert done.returncode == 1
    assert done.stderr == f"the command line needs {package}; run: {installing('ec-agent[cli]')}\n"


@pytest.mark.parametrize("there", ["a file", "a folder", "a link that leads nowhere"])
def test_init_overwrites_nothing(tmp_path, monkeypatch, there):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "my_agent.py"
    make = {"a file": lambda: place.write_text("mine"), "a folder": place.mkdir, "a link that leads nowhere": None}[
        there
    ]
    make() if make else place.symlink_to("nowhere")
    done = CliRunner().invoke(app, ["init"])
    assert done.exit_code != 0
    assert there != "a file" or place.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_agent.py"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my-agent.py", "my-agent.py cannot be imported by its name; give one such as my_agent.py"),
        ("agent.txt", "agent.txt cannot be imported"),
        ("class.py", "class.py cannot be imported"),
        ("nowhere/agent.py", "name a file in a folder that exists"),
        ("json.py", "json.py would hide the module json from everything that imports it; give another name"),
        ("langgraph.py", "would hide the module langgraph"),
        ("ec_agent.py", "would hide the module ec_agent"),
        ("sys.py", "would hide the module sys"),
        ("__main__.py", "would hide the module __main__"),
    ],
)
def test_init_says_which_names_will_do(tmp_path, name, said):
    done = ran("init", str(tmp_path / name))
    assert done.returncode == 1
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.whole_form("a process of its own; the program for an endpoint runs in the short form")
def test_the_embedded_program_runs_as_it_is(tmp_path, endpoint):
    """But for the model, which is a fake one here."""
    program = tmp_path / "my_agent.py"
    assert ran("init", "--embedded", str(program)).returncode == 0
    text = program.read_text()
    assert text.count("# EDIT") == 4
    assert "my-model" not in text  # the server tells another name, and a warning would say so
    assert len([line for line in text.splitlines() if line]) <= 11
    code = f"""
import runpy, types
from ec_agent import local
local.shared_server = lambda: types.SimpleNamespace(base_url={endpoint.url!r})
runpy.run_path({str(program)!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "8 rollouts, lowest centroid first" in done.stdout


@pytest.mark.parametrize("example", [EXAMPLE, EMBEDDED], ids=["example", "embedded"])
def test_the_example_is_written_as_this_repository_is(tmp_path, example):
    (tmp_path / "my_agent.py").write_text(example)
    ruff = [Path(sys.executable).with_name("ruff"), "check", "--config", ROOT / "pyproject.toml", "--ignore=D,INP"]
    done = subprocess.run([*ruff, tmp_path / "my_agent.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_asks_ec_agent(shell):
    done = ran("completion", shell)
    assert done.returncode == 0, done.stderr
    assert f"_EC_AGENT_COMPLETE={shell}_complete" in done.stdout
    variables = {"_EC_AGENT_COMPLETE": f"{shell}_complete", "COMP_WORDS": "ec-agent tra", "COMP_CWORD": "1"}
    if shell == "fish":
        variables["COMP_CWORD"] = "tra"
    asked = subprocess.run(
        [sys.executable, "-m", "ec_agent.cli"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    assert "traces" in re.split(r"[\s,]", asked.stdout)
    assert "\u2409" not in asked.stdout  # a shell reads it: nothing is replaced by a sign that shows it


def test_bash_completes_after_the_script_is_read(tmp_path):
    (tmp_path / "ec-agent").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ec_agent.cli "$@"\n')
    (tmp_path / "ec-agent").chmod(0o755)
    script = """
eval "$(ec-agent completion bash)"
COMP_WORDS=(ec-agent report --ht); COMP_CWORD=2
_ec_agent_completion ec-agent
echo "${COMPREPLY[@]}"
"""
    there = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=there, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split() == ["--html"], done.stderr


@pytest.mark.parametrize("beside", ["a folder", "a package that is elsewhere", "nothing"])
def test_init_takes_a_name_that_hides_nothing(tmp_path, monkeypatch, beside):
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
    if beside != "nothing":
        (mine if beside == "a folder" else other).joinpath("shop_agent").mkdir()
    monkeypatch.syspath_prepend(str(mine))
    monkeypatch.syspath_prepend(str(other))
    done = CliRunner().invoke(app, ["init", str(mine / "shop_agent.py")])
    assert (done.exit_code == 0) is (beside != "a package that is elsewhere"), done.output
