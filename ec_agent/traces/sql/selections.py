"""Turns recorded selections into rows of a trace store, and rows into selections, inside ``read`` and ``write``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ec_agent.rollouts.selection import Selection
from ec_agent.support.from_plain import of_type, parsed, typed
from ec_agent.traces.fitting import receipt_of
from ec_agent.traces.sql.database import Database
from ec_agent.traces.sql.rows import add_rollout
from ec_agent.traces.stored import StoredRollout, StoredSelection


def add_selection(
    database: Database,
    name: str | None,
    recorded: float,
    receipt: Selection,
    rollouts_of: Callable[[int], Iterable[StoredRollout]],
) -> int:
    """Write a selection, and its rollouts, which are made once its id is known; return the id."""
    row = {"name": database.text_of(name), "recorded": recorded, "receipt": receipt_of(receipt)}
    number = database.insert("selections", row) or 0
    for rollout in rollouts_of(number):
        add_rollout(database, rollout)
    return number


def selection_ids(database: Database) -> list[int]:
    """Return the ids of all selections, in the order in which they were recorded."""
    return [number for (number,) in database.rows("SELECT id FROM selections ORDER BY id")]


def read_selection(database: Database, number: int) -> StoredSelection | None:
    """Return the selection with this id; ``None`` if there is none.

    Raises:
        PlainError: a column holds something that ec_agent would not have written.
    """
    found = database.rows("SELECT id, name, recorded, receipt FROM selections WHERE id = ?", (number,))
    if not found:
        return None
    number, name, recorded, receipt = found[0]
    plain = {"id": number, "name": name, "recorded": recorded}
    return StoredSelection(
        **typed(StoredSelection, plain, "selections"), receipt=Selection.from_dict(parsed(receipt, "receipt"))
    )


def candidates_in(database: Database, selection: int) -> list[tuple[int, int, int]]:
    """Return ``(id, index, generated tokens)`` of each rollout of a selection, by index.

    Raises:
        PlainError: a column holds something that ec_agent would not have written.
    """
    query = "SELECT id, number, generated_tokens FROM rollouts WHERE selection = ? ORDER BY number"
    return list(of_type(database.rows(query, (selection,)), tuple[tuple[int, int, int], ...], "rollouts"))
