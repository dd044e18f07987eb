"""What commands take as arguments, beyond what click has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class FilePath(click.Path):
    """A path that the system can be asked about."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; what is none is wrong usage, and told before anything is done."""
        from ec_agent.errors import ConfigError
        from ec_agent.support.checks import file_path

        try:
            file_path("it", value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


STORED = FilePath(path_type=Path, dir_okay=False)
"""A file that holds what commands look into: traces, or commits."""
