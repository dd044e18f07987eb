"""Turns errors of PostgreSQL into ``TraceError``."""

from __future__ import annotations

import psycopg
from psycopg import errors

from ec_agent.errors import TraceError
from ec_agent.support.escaping import clipped
from ec_agent.traces.postgres.url import PostgresPlace

_GONE = (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn)
_NOT_LET_IN = ("08", "28", "3D", "53", "57P")  # connections, rights, no such database, too many users, starting up
_SERVER_WENT_AWAY = "57P"  # the class of errors with which a server ends a connection


def cause_of(error: BaseException, place: PostgresPlace) -> str:
    """Return the words of an error in one line, without passwords."""
    return clipped(place.without_secrets(str(error).strip() or type(error).__name__), 300)


def lost(error: BaseException, connection: psycopg.Connection[object]) -> bool:
    """Tell whether an error means that the connection is gone."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return connection.closed or (error.sqlstate or "").startswith(_SERVER_WENT_AWAY)


def unreachable(error: BaseException, place: PostgresPlace) -> TraceError:
    """Make the error of a server that cannot be reached, or that lets nobody in."""
    return TraceError(
        f"{place.name} cannot be reached ({cause_of(error, place)}); check that the server runs, the address, the "
        "user, the password (in PGPASSWORD or ~/.pgpass) and that the database exists"
    )


def not_opened(error: psycopg.Error, place: PostgresPlace) -> TraceError:
    """Make the error of a store that cannot be opened."""
    reached = error.sqlstate is not None and not error.sqlstate.startswith(_NOT_LET_IN)
    return not_written(error, place) if reached else unreachable(error, place)


def not_written(error: psycopg.Error, place: PostgresPlace) -> TraceError:
    """Make the error of a transaction that the server refused. Nothing of it was written."""
    why = f"({cause_of(error, place)})"
    if isinstance(error, _GONE):
        return TraceError(
            f"{place.name} was deleted or changed while it was being written {why}, so new data would be lost; make "
            "sure that nothing changes it, and repeat the command"
        )
    if isinstance(error, psycopg.IntegrityError):
        return TraceError(
            f"the trace store {place.name} does not accept this {why}; check that its run was begun with this task"
        )
    if isinstance(error, psycopg.DataError | psycopg.ProgrammingError) and not _forbidden(error):
        return TraceError(f"nothing was stored {why}; store only objects that ec_agent made")
    return TraceError(
        f"{place.name} cannot be written {why}; check the server's disk, your rights there and which other processes "
        "use it, then repeat the command: what was stored before is kept"
    )


def not_read(error: psycopg.Error, what: str, place: PostgresPlace) -> TraceError:
    """Make the error of a query that the server refused."""
    why = f"({cause_of(error, place)})"
    if isinstance(error, _GONE):
        return TraceError(
            f"{place.name} cannot be read: {what} is not what ec_agent writes {why}; it was deleted, or another "
            "program changed it: restore it from a copy"
        )
    return TraceError(
        f"{place.name} cannot be read {why}; check the server, your rights there and which other processes use it"
    )


def _forbidden(error: psycopg.Error) -> bool:
    return isinstance(error, errors.InsufficientPrivilege)
