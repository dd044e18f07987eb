"""Makes an environment of the Makefile, with uv where it can be had and with pip where not.

``python3 .ci/environment.py FOLDER EXTRA [UV]`` makes the virtual environment FOLDER, and installs this package with
that extra in it, by the program UV if another environment has it already. Else pip fetches uv into the environment.
uv takes a quarter of pip's CPU time or less. It does not read pip's settings (index, proxy, certificates), so they
are handed on to it here. Whatever fails about uv, pip does its work.

``--on 3.13`` makes the environment with another Python, which uv finds on this machine or fetches. ``--lowest``
installs the lowest versions that pyproject.toml allows. ``--newest`` brings all packages to their newest, and tells
which of them something holds back. pip can do none of these in its place.

This runs before anything is installed: it needs Python's own library alone.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence

OLDEST = (3, 11)
# What uv is told where other versions are asked for than the newest of a new environment.
VERSIONS = {"": [], "lowest": ["--resolution", "lowest-direct", "--upgrade"], "newest": ["--upgrade"]}

# What is set for pip, and the variable that says the same to uv.
SAME_FOR_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
}
# What changes nothing about which packages are installed, nor where they come from.
MANNERS = {
    *(
        "cache-dir",
        "compile",
        "config-file",
        "debug",
        "disable-pip-version-check",
        "exists-action",
        "log",
        "no-cache-dir",
        "no-color",
    ),
    *("no-compile", "no-input", "no-python-version-warning", "no-warn-script-location", "progress-bar", "quiet"),
    *("require-virtualenv", "retries", "root-user-action", "verbose"),
}
# Of what an installer prints, the lines that tell how far it is; uv and pip, in this order.
TELLING = re.compile(r"\s*(?:Resolved|Downloading|Building|Prepared|Installed) .*|\s*Installing collected packages")
ERROR = re.compile(r"(?i)error|\N{MULTIPLICATION SIGN}")  # how uv and pip begin to say what went wrong


class FailedError(Exception):
    """A step failed; the text says why."""


def main(words: Sequence[str]) -> None:
    """Make the environment that the words name."""
    if sys.version_info < OLDEST:
        needed, this = (".".join(map(str, version)) for version in (OLDEST, sys.version_info[:2]))
        sys.exit(
            f"ec_agent needs Python {needed} or later, and this is {this}; name another: make PYTHON=python3.12 ..."
        )
    asked = read(words)
    began, folder = time.monotonic(), asked.folder
    say(f"making the environment {folder}, with the extra '{asked.extra}'; this is done once")
    try:
        if asked.on and asked.on != ".".join(map(str, sys.version_info[:2])):
            make_environment_on(asked.on, folder, asked.uv)
        else:
            make_environment(folder, python_in(folder))
        install(asked)
    except FailedError as why:
        sys.exit(f"environment: {why}")
    say(f"the environment {folder} is there after {time.monotonic() - began:.0f} s")


def read(words: Sequence[str]) -> argparse.Namespace:
    """What the words ask for."""
    parser = argparse.ArgumentParser(prog=".ci/environment.py")
    parser.add_argument("folder")
    parser.add_argument("extra")
    parser.add_argument("uv", nargs="*")
    parser.add_argument("--on")
    versions = parser.add_mutually_exclusive_group()
    versions.add_argument("--lowest", dest="versions", action="store_const", const="lowest", default="")
    versions.add_argument("--newest", dest="versions", action="store_const", const="newest")
    return parser.parse_args(words)


def lacks(*, headers: bool) -> str:
    """What is not there and is needed to compile a package; empty if all is there.

    Args:
        headers: whether this Python's own headers are needed; a Python that uv fetches has its own.
    """
    compilers = (sysconfig.get_config_var("CC") or "cc").split()[:1]
    if not any(shutil.which(name) for name in (*compilers, "cc", "gcc")):
        return "C compiler"
    if headers and not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        return "Python.h"
    return ""


def extras_of(asked: argparse.Namespace) -> str:
    """The extras to install: of ``dev``, those that are compiled only where they can be."""
    if asked.extra != "dev":
        return str(asked.extra)
    lacking = lacks(headers=not asked.on)
    if not lacking:
        return "dev,dev-compiled"
    say(
        f"there is no {lacking}, so the tests of two task sources, TextWorld and reasoning-gym, are left out; "
        "to have them, on Debian and Ubuntu: apt install gcc python3-dev"
    )
    return "dev"


def install(asked: argparse.Namespace) -> None:
    """Install the package, with uv if that can be.

    Raises:
        FailedError: it could not be installed.
    """
    package, python = ["-e", f".[{extras_of(asked)}]"], python_in(asked.folder)
    installer = os.environ.get("INSTALLER", "uv")
    try:
        if installer != "uv":
            raise FailedError(f"INSTALLER is {installer}")
        install_with_uv(python, [*VERSIONS[asked.versions], *package], asked.uv, tell=asked.versions == "newest")
    except FailedError as why:
        if asked.versions:
            raise FailedError(f"the {asked.versions} versions are not installed: {why}") from None
        say(f"{why}; pip installs instead, which takes some minutes")
        run([python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *package])


def python_in(folder: str) -> str:
    """The Python of an environment."""
    return os.path.join(os.path.abspath(folder), "bin", "python")


def make_environment(folder: str, python: str) -> None:
    """Make the folder, unless a Python with pip is in it."""
    if os.path.exists(python) and works([python, "-m", "pip", "--version"]):
        return
    try:
        run([sys.executable, "-m", "venv", folder])
    except FailedError as why:
        raise FailedError(f"{why}; on Debian and Ubuntu: apt install python3-venv") from None


def make_environment_on(version: str, folder: str, elsewhere: Sequence[str]) -> None:
    """Make the folder with another Python, which uv finds or fetches, unless it is in it.

    Raises:
        FailedError: there is no such Python.
    """
    python = python_in(folder)
    told = "import sys; sys.exit(sys.argv[1] != '.'.join(map(str, sys.version_info[:2])))"
    if os.path.exists(python) and works([python, "-c", told, version]) and works([python, "-m", "pip", "--version"]):
        return
    with tempfile.TemporaryDirectory() as between:  # its pip has the settings; Debian's own Python has no pip
        make_environment(between, python_in(between))
        variables, _ = settings_of(python_in(between))
        uv = next((program for program in elsewhere if works([program, "--version"])), None)
        uv = uv or fetch_uv(python_in(between))
        try:
            run([uv, "venv", "--seed", "--clear", "--python", version, folder], {**variables, **os.environ})
        except FailedError as why:
            raise FailedError(f"no Python {version} is on the PATH, and uv could not fetch it ({why})") from None


def install_with_uv(python: str, what: Sequence[str], elsewhere: Sequence[str], *, tell: bool = False) -> None:
    """Fetch uv into the environment, unless it is there or elsewhere, and have it install the package.

    Args:
        python: of the environment.
        what: to be installed, and options.
        elsewhere: places where uv may be.
        tell: afterwards print which packages are not the newest there are.
    """
    variables, options = settings_of(python)
    own = os.path.join(os.path.dirname(python), "uv")
    uv = next((program for program in (own, *elsewhere) if works([program, "--version"])), None) or fetch_uv(python)
    settings = {**variables, **os.environ}
    try:
        run([uv, "pip", "install", "--python", python, *options, *what], settings)
    except FailedError as why:
        raise FailedError(f"uv could not install ({why})") from None
    if tell:
        say("newer ones of these are there, and something holds them back:")
        subprocess.run([uv, "pip", "list", "--outdated", "--python", python], env=settings, check=False)


def fetch_uv(python: str) -> str:
    """Have pip fetch uv into the environment of this Python; where it is."""
    say("fetching uv, which installs faster than pip")
    try:
        run([python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "uv"])
    except FailedError as why:
        raise FailedError(f"uv cannot be fetched ({why})") from None
    return os.path.join(os.path.dirname(python), "uv")


def settings_of(python: str) -> tuple[dict[str, str], list[str]]:
    """The settings of this Python's pip, for uv."""
    listed = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise FailedError("pip does not tell its settings")
    return settings_for_uv(listed.stdout.splitlines())


