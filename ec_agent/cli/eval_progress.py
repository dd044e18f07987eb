"""What ``ec-agent eval`` shows while it runs: how far it is, what failed, and that logprobs are missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ec_agent.doctor.model_names import another_answered
from ec_agent.engines.base import Lost
from ec_agent.evaluation.one_rollout import OnEvent
from ec_agent.evaluation.runner import Progress
from ec_agent.live.console import safe
from ec_agent.live.terminal import Shown
from ec_agent.live.terminal import showing as view_on
from ec_agent.live.trace_file_events import label_of
from ec_agent.support.number_formats import many
from ec_agent.traces.stored import Key, StoredRollout

# A rollout is judged here; what best_of_n has to choose from is one.
_RUNNING = tuple(f"ec_agent.rollout.{each}" for each in ("started", "call", "tool", "finished"))

PLAIN_EVERY = 10.0  # seconds between lines where nobody looks at a terminal

Show = Callable[[Progress], None]


class Listeners(TypedDict, total=False):
    """Who is told of a run: what ``ec_agent.evaluation.runner.evaluate`` takes."""

    on_progress: Show
    on_event: OnEvent


@contextmanager
def showing(console: Console, asked: Collection[str] = ()) -> Iterator[Show]:
    """A progress bar on a terminal, lines elsewhere; what is wrong with a rollout is shown as it happens.

    Args:
        console: where to.
        asked: the names of the models that the agent asks, as far as they are known.
    """
    if not console.is_terminal:
        yield _lines(console, asked)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console) as bar:
        task, tell = bar.add_task("rollouts"), _Telling(bar.console.print, asked)

        def show(progress: Progress) -> None:
            tell(progress.last, progress.lost)
            tokens = f"rollouts, {progress.generated_tokens} tokens"
            bar.update(task, total=progress.total, completed=progress.stored, description=tokens)

        yield show


@contextmanager
def telling(console: Console, *, live: bool, asked: Collection[str] = ()) -> Iterator[Listeners]:
    """Show the run: as ``showing`` does, or each rollout while it runs."""
    if live:
        with view_on(console, keep=False) as shown:
            yield _live(shown, asked)
    else:
        with showing(console, asked) as show:
            yield {"on_progress": show}


def _live(shown: Shown, asked: Collection[str]) -> Listeners:
    tell = _Telling(shown.say, asked)

    def show(progress: Progress) -> None:
        tell(progress.last, progress.lost)
        if (last := progress.last) is not None and last.error is None:
            about = {"index": last.key.number, "label": label_of(last.key), "verdict": last.verdict}
            shown.hear({"type": "ec_agent.rollout.judged", **about})
        shown.hear({"type": "ec_agent.evaluation", "stored": progress.stored, "total": progress.total})

    def hear(key: Key, event: Mapping[str, Any]) -> None:
        if event["type"] in _RUNNING:
            shown.hear({**event, "index": key.number, "label": label_of(key)})

    return {"on_progress": show, "on_event": hear}


def _lines(console: Console, asked: Collection[str]) -> Show:
    tell, begun = _Telling(console.print, asked), time.monotonic()
    said, first = begun, -1

    def show(progress: Progress) -> None:
        nonlocal said, first
        tell(progress.last, progress.lost)
        if first < 0:
            first = progress.stored
            if first:
                console.print(f"{first} of {progress.total} rollouts are there already")
            return
        now = time.monotonic()
        if now - said < PLAIN_EVERY and progress.stored < progress.total:
            return
        said, done = now, max(progress.stored - first, 1)
        left = (now - begun) / done * (progress.total - progress.stored)
        console.print(
            f"{progress.stored}/{progress.total} rollouts, {progress.generated_tokens} tokens, "
            f"{now - begun:.0f} s, about {left:.0f} s left"
        )

    return show


class _Telling:
    """Prints what is wrong with rollouts: each failure, missing logprobs, and a model that was not asked for.

    Of the last two the first rollout that shows them is named, and no other.
    """

    def __init__(self, say: Callable[[str], None], asked: Collection[str]) -> None:
        self._say, self._asked = say, asked
        self._silent = False
        self._named: set[str] = set()
        self._lost = 0

    def __call__(self, last: StoredRollout | None, lost: Lost) -> None:
        """One more was stored."""
        if lost.workers > self._lost:
            self._lost = lost.workers
            self._say(
                f"[yellow]note[/yellow]  {many(lost.workers, 'worker')} died so far; their rollouts under way "
                f"({lost.rollouts}) run again"
            )
        if last is None:
            return
        name = safe(f"{last.key.task}, {last.key}")
        if last.error is not None:
            self._say(f"[yellow]failed[/yellow]  {name}: {safe(first_line(last.error))}")
        elif not self._silent and not last.trajectory.scored_tokens:
            self._silent = True
            self._say(f"[yellow]note[/yellow]  {name}: {_lacking(last)}")
        for answered in {call.model or "" for call in last.trajectory.calls} - self._named:
            self._named.add(answered)
            if told := another_answered(self._asked, answered):
                self._say(f"[yellow]note[/yellow]  {name}: {safe(told)}")


def _lacking(rollout: StoredRollout) -> str:
    calls = rollout.trajectory.calls
    if not calls:
        return (
            "no LLM call was seen, so there is nothing to score; make the calls through LangChain or an openai client, "
            "not from threads that do not copy the context"
        )
    if any(call.capability == "sampled" for call in calls):
        return (
            "logprobs of the sampled tokens came alone, without candidates: there is no entropy, only a surprisal; ask "
            "for top_logprobs=20, or pass --request-logprobs"
        )
    return (
        "the model returned no logprobs, so no selector that reads them can be compared; ask for them, or pass "
        "--request-logprobs; `ec-agent doctor` shows what a model returns"
    )


def first_line(error: str) -> str:
    """The first line of an error that may have many."""
    return error.strip().split("\n")[0]
