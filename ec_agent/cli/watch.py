"""``ec-agent watch``: rollouts as they run, of a graph of one's own, of events from elsewhere, or of an evaluation."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from langgraph.pregel import Pregel
from rich.markup import escape

from ec_agent.cli.interrupts import INTERRUPTED, leave, leave_interrupted
from ec_agent.errors import ConfigError
from ec_agent.evaluation.agent_place import load_agent
from ec_agent.live.console import plain_console
from ec_agent.live.feed import END, event_in, grown_lines, lines_of
from ec_agent.live.terminal import OnEvent, Shown, showing
from ec_agent.live.trace_file_events import stored_events
from ec_agent.rollouts.best_of_n import BestOfN, best_of_n
from ec_agent.rollouts.final_action import in_one_line
from ec_agent.support.checks import is_file
from ec_agent.support.escaping import shown as visible
from ec_agent.support.loop import run_to_its_end
from ec_agent.traces.opening import LONGEST_HEAD, is_sqlite
from ec_agent.traces.places import is_url, named

STANDARD_INPUT = "-"


def run_watch(source: str, *, given: str | None, n: int | None, follow: bool) -> None:
    """Show what the source tells of.

    Args:
        source: ``module:name``; ``-`` or a file of events; or a trace file.
        given: the graph's input.
        n: rollouts of an agent that is yet to be wrapped.
        follow: wait for what is added to a file.

    Raises:
        ConfigError: the source is none of these, or an argument does not go with it.
        EcAgentError: whatever fails on the way.
    """
    path = Path(source)
    if source == STANDARD_INPUT or is_url(source) or is_file(path):
        if given is not None or n is not None:
            raise ConfigError(f"--input and -n go with module:name, and {named(source)!r} is none; leave them out")
        _watch_feed(source, path, follow)
        return
    if ":" not in source:
        raise ConfigError(
            f"there is no file {source!r}; give one of events, a trace file, - for standard input, or module:name of a "
            "graph"
        )
    if given is None:
        raise ConfigError(f"--input is missing; give {source} its input: JSON, @FILE of JSON, or a user's message")
    _watch_run(source, input_in(given), n)


def input_in(given: str) -> Any:
    """The input that the command line gives: JSON, ``@FILE`` or ``-`` with JSON; any other text is a user's message.

    Raises:
        ConfigError: the file cannot be read, or holds no JSON.
    """
    if given != STANDARD_INPUT and not given.startswith("@"):
        try:
            return json.loads(given)
        except ValueError:
            return {"messages": [("user", given)]}
    name = "standard input" if given == STANDARD_INPUT else given[1:]
    try:
        return json.loads(sys.stdin.read() if given == STANDARD_INPUT else Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--input: {name} cannot be read ({error}); give JSON") from error


def _watch_run(place: str, asked: Any, n: int | None) -> None:
    agent = load_agent(place)
    if n is not None:
        if isinstance(agent, BestOfN):
            raise ConfigError(f"{place} is a best_of_n with its own n; leave -n out")
        agent = best_of_n(agent, n=n)
    if not isinstance(agent, BestOfN | Pregel):
        raise ConfigError(f"{place} is of type {type(agent).__name__}; give -n, so that best_of_n wraps it")
    console = plain_console(stderr=True, highlight=False)
    board = None
    try:
        with showing(console) as shown:
            board = shown.board
            output = run_to_its_end(_output_of(agent, asked, shown.hear))
    except KeyboardInterrupt:
        if board is None:
            raise
        leave_interrupted(board, console)
    if not board.version:
        console.print(f"[yellow]note[/yellow]  no best_of_n ran in {escape(place)}; with -n 8 it is wrapped in one")
    print(_said(output))


async def _output_of(agent: BestOfN | Pregel[Any, Any, Any, Any], asked: Any, hear: OnEvent) -> Any:
    if isinstance(agent, BestOfN):
        return (await agent.arun(asked, on_event=hear)).output
    output: Any = None
    async for namespace, mode, part in agent.astream(asked, stream_mode=["custom", "values"], subgraphs=True):
        if mode == "custom":
            hear(part)
        elif not namespace:
            output = part
    return output


def _said(output: Any) -> str:
    """An output: the last message of a conversation, or all of it."""
    messages = output.get("messages") if isinstance(output, Mapping) else None
    return visible(in_one_line(messages[-1] if isinstance(messages, list) and messages else output))


def _watch_feed(source: str, path: Path, follow: bool) -> None:
    console = plain_console(highlight=False)
    try:
        with showing(console) as shown:
            if source == STANDARD_INPUT:
                _show(lines_of(sys.stdin), shown)
            elif (stored := is_url(source)) or _is_sqlite(path):
                for event in stored_events(source if stored else path, follow=follow):
                    shown.hear(event)
                    if shown.gone:
                        break
            else:
                _show(grown_lines(path, follow=follow), shown)
        if shown.gone:  # what is left to be written would make Python complain at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        leave(INTERRUPTED)  # what is watched goes on


def _is_sqlite(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return is_sqlite(file.read(LONGEST_HEAD))
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error}); name a file that can be read") from error


def _show(lines: Iterable[str | None], shown: Shown) -> None:
    """Show events until their end, or until nobody looks any more; what else is in the lines is passed on."""
    ended = False
    for line in lines:
        if shown.gone or (line is None and ended):
            return
        if line is None:
            continue
        event = event_in(line)
        ended = event is not None and event["type"] == END["type"]
        if event is None and line.strip():
            shown.say(escape(line.rstrip("\r\n")))
        else:
            shown.hear(event)
