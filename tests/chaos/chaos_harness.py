"""Runs that are killed and resumed, and the laws they must keep.

A ``Worker`` holds what a run needs: a parent to fork it from, the saver, the sinks its mails go to. ``kill_at_random``
and ``kill_at`` play one thread to its end and return a ``Case``, with every law that was broken.

The laws, at the end of each thread:

* It has finished with the same messages, winner, order and commits as an undisturbed run; or, with
  ``on_uncertain="raise"``, it ended in ``CommitUncertain``. Then a further resume says so again, sends nothing and asks
  nothing again, and where somebody notes the outcome by hand, it finishes.
* No mail was delivered twice. A thread of which nothing was persisted is begun anew, as its user would do, and that is
  no excuse: a mail that was delivered has a journal entry, so something was persisted.
* With durability "sync" no rollout starts again that the saver held when the run was resumed. What it held is read
  from the saver between kill and resume. Rollouts whose environment does not outlive the process are excused.
* Nothing is left: no other thread in the saver, no thread of the process, no temporary file but those of rollouts that
  were under way when they were killed.

Durability "exit" writes nothing before the run ends: there a run has to finish, with a warning, and that is all.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from chaos_child import opened
from chaos_variants import VARIANTS
from postgres import new_database
from sinks import HttpSink, http_sink

from ec_agent.commits.saver_journal import SaverJournal

ENOUGH = 4  # kills that one thread has to bear


@dataclass(frozen=True)
class Mode:
    """A way to run. ``n`` and ``on_uncertain`` vary within it."""

    variant: str
    api: Literal["sync", "async"]
    durability: Literal["sync", "async", "exit"]
    saver: Literal["sqlite", "postgres"]

    def __str__(self) -> str:
        return f"{self.variant} / {self.api} API / durability {self.durability} / {self.saver}"


def modes(
    savers: Sequence[str] = ("sqlite", "postgres"), durabilities: Sequence[str] = ("sync", "async")
) -> list[Mode]:
    return [Mode(*each) for each in product(VARIANTS, ("sync", "async"), durabilities, savers)]  # type: ignore[arg-type]


@dataclass
class Case:
    """One thread, from its first kill to its end."""

    mode: Mode
    seed: str
    n: int
    on_uncertain: str
    place: str | None = None
    kills: int = 0
    ended: str = "unfinished"  # "done" or "uncertain"
    anew: int = 0  # begun anew, nothing of it being known
    deliveries: int = 0
    repeats: int = 0  # sent again with the same key, and not counted by the receiver
    doubled: int = 0  # mails that were delivered more than once
    again: int = 0  # rollouts that were held by the saver and ran again
    left_files: int = 0
    broken: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        how = f"{self.mode}, n={self.n}, on_uncertain={self.on_uncertain}, {self.place or 'killed at random'}"
        return "\n  ".join([f"{how}, seed {self.seed!r}, {self.kills} kills:", *self.broken])


@dataclass
class Found:
    """What the saver holds between a kill and a resume."""

    rollouts: set[str] = field(default_factory=set)  # "<stretch> <index>"
    tokens: set[str] = field(default_factory=set)  # of their environments
    known: bool = False


class Worker:
    """Plays one case after the other."""

    def __init__(self, home: Path, sinks: dict[str, HttpSink], postgres: str | None) -> None:
        self.home, self.sinks, self.postgres = home, sinks, postgres
        self._undisturbed: dict[Any, tuple[dict[str, Any], float]] = {}
        here = Path(__file__).parent
        self._parent = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(here / "chaos_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(here.parents[1])},
        )
        if postgres is not None:
            with opened("postgres", postgres) as saver:
                saver.setup()

    def close(self) -> int:
        """End the parent; its exit code."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._parent.stdin.close()
        code = self._parent.wait(timeout=40)
        self._parent.stdout.close()
        return code

    def run(self, job: dict[str, Any], **more: Any) -> dict[str, Any]:
        """One child: what it reported, if it lived, and how long it ran."""
        self.begin({**job, **more})
        return self.answer()

    def begin(self, job: dict[str, Any]) -> None:
        """Start one child."""
        assert self._parent.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._parent.stdin.write(json.dumps(job).encode() + b"\n")
            self._parent.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What the child came to."""
        assert self._parent.stdout is not None
        line = self._parent.stdout.readline()
        assert line, "the children's parent has ended; its standard error says why"
        answer: dict[str, Any] = json.loads(line)
        return answer

    @contextlib.contextmanager
    def job(self, mode: Mode, n: int, on_uncertain: str, seed: str) -> Iterator[dict[str, Any]]:
        """A fresh thread."""
        home = Path(tempfile.mkdtemp(dir=self.home))
        (home / "temp").mkdir()
        sink = self.sinks[on_uncertain]
        where = str(home / "checkpoints.sqlite") if mode.saver == "sqlite" else self.postgres
        job = {
            "variant": mode.variant, "api": mode.api, "durability": mode.durability, "saver": mode.saver, "n": n,
            "on_uncertain": on_uncertain, "seed": seed, "steps": 1, "thread": uuid4().hex, "port": sink.port,
            "where": where,
            "home": str(home), "temp": str(home / "temp"), "log": str(home / "log"),
            "database": str(home / "world.sqlite"),
        }  # fmt: skip
        with contextlib.closing(sqlite3.connect(job["database"])) as database:
            database.execute("CREATE TABLE seen (place TEXT)")
        if mode.saver == "sqlite":
            with opened("sqlite", where) as saver:
                saver.setup()
        try:
            yield job
        finally:
            if mode.saver == "postgres":
                with opened("postgres", where) as saver:
                    tables = "checkpoints, checkpoint_blobs, checkpoint_writes"
                    saver.conn.execute(f"TRUNCATE {tables}")
            shutil.rmtree(home, ignore_errors=True)

    def undisturbed(self, mode: Mode, n: int) -> tuple[dict[str, Any], float]:
        """What comes of a run that nobody disturbs, and its seconds."""
        if (mode, n) not in self._undisturbed:
            with self.job(mode, n, "raise", "undisturbed") as job:
                answers = [self.run(job), self.run({**job, "thread": uuid4().hex})]
                for each in answers:
                    assert each["report"]["status"] == "done", each["report"]["said"]
                self._undisturbed[mode, n] = answers[0]["report"], min(each["seconds"] for each in answers)
        return self._undisturbed[mode, n]


@contextlib.contextmanager
def working(postgres: str | None = None) -> Iterator[Worker]:
    """A worker, with ``postgres`` the URI of a running server."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        sinks = {"raise": stack.enter_context(http_sink()), "retry": stack.enter_context(http_sink(dedupe=True))}
        database = stack.enter_context(new_database(postgres)) if postgres is not None else None
        worker = Worker(home, sinks, database)
        try:
            yield worker
        finally:
            code = worker.close()
        assert code == 0, "the children's parent failed"


