"""Files that commands write."""

from __future__ import annotations

from pathlib import Path

from ec_agent.errors import ConfigError


def written(path: Path, text: str) -> Path:
    """Write a file.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error}); name a file in a folder that exists") from error
    return path
