"""Makes the tables of a trace store in a schema of a PostgreSQL database, and brings tables of older versions up.

Other schemas are never touched. A schema that has tables of something else is refused. ``tables.py`` of ``traces.sql``
says what the tables hold; one more, ``store``, has the version and the identity of the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from ec_agent.errors import TraceError
from ec_agent.traces.postgres.url import PostgresPlace
from ec_agent.traces.sql.tables import Types, tables
from ec_agent.traces.stored import VERSION

STORE = "store"
TABLES: Mapping[str, str] = {
    STORE: f"CREATE TABLE {STORE} (version BIGINT NOT NULL, identity TEXT NOT NULL)",
    **tables(
        Types(
            whole="BIGINT",
            real="DOUBLE PRECISION",
            truth="BOOLEAN",
            text='TEXT COLLATE "C"',
            data="BYTEA",
            own="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            never_again="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            keyed="",
        )
    ),
}
"""Maps the name of each table to the SQL that creates it, in an order in which they can be made."""

_NEW = "ec_agent_new"  # a schema that exists inside one transaction only


def tables_in(connection: psycopg.Connection[Any], schema: str) -> set[str]:
    """Return the names of the tables and views in a schema."""
    query = (
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relnamespace = to_regnamespace(%s)"
    )
    return {name for (name,) in connection.execute(query, (_quoted(schema),))}


def prepare(connection: psycopg.Connection[Any], place: PostgresPlace, *, create: bool) -> str:
    """Make sure that the schema has the tables of this version. Make them if they are missing, migrate older ones.

    Args:
        connection: a connection in autocommit mode.
        place: where the store is.
        create: whether the store may be new.

    Returns:
        The identity of the store, a text that no other store has.

    Raises:
        TraceError: there is no store, the schema has other tables, or the store is of a newer version.
        psycopg.Error: the server refused it.
    """
    with connection.transaction():
        # If several processes start at once, only one makes the tables.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (place.schema,))
        there = tables_in(connection, place.schema)
        if not there and create:
            _make(connection, place)
        elif not there:
            raise TraceError(
                f"there is no trace store {place.name}; give its ?schema=, or make it: TraceStore(url, create=True)"
            )
        elif not set(TABLES) & there >= {STORE, "rollouts"}:
            raise TraceError(
                f"{place.name} has tables of something else, such as {min(there)!r}; give a schema that holds nothing "
                "else: ?schema=name"
            )
        stored = sql.SQL("SELECT version, identity FROM {}").format(sql.Identifier(place.schema, STORE))
        ((version, identity),) = connection.execute(stored).fetchall()
        if version != VERSION:
            _migrate(connection, place, version)
    return str(identity)


def _make(connection: psycopg.Connection[Any], place: PostgresPlace) -> None:
    there = connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", (_quoted(place.schema),)).fetchone()
    if there != (True,):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(place.schema)))
    for statement in TABLES.values():
        connection.execute(statement.encode())
    connection.execute(f"INSERT INTO {STORE} VALUES (%s, %s)", (VERSION, uuid4().hex))
    # Signals are numbers that hardly get smaller by compression, which takes longer than writing them.
    connection.execute("ALTER TABLE timelines ALTER COLUMN data SET STORAGE EXTERNAL")


def _migrate(connection: psycopg.Connection[Any], place: PostgresPlace, version: int) -> None:
    """Add the tables and columns that a store of an older version lacks. Its rows stay."""
    if version > VERSION:
        raise TraceError(
            f"{place.name} has tables of version {version}, this ec_agent writes version {VERSION}; update ec_agent"
        )
    connection.execute(f"CREATE SCHEMA {_NEW}")
    connection.execute(f"SET LOCAL search_path TO {_NEW}")
    for statement in TABLES.values():
        connection.execute(statement.encode())
    wanted = _columns(connection, _NEW)
    connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(place.schema)))
    connection.execute(f"DROP SCHEMA {_NEW} CASCADE")
    there = _columns(connection, place.schema)
    for table, columns in wanted.items():
        if table not in there:
            connection.execute(TABLES[table].encode())
            continue
        for column in [each for each in columns if each not in there[table]]:
            added = f"ALTER TABLE {table} ADD COLUMN {column} {columns[column]}"
            connection.execute(added.encode())
    connection.execute(f"UPDATE {STORE} SET version = {VERSION}")


def _columns(connection: psycopg.Connection[Any], schema: str) -> dict[str, dict[str, str]]:
    """Return the columns of each table in a schema, each with its SQL definition."""
    query = (
        "SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid) "
        "FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND "
        "adnum = attnum WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped AND relnamespace = to_regnamespace(%s) "
        "ORDER BY relname, attnum"
    )
    found: dict[str, dict[str, str]] = {}
    for table, name, kind, needed, default in connection.execute(query, (_quoted(schema),)):
        collated = ' COLLATE "C"' if kind == "text" else ""
        definition = kind + collated + " NOT NULL" * needed + (f" DEFAULT {default}" if default is not None else "")
        found.setdefault(table, {})[name] = definition
    return found


def drop(connection: psycopg.Connection[Any], schema: str) -> None:
    """Drop the tables of a store, and its schema if nothing else is in it. Call it inside a transaction."""
    for table in reversed(list(TABLES)):
        connection.execute(f"DROP TABLE {table}".encode())
    others: Sequence[Any] = connection.execute(
        "SELECT 1 FROM pg_depend WHERE refobjid = to_regnamespace(%s) AND deptype = 'n' LIMIT 1", (_quoted(schema),)
    ).fetchall()
    if not others and schema != "public":
        connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(schema)))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
