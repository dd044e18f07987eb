"""Files that commands write."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ec_agent.errors import ConfigError
from ec_agent.support.checks import file_path, is_file, is_folder
from ec_agent.support.private_files import owner_only


def check_place(path: Path) -> None:
    """Refuse a file that could not be written, before what is to be in it is worked out.

    Raises:
        ConfigError: it is a folder, or in none.
    """
    place = file_path("the file to write", path)
    if is_folder(place) or not is_folder(place.parent):
        raise ConfigError(f"cannot write {path}; name a file in a folder that exists")


def written(path: Path, text: str) -> Path:
    """Write a file; a new one is readable by its owner alone. Half a character is written out as ``text_of`` does it.

    Raises:
        ConfigError: it cannot be written.
    """
    path = file_path("the file to write", path)
    there = is_file(path)
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace", opener=owner_only) as file:
            file.write(text)
    except OSError as error:
        if not there:  # half a page is of no use
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path} ({error}); name a file in a folder that exists") from error
    return path
