"""Reads the URL of a trace store on PostgreSQL: ``postgresql://user@host:port/database?schema=name``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ec_agent.errors import ConfigError
from ec_agent.traces.places import named

SCHEMA = "ec_agent"
"""The schema of a store whose URL names none."""

_LONGEST = 63  # bytes of a name; PostgreSQL cuts off what is longer
_USUAL = {
    "connect_timeout": 10,  # a server that does not answer is found out in seconds, also while data is being sent
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "fallback_application_name": "ec_agent",
}
"""What a connection has if the URL does not say otherwise."""


@dataclass(frozen=True, slots=True, repr=False)
class PostgresPlace:
    """Where a store is.

    Attributes:
        name: the URL without passwords, for messages.
        schema: the schema in the database.
        options: what psycopg connects with. They may hold a password.
    """

    name: str
    schema: str
    options: dict[str, Any]

    def without_secrets(self, text: object) -> str:
        """Return a text in which the passwords of the URL are not to be read."""
        shown = str(text)
        for name in ("password", "sslpassword"):
            if secret := self.options.get(name):
                shown = shown.replace(str(secret), "***")
        return shown


def place_at(url: str) -> PostgresPlace:
    """Read a URL.

    Raises:
        ConfigError: it cannot be read. The message has no password.
    """
    name = named(url)
    _, _, rest = url.partition("://")
    signed_in = re.match(r"[^@/]*@", rest)
    if "@" in rest[signed_in.end() if signed_in else 0 :]:
        raise ConfigError(
            f"{name} has an @ or a / in its password, or an @ elsewhere; write @ as %40, / as %2F, : as %3A and % as "
            "%25, or leave the password to PGPASSWORD or ~/.pgpass"
        )
    head, mark, query = url.partition("?") if signed_in is None else _after(url, len(url) - len(rest) + signed_in.end())
    given = [part for part in query.split("&") if part]
    schemas = [unquote(part.partition("=")[2]) for part in given if part.partition("=")[0] == "schema"]
    left = "&".join(part for part in given if part.partition("=")[0] != "schema")
    try:
        options = conninfo_to_dict(f"{head}{mark}{left}" if left else head)
    except psycopg.ProgrammingError as error:
        secret = name != url  # then the server's own words may repeat it
        raise ConfigError(
            f"{name} is not a URL that PostgreSQL reads{'' if secret else f' ({error})'.replace(chr(10), '')}; give "
            "postgresql://user@host:5432/database, with characters such as @ : / % written as %40 %3A %2F %25"
        ) from (None if secret else error)
    return PostgresPlace(name, _schema(schemas, name), {**_USUAL, **options, "client_encoding": "utf8"})


def _after(url: str, begin: int) -> tuple[str, str, str]:
    """Split a URL at the first question mark after its user and password."""
    head, mark, query = url[begin:].partition("?")
    return url[:begin] + head, mark, query


def _schema(given: list[str], name: str) -> str:
    schema = given[-1] if given else SCHEMA
    if not schema or "\0" in schema or len(schema.encode(errors="replace")) > _LONGEST or schema.startswith("pg_"):
        raise ConfigError(
            f"{name} has the schema {schema!r}; give ?schema= a name of 1 to {_LONGEST} bytes that does not begin with "
            "pg_"
        )
    return schema
