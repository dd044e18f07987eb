"""``ec-agent doctor``: what a model's answers are worth to the centroid, and what to set."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from langchain_core.runnables import Runnable
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ec_agent.doctor.chat_model import ChatModelTarget
from ec_agent.doctor.endpoint import EndpointTarget
from ec_agent.doctor.questions import diagnose
from ec_agent.doctor.report import QUESTIONS, Mark, Report, Verdict
from ec_agent.doctor.trials import Target
from ec_agent.errors import ConfigError, DoctorError
from ec_agent.live.console import plain_console
from ec_agent.support.module_names import is_place, load_object, made
from ec_agent.support.strict_json import strict_json

DEFAULT_KEY = "OPENAI_API_KEY"
WHAT_TO_GIVE = (
    "give the base URL of an OpenAI-compatible endpoint (ec-agent doctor http://127.0.0.1:8080/v1 --model NAME) "
    "or the place of a LangChain chat model (ec-agent doctor my_module:model)"
)
_STYLES = {Mark.YES: "green", Mark.PARTLY: "yellow", Mark.NO: "red"}
_VERDICT_STYLES = {Verdict.USABLE: "bold green", Verdict.WITH_SETTINGS: "bold yellow"}


def run_doctor(target: str | None, model: str | None, api_key_env: str | None, timeout: float, *, as_json: bool) -> int:
    """Ask, and show what was found.

    Returns:
        The exit code: 0, 1, 3 or 4, as ``Report.exit_code`` says.

    Raises:
        ConfigError: an argument is missing or wrong.
        DoctorError: nobody is there, or we are not let in.
    """
    with _quiet_stdout() if as_json else contextlib.nullcontext():
        asked = _target(target, model, api_key_env, timeout)
        console = plain_console(stderr=True)
        with console.status(f"asking {escape(asked.name)}"), warnings.catch_warnings():
            # LangChain's typed answers warn of each entry that a server names by a number.
            warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
            report = diagnose(asked)
    if as_json:
        print(strict_json(report.to_dict()))
    else:
        show(report, plain_console())
    return report.exit_code


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """What a user's module prints goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _target(target: str | None, model: str | None, api_key_env: str | None, timeout: float) -> Target:
    if not target:
        raise ConfigError(f"nothing to ask; {WHAT_TO_GIVE}")
    if "://" in target:
        if not model:
            raise ConfigError("--model is missing; name the model as the endpoint knows it")
        return EndpointTarget(target, model, _key(api_key_env), timeout)
    if model or api_key_env:
        none = f"{target!r} is none, for a URL begins with http:// or https://"
        raise ConfigError(f"--model and --api-key-env go with a URL, and {none}; {WHAT_TO_GIVE}")
    return ChatModelTarget(load_model(target))


def _key(name: str | None) -> str | None:
    key = os.environ.get(name or DEFAULT_KEY)
    if name and not key:
        raise ConfigError(f"the environment has no {name}; set it, or leave --api-key-env out")
    return key


def load_model(place: str) -> Runnable[Any, Any]:
    """The chat model at ``module:name``, or what a function without arguments of that name makes.

    Raises:
        ConfigError: the place is not written so, or holds something else.
        DoctorError: the module or the function fails.
    """
    if not is_place(place):
        raise ConfigError(f"{place!r} is neither a URL nor module:name; {WHAT_TO_GIVE}")
    found = load_object(place, "a chat model", DoctorError)
    if callable(found) and not isinstance(found, Runnable):
        found = made(place, found, "a chat model", DoctorError)
    if inspect.iscoroutine(found):
        found.close()
    if not isinstance(found, Runnable):
        raise ConfigError(f"{place} is of type {type(found).__name__}; name a LangChain chat model")
    return found


def show(report: Report, console: Console) -> None:
    """Print the findings, what to set, and the verdict."""
    table = Table(title=escape(report.target), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("question", no_wrap=True)
    table.add_column("answer", no_wrap=True)
    table.add_column("detail", overflow="fold")
    for found in report.findings:
        style = _STYLES.get(found.mark, "dim")
        table.add_row(QUESTIONS[found.question], f"[{style}]{found.mark}[/{style}]", escape(found.detail))
    console.print(table)
    if report.settings:
        console.print("[bold]what to set[/bold]  (* needed)")
        grid = Table.grid(padding=(0, 1))
        for setting in report.settings:
            grid.add_row("", "*" if setting.needed else "", escape(setting.text))
        console.print(grid)
        console.print()
    spent = report.spent
    console.print(
        f"asked {spent.requests} requests; tokens: {spent.prompt_tokens} prompt, {spent.generated_tokens} generated; "
        f"{report.seconds:.1f} s"
    )
    style = _VERDICT_STYLES.get(report.verdict, "bold red")
    console.print(f"[bold]verdict[/bold]  [{style}]{report.verdict}[/{style}] (exit code {report.exit_code})")
