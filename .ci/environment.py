"""Makes an environment of the Makefile, with uv where it can be had and with pip where not.

``python3 .ci/environment.py FOLDER EXTRA [UV]`` makes the virtual environment FOLDER, and installs this package with
that extra in it, by the program UV if another environment has it already. Else pip fetches uv into the environment.
uv takes a quarter of pip's CPU time or less. It does not read pip's settings (index, proxy, certificates), so they
are handed on to it here. Whatever fails about uv, pip does its work.

This runs before anything is installed: it needs Python's own library alone.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

OLDEST = (3, 11)

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
    folder, extra, installer = words[0], words[1], os.environ.get("INSTALLER", "uv")
    if sys.version_info < OLDEST:
        needed, this = (".".join(map(str, version)) for version in (OLDEST, sys.version_info[:2]))
        sys.exit(
            f"ec_agent needs Python {needed} or later, and this is {this}; name another: make PYTHON=python3.12 ..."
        )
    began, python = time.monotonic(), os.path.join(os.path.abspath(folder), "bin", "python")
    say(f"making the environment {folder}, with the extra '{extra}'; this is done once")
    package = ["-e", f".[{extra}]"]
    try:
        make_environment(folder, python)
        try:
            if installer != "uv":
                raise FailedError(f"INSTALLER is {installer}")
            install_with_uv(python, package, words[2:])
        except FailedError as why:
            say(f"{why}; pip installs instead, which takes some minutes")
            run([python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *package])
    except FailedError as why:
        sys.exit(f"environment: {why}")
    say(f"the environment {folder} is there after {time.monotonic() - began:.0f} s")


def make_environment(folder: str, python: str) -> None:
    """Make the folder, unless a Python with pip is in it."""
    if os.path.exists(python) and works([python, "-m", "pip", "--version"]):
        return
    try:
        run([sys.executable, "-m", "venv", folder])
    except FailedError as why:
        raise FailedError(f"{why}; on Debian and Ubuntu: apt install python3-venv") from None


def install_with_uv(python: str, package: Sequence[str], elsewhere: Sequence[str]) -> None:
    """Fetch uv into the environment, unless it is there or elsewhere, and have it install the package."""
    listed = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise FailedError("pip does not tell its settings")
    variables, options = settings_for_uv(listed.stdout.splitlines())
    own = os.path.join(os.path.dirname(python), "uv")
    uv = next((program for program in (own, *elsewhere) if works([program, "--version"])), None)
    if uv is None:
        uv = own
        say("fetching uv, which installs faster than pip")
        try:
            run([python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "uv"])
        except FailedError as why:
            raise FailedError(f"uv cannot be fetched ({why})") from None
    try:
        run([uv, "pip", "install", "--python", python, *options, *package], {**variables, **os.environ})
    except FailedError as why:
        raise FailedError(f"uv could not install ({why})") from None


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
