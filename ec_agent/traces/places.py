"""The names of trace stores: the path of a SQLite file, or the URL of a PostgreSQL database."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ec_agent.errors import ConfigError

SCHEMES = ("postgresql", "postgres")
"""How URLs of PostgreSQL begin."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_COLLAPSED = re.compile(rf"({'|'.join(SCHEMES)}):/(?!/)")
_WITH_PASSWORD = re.compile(r"(?<=://)([^:/?]*):.*@", re.DOTALL)
_SECRETS = ("password", "sslpassword")


def is_url(place: Any) -> bool:
    """Tell whether a place is the URL of a PostgreSQL database, and not the path of a file.

    Raises:
        ConfigError: it is the URL of something else, or was a URL before somebody made a ``Path`` of it.
    """
    if not isinstance(place, str | os.PathLike):
        return False
    try:
        text = os.fspath(place)
    except Exception:  # somebody's own class; the check of paths says what is wrong
        return False
    if not isinstance(text, str):
        return False
    if _COLLAPSED.match(text) and not isinstance(place, str):
        raise ConfigError("a URL was made a Path, which takes one of its slashes away; give the URL as a text")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return False
    if scheme[1].lower() not in SCHEMES:
        raise ConfigError(
            f"there is no trace store for {scheme[1]}://; give the path of a SQLite file, or postgresql://..."
        )
    return True


def named(place: str | Path) -> str:
    """Return the place as it is shown to people: of a URL, without its passwords."""
    return without_password(place) if isinstance(place, str) and is_url(place) else str(place)


def short_name(place: str | Path) -> str:
    """Return the name of a file without its folder, or of a URL all but its passwords."""
    return without_password(str(place)) if is_url(place) else Path(place).name


def without_password(url: str) -> str:
    """Return a URL of PostgreSQL without its passwords."""
    head, mark, query = _WITH_PASSWORD.sub(r"\1@", url).partition("?")
    kept = [part for part in query.split("&") if part.partition("=")[0].lower() not in _SECRETS]
    return f"{head}{mark}{'&'.join(kept)}" if kept else head
