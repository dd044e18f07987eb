"""``ec-agent demo``: the main job on the embedded model, shown as it happens."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from ec_agent.cli.demo_progress import progress
from ec_agent.cli.files import written
from ec_agent.cli.interrupts import leave_interrupted
from ec_agent.cli.timeline import LEGEND, timeline
from ec_agent.errors import EcAgentError
from ec_agent.live.board import Board
from ec_agent.live.console import plain_console, safe
from ec_agent.live.terminal import showing
from ec_agent.local import shared_server
from ec_agent.local.fetch import model_path
from ec_agent.prompted import PromptedToolModel
from ec_agent.rollouts.best_of_n import BestOfN, BestOfNResult, best_of_n
from ec_agent.rollouts.final_action import in_one_line
from ec_agent.rollouts.selection import Seen
from ec_agent.support.checks import whole
from ec_agent.support.loop import run_to_its_end
from ec_agent.support.number_formats import many
from ec_agent.support.strict_json import strict_json
from ec_agent.visual.drawing import check_installed
from ec_agent.visual.table import facts_under_table, lines_of, title_of
from ec_agent.visual.views import view_of


class DemoUnavailableError(EcAgentError):
    """The demo is not where it can run."""


def run_demo(
    question: str | None,
    *,
    n: int,
    temperature: float,
    seed: int,
    as_json: bool,
    html: Path | None = None,
    live: bool = False,
) -> None:
    """Ask the demo agent ``n`` times and show what came of it, as a page too where ``html`` names a file.

    Raises:
        DemoUnavailableError: not run from a clone, or an extra is missing.
        ConfigError: the page cannot be made or written.
        EcAgentError: whatever fails on the way.
    """
    whole("--n", n)
    if html is not None:
        check_installed()  # before the work
    graphs = _application()
    question = question or graphs.DEMO_QUESTION
    model = graphs.default_model()
    embedded = isinstance(model, PromptedToolModel)
    node = best_of_n(
        graphs.make_agent(model),
        n=n,
        keep_text=True,
        keep_candidates=5,
        share_prompt=embedded,  # it has four slots: it reads the prompt once, not four times
        sampling=lambda index: {"seed": seed + index, "temperature": temperature},
    )
    console = plain_console(stderr=as_json)
    console.print(f"[bold]question[/bold]  {safe(question)}")
    if embedded:
        _start_model(console)
    _say(console, f"{many(n, 'rollout')} of several LLM calls each; on two cores this takes some minutes")
    result = _run(node, question, n, console, live)
    page = None if html is None else written(html, result.selection.to_html(question))
    if as_json:
        print(strict_json({"question": question, **result.selection.to_dict(), "answer": in_one_line(_chosen(result))}))
        return
    show(result, console)
    if page is not None:
        console.print(f"written: {safe(str(page))}")


def _start_model(console: Console) -> None:
    what = "loading the embedded model" if model_path().is_file() else "fetching the embedded model (93 MB, once)"
    _say(console, what)
    with console.status(what):
        shared_server()


def _say(console: Console, text: str) -> None:
    console.print(f"[dim]{safe(text)}[/dim]", soft_wrap=True)
    console.file.flush()  # a pipe would keep it until the end


def _application() -> Any:
    if (Path.cwd() / "graphs" / "agent.py").is_file():
        sys.path.insert(0, str(Path.cwd()))
    try:
        return import_module("graphs.agent")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("graphs", "tools"):
            raise DemoUnavailableError(
                "the demo uses the agents and tools beside the package; clone the repository and run `make demo` there"
            ) from error
        raise DemoUnavailableError(f"the demo needs {error.name}; in the clone run: pip install '.[demo]'") from error


def _run(node: BestOfN, question: str, n: int, console: Console, live: bool) -> BestOfNResult:
    board = Board()
    try:
        with showing(console, keep=False) if live else progress(console, n) as shown:
            board = shown.board
            asked = {"messages": [("user", question)]}
            return run_to_its_end(node.arun(asked, on_event=shown.hear))
    except KeyboardInterrupt:
        leave_interrupted(board, console)


def _chosen(result: BestOfNResult) -> Any:
    return result.final_actions[result.selection.winner]


def show(result: BestOfNResult, console: Console) -> None:
    """Print candidates, timelines and the chosen final action."""
    seen = Seen(result.trajectories, result.final_actions)  # a receipt that was read back has none
    selection = replace(result.selection, seen=seen)
    view = view_of(selection)
    styles = ["bold", *("bold green" if rollout.won else "" for rollout in view.rollouts)]
    console.print(f"[italic]{title_of(view)}[/italic]")
    for line, style in zip(lines_of(view, console.width), styles, strict=True):
        console.print(Text(line, style), soft_wrap=True)  # nothing is cut where not even the numbers have room
    _draw(result, [rollout.receipt.index for rollout in view.rollouts], console)
    console.print("\n".join([*facts_under_table(view), f"{many(selection.distinct, 'distinct rollout')}."]))
    for warning in selection.warnings:
        console.print(f"[yellow]note[/yellow]  {safe(warning)}")
    console.print(f"[bold]chosen[/bold]  rollout {selection.winner}: {safe(in_one_line(_chosen(result)))}")


def _draw(result: BestOfNResult, order: list[int], console: Console) -> None:
    known = [t.entropies[~np.isnan(t.entropies)] for t in result.trajectories]
    ceiling = max((float(values.max()) for values in known if len(values)), default=1.0)
    width = max(console.width - 8, 20)
    console.print(f"\n[dim]{LEGEND}[/dim]")
    for index in order:
        bars, marks = timeline(result.trajectories[index], result.selection.config, width, ceiling)
        console.print(f"{'*' if index == result.selection.winner else ' '}{index:>4} ", bars, sep=" ")
        console.print("      ", marks, sep=" ")
