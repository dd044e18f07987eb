"""What commands take as arguments, beyond what click has."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource


class FilePath(click.Path):
    """A path that the system can be asked about.

    Args:
        urls: whether the URL of a trace store may be given in its place. It stays a text.
        *args: as click has them.
        **more: as click has them.
    """

    def __init__(self, *args: Any, urls: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        self._urls = urls

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; what is none is wrong usage, and told before anything is done."""
        from ec_agent.errors import ConfigError
        from ec_agent.support.checks import file_path
        from ec_agent.traces.places import is_url, named

        try:
            if is_url(value):
                if self._urls:
                    return value
                raise ConfigError(f"{named(value)} is a URL; give a file")
            file_path("it", value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


def given_besides(allowed: Container[str]) -> list[str]:
    """Return the options that the command line of the running command has, but for these.

    Args:
        allowed: names of parameters, as the function of the command has them.
    """
    context = click.get_current_context()
    return [
        param.opts[0]
        for param in context.command.params
        if param.name is not None
        and param.name not in allowed
        and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]


PLACE = FilePath(path_type=Path, dir_okay=False, urls=True)
"""A trace store: a file, or the URL of a PostgreSQL database."""

STORED = FilePath(path_type=Path, dir_okay=False)
"""A file that commands look into."""
