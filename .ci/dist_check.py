"""Checks what is about to be released: the files in dist/, and what a user meets who installs them.

``dist_check.py files`` looks at the wheel and the source distribution. ``dist_check.py installed`` installs the wheel
into empty environments, without extras and with each of them alone: every public name is imported, every command is
run, and what is missing must be said in one line that names the extra; mypy and pyright see the types in a user's file.
``make dist`` and ``make dist-check`` run it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BESIDE = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore", "CITATION.cff"}
NAMES_EXTRA = re.compile(r"pip install ('\S+\[\w+\]'|langchain)|clone the repository")

AGENT = """
from ec_agent.testing import Reply, ScriptedChatModel


def agent():
    model = ScriptedChatModel([[Reply(f"4 {each}", entropies=[0.1, each])] for each in (0.2, 0.4)])
    return lambda state: {"messages": [model.invoke(state["messages"])]}
"""
TASKS = "".join(
    json.dumps({"id": f"t{n}", "input": "2 + 2?", "expected": f"4 0.{n % 2 * 2 + 2}", "match": "contains"}) + "\n"
    for n in range(24)  # a probability is fitted to 20 or more
)
# The command, and the extra with which it must work. Without that extra it works, or says in a line what is missing.
COMMANDS = {
    "--version": "cli",
    "init": "cli",
    "completion bash": "cli",
    "score scored.jsonl": "cli",
    "eval tasks.jsonl --agent mine:agent --n 2 --no-greedy --out run.db": "cli",
    "traces ls run.db": "cli",
    "traces show run.db r1": "cli",
    "traces merge run.db --into merged.db": "cli",
    "traces prune run.db --keep 1 --yes": "cli",
    "traces export run.db --parquet tables": "parquet",
    "watch run.db --no-follow": "cli",
    "report run.db --resamples 100": "eval",
    "report run.db --resamples 100 --html page.html": "eval",
    "calibrate run.db --repeats 1": "eval",
    "report run.db --resamples 100 --probability": "calibrate",
    "eval sums --agent mine:agent --limit 1 --dry-run": "cli",
    "eval reasoning_gym:basic_arithmetic --agent mine:agent --limit 1 --dry-run": "tasks",
    "eval textworld:2-2-2 --agent mine:agent --limit 1 --dry-run": "tasks",
    "eval agentdojo:workspace --agent mine:agent --limit 1 --dry-run": "tasks",
    "traces ls postgresql://127.0.0.1:9/x": "",
    "doctor http://127.0.0.1:9/v1 --model m --timeout 1": "",
    "fetch model --help": "cli",
    "suite --help": "cli",
    "commits --help": "cli",
    "demo": "",
}

TYPED = """
from ec_agent import BestOfNResult, HEPConfig, Limits, best_of_n, entropy_centroid
from ec_agent.judges import PTrue
from ec_agent.selectors import LowestCentroid, MajorityVote, MeanEntropy, Shortest, TailEntropy
from ec_agent.stopping import Agreement, OutOfReach
from ec_agent.testing import Reply, ScriptedChatModel

model = ScriptedChatModel([[Reply("a")]])


def ask(question: str) -> int:
    for selector in (LowestCentroid(), MajorityVote(), MeanEntropy(), Shortest(), TailEntropy(), PTrue(model)):
        best_of_n(model, n=2, selector=selector, stop=OutOfReach(), limits=Limits(timeout=3.0))
    result: BestOfNResult = best_of_n(model, n=2, stop=Agreement()).run({"messages": [("user", question)]})
    return result.selection.winner


