"""What ``ec-agent score --sweep`` prints at its end: a line for each setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from ec_agent.live.console import plain_console
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.many_timelines import SWEEP
from ec_agent.numbers.phases import HEPConfig
from ec_agent.support.number_formats import many
from ec_agent.support.strict_json import strict_json

Place = Mapping[str, Any]
"""Where a rollout is: names and values for JSON."""


class SweepSummary:
    """Adds up centroids, some rollouts at a time.

    Attributes:
        rollouts: how many rollouts were added.
    """

    def __init__(self) -> None:
        self.rollouts = 0
        self._scored = np.zeros(len(SWEEP), np.int64)
        self._total = np.zeros(len(SWEEP))
        self._lowest = np.full(len(SWEEP), np.inf)
        self._lowest_at = np.full(len(SWEEP), -1)

    def add(self, part: FloatArray) -> None:
        """Add the centroids of the next rollouts, shape ``(rollouts, settings)``, NaN where there is none."""
        if not len(part):
            return
        here = ~np.isnan(part)
        self._scored += here.sum(axis=0)
        self._total += np.where(here, part, 0.0).sum(axis=0)
        filled = np.where(here, part, np.inf)
        best = filled.argmin(axis=0)
        least = filled[best, range(len(SWEEP))]
        self._lowest_at = np.where(least < self._lowest, best + self.rollouts, self._lowest_at)
        self._lowest = np.minimum(least, self._lowest)
        self.rollouts += len(part)

    @property
    def any_scored(self) -> bool:
        """Whether there is a centroid under any setting."""
        return bool(self._scored.any())

    def show(self, place_of: Callable[[int], Place], *, as_json: bool) -> None:
        """Print a line for each setting.

        Args:
            place_of: says where the rollout with this number is; numbers count from 0, in the order of adding.
            as_json: print JSON objects instead of a table.
        """
        rows = list(self._rows(place_of))
        if as_json:
            for row, place in rows:
                print(strict_json({**row, **{f"lowest_{name}": value for name, value in place.items()}}))
        else:
            plain_console().print(_table(rows, self.rollouts))

    def _rows(self, place_of: Callable[[int], Place]) -> Iterator[tuple[dict[str, Any], Place]]:
        for column, config in enumerate(SWEEP):
            count = int(self._scored[column])
            row = {
                **config.to_dict(),
                "scored": count,
                "mean": float(self._total[column] / count) if count else None,
                "lowest": float(self._lowest[column]) if count else None,
            }
            place = place_of(int(self._lowest_at[column]) if count else 0)
            yield row, place if count else dict.fromkeys(place)


def _table(rows: Sequence[tuple[dict[str, Any], Place]], rollouts: int) -> Table:
    table = Table(title=f"centroids of {many(rollouts, 'rollout')}", title_justify="left")
    for name in ("top %", "bottom %", "low in a row", "scored", "mean", "lowest", "of rollout"):
        table.add_column(name, justify="right")
    usual = HEPConfig().to_dict()
    for row, place in rows:
        marked = all(row[name] == value for name, value in usual.items())
        numbers = [f"{row[key]:.4f}" if row["scored"] else "-" for key in ("mean", "lowest")]
        where = ", ".join(map(str, place.values())) if row["scored"] else "-"
        settings = [f"{row['top_percent']:g}", f"{row['bottom_percent']:g}", str(row["consecutive_low"])]
        table.add_row(*settings, str(row["scored"]), *numbers, where, style="bold" if marked else None)
    return table
