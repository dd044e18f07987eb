"""All rows of the table, whoever made the agents."""

from __future__ import annotations

import agents_asking
import agents_clients
import agents_create
import agents_functional
import agents_graphs
import agents_middleware
import agents_packages
import agents_schemas
from diff_rows import Row

ROOMS = [
    agents_create,
    agents_middleware,
    agents_graphs,
    agents_schemas,
    agents_asking,
    agents_functional,
    agents_packages,
    agents_clients,
]


def rows() -> dict[str, Row]:
    table: dict[str, Row] = {}
    for room in ROOMS:
        twice = table.keys() & room.TABLE.keys()
        assert not twice, f"two rows are called {twice}"
        table |= room.TABLE
    return table
