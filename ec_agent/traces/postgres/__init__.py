"""Trace stores in PostgreSQL databases; ``traces.sql`` has what is the same for SQLite.

database   the open database: transactions, reads, and what happens if the server goes away
url        reads the URL of a store
schema     makes the tables, brings older ones up, and finds out whether there are any
failures   turns errors of the server into ``TraceError``
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ec_agent.support.lazy import needed

if TYPE_CHECKING:
    from ec_agent.traces.postgres.database import PostgresDatabase


def open_postgres(url: str, *, create: bool, timeout: float) -> PostgresDatabase:
    """Open the store at a URL.

    Raises:
        ConfigError: the URL cannot be read, or psycopg is missing.
        TraceError: the server cannot be reached, or has no such store.
    """
    _need()
    from ec_agent.traces.postgres.database import PostgresDatabase

    return PostgresDatabase(url, create=create, timeout=timeout)


def holds_something(url: str) -> bool:
    """Tell whether the schema that a URL names has a table, whoever made it.

    Raises:
        ConfigError: the URL cannot be read, or psycopg is missing.
        TraceError: the server cannot be reached.
    """
    _need()
    from ec_agent.traces.postgres.database import holds_something

    return holds_something(url)


def _need() -> None:
    needed("psycopg", "a trace store on PostgreSQL needs", "ec-agent[postgres]")