config = HEPConfig(1, 80, 2)
number: float | None = entropy_centroid([0.1, 2.0], config)
wrong: str = config.consecutive_low
"""


def main() -> None:
    """Run the checks that the word names."""
    faults = list({"files": files, "installed": installed}[sys.argv[1]]())
    for fault in faults:
        print(f"fault: {fault}", flush=True)
    print(f"{sys.argv[1]}: {len(faults)} faults" if faults else f"{sys.argv[1]}: as it should be")
    sys.exit(bool(faults))


def built(ending: str) -> Path:
    """The one file in dist/ that ends so."""
    (path,) = (ROOT / "dist").glob(f"*{ending}")
    return path


def files() -> Iterator[str]:
    """What is wrong with the two files."""
    wheel, source = built(".whl"), built(".tar.gz")
    for command in (["twine", "check", "--strict", wheel, source], ["check-wheel-contents", wheel]):
        done = subprocess.run([Path(sys.executable).with_name(str(command[0])), *command[1:]], check=False)
        if done.returncode:
            yield f"{command[0]} refuses them"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = f"ec_agent-{PROJECT['version']}.dist-info/"
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    yield from wrong_names(names, inside, about)


def wrong_names(wheel: set[str], source: set[str], about: str) -> Iterator[str]:
    """What is in one of the files and should not be, or is missing.

    Args:
        wheel: the names in the wheel.
        source: the names in the source distribution.
        about: the folder of metadata in the wheel.
    """
    for name in sorted(wheel):
        if not name.startswith(("ec_agent/", about)):
            yield f"the wheel has {name}"
        elif re.search(r"(^|/)(tests?/|test_|conftest)", name):
            yield f"the wheel has a test: {name}"
    tracked = {f"ec_agent/{path.relative_to(ROOT / 'ec_agent').as_posix()}" for path in packaged()}
    for name in sorted({*tracked, f"{about}licenses/LICENSE"} - wheel):
        yield f"the wheel lacks {name}"
    for name in sorted(tracked - source):
        yield f"the source distribution lacks {name}"
    for name in sorted(source):
        if name not in BESIDE and not name.startswith("ec_agent/"):
            yield f"the source distribution has {name}"


def packaged() -> Iterator[Path]:
    """Each file of the package."""
    for path in (ROOT / "ec_agent").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def installed() -> Iterator[str]:
    """What is wrong where the wheel is installed without extras, and with each alone."""
    extras = [name for name in PROJECT["optional-dependencies"] if not name.startswith("dev") and name != "docs"]
    only = set(sys.argv[2:])
    for extra in ["", *extras]:
        if only and (extra or "none") not in only:
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            python = installing(folder, [f"{built('.whl')}[{extra}]" if extra else str(built(".whl"))])
            print(f"with {extra or 'no extra'}", flush=True)
            yield from (f"with {extra or 'no extra'}: {fault}" for fault in met(python, folder, extra))
    if not only or "types" in only:
        with tempfile.TemporaryDirectory() as name:
            yield from types(Path(name))


def installing(folder: Path, what: list[str]) -> Path:
    """Make an environment with uv, and install into it; the Python in it."""
    uv, python = Path(sys.executable).with_name("uv"), folder / "venv" / "bin" / "python"
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    variables, options = environment.settings_for_uv(listed.stdout.splitlines())
    settings = {**variables, **os.environ}
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True, env=settings)
    command = [uv, "pip", "install", "--quiet", "--python", python, *options, *what]
    subprocess.run(command, check=True, env=settings)
    return python


def met(python: Path, folder: Path, extra: str) -> Iterator[str]:
    """What a user meets who has this extra alone."""
    probe = [python, Path(__file__).with_name("dist_probe.py")]
    done = subprocess.run(probe, cwd=folder, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        yield f"the imports end in {done.stderr.splitlines()[-1:]}"
    else:
        yield from json.loads(done.stdout)["faults"]
    for name, text in (("mine.py", AGENT), ("tasks.jsonl", TASKS), ("scored.jsonl", '{"entropies": [0.1, 2, 0.1]}\n')):
        (folder / name).write_text(text, encoding="utf-8")
    has = with_it(extra)
    for words, needs in COMMANDS.items() if "cli" in has else [("--version", "cli"), ("demo", "")]:
        done = subprocess.run(
            [python.with_name("ec-agent"), *shlex.split(words)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        yield from wrong_end(
            words, done.returncode, done.stdout + done.stderr, works=bool(needs) and {"cli", needs} <= has
        )


def with_it(extra: str) -> set[str]:
    """The extra, and those that it includes."""
    found = {extra}
    for requirement in PROJECT["optional-dependencies"].get(extra, ()):
        if inner := re.match(r"ec-agent\[([\w,]+)\]", requirement):
            found |= {each for name in inner[1].split(",") for each in with_it(name)}
    return found


def wrong_end(words: str, code: int, said: str, *, works: bool) -> Iterator[str]:
    """What is wrong with how a command ended."""
    what = f"ec-agent {words} ({code})"
    if "Traceback" in said:
        yield f"{what} ends in a traceback: {said.splitlines()[-1]}"
    elif works and code:
        yield f"{what} does not work: {said.strip().splitlines()[-1:]}"
    elif code == 1 and not words.startswith(("doctor", "traces ls postgres")):
        last = said.strip().splitlines()[-1]
        if not NAMES_EXTRA.search(last):
            yield f"{what} does not name what to install: {last}"


def types(folder: Path) -> Iterator[str]:
    """Whether type checkers see the package's types in a user's file, its one mistake included."""
    python = installing(folder, [str(built(".whl")), "mypy", "pyright[nodejs]"])
    (folder / "mine.py").write_text(TYPED, encoding="utf-8")
    line = TYPED.splitlines().index("wrong: str = config.consecutive_low") + 1
    for checker in (["mypy", "--strict", "mine.py"], ["pyright", "--pythonpath", str(python), "mine.py"]):
        command = [python.with_name(checker[0]), *checker[1:]]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        errors = [text for text in done.stdout.splitlines() if re.search(r"\berror\b:", text)]
        print(f"{checker[0]}: {errors}", flush=True)
        if len(errors) != 1 or f":{line}" not in errors[0]:
            yield f"{checker[0]} does not see the types: {done.stdout.strip()[-400:]} {done.stderr.strip()[-400:]}"


if __name__ == "__main__":
    main()
