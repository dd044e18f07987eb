"""Files that commands write."""

from __future__ import annotations

from pathlib import Path

from ec_agent.errors import ConfigError
from ec_agent.support.private import owner_only


def written(path: Path, text: str) -> Path:
    """Write a file; a new one is readable by its owner alone.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        with open(path, "w", encoding="utf-8", opener=owner_only) as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error}); name a file in a folder that exists") from error
    return path