def kill_at_random(worker: Worker, mode: Mode, seed: str) -> Case:
    """Kill a run at moments that are spread evenly over its duration, as many as the dice say."""
    dice = random.Random(f"{mode} {seed}")
    case = Case(mode, seed, dice.choice((1, 3, 4)), dice.choice(("raise", "retry")))
    seconds = worker.undisturbed(mode, case.n)[1]
    while not case.kills:  # a run may end before its moment
        moments: list[float | None] = [dice.uniform(0, seconds)]
        while dice.random() < 0.5 and len(moments) < ENOUGH:
            moments.append(dice.uniform(0, seconds))
        case = Case(mode, seed, case.n, case.on_uncertain)
        _play(worker, case, [{"moment": moment} for moment in moments])
        if case.broken:
            break
    return case


def kill_at(
    worker: Worker,
    mode: Mode,
    place: str,
    on_uncertain: str,
    n: int = 3,
    count: int = 1,
    late: float = 0.0,
    settle: bool = False,
) -> Case:
    """Kill a run at an exact place, when it gets there for the ``count``-th time.

    Args:
        late: seconds by which what the graph writes arrives late.
        settle: whether the outcome of an uncertain commit is noted by hand in the end.
    """
    case = Case(mode, f"{place} {count}", n, on_uncertain, f"killed {place}, time {count}")
    steps = 16 if late else 1  # so that there is much to write
    _play(worker, case, [{"place": place, "count": count, "late": late}], settle, steps)
    if case.kills != 1:
        case.broken.append("it was not killed")
    return case


