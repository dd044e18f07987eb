"""The list of commands in `ec-agent --help`: under headings, by what they are for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click


class GroupedCommands(click.Group):
    """A group whose help lists its commands under headings.

    Args:
        headings: the names of the commands under each heading, in the order in which they are shown.
        *args: as click has them.
        **more: as click has them.
    """

    def __init__(self, *args: object, headings: Mapping[str, Sequence[str]], **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type]
        self.headings = headings

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the headings; those under none come last."""
        placed = [name for names in self.headings.values() for name in names if name in self.commands]
        return placed + [name for name in sorted(self.commands) if name not in placed]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each heading with its commands."""
        placed = {name for names in self.headings.values() for name in names}
        others = [name for name in self.commands if name not in placed]
        width = max(map(len, self.commands), default=0)
        limit = formatter.width - width - 6
        for heading, names in {**self.headings, "Others": others}.items():
            rows = [(name.ljust(width), self.commands[name].get_short_help_str(limit)) for name in names]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
