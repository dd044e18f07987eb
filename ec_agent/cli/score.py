"""``ec-agent score``: centroids of saved logprobs, one rollout in memory at a time."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ec_agent.cli.score_results import Results, Troubles, print_table, row_of
from ec_agent.errors import LogprobsError, TraceError
from ec_agent.evaluator import CentroidEvaluator
from ec_agent.live.console import plain_console
from ec_agent.logs import Found, found_in, opened
from ec_agent.logs.bounds import Bounds
from ec_agent.logs.rollouts import Groups, rollouts_of
from ec_agent.logs.tasks import Tasks, evidence_of
from ec_agent.numbers.signals import ENTROPY, SURPRISAL
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.support.checks import cause_of
from ec_agent.support.escaping import shown
from ec_agent.support.strict_json import strict_json

_LARGE = 20_000_000  # bytes; below, nobody waits


def run_score(
    files: Sequence[Path],
    evaluator: CentroidEvaluator,
    *,
    format: str | None = None,
    bounds: Bounds | None = None,
    groups: Groups | None = None,
    one_rollout: bool = False,
    one_task: bool = False,
    strict: bool = False,
    as_json: bool = False,
) -> None:
    """Score the rollouts in the files and print them, the best of each task marked."""
    troubles, groups = Troubles(strict), groups or Groups()
    _check_there(files)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as rows:
        results = Results(rows)
        for file in files:
            found = rollouts_in(file, troubles, format, bounds)
            if len(files) > 1:
                found = _or_left_out(found, file, troubles)
            together = rollouts_of(found, str(file), groups, troubles, lambda said, file=file: _tell(f"{file}: {said}"))
            for each in [_joined(file, found)] if one_rollout else together:
                results.add(row_of(str(file), each, evaluator), evidence_of(each, str(file)))
                results.sampled |= _sampled(each.trajectory)
        results.compare(Tasks(one_task, groups.each, _tell))
        if troubles.left_out and results.count:
            print(f"{troubles.left_out}; --strict stops at the first", file=sys.stderr)
        if as_json:
            for row in results:
                print(strict_json(row))
        elif results.count:
            print_table(results, evaluator.signal, several=len(files) > 1)
        if not results.best:
            _raise_none(files, results, troubles, evaluator.signal)


def _check_there(files: Sequence[Path]) -> None:
    """Refuse a name that no file has before anything is read: it is a slip, where a damaged file is a fact.

    Raises:
        LogprobsError: there is no such file.
    """
    for file in files:
        try:
            if str(file) != "-":
                file.lstat()
        except OSError as error:
            hint = "give a file, or - for standard input"
            raise LogprobsError(f"cannot read {file} ({cause_of(error)}); {hint}") from error


def _or_left_out(found: Iterator[Found], file: Path, troubles: Troubles) -> Iterator[Found]:
    """The rollouts in one file of several. If it is empty, damaged or of another kind, that is told, and no error."""
    try:
        yield from found
    except (LogprobsError, TraceError) as error:
        if troubles.strict:
            raise
        told = str(error)
        troubles.file(told if str(file) in told else f"{file}: {told}")


def _tell(guess: str) -> None:
    print(f"guessed  {shown(guess)}", file=sys.stderr)


def rollouts_in(
    file: Path, troubles: Callable[[str, str], None], format: str | None = None, bounds: Bounds | None = None
) -> Iterator[Found]:
    """The rollouts in a file, with a progress bar for a large one."""
    with _progress(file) as advance, opened(file, advance, bounds) as source:
        yield from found_in(source, troubles, format)


@contextmanager
def _progress(file: Path) -> Iterator[Callable[[int], None]]:
    size = file.stat().st_size if file.is_file() else 0
    console = plain_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=size < _LARGE or not console.is_terminal) as bar:
        task = bar.add_task(escape(file.name), total=size)
        yield lambda read: bar.advance(task, read)


def _sampled(trajectory: Trajectory) -> bool:
    """Whether there are logprobs of sampled tokens."""
    return any(not np.isnan(call.signals[SURPRISAL]).all() for call in trajectory.calls if SURPRISAL in call.signals)


def _joined(file: Path, found: Iterator[Found]) -> Found:
    return Found(file.name, Trajectory([call for each in found for call in each.trajectory.calls]))


def _raise_none(files: Sequence[Path], results: Results, troubles: Troubles, signal: str) -> None:
    named = ", ".join(str(file) for file in files)
    if not results.count:
        raise LogprobsError(
            f"{troubles.first}; there was nothing else in {'it' if len(files) == 1 else 'the files'} that can be scored"
            if troubles.first
            else f"{named}: there are no rollouts in it; `ec-agent score --help` says what is read"
        )
    rather = ""
    if signal == ENTROPY and results.sampled:
        rather = "; the sampled tokens' own logprobs are there: compare by these alone with --signal surprisal"
    raise LogprobsError(
        f"{named}: none of {results.count} rollouts could be scored{rather}; see the comments, and save responses that "
        "were asked for logprobs with top_logprobs=20"
    )