def _play(worker: Worker, case: Case, kills: list[dict[str, Any]], settle: bool = False, steps: int = 1) -> None:
    expected, _ = worker.undisturbed(case.mode, case.n)
    repeats = worker.sinks[case.on_uncertain].repeats
    with worker.job(case.mode, case.n, case.on_uncertain, "undisturbed") as job:
        job["steps"] = steps
        held, lines = Found(), 0
        tokens: set[str] = set()
        report = None
        for kill in [*kills, {}]:
            answer = worker.run(job, **kill)
            log = _log(job)[lines:]
            lines += len(log)
            case.anew += log.count("anew")
            _check_reruns(case, held, log)
            report = answer["report"]
            if report is not None:
                break
            case.kills += 1
            held = _held(job)
            tokens |= held.tokens
        case.anew -= 1  # the first start
        assert report is not None
        if report["status"] == "uncertain":
            _check_uncertain(worker, case, job, report)
            if settle:
                report = _settled(worker, job, report["key"])
        _count(worker, case, job)
        case.repeats = worker.sinks[case.on_uncertain].repeats - repeats
        if report["status"] == "error":
            case.broken.append(f"the run failed: {report['said']}{_stderr(job)}")
            return
        if report["status"] == "done":
            case.ended, case.warned = case.ended.replace("unfinished", "done"), report["warned"]
            if case.mode.durability != "exit":
                _check_end(case, job, expected, report)
                _check_left(case, job, tokens, report)


def _log(job: dict[str, Any]) -> list[str]:
    log = Path(job["log"])
    return log.read_text().splitlines() if log.exists() else []


def _stderr(job: dict[str, Any]) -> str:
    errors = Path(job["home"], "stderr")
    return f"\n{errors.read_text()[-4000:]}" if errors.exists() else ""


def _held(job: dict[str, Any]) -> Found:
    """The rollouts that the saver holds: as writes of a step under way, or in the state of a step that is over."""
    found = Found()
    with opened(job["saver"], job["where"]) as saver:
        for each in list(saver.list({"configurable": {"thread_id": job["thread"]}})):
            found.known = True
            values = each.checkpoint["channel_values"]
            written = [value for _, channel, value in each.pending_writes or [] if channel == "records"]
            stretch = (values.get("course") or {}).get("round", 0)
            for records in [values.get("records") or [], *written]:
                for record in records if isinstance(records, list) else ():
                    found.rollouts.add(f"rollout {stretch} {record['index']}")
                    found.tokens |= {record["token"]} - {None}
    return found


def _check_reruns(case: Case, held: Found, log: list[str]) -> None:
    started = [line for line in log if line.startswith("rollout")]
    repeated = sorted(held.rollouts & set(started))
    case.again += len(repeated)
    if repeated and case.mode.durability == "sync" and case.mode.variant != "world":
        case.broken.append(f"started again although the saver held them: {repeated}")
    twice = sorted(line for line, count in Counter(started).items() if count > 1)
    if twice and case.mode.variant != "world":
        case.broken.append(f"started more than once in one process: {twice}")


def _check_uncertain(worker: Worker, case: Case, job: dict[str, Any], report: dict[str, Any]) -> None:
    """A run that ended in ``CommitUncertain`` stays so."""
    case.ended = "uncertain"
    if case.on_uncertain == "retry":
        case.broken.append(f"uncertain, although it may retry: {report['said']}")
    held, lines = _held(job), len(_log(job))
    again = worker.run(job)["report"]
    _check_reruns(case, held, _log(job)[lines:])
    if again["status"] != "uncertain" or again["key"] != report["key"]:
        case.broken.append(f"uncertain, and when resumed once more: {again}")
    if any(line.startswith("send") for line in _log(job)[lines:]):
        case.broken.append("a resume of an uncertain commit carried it out")


def _settled(worker: Worker, job: dict[str, Any], key: str) -> dict[str, Any]:
    """Somebody looks, and notes the outcome by hand; the run goes on."""
    with opened(job["saver"], job["where"]) as saver:
        SaverJournal(saver, job["thread"]).note(key, 0, {"status": "done", "value": "sent, I looked"})
    report: dict[str, Any] = worker.run(job)["report"]
    if report["status"] != "done":
        report = {"status": "error", "said": f"after the outcome was noted by hand: {report['said']}"}
    return report


