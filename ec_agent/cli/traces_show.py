"""One stored rollout or selection, for readers and for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ec_agent.cli.demo import show
from ec_agent.cli.timeline import LEGEND, timeline
from ec_agent.live.console import safe
from ec_agent.numbers.call_fields import plain_of
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.rollouts.best_of_n import BestOfNResult
from ec_agent.rollouts.final_action import in_one_line
from ec_agent.support.number_formats import many, percent
from ec_agent.traces.actions import action_to_json
from ec_agent.traces.stored import StoredRollout, StoredSelection


def show_selection(kept: StoredSelection, rollouts: Sequence[StoredRollout], console: Console) -> None:
    """Print a recorded selection as the demo prints its own."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(kept.recorded))
    console.print(f"[bold]{safe(kept.label)}[/bold]  s{kept.id}, recorded {when}, by {safe(kept.receipt.selector)}")
    there = {rollout.key.number: rollout for rollout in rollouts}
    indices = [candidate.index for candidate in kept.receipt.candidates]
    trajectories = [there[i].trajectory if i in there else Trajectory() for i in indices]
    actions = [there[i].final_action if i in there else "(pruned)" for i in indices]
    show(BestOfNResult(None, kept.receipt, tuple(trajectories), tuple(actions)), console)
    named = ", ".join(f"{number} is r{rollout.id}" for number, rollout in there.items())
    console.print(f"[dim]rollouts: {named}[/dim]", highlight=False)


def show_rollout(rollout: StoredRollout, config: HEPConfig, console: Console, *, text: bool) -> None:
    """Print a rollout: its calls, its timeline, how it ended."""
    trajectory = rollout.trajectory
    console.print(f"[bold]{safe(rollout.key.task)}[/bold]  {rollout.key}, r{rollout.id}", highlight=False)
    console.print(_facts(rollout, config), highlight=False)
    console.print(_calls(trajectory))
    known = trajectory.entropies[~np.isnan(trajectory.entropies)]
    bars, marks = timeline(trajectory, config, max(console.width - 2, 20), float(known.max(initial=1e-12)))
    console.print(f"[dim]{LEGEND}[/dim]")
    console.print(bars)
    console.print(marks)
    if text:
        for place, call in enumerate(trajectory.calls):
            kept = "(no token texts were kept)" if call.texts is None else "".join(call.texts)
            console.print(f"[bold]call {place}[/bold]  {safe(kept)}", highlight=False)
    end = rollout.error if rollout.error is not None else in_one_line(rollout.final_action)
    console.print(f"[bold]{'failed' if rollout.error else 'ended'}[/bold]  {safe(end)}\n", highlight=False)


def _facts(rollout: StoredRollout, config: HEPConfig) -> str:
    trajectory = rollout.trajectory
    centroid, coverage = trajectory.centroid(config), trajectory.coverage
    facts = [
        "no centroid" if centroid is None else f"centroid {centroid:.4f}",
        many(len(trajectory.phases(config).starts), "phase"),
        f"{many(len(trajectory), 'token')}, {percent(coverage)} with entropy",
        f"{many(rollout.tool_calls, 'tool')} run",
        f"{rollout.seconds:.1f} s",
        *([] if np.isnan(rollout.verdict) else [f"verdict {rollout.verdict:g}"]),
        *([f"sampled with {json.dumps(dict(rollout.sampling))}"] if rollout.sampling else []),
    ]
    return safe("; ".join(facts))


def _calls(trajectory: Trajectory) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("call", "node", "model"):
        table.add_column(name, overflow="fold")
    for name in ("at", "tokens", "coverage", "prompt", "mean", "max", "sec"):
        table.add_column(name, justify="right", no_wrap=True)
    begins = 0
    for place, call in enumerate(trajectory.calls):
        known = call.entropies[~np.isnan(call.entropies)]
        coverage = percent(len(known) / call.tokens if call.tokens else None)
        sums = [f"{known.mean():.3f}", f"{known.max():.3f}"] if len(known) else ["-", "-"]
        took = f"{call.ended - call.started:.1f}" if call.started is not None and call.ended is not None else "-"
        cells = [
            str(place),
            call.node or "-",
            call.model or "-",
            str(begins),
            "?" if call.tokens is None else str(call.tokens),
        ]
        prompt = "-" if call.prompt_tokens is None else str(call.prompt_tokens)
        table.add_row(*(safe(cell) for cell in cells), coverage, prompt, *sums, took)
        begins += call.tokens or 0
    return table


def selection_plain(kept: StoredSelection, rollouts: Sequence[StoredRollout]) -> dict[str, Any]:
    """A recorded selection as plain JSON."""
    return {
        "selection": kept.id,
        "name": kept.name,
        "recorded": kept.recorded,
        "receipt": kept.receipt.to_dict(),
        "rollouts": [rollout_plain(rollout, kept.receipt.config) for rollout in rollouts],
    }


def rollout_plain(rollout: StoredRollout, config: HEPConfig) -> dict[str, Any]:
    """A rollout as plain JSON, timelines included; a token without a value has ``null``."""
    judged = rollout.verdict == rollout.verdict
    return {
        "rollout": rollout.id,
        "task": rollout.key.task,
        "kind": rollout.key.kind,
        "number": rollout.key.number,
        **{name: getattr(rollout, name) for name in ("selection", "error", "started", "seconds", "seed", "tool_calls")},
        "sampling": dict(rollout.sampling),
        "usage": dict(rollout.usage),
        "verdict": rollout.verdict if judged else None,
        "centroid": rollout.trajectory.centroid(config),
        "final_action": json.loads(action_to_json(rollout.final_action)),
        "calls": [_call_plain(call) for call in rollout.trajectory.calls],
    }


def _call_plain(call: Call) -> dict[str, Any]:
    return {
        **plain_of(call),
        "texts": None if call.texts is None else list(call.texts),
        "entropies": _values(call.entropies),
        "signals": {name: _values(values) for name, values in call.signals.items()},
    }


def _values(values: FloatArray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
