"""Races: several processes resume one thread at once, from before the action, on a database that they share.

The law: whatever each of them chooses, and whichever way it goes, each action of the run is carried out at most once;
and in the end it has been carried out, for nobody was killed.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_harness import Mode, Worker, working

MODES = [
    Mode(variant, api, durability, saver)  # type: ignore[arg-type]
    for variant in ("execute", "route", "continue")
    for api in ("sync", "async")
    for durability in ("sync", "async")
    for saver in ("sqlite", "postgres")
]


@dataclass
class Race:
    """One thread that several resumed.

    Attributes:
        mode: how it ran.
        seed: of all that was drawn.
        racers: how many resumed it.
        pause: the node it was paused before.
        differ: whether each chooses another action.
        detour: whether they go different ways.
        ended: how many came to what end.
        sent: the mails, as often as their tool was called.
        broken: laws that were broken.
    """

    mode: Mode
    seed: str
    racers: int
    pause: str
    differ: bool
    detour: bool
    ended: Counter[str] = field(default_factory=Counter)
    sent: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        what = f"{self.racers} from before {self.pause!r}, differ={self.differ}, detour={self.detour}"
        return "\n  ".join(
            [f"{self.mode}, {what}, seed {self.seed!r}: {dict(self.ended)}, sent {self.sent}", *self.broken]
        )


@contextlib.contextmanager
def racing(postgres: str | None = None, racers: int = 3) -> Iterator[list[Worker]]:
    """So many workers; the first has the database."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(working(postgres if place == 0 else None)) for place in range(racers)]


def race(workers: Sequence[Worker], mode: Mode, seed: str) -> Race:
    """Pause a thread, have several resume it at once, and then one more that finds what they left."""
    dice = random.Random(f"{mode} {seed}")
    pauses = ["before 0", "solve", *(["tools"] if mode.variant == "route" else [])]
    told = Race(
        mode, seed, dice.randint(2, len(workers)), dice.choice(pauses), dice.random() < 0.5, dice.random() < 0.3
    )
    with workers[0].job(mode, 2, "raise", seed) as job:
        paused = workers[0].run({**job, "pause": told.pause})["report"]
        if paused["status"] not in ("paused", "done"):
            told.broken.append(f"not paused: {paused}")
            return told
        for number, worker in enumerate(workers[: told.racers]):
            more: dict[str, Any] = {"seed": f"{seed} {number}"}
            if told.differ and told.pause != "tools":
                more["choice"] = f", as worker {number} would have it"
            if told.detour and told.pause == "before 0":
                more["steps"] = 1 + number
            worker.begin({**job, **more})
        reports = [worker.answer()["report"] for worker in workers[: told.racers]]
        reports.append(workers[0].run(job)["report"])
        told.ended = Counter(report["status"] for report in reports)
        lines = Path(job["log"]).read_text().splitlines()
        told.sent = [line.removeprefix("send ") for line in lines if line.startswith("send ")]
        _check(told, reports)
    return told


def _check(told: Race, reports: Sequence[dict[str, Any]]) -> None:
    stretches = Counter(text.split(" of ")[0] for text in told.sent)
    if any(count > 1 for count in stretches.values()):
        told.broken.append(f"more than one acted: {told.sent}")
    if not stretches:
        told.broken.append("nobody acted")
    told.broken += [f"failed: {report['said']}" for report in reports if report["status"] == "error"]
    if not told.ended["done"]:
        told.broken.append(f"none of them finished: {[report.get('said') for report in reports]}")


def table(races: Sequence[Race]) -> str:
    """The figures, a line for each mode."""
    width = max(len(str(each.mode)) for each in races)
    names = ("races", "racers", "sent", "finished", "refused", "uncertain", "ended at once", "BROKEN")
    lines = ["  ".join([" " * width, *names])]
    grouped: dict[str, list[Race]] = {}
    for each in races:
        grouped.setdefault(str(each.mode), []).append(each)
    for name, group in [*grouped.items(), ("all", list(races))]:
        ended: Counter[str] = sum((each.ended for each in group), Counter())
        figures = (
            *(len(group), sum(each.racers for each in group), sum(len(each.sent) for each in group)),
            *(ended["done"], ended["refused"], ended["uncertain"]),
            # On a checkpoint whose next node the worker's own graph does not have, LangGraph runs nothing.
            *(ended["paused"], sum(bool(each.broken) for each in group)),
        )
        widths = (5, 6, 4, 8, 7, 9, 13, 6)
        lines.append("  ".join([name.ljust(width), *(str(f).rjust(w) for f, w in zip(figures, widths, strict=True))]))
    return "\n".join(lines)