def settings_for_uv(
    listed: Sequence[str], exists: Callable[[str], bool] = os.path.exists
) -> tuple[dict[str, str], list[str]]:
    """What ``pip config list`` says, for uv.

    Returns:
        The variables and the options that say the same to uv.

    Raises:
        FailedError: pip is set to something that uv does not know. The text names the setting and not its value, which
            may hold a password.
    """
    settings: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):  # the later counts
        for line in listed:
            name, equals, value = line.partition("=")
            if equals and name.startswith(section):
                settings[name[len(section) :].replace("_", "-")] = str(ast.literal_eval(value))
    variables: dict[str, str] = {}
    options: list[str] = []
    for name, value in settings.items():
        values = value.split()
        if not values or name in MANNERS:
            continue
        if name == "find-links":  # pip only warns of one that is not there
            values = [place for place in values if "://" in place or exists(place)]
            variables[SAME_FOR_UV[name]] = ",".join(values)
        elif name in SAME_FOR_UV:
            variables[SAME_FOR_UV[name]] = " ".join(values)
        elif name in ("pre", "no-index"):
            options += [f"--{name}"] if value.lower() in ("1", "true", "yes", "on") else []
        elif name in ("no-binary", "only-binary"):
            options += [part for each in re.split(r"[\s,]+", value) for part in (f"--{name}", each)]
        else:
            raise FailedError(f"pip is set to '{name}', which uv does not know")
    if "ALL_PROXY" in variables:
        variables["HTTPS_PROXY"] = variables["HTTP_PROXY"] = variables["ALL_PROXY"]
    if "UV_INDEX" in variables:  # as pip does: the newest that any index has
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in variables.items() if value}, options


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Run a command, and show how far it is.

    Raises:
        FailedError: it could not be run, or failed.
    """
    last: list[str] = []
    try:
        with subprocess.Popen(
            command,
            env={**(environment or os.environ), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as running:
            for line in running.stdout or ():
                last = [*last[-200:], line.strip()] if line.strip() else last
                if TELLING.match(line):
                    print("  " + line.strip()[:100], flush=True)
    except OSError as error:
        raise FailedError(f"{os.path.basename(command[0])}: {error.strerror}") from None
    if running.returncode != 0:
        begins = [number for number, line in enumerate(last) if ERROR.match(line)] or [len(last) - 1]
        raise FailedError(" ".join(last[begins[0] :][:3])[:400] if last else f"exit {running.returncode}")


def works(command: Sequence[str]) -> bool:
    """Whether a command can be run, and ends well."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def say(text: str) -> None:
    """Print a line at once."""
    print(f"environment: {text}", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