def _posts(worker: Worker, case: Case, job: dict[str, Any]) -> list[Any]:
    return [post for post in worker.sinks[case.on_uncertain].deliveries if post.path == f"/{job['thread']}"]


def _count(worker: Worker, case: Case, job: dict[str, Any]) -> None:
    posts = _posts(worker, case, job)
    mails = Counter(post.body["text"] for post in posts)
    stretches = Counter(text.split(" of ")[0] for text in mails.elements())
    case.deliveries = len(posts)
    case.doubled = sum(count > 1 for count in stretches.values())
    if case.doubled and case.mode.durability != "exit":
        case.broken.append(f"delivered more than once: {[(post.key, post.body['text']) for post in posts]}")
    # Begun and not only delivered: what a killed process sent may not have been counted yet.
    begun = Counter(line for line in _log(job) if line.startswith("send"))
    if case.on_uncertain == "raise" and any(count > 1 for count in begun.values()) and case.mode.durability != "exit":
        case.broken.append(f"carried out more than once: {dict(begun)}")
    if any(post.key == "none" for post in posts):
        case.broken.append("delivered without an idempotency key")


def _check_end(case: Case, job: dict[str, Any], expected: dict[str, Any], report: dict[str, Any]) -> None:
    uncertain = case.ended == "uncertain"
    for what in ("chosen", "commits") if uncertain else ("chosen", "commits", "said"):
        if report[what] != expected[what]:
            case.broken.append(f"{what}: {report[what]}\n    undisturbed: {expected[what]}")
    mails = {"answer": 0, "continue": 2, "waves": 2}.get(case.mode.variant, 1)
    if case.deliveries > mails or (case.deliveries != mails and not uncertain):
        case.broken.append(f"{case.deliveries} deliveries where {mails} are right")
    if case.mode.variant == "copies":
        with contextlib.closing(sqlite3.connect(job["database"])) as database:
            seen = [place for (place,) in database.execute("SELECT place FROM seen")]
        promoted = [f"0/{expected['chosen'][0][0]}"]
        # Somebody who notes a promotion as done that was not has to do it himself.
        if seen != promoted and not (uncertain and not seen):
            case.broken.append(f"the database has {seen}, where the winner's copy has {promoted}")


def _check_left(case: Case, job: dict[str, Any], tokens: set[str], report: dict[str, Any]) -> None:
    if report["threads"]:
        case.broken.append(f"threads left in the process: {report['threads']}")
    with opened(job["saver"], job["where"]) as saver:
        strangers = {each.config["configurable"]["thread_id"] for each in saver.list(None)} - {job["thread"]}
    if strangers:
        case.broken.append(f"{len(strangers)} threads left in the saver")
    left = os.listdir(job["temp"])
    case.left_files = len(left)
    if case.kills == 0 and left:
        case.broken.append(f"left in the folder for temporary files: {left}")
    kept = sorted(token for token in tokens if os.path.exists(token.partition(":")[2]))
    if kept:
        case.broken.append(f"{len(kept)} copies of finished rollouts left on disk")


def table(cases: Sequence[Case]) -> str:
    """The figures, a line for each mode."""
    columns = (
        "cases",
        "kills",
        "anew",
        "done",
        "uncertain",
        "delivered",
        "resent",
        "doubled",
        "rerun",
        "files",
        "BROKEN",
    )
    width = max(len(str(case.mode)) for case in cases)
    lines = ["  ".join([" " * width, *columns])]
    grouped: dict[str, list[Case]] = {}
    for case in cases:
        grouped.setdefault(str(case.mode), []).append(case)
    for name, group in [*grouped.items(), ("all", list(cases))]:
        figures = (
            len(group),
            sum(case.kills for case in group),
            sum(case.anew for case in group),
            sum(case.ended == "done" for case in group),
            sum(case.ended == "uncertain" for case in group),
            sum(case.deliveries for case in group),
            sum(case.repeats for case in group),
            sum(case.doubled for case in group),
            sum(case.again for case in group),
            sum(case.left_files for case in group),
            sum(bool(case.broken) for case in group),
        )
        lines.append(
            "  ".join([name.ljust(width), *(str(f).rjust(len(c)) for f, c in zip(figures, columns, strict=True))])
        )
    return "\n".join(lines)
